"""Who of a group can take a request now: by its tags, by the length of its prompts, by health and by load."""

from collections.abc import Collection, Sequence

from gateway.errors import ContextTooLong, InvalidValue
from gateway.ledger import tokens
from gateway.routing.groups import Entry, Group, Level
from gateway.types import CompletionRequest, Prompt

DEFAULT_TAG = "default"

_WIDEST = 4
"""Bytes, and so tokens, that a character has at most."""

_PIECE = 16_384
"""Characters that are counted in one go."""


def eligible(group: Group, request: CompletionRequest, tags: Collection[str] | None, any_tag: bool) -> Sequence[Level]:
    """The levels of those who may serve `request` at all, however they are now; none of them is empty.

    Args:
        tags: those the request has; None where tags do not choose.
        any_tag: whether one of the tags is enough for a deployment; else it must have them all.

    Raises:
        InvalidValue: no deployment is for these tags.
        ContextTooLong: no deployment takes prompts of this length.
    """
    levels: Sequence[Level] = group.levels
    if tags is not None and group.tagged:
        levels = _kept(levels, _tagged(group, tags, any_tag))
        if not levels:
            raise InvalidValue(
                f"No deployment of the model {group.name[:120]} is for requests with these tags; leave the tags out or "
                "ask the operator for the right ones.",
                param="tags",
            )
    if group.limit is not None and widest(request.prompts) > group.limit:
        levels = _fitting(group, levels, request)
    return levels


def _kept(levels: Sequence[Level], kept: Collection[Entry]) -> Sequence[Level]:
    found = [[entry for entry in level if entry in kept] for level in levels]
    return [level for level in found if level]


def _tagged(group: Group, tags: Collection[str], any_tag: bool) -> Sequence[Entry]:
    """Those for the tags of a request, as LiteLLM has it: with one of them (or all), else those tagged `default`. A
    request without tags goes to those tagged `default`, else to those without tags, else to all."""
    if tags:
        wanted = frozenset(tags)
        match = wanted.intersection if any_tag else wanted.issubset
        found = [entry for entry in group.entries if entry.terms.tags and match(entry.terms.tags)]
        return found or [entry for entry in group.entries if DEFAULT_TAG in entry.terms.tags]
    usual = [entry for entry in group.entries if DEFAULT_TAG in entry.terms.tags]
    return usual or [entry for entry in group.entries if not entry.terms.tags] or group.entries


def widest(prompts: Sequence[Prompt]) -> int:
    """More tokens than any of the prompts can have: no vocabulary has tokens of less than a byte."""
    if len(prompts) == 1:
        return len(prompts[0]) * _WIDEST
    return max(map(len, prompts)) * _WIDEST


def _fitting(group: Group, levels: Sequence[Level], request: CompletionRequest) -> Sequence[Level]:
    """Those that the longest prompt fits into. What only the price catalogue says is advice: where it leaves nobody,
    the provider is asked. The prompts are counted without what a chat adds to them."""
    widest_ = widest(request.prompts)
    entries = [entry for level in levels for entry in level]
    most = max(entry.limit or 0 for entry in entries)
    sizes: dict[str | None, int] = {}

    def fits(entry: Entry, limit: int | None) -> bool:
        if limit is None or widest_ <= limit:
            return True
        encoding = entry.bound.encoding
        if encoding not in sizes:
            sizes[encoding] = longest(request.prompts, encoding, most)
        return sizes[encoding] <= limit

    allowed = [entry for entry in entries if fits(entry, entry.terms.max_input_tokens)]
    if not allowed:
        takes = max(entry.terms.max_input_tokens or 0 for entry in entries)
        raise ContextTooLong(
            f"The prompt is longer than the {takes} tokens that the model {group.name[:120]} takes; shorten it.",
            param="prompt",
        )
    return _kept(levels, [entry for entry in allowed if fits(entry, entry.limit)] or allowed)


def longest(prompts: Sequence[Prompt], encoding: str | None, most: int) -> int:
    """Tokens of the longest prompt, about, where the vocabulary is not known (None); some number above `most` for one
    that is longer, so that no text takes longer to count than what is looked for."""
    return max(len(each) if isinstance(each, tuple) else _count(each, encoding, most) for each in prompts)


def _count(prompt: str, encoding: str | None, most: int) -> int:
    """Counted in pieces, each of which can have one token more than it has in the whole."""
    total = 0
    for start in range(0, len(prompt), _PIECE):
        total += tokens.estimate(prompt[start : start + _PIECE], encoding) - (start > 0)
        if total > most:
            break
    return total
