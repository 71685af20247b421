"""Words spelt another way that people read all the same: l e t t e r s apart, and digits and signs in their place.

Given folded text; whether a look is worth it says `gateway.guards.decoding.signs`. Linear in the length of the text.
"""

import re
from collections.abc import Iterator, Sequence

from gateway.guards.decoding import Piece

_SPACED = re.compile(r"(?<![^\W_])[^\W_](?:[\W_]{1,3}[^\W_](?![^\W_])){3,}")
_GAPS = re.compile(r"[\W_]+")


def spaced(text: str) -> list[Piece]:
    """Runs of at least four single letters with up to three other characters between them, put together.

    A gap that is wider than the narrowest of its run is where a word ends.
    """
    pieces = []
    for run in _SPACED.finditer(text):
        start, end = run.span()
        gaps = [gap.span() for gap in _GAPS.finditer(text, start, end)]
        narrow = min(last - first for first, last in gaps)
        said, starts = [text[start]], [start]
        for first, last in gaps:
            if last - first > narrow:
                said.append(" ")
                starts.append(first)
            said.append(text[last])
            starts.append(last)
        if 2 * sum(map(str.isalpha, said)) > len(gaps):
            pieces.append(Piece(start, end, "".join(said).translate(_LEET_I), starts))
    return pieces


_LEET_SIGNS = "0123456789@$!|"
_LEET_TOKENS = re.compile(
    r"(?<![a-z0-9@$!|])(?:[a-z]++[0-9@$!|][a-z0-9@$!|]*|[0-9@$!|]++[a-z][a-z0-9@$!|]*)"  # from a word's start: linear
)
_LEET_I = str.maketrans("0134578@$!|", "oieastbasil")
_LEET_L = str.maketrans("0134578@$!|", "oleastbasli")


def leet(text: str) -> list[str]:
    """The text with digits and signs inside words read as letters: none, one, or two readings when a 1 may be i or l.

    Each reading is as long as the text.
    """
    words = list(_leet_words(text))
    if not words:
        return []
    readings = [_read(text, words, table) for table in (_LEET_I, _LEET_L)]
    return readings[:1] if readings[0] == readings[1] else readings


def _leet_words(text: str) -> Iterator[tuple[int, int]]:
    """Words of letters and signs, from where to where; signs at the end are punctuation."""
    for token in _LEET_TOKENS.finditer(text):
        word = token.group().rstrip("!|")
        if not word.isalpha() and word.strip(_LEET_SIGNS):
            yield token.start(), token.start() + len(word)


def _read(text: str, words: Sequence[tuple[int, int]], table: dict[int, int]) -> str:
    parts: list[str] = []
    at = 0
    for start, end in words:
        parts += (text[at:start], text[start:end].translate(table))
        at = end
    return "".join((*parts, text[at:]))
