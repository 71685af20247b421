"""Words before a match that make it more credible: `SSN`, `account number`.

Presidio's rule (its `LemmaContextAwareEnhancer`) with two changes. Words are compared whole, so that `lic` does not
stand in `public`; and only what stands before a match counts, so that a decision never waits for what follows.
"""

import re
from collections.abc import Callable, Sequence

LOOKBACK = 128
"""Characters before a match in which its context words may stand."""
WORDS = 8
"""Words before a match that may be its context words."""
BOOST = 0.35
LEAST = 0.4
"""Presidio's own: what a context word adds to a score, and the score it is raised to at least."""

_WORD = re.compile(r"\w+")


def phrases(words: Sequence[str]) -> tuple[str, ...]:
    """Context words as `supports` takes them: lower case, plural too, between spaces; `account#` is `account`."""
    plain = dict.fromkeys(" ".join(_WORD.findall(word.lower())) for word in words)
    return tuple(f" {word}{plural} " for word in plain if word for plural in ("", "s"))


def mentioned(text: str, known: Sequence[str]) -> bool:
    """May one of the phrases `known` stand anywhere in `text`, which is in lower case?"""
    return any(phrase[1 : phrase.index(" ", 1)] in text for phrase in known)


Behind = Callable[[int, int], tuple[int, bool]]
"""Where the text begins that stands at most so many characters before an index, and whether more stands before it."""


def behind(index: int, distance: int) -> tuple[int, bool]:
    """The `Behind` of a text that is read as it is written."""
    return max(index - distance, 0), index > distance


def supports(text: str, start: int, known: Sequence[str], before_it: Behind = behind) -> bool:
    """Does one of the phrases `known` stand among the words before `start`?"""
    begin, cut = before_it(start, LOOKBACK)
    before = text[begin:start].lower()
    words = _WORD.findall(before)
    if cut and words and before.startswith(words[0]):
        del words[0]  # it may begin before the window
    said = f" {' '.join(words[-WORDS:])} "
    return any(phrase in said for phrase in known)


def raised(score: float) -> float:
    """`score` with a context word."""
    return min(max(score + BOOST, LEAST), 1.0)
