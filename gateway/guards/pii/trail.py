"""A text as it is read, piece by piece: its last characters, how it looks, and where they stand in what was written.

There are two trails of a text once it holds anything that looks otherwise than it is written: the text as it is
written, and as a reader sees it (`gateway.guards.pii.plain`). Places are counted from the beginning of the trail.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from copy import copy

from gateway.guards.pii import context
from gateway.guards.pii.context import LOOKBACK
from gateway.guards.pii.plain import Plain
from gateway.guards.pii.recognizers import OTHER_DIGITS
from gateway.guards.pii.shapes import folded

KEPT = 288
"""Characters before the end that are kept: the name of a machine, its scheme, and more, to tell that it is longer."""
NEAR = LOOKBACK + 8
"""Characters kept before what is not decided: context words, and what a pattern looks at."""
_SLACK = 256


class Trail:
    """One view of a text. `base` is the place of the first character that is still there; `folded` is the text as the
    gate reads it (`gateway.guards.pii.shapes`)."""

    __slots__ = ("_gaps", "_left_out", "_noted", "_shifts", "base", "folded", "text")

    def __init__(self) -> None:
        self.text = ""
        self.folded = ""
        self.base = 0
        self._gaps: list[int] = []
        self._shifts: list[int] = []
        self._left_out = 0
        self._noted: dict[int, tuple[str, bool]] = {}

    def __copy__(self) -> "Trail":
        other = Trail()
        other.text, other.folded = self.text, self.folded
        other.base, other._left_out = self.base, self._left_out
        other._gaps, other._shifts, other._noted = copy(self._gaps), copy(self._shifts), copy(self._noted)
        return other

    def __repr__(self) -> str:
        return f"<Trail {self.base}..{self.size}>"

    @property
    def size(self) -> int:
        """Characters so far."""
        return self.base + len(self.text)

    def add(self, text: str) -> None:
        """What comes next, as it is written."""
        self.text += text
        self.folded += text if text.isascii() else folded(text, OTHER_DIGITS)

    def add_seen(self, seen: Plain) -> None:
        """What comes next, as it looks."""
        size = self.size
        before = self._shifts[-1] if self._shifts else self._left_out
        self._gaps += (size + gap for gap in seen.gaps)
        self._shifts += (before + shift for shift in seen.shifts)
        self.add(seen.text)

    def trim(self, keep: int, held: int) -> None:
        """Forget what stands before `keep`, when that is worth it, but not where anything from `held` on stands in the
        text as it is written: a link may have begun there whose path has not ended."""
        gone = keep - self.base
        if gone < _SLACK:
            return
        self.text = self.text[gone:]
        self.folded = self.folded[gone:]
        self.base = keep
        if self._gaps and (at := bisect_left(self._gaps, min(keep, held))):
            self._left_out = self._shifts[at - 1]
            del self._gaps[:at], self._shifts[:at]

    def written(self, place: int) -> int:
        """The earliest place in the text as it is written for which `place` may stand: before what is not seen."""
        at = bisect_left(self._gaps, place)
        return place + (self._shifts[at - 1] if at else self._left_out)

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where a span of this view, not empty, stands in the text as it is written."""
        return self.written(start), self._at(end - 1) + 1

    def behind(self, index: int, distance: int) -> tuple[int, bool]:
        """See `gateway.guards.pii.context.Behind`, for an index of `text`; the distance is that in the text as it is
        written."""
        if not self._gaps and not self._left_out:
            return max(index - distance, 0), index + self.base > distance
        first = self.written(index + self.base) - distance
        if first <= 0:
            return 0, False
        near = range(max(index - distance, 0), index + 1)
        return near[0] + bisect_left(near, first, key=lambda one: self._at(one + self.base)), True

    def note(self, place: int) -> None:
        """Remember what stands before `place`, however far the text goes on: a link begins there that has not ended."""
        index = place - self.base
        begin, cut = self.behind(index, LOOKBACK)
        self._noted[place] = (self.text[begin:index], cut)

    def forget(self) -> None:
        """What has been noted is not needed any more."""
        if self._noted:
            self._noted = {}

    def supports(self, place: int, words: Sequence[str]) -> bool:
        """Does one of the context words stand before `place`?"""
        if place in self._noted:
            before, cut = self._noted[place]
            return context.supports(before, len(before), words, lambda _index, _distance: (0, cut))
        return context.supports(self.text, place - self.base, words, self.behind)

    def mentions(self, places: Iterable[int], words: Sequence[str]) -> bool:
        """May one of the context words stand before any of `places`?"""
        return any(place in self._noted for place in places) or context.mentioned(self.text.lower(), words)

    def _at(self, place: int) -> int:
        at = bisect_left(self._gaps, place + 1)
        return place + (self._shifts[at - 1] if at else self._left_out)

    def is_like(self, other: "Trail") -> bool:
        """Do this view, of the text as it is written, and the `other` end in the same `KEPT` characters?"""
        kept = other.text[-KEPT:]
        if other._gaps and other._gaps[-1] > other.size - KEPT:
            return False
        return len(kept) == KEPT and self.text[-KEPT:] == kept
