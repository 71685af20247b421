"""The table of providers and parameters, rendered for the documentation from what the providers themselves declare."""

from collections.abc import Iterable

from gateway.providers.base import Level, Provider, Support

_COLUMNS = (
    "max_tokens", "n", "best_of", "echo", "suffix", "logprobs", "temperature", "top_p", "presence_penalty",
    "frequency_penalty", "seed", "stop", "logit_bias", "user", "stream",
)  # fmt: skip

_MARKS = {Level.NATIVE: "N", Level.MAPPED: "M", Level.EMULATED: "E", Level.REFUSED: "-"}

_MOST_LOGPROBS, _MOST_STOPS = 5, 4
"""What a text completion can ask for (contract §2): a provider's bound matters to it only below these."""

LEGEND = (
    "N: passed on as it is. M: passed on under the provider's name or in its form. E: done by the gateway. "
    "-: refused, or dropped and named when `drop_params` is set (`user` is read by the gateway everywhere). "
    "A number after a mark is the provider's own bound or range."
)


def markdown(providers: Iterable[Provider]) -> str:
    """A Markdown table of `providers` by parameter, a legend above it.

    Providers that take the same share a line, in the order they come; lines are ordered by their first provider.
    """
    lines: dict[tuple[str, ...], list[str]] = {}
    for provider in providers:
        lines.setdefault(_cells(provider.support), []).append(provider.name)
    header = ("provider", *_COLUMNS, "token prompts", "extra")
    rows = [(", ".join(names), *cells) for cells, names in lines.items()]
    ruled = (header, ("---", *[":-:"] * (len(header) - 1)), *rows)
    return "\n".join([LEGEND, "", *("| " + " | ".join(cells) + " |" for cells in ruled)]) + "\n"


def _cells(support: Support) -> tuple[str, ...]:
    """One mark per column. Without native token prompts the gateway decodes them, where it knows the tokenizer."""
    token_prompts = Level.NATIVE if support.token_prompts else Level.EMULATED
    extra = Level.NATIVE if support.extra else Level.REFUSED
    return (*(_cell(support, name) for name in _COLUMNS), _MARKS[token_prompts], _MARKS[extra])


def _cell(support: Support, name: str) -> str:
    level = support.level(name)
    mark = _MARKS[level]
    if level is Level.REFUSED:
        return mark
    if name == "logprobs" and support.max_top_logprobs < _MOST_LOGPROBS:
        return f"{mark} ≤{support.max_top_logprobs}"
    if name == "stop" and support.max_stop < _MOST_STOPS and level is not Level.EMULATED:
        return f"{mark} ≤{support.max_stop}, {_MARKS[Level.EMULATED]}"
    if name in support.ranges:
        low, high = support.ranges[name]
        return f"{mark} {low:g} to {high:g}"
    return mark
