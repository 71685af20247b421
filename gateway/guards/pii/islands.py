"""Into which pieces a text is cut before the recognizers look at it.

Each cut is such that a match lies in one piece, and that whether it matches depends on that piece alone: a piece is a
longest run of the characters a match may consist of, with as much of its surroundings as a pattern looks at. So the
pieces, one under the other, give the same matches as the text; a newline, which is in no match and in no word, stands
for whatever was left out. And whatever follows a text can only change matches in its last piece.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.guards.pii.recognizers import COMPILE, FOLD

MAX_LOCAL = 64
"""Characters of an address before its @ that are looked at, as many as RFC 5321 allows: of a longer run the last ones
are taken."""
MAX_DOMAIN = 256
"""Characters of an address after its @ that are looked at; RFC 5321 allows 255."""

_TOKEN = COMPILE(r"[\w\-:./%+\]\u0080-\U0010ffff]+")
_DIGITS = COMPILE(r"\d+(?:[-. ]\d+)*")
_IBAN = COMPILE(r"[A-Z]{2}[0-9]{2}", FOLD)
HOST = COMPILE(r"[a-z0-9.\-]+", FOLD)
MAX_HOST = 253
"""Characters of the name of a machine in a link, as many as RFC 1035 allows. A longer run of what such names are made
of holds no link."""
SCHEME = 9
"""Characters of a quotation mark and `https://`."""
_SCHEME = COMPILE(r"(?://:s?ptth)?[\"']?", FOLD).match
PATH = COMPILE(r"[^\s()<>\"']*")
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


def host(text: str, at: int) -> tuple[int, int]:
    """From where to where what may be the name of a machine goes on around `at`; of a longer one, enough to tell."""
    first = at - behind(HOST, text, at, max(0, at - MAX_HOST - 1))
    found = HOST.match(text, at)
    return first, found.end() if found else at


def scheme(text: str, at: int) -> int:
    """Where a link begins whose name of a machine begins at `at`."""
    return at - int(_SCHEME(text[max(0, at - SCHEME) : at][::-1]).end())


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


def local(text: str, at: int) -> int:
    """How many characters before `at` may be the name in an address."""
    return int(_LOCAL(text[max(0, at - MAX_LOCAL) : at][::-1]).end())


def domain(text: str, at: int) -> int:
    """Where the domain ends whose @ stands at `at`, or as much of it as is looked at."""
    return int(_DOMAIN(text, at + 1, at + 1 + MAX_DOMAIN).end())


@dataclass(frozen=True, slots=True)
class Pieces:
    """Pieces of a text one under the other, and where each came from."""

    text: str = field(repr=False)
    starts: Sequence[int]
    """Where each piece begins in `text`."""
    offsets: Sequence[int]
    """How far each stood behind that in the text it was cut from."""

    def back(self, index: int) -> int:
        """A place in `text`, in the text it was cut from."""
        return index + self.offsets[bisect_right(self.starts, index) - 1]

    def forth(self, place: int) -> int:
        """A place in the text it was cut from, in `text`; the next place there is for one that was left out."""
        last = len(self.starts) - 1
        for at, start in enumerate(self.starts):
            index = place - self.offsets[at]
            if at == last or index < self.starts[at + 1]:
                return max(index, start)
        return 0


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
