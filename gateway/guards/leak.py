"""The guard `leak`: an answer that repeats what it was told in confidence, such as a system prompt.

The answer is compared with each protected text by runs of words: what is counted is the share of the protected text's
runs that the answer holds, in any order, as it looks, backwards or encoded. It needs the whole answer.

Protected are the texts of its settings, and those of one request that a `Context` names `confidential`: the gateway's
own system message, and the system messages a client sent.
"""

import re
from collections import deque
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Annotated

from pydantic import Field

from gateway.config.fields import Strict
from gateway.guards.base import Action, Context, Finding, Scope, Text
from gateway.guards.normalise import View, ViewKind, views

CATEGORY = "system_prompt_leak"
RULE = "repeated-text"
_VIEWS: tuple[ViewKind, ...] = ("base64", "hex", "percent", "hidden", "spaced", "rot13", "reversed")
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_]+")
"""A word; scripts that do not part words by spaces are counted by character."""


class LeakConfig(Strict):
    """Settings of the guard `leak`."""

    texts: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        (), repr=False, description="Texts that no answer may repeat: system prompts, or marks put into them."
    )
    words: int = Field(6, ge=2, le=50, description="Words of a run that is compared.")
    share: float = Field(0.3, gt=0, le=1, description="Share of a text's runs from which on it counts as repeated.")
    least: int = Field(5, ge=1, description="Runs that must be repeated in any case, unless the text has fewer.")
    action: Action = Field("block", description="What is done about an answer that repeats one.")


@dataclass(frozen=True, slots=True)
class LeakGuard:
    """Compares whole answers with `protected`: the runs of words of each protected text."""

    config: LeakConfig
    protected: tuple[frozenset[tuple[str, ...]], ...] = field(repr=False)
    name: str = "leak"
    scope: Scope = "whole"
    pure: bool = True

    def against(self, texts: Iterable[str]) -> "LeakGuard":
        """This guard, which also protects `texts`: the system messages of one request, say.

        A text of fewer words than a run has is left out: whoever wrote it may not have meant it for a mark, and an
        answer may hold it by chance. What is found hangs on the request, so that it must not be remembered for others.
        """
        words = self.config.words
        more = tuple(runs for runs in (_runs(text, words) for text in texts) if runs and len(next(iter(runs))) == words)
        return replace(self, protected=self.protected + more, pure=False)

    async def check(self, texts: Sequence[Text], context: Context) -> list[Finding]:
        """One finding for each text that repeats a protected one, where it does; see `find`."""
        return [finding for text in texts for finding in self.find(text.value, text.path)]

    def find(self, text: str, path: str) -> list[Finding]:
        """The gravest repetition in `text`, if there is one. Linear in its length.

        Its score is the share of the protected text; it stands from the first repeated run to the last.
        """
        worst: Finding | None = None
        wanted: dict[int, set[tuple[str, ...]]] = {}
        for runs in self.protected:
            wanted.setdefault(len(next(iter(runs))), set()).update(runs)
        for view in views(text, _VIEWS) if wanted else ():
            by_length = {length: _places(view, length, some) for length, some in wanted.items()}
            for runs in self.protected:
                places = by_length[len(next(iter(runs)))]
                shared = places.keys() & runs
                share = len(shared) / len(runs)
                if share < self.config.share or len(shared) < min(self.config.least, len(runs)):
                    continue
                if worst is None or share > worst.score:
                    start = min(places[run][0] for run in shared)
                    end = max(places[run][1] for run in shared)
                    at = view.span(start, end)
                    worst = Finding(self.name, RULE, CATEGORY, self.config.action, path, *at, round(share, 4))
        return [worst] if worst else []


def _places(view: View, length: int, wanted: Set[tuple[str, ...]]) -> dict[tuple[str, ...], tuple[int, int]]:
    """Those of the `wanted` runs of `length` words that a view holds, and where each first stands."""
    words: deque[str] = deque(maxlen=length)
    starts: deque[int] = deque(maxlen=length)
    places: dict[tuple[str, ...], tuple[int, int]] = {}
    for word in _WORD.finditer(view.text):
        words.append(word.group())
        starts.append(word.start())
        if (run := tuple(words)) in wanted:
            places.setdefault(run, (starts[0], word.end()))
    return places


def _runs(text: str, words: int) -> frozenset[tuple[str, ...]]:
    """The runs of a protected text; a shorter text is one run of all its words."""
    found: list[str] = _WORD.findall(views(text, ())[0].text)
    length = max(1, min(words, len(found)))
    return frozenset(tuple(found[index : index + length]) for index in range(len(found) - length + 1))


def build(config: LeakConfig) -> LeakGuard:
    """The guard for `config`.

    Raises:
        ValueError: a text has no words, so that it cannot be compared.
    """
    protected = tuple(_runs(text, config.words) for text in config.texts)
    if not all(protected):
        raise ValueError("texts: one of them has no words")
    return LeakGuard(config, protected)
