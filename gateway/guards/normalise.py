"""Views of a text: as it looks, and what is written in it in leet, letter by letter, backwards or encoded.

Each view knows where in the original each of its characters came from, so that what is found in it can be reported
there. Everything is linear in the length of the text; what is decoded is bounded in size and in depth.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Literal

from gateway.guards import decoding, respelling
from gateway.guards.decoding import Piece
from gateway.guards.folding import fold, origins

ViewKind = Literal["leet", "spaced", "hidden", "base64", "hex", "percent", "rot13", "reversed"]
KINDS: tuple[ViewKind, ...] = ("leet", "spaced", "hidden", "base64", "hex", "percent", "rot13", "reversed")
"""The views beside the plain one. `leet`: digits and signs inside words read as letters. `spaced`: l e t t e r s put
together. `hidden`: text in invisible tag characters and variation selectors. `base64`, `hex` (also ones and zeros) and
`percent` (also HTML references, `\\u` escapes): decoded, twice if need be. `rot13` and `reversed`: the whole text."""

DEPTH = 2
_DECODERS: tuple[tuple[ViewKind, str, Callable[[str], list[Piece]]], ...] = (
    ("hidden", "hidden", decoding.hidden),
    ("base64", "base64", decoding.base64),
    ("hex", "hex", decoding.hexadecimal),
    ("hex", "hex_pairs", decoding.hexadecimal_pairs),
    ("hex", "binary", decoding.binary),
    ("percent", "percent", decoding.escapes),
)
"""Each kind of view that is decoded, the sign that it is worth a look, and how."""
_ROT13 = str.maketrans("abcdefghijklmnopqrstuvwxyz", "nopqrstuvwxyzabcdefghijklm")

_ENCODED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_")

Spans = tuple[Sequence[int], Sequence[int]]


class View:
    """One way to read a text. `text` is in lower case and folded; `kind` says how it was got (`base64/leet`).

    The map to the original is made when it is first asked for.
    """

    __slots__ = ("_above", "_make", "_spans", "kind", "text")

    def __init__(self, kind: str, text: str, above: "View | None" = None, make: Callable[[], Spans] | None = None):
        self.kind = kind
        self.text = text
        self._above = above
        self._make = make
        self._spans: Spans | None = None

    def __repr__(self) -> str:
        return f"<View {self.kind} {len(self.text)} characters>"

    def start_of(self, index: int) -> int:
        """Where in the original the character at `index` begins."""
        start = self._span(index)[0]
        return start if self._above is None else self._above.start_of(start)

    def end_of(self, index: int) -> int:
        """Where in the original the character at `index` ends: the index after it."""
        end = self._span(index)[1]
        return end if self._above is None else self._above.end_of(end - 1)

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where in the original the characters from `start` to before `end` stand; the two must differ."""
        ends = (self.start_of(start), self.end_of(end - 1), self.start_of(end - 1), self.end_of(start))
        return min(ends), max(ends)

    def _span(self, index: int) -> tuple[int, int]:
        if not 0 <= index < len(self.text):
            raise IndexError(index)
        if self._make is None:
            return index, index + 1
        if self._spans is None:
            self._spans = self._make()
        return self._spans[0][index], self._spans[1][index]


def plain(text: str) -> View:
    """`text` as it looks: see `gateway.guards.folding.fold`. ASCII without control characters needs no map."""
    return _folded("plain", text, None)


def views(text: str, kinds: Collection[ViewKind] = KINDS, base: View | None = None) -> list[View]:
    """The plain view, and those of `kinds` in which something else can be read; at most one of each kind and depth.

    `rot13` and `reversed` are there whenever they are asked for: nothing tells a text that is written so.

    Args:
        base: `plain(text)`, where it is at hand.
    """
    base = base or plain(text)
    found = [base]
    signs = decoding.signs(text)
    if signs or not text.isascii() or len(base.text) != len(text):
        found += _readings(base, kinds, signs if _is_as_ascii(text, base.text) else None)
        found += _decoded(View("", text), kinds, DEPTH, signs)
    if "rot13" in kinds:
        found.append(View("rot13", base.text.translate(_ROT13), base))
    if "reversed" in kinds:
        found.append(_reversed(base))
    return found


def slices(text: str, size: int, overlap: int) -> Iterator[tuple[int, int]]:
    """From where to where slices of `size` go that cover `text`, each with at least `overlap` characters of the last.

    Where a slice begins inside encoded characters, it does so where four of them begin, so that it can be decoded.
    """
    start = 0
    while start + size < len(text):
        yield start, start + size
        following = start + size - overlap
        begun = following
        while begun > start and text[begun - 1] in _ENCODED:
            begun -= 1
        start = following - (following - begun) % 4
    yield start, len(text)


def _is_as_ascii(text: str, folded: str) -> bool:
    """Did folding change nothing that is ASCII, or became it? Then the signs in both are the same."""
    return text.encode("ascii", "replace").lower() == folded.encode("ascii", "replace")


def _readings(base: View, kinds: Collection[ViewKind], signs: set[str] | None = None) -> list[View]:
    """What can be read in a folded view without decoding: letters put together, leet."""
    signs = decoding.signs(base.text) if signs is None else signs
    prefix = "" if base.kind == "plain" else base.kind + "/"
    found = []
    if "spaced" in kinds and "spaced" in signs and (pieces := respelling.spaced(base.text)):
        found.append(_replaced(prefix + "spaced", base, pieces))
    if "leet" in kinds and "leet" in signs:
        found += [View(prefix + "leet", text, base) for text in respelling.leet(base.text)]
    return found


def _decoded(above: View, kinds: Collection[ViewKind], depth: int, signs: set[str] | None = None) -> list[View]:
    """What is encoded in `above`, whose text is as it was written."""
    found: list[View] = []
    signs = decoding.signs(above.text) if signs is None else signs
    for kind, sign, decode in _DECODERS:
        if kind not in kinds or sign not in signs or not (pieces := decode(above.text)):
            continue
        name = f"{above.kind}/{kind}" if above.kind else kind
        raw = _replaced(name, above, pieces) if kind == "percent" else _joined(name, above, pieces)
        base = _folded(name, raw.text, raw)
        found.append(base)
        found += _readings(base, kinds)
        if depth > 1:
            found += _decoded(raw, kinds, depth - 1)
    return found


def _folded(kind: str, text: str, above: View | None) -> View:
    folded = fold(text)
    if text.isascii() and len(folded) == len(text):
        return View(kind, folded, above)

    def spans() -> Spans:
        starts = origins(text)
        return starts, [start + 1 for start in starts]

    return View(kind, folded, above, spans)


def _reversed(base: View) -> View:
    length = len(base.text)
    return View("reversed", base.text[::-1], base, lambda: (range(length - 1, -1, -1), range(length, 0, -1)))


def _joined(kind: str, above: View, pieces: Sequence[Piece]) -> View:
    """The decoded pieces alone, one on a line."""
    text = "\n".join(piece.text for piece in pieces)

    def spans() -> Spans:
        starts: list[int] = []
        ends: list[int] = []
        for piece in pieces:
            if starts:  # the line break stands for the last character of the piece before it
                starts.append(starts[-1])
                ends.append(ends[-1])
            _spread(piece, starts, ends)
        return starts, ends

    return View(kind, text, above, spans)


def _replaced(kind: str, above: View, pieces: Sequence[Piece]) -> View:
    """The whole text with the pieces in place of what they were read from."""
    parts: list[str] = []
    at = 0
    for piece in pieces:
        parts += (above.text[at : piece.start], piece.text)
        at = piece.end
    parts.append(above.text[at:])

    def spans() -> Spans:
        starts: list[int] = []
        ends: list[int] = []
        at = 0
        for piece in pieces:
            starts += range(at, piece.start)
            ends += range(at + 1, piece.start + 1)
            _spread(piece, starts, ends)
            at = piece.end
        starts += range(at, len(above.text))
        ends += range(at + 1, len(above.text) + 1)
        return starts, ends

    return View(kind, "".join(parts), above, spans)


def _spread(piece: Piece, starts: list[int], ends: list[int]) -> None:
    """The span of each character of `piece`: told by the decoder, or an even share of where it was read from."""
    if piece.starts is not None:
        starts += piece.starts
        ends += [*piece.starts[1:], piece.end]
        return
    count, width = len(piece.text), piece.end - piece.start
    starts += [piece.start + index * width // count for index in range(count)]
    ends += [max(piece.start + index * width // count + 1, piece.start - (-(index + 1) * width // count))
             for index in range(count)]  # fmt: skip
