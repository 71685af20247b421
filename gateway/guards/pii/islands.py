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

from gateway.guards.linear import Linear
from gateway.guards.pii import shapes
from gateway.guards.pii.recognizers import COMPILE, FOLD, OTHER_DIGITS
from gateway.guards.pii.rows import Hit

MAX_LOCAL = 64
"""Characters of an address before its @ that are looked at, as many as RFC 5321 allows: of a longer run the last ones
are taken."""
MAX_DOMAIN = 256
"""Characters of an address after its @ that are looked at; RFC 5321 allows 255."""

_TOKEN = COMPILE(r"[\w\-:./%+\]\u0080-\U0010ffff]+")
_DIGITS = COMPILE(r"\d+(?:[-. ]\d+)*")
_IBAN = COMPILE(r"[A-Z]{2}[0-9]{2}", FOLD)
HOST = COMPILE(r"[a-z0-9.\-]+", FOLD)
MAX_HOST = 100
"""Characters of the name of a machine in a link. A longer run of what such names are made of holds no link."""
SCHEME = 9
"""Characters of a quotation mark and `https://`."""
_SCHEME = COMPILE(r"(?://:s?ptth)?[\"']?", FOLD).match
PATH = COMPILE(r"[^\s()<>\"']*")
_HOT = COMPILE(r"[\d:.\-]")
_FIRST = 64
_LOCAL = COMPILE(r"[!#$%&'*+\-/=?^_`{|}~.\w]*").match
_DOMAIN = COMPILE(r"[\w.\-]*").match
_NO_WORD = COMPILE(r"\W*").match
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


def urls(text: str, domains: Iterable[tuple[int, int]], paths: Linear) -> Spans:
    """What may be a link around each of `domains`, the top-level domains with the full stop before them: the name of a
    machine, with a scheme before it and, where `paths` finds such a domain with a slash, the path behind it."""
    begin = end = done = -1
    for start, _ in domains:
        if start < max(done, end):
            continue
        first, done = host(text, start)
        if done - first > MAX_HOST:
            continue
        last = done + 1
        if is_path(text, done, paths):
            last = PATH.match(text, done).end() + 1
        first = scheme(text, first)
        if first > end:
            if begin >= 0:
                yield begin, end
            begin = first
        end = last
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


def is_path(text: str, at: int, paths: Linear) -> bool:
    """Does a path follow the top-level domain that ends at `at`?"""
    if text[at : at + 1] != "/":
        return False
    label = shapes.folded(text[text.rfind(".", 0, at) : at + 1], OTHER_DIGITS)
    return paths.start(label) == 0


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


def emails(text: str, start: int, end: int) -> Spans:
    """Around each @ from `start` to before `end`: what may be the name before it, and the domain behind it."""
    at = text.find("@", start, end)
    while at >= 0:
        yield at - local(text, at), _DOMAIN(text, at + 1, at + 1 + MAX_DOMAIN).end()
        at = text.find("@", at + 1, end)


def local(text: str, at: int) -> int:
    """How many characters before `at` may be the name in an address."""
    return int(_LOCAL(text[max(0, at - MAX_LOCAL) : at][::-1]).end())


def is_domain(text: str, start: int, end: int) -> bool:
    """May all of `text` from `start` to `end` be part of the domain of an address?"""
    return end - start <= MAX_DOMAIN and _DOMAIN(text, start, end).end() == end


def cut_off(text: str, start: int) -> int:
    """Where the address found from `start` on begins: before that, in the middle of a word perhaps, when its name is
    too long to be looked at."""
    at = text.find("@", start)
    return int(_NO_WORD(text, at - MAX_LOCAL).end()) if local(text, at) == MAX_LOCAL else start


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
