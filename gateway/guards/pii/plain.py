"""A text as a reader sees it: without invisible characters, and with wide digits, letters and signs as ordinary ones.

A zero-width space in an address and full-width digits are read as what they look like. Every character becomes one
character or none, so positions map back, and what is decided about the beginning of a text stays decided as it grows.
What is spelled out (`bob [at] corp [dot] example`) is not read.
"""

import re
import unicodedata
from bisect import bisect_left
from dataclasses import dataclass, field

_INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0"
)
_HIDDEN = re.compile(f"[{_INVISIBLE}\U000e0000-\U000e0fff]+")
_WIDE = re.compile(
    "[\u0660-\u0669\u06f0-\u06f9\u0966-\u096f\u2010-\u2013\u2212\u2024\u3002\ufe52\ufe6b\uff01-\uff5e\uff61\u00a0\u2000-\u200a\u202f\u205f\u3000"
    "\U0001d400-\U0001d7ff]"
)
_SIGNS = {
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2212", "-"),
    "\u3002": ".",
    "\uff61": ".",
    "\u2024": ".",
}


def _one(char: str) -> str:
    """One wide character as an ordinary one."""
    if sign := _SIGNS.get(char):
        return sign
    if char.isdecimal():
        return str(unicodedata.decimal(char))
    if char.isspace():
        return " "
    simple = unicodedata.normalize("NFKC", char)
    return simple if len(simple) == 1 else char


_BLOCKS = (
    range(0xA0, 0xA1),
    range(0x660, 0x970),
    range(0x2000, 0x3003),
    range(0xFE50, 0x10000),
    range(0x1D400, 0x1D800),
)
_ORDINARY = {code: _one(chr(code)) for block in _BLOCKS for code in block if _WIDE.match(chr(code))}


@dataclass(frozen=True, slots=True)
class Plain:
    """A text as it looks. `gaps` are the places in it before which characters were left out, `shifts` how many."""

    text: str = field(repr=False)
    gaps: tuple[int, ...]
    shifts: tuple[int, ...]

    def back(self, start: int, end: int) -> tuple[int, int]:
        """A span of `text`, not empty, as a span of the text it was made from."""
        return self.back_start(start), self._at(end - 1) + 1

    def back_start(self, index: int) -> int:
        """The earliest place in the original text that `index` may stand for: before what was left out there."""
        at = bisect_left(self.gaps, index)
        return index + (self.shifts[at - 1] if at else 0)

    def behind(self, index: int, distance: int) -> tuple[int, bool]:
        """See `gateway.guards.pii.context.Behind`; the distance is one in the original text, which is what a stream
        remembers of."""
        first = self.back_start(index) - distance
        if first <= 0:
            return 0, False
        near = range(max(index - distance, 0), index + 1)
        return near[0] + bisect_left(near, first, key=self._at), True

    def _at(self, index: int) -> int:
        at = bisect_left(self.gaps, index + 1)
        return index + (self.shifts[at - 1] if at else 0)


def plain(text: str) -> Plain | None:
    """`text` as it looks; None when that is how it is written."""
    if text.isascii():
        return None
    gaps: list[int] = []
    shifts: list[int] = []
    parts: list[str] = []
    kept = left_out = done = 0
    for match in _HIDDEN.finditer(text):
        parts.append(text[done : match.start()])
        kept += match.start() - done
        done = match.end()
        left_out += done - match.start()
        gaps.append(kept)
        shifts.append(left_out)
    parts.append(text[done:])
    seen = "".join(parts)
    if _WIDE.search(seen):
        seen = seen.translate(_ORDINARY)
    return Plain(seen, tuple(gaps), tuple(shifts)) if gaps or seen != text else None
