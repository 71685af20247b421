"""Into which pieces a text is cut before the recognizers look at it.

Each cut is such that a match lies in one piece, and that whether it matches depends on that piece alone: a piece is a
longest run of the characters a match may consist of, with as much of its surroundings as a pattern looks at. So the
pieces, one under the other, give the same matches as the text; a newline, which is in no match and in no word, stands
for whatever was left out. And whatever follows a text can only change matches in its last piece.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.guards.pii.recognizers import COMPILE, FOLD, Hit

MAX_LOCAL = 64
"""Characters of an address before its @ that are looked at, as many as RFC 5321 allows: of a longer run the last ones
are taken."""
MAX_DOMAIN = 256
"""Characters of an address after its @ that are looked at; RFC 5321 allows 255."""

_TOKEN = COMPILE(r"[\w\-:./%+\]\u0080-\U0010ffff]+")
_DIGITS = COMPILE(r"\d+(?:[-. ]\d+)*")
_IBAN = COMPILE(r"[A-Z]{2}[0-9]{2}", FOLD)
_URL = COMPILE(r"[^\s()<>]+")
LONGEST_HOST = 288
"""Characters a link may have before its top-level domain, with a scheme and a quotation mark."""
_LONGEST_DOMAIN = 32
_HOT = COMPILE(r"[\d:.\-]")
_FIRST = 64
_LOCAL = COMPILE(r"[!#$%&'*+\-/=?^_`{|}~.\w]*").match
_DOMAIN = COMPILE(r"[\w.\-]*").match
IBAN_REACH = 48
"""Characters from the country code to what an IBAN's pattern looks at last."""

Spans = Iterator[tuple[int, int]]


def tokens(text: str) -> Spans:
    """Words and numbers with what may stand inside dates, addresses of machines, licences, wallets: those with a digit,
    a colon, a full stop or a hyphen."""
    return _around(_HOT, _TOKEN, text)


def digits(text: str) -> Spans:
    """Groups of digits with single separators, and a character on either side."""
    return ((max(0, match.start() - 1), match.end() + 1) for match in _DIGITS.finditer(text))


def ibans(text: str) -> Spans:
    """What follows a country code and two digits, as far as an IBAN reaches; those that touch are one."""
    begin = end = -1
    for match in _IBAN.finditer(text):
        start = match.start()
        if begin >= 0 and start <= end:
            end = start + IBAN_REACH
            continue
        if begin >= 0:
            yield begin, end
        begin, end = max(0, start - 1), start + IBAN_REACH
    if begin >= 0:
        yield begin, end


def urls(text: str, domains: Iterable[tuple[int, int]]) -> Spans:
    """What may be a link around each of `domains`, the top-level domains with the full stop before them: as many
    characters before it as a link may have, all behind it where a path may follow; those that touch are one."""
    begin = end = -1
    run = 0
    for start, stop in domains:
        if stop > run:
            run = _URL.match(text, start).end()
        last = run if text.find("/", start, stop + _LONGEST_DOMAIN) >= 0 else min(run, stop + _LONGEST_DOMAIN)
        first = start - behind(_URL, text, start, max(0, start - LONGEST_HOST))
        if first <= end:
            end = max(end, last)
            continue
        if begin >= 0:
            yield begin, end
        begin, end = first, last
    if begin >= 0:
        yield begin, end


def _around(hot: Any, run: Any, text: str) -> Spans:
    """The longest runs that hold a match of `hot`."""
    done = 0
    while (match := hot.search(text, done)) is not None:
        start = match.start() - behind(run, text, match.start(), done)
        done = run.match(text, match.start()).end()
        yield start, done


def behind(run: Any, text: str, end: int, least: int = 0) -> int:
    """How many characters of `text` before `end`, and not before `least`, are one run."""
    size = _FIRST
    while True:
        begin = max(least, end - size)
        match = run.match(text[begin:end][::-1])
        length: int = match.end() if match else 0
        if length < end - begin or begin == least:
            return length
        size *= 4


def emails(text: str) -> Spans:
    """Around each @: what may be the name before it, and the domain behind it."""
    at = text.find("@")
    while at >= 0:
        before = text[max(0, at - MAX_LOCAL) : at]
        yield at - _LOCAL(before[::-1]).end(), _DOMAIN(text, at + 1, at + 1 + MAX_DOMAIN).end()
        at = text.find("@", at + 1)


@dataclass(frozen=True, slots=True)
class Pieces:
    """Pieces of a text one under the other, and where each came from."""

    text: str = field(repr=False)
    starts: Sequence[int]
    """Where each piece begins in `text`."""
    offsets: Sequence[int]
    """How far each stood behind that in the text it was cut from."""

    def back(self, hits: Sequence[Hit]) -> list[Hit]:
        """`hits` in `text`, as hits in the text it was cut from."""
        moved = []
        for start, end, score in hits:
            offset = self.offsets[bisect_right(self.starts, start) - 1]
            moved.append((start + offset, end + offset, score))
        return moved


def cut(text: str, spans: Spans) -> Pieces:
    """The pieces of `text` at `spans`."""
    parts: list[str] = []
    starts: list[int] = []
    offsets: list[int] = []
    length = 0
    for start, end in spans:
        part = text[start:end]
        parts.append(part)
        starts.append(length)
        offsets.append(start - length)
        length += len(part) + 1
    return Pieces("\n".join(parts), starts, offsets)


CUTS: dict[str, Callable[[str], Spans]] = {
    "token": tokens,
    "digits": digits,
    "iban": ibans,
}
