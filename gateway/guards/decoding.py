"""What is written in a text in another way: where, and what it says. Pure, linear, bounded in what is decoded.

`signs` is the cheap look that comes first: one pass that mostly says "certainly nothing".
"""

import base64 as b64
import binascii
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from gateway.guards.keywords import Keywords

MAX_RUN = 1 << 14
"""Characters of one encoded run that are decoded; what follows them is left alone."""
MAX_DECODED = 1 << 18
"""Characters decoded from one text, by one decoder."""

_READABLE = 0.9
"""Share of characters that must be printable for decoded bytes to be a text."""


@dataclass(frozen=True, slots=True)
class Piece:
    """`text` is what the characters from `start` to before `end` say; `starts` where each of its characters begins,
    None when they share the span evenly."""

    start: int
    end: int
    text: str
    starts: Sequence[int] | None = None


def _table(classes: Iterable[tuple[str, str]], other: str) -> bytes:
    table = bytearray(other.encode() * 256)
    for members, name in classes:
        for member in members.encode():
            table[member] = ord(name)
    return bytes(table)


_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_DIGITS = "0123456789"
# "?" is also what stands for a character beyond ASCII.
_SHAPES = _table([(_LETTERS, "a"), (_DIGITS + "@$", "1"), ("!|", "!"), ("%\\&", "%"), ("#", "#"), ("?", "?")], " ")
_WORDS = _table([(_LETTERS + _DIGITS + "+/-_", "a")], " ")

_LONG = 18
_PAIRS = 4
_MIN_ESCAPES = 3


def _signs() -> Iterator[tuple[str, str]]:
    """What a text's shape must hold for something to be written in it in another way."""
    yield from ((sign, "leet") for sign in ("a1", "1a", "!a", "a!a"))
    yield from ((sign, "percent") for sign in ("%1", "%a", "%#"))
    yield from ((sign * _LONG, "long") for sign in "a1")
    yield from ((f"{'1' * 8}{gap}{'1' * 8}", "binary") for gap in ("", " ", "  "))
    yield from ((f" {' '.join(pairs)} ", "hex_pairs") for pairs in product(("1a", "11"), repeat=_PAIRS))
    for singles in product("a1?", repeat=4):
        if set(singles) != {"1"}:
            yield from ((f" {gap.join(singles)} ", "spaced") for gap in (" ", "  ", "   "))


_FOUR_BEYOND = b"????"
"""What four characters beyond ASCII look like where those are replaced."""
_HIDING = re.compile("[\ufe00-\ufe0f\U000e0020-\U000e01ef]{4}")

_SIGNS, _SIGNIFIED = zip(*_signs(), strict=True)
_LOOKED_FOR = Keywords(_SIGNS)


def signs(text: str) -> set[str]:
    """Of `leet`, `spaced`, `hidden`, `base64`, `hex`, `hex_pairs`, `binary`, `percent` those it may hold; mostly none.

    What is not named is certainly not there.
    """
    raw = text.encode("ascii", "replace")
    shape = raw.translate(_SHAPES).decode("ascii")
    found = {_SIGNIFIED[index] for index, _, _ in _LOOKED_FOR.hits(f" {shape} ")}
    if _FOUR_BEYOND in raw and _HIDING.search(text):
        found.add("hidden")
    if not found:
        return found
    # A long run may change between letters and digits.
    if not found.isdisjoint(("long", "leet")):
        if b"a" * _LONG in raw.translate(_WORDS):
            found |= {"base64", "hex"}
        if b"0x" in raw or b"\\x" in raw:
            found.add("hex_pairs")
    if "percent" in found and b"\\" not in raw and b"&#" not in raw and raw.count(b"%") < _MIN_ESCAPES:
        found.remove("percent")
    return found - {"long"}


_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{20,}={0,2}")
_URL_SAFE = str.maketrans("-_", "+/")


def base64(text: str) -> list[Piece]:
    """Runs of at least 20 base64 characters (RFC 4648, both alphabets) that are UTF-8 text."""
    return _bounded(_base64_run(text, run.start(), run.end()) for run in _BASE64.finditer(text))


def _base64_run(text: str, start: int, end: int) -> Piece | None:
    end = min(end, start + MAX_RUN)
    digits = text[start:end].rstrip("=").translate(_URL_SAFE)
    digits = digits[: len(digits) - (len(digits) % 4 == 1)]
    said = _as_text(b64.b64decode(digits + "=" * (-len(digits) % 4)))
    return Piece(start, end, said) if said else None


_HEX = re.compile(r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{20,}")
_HEX_PAIRS = re.compile(r"(?<![0-9A-Za-z])(?:(?:0[xX]|\\x)?[0-9A-Fa-f]{2}[ ,:;]{0,2}){8,}")
_HEX_DIGITS = re.compile(r"(?:0[xX]|\\x|[^0-9A-Fa-f])+")


def hexadecimal(text: str) -> list[Piece]:
    """Runs of at least ten bytes in hexadecimal (`69676e`) that are UTF-8."""
    return _bounded(_hex_run(text, run.start(), run.end()) for run in _HEX.finditer(text))


def hexadecimal_pairs(text: str) -> list[Piece]:
    """Runs of at least eight single bytes in hexadecimal (`69 67 6e`, `0x69,0x67`, `\\x69\\x67`) that are UTF-8."""
    return _bounded(_hex_run(text, run.start(), run.end()) for run in _HEX_PAIRS.finditer(text))


_BINARY = re.compile(r"(?<![0-9])(?:[01]{8}[ ,;\n]{0,2}){6,}(?![0-9])")
_NO_BIT = re.compile(r"[^01]+")


def binary(text: str) -> list[Piece]:
    """Runs of at least six bytes in ones and zeros (`01101001 01100111`) that are UTF-8."""
    return _bounded(_binary_run(text, run.start(), run.end()) for run in _BINARY.finditer(text))


def _binary_run(text: str, start: int, end: int) -> Piece | None:
    end = min(end, start + MAX_RUN)
    digits = _NO_BIT.sub("", text[start:end])
    said = _as_text(bytes(int(digits[at : at + 8], 2) for at in range(0, len(digits) - 7, 8)))
    return Piece(start, end, said) if said else None


def _hex_run(text: str, start: int, end: int) -> Piece | None:
    end = min(end, start + MAX_RUN)
    digits = _HEX_DIGITS.sub("", text[start:end])
    said = _as_text(binascii.unhexlify(digits[: len(digits) // 2 * 2]))
    return Piece(start, end, said) if said else None


_ESCAPE = r"%[0-9A-Fa-f]{2}|\\x[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|&#[0-9]{1,7};|&#[xX][0-9A-Fa-f]{1,6};"
_ESCAPES = re.compile(f"(?:{_ESCAPE})+")
_ONE_ESCAPE = re.compile(_ESCAPE)


def escapes(text: str) -> list[Piece]:
    """Runs of percent-encoded bytes (RFC 3986), `\\x` and `\\u` escapes and numeric HTML references, if there are three
    escapes at all."""
    pieces: list[Piece] = []
    count = 0
    for run in _ESCAPES.finditer(text):
        said, starts = _unescaped(run)
        count += len(said)
        if said:
            pieces.append(Piece(run.start(), run.end(), said, starts))
        if count > MAX_DECODED:
            break
    return pieces if count >= _MIN_ESCAPES else []


def _unescaped(run: re.Match[str]) -> tuple[str, list[int]]:
    data = bytearray()
    at: list[int] = []
    for one in _ONE_ESCAPE.finditer(run.group()):
        byte = _escaped(one.group())
        data += byte
        at += [run.start() + one.start()] * len(byte)
    said, starts, index = data.decode("utf-8", "replace"), [], 0
    for character in said:
        starts.append(at[min(index, len(at) - 1)])
        # A byte that is no UTF-8 became one replacement character; which of several it was does not matter.
        index += len(character.encode("utf-8")) if character != "\ufffd" else 1
    return said, starts


def _escaped(escape: str) -> bytes:
    if escape[0] == "%" or escape[1] == "x":
        return bytes((int(escape[-2:], 16),))
    if escape[0] == "\\":
        code = int(escape[2:], 16)
    else:
        code = int(escape[3:-1], 16) if escape[2] in "xX" else int(escape[2:-1])
    return chr(code).encode("utf-8", "replace") if code <= 0x10FFFF else b"?"


_TAGS = re.compile("[\U000e0020-\U000e007e]{4,}")
_SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{6,}")


def hidden(text: str) -> list[Piece]:
    """What is said in invisible characters: tags (U+E0020 to U+E007E are ASCII in disguise) and runs of variation
    selectors, of which each may stand for a byte."""
    found = [(run, run.group().translate(_FROM_TAGS)) for run in _TAGS.finditer(text)]
    for run in _SELECTORS.finditer(text):
        values = [ord(c) - 0xFE00 if ord(c) < 0xE0000 else ord(c) - 0xE0100 + 16 for c in run.group()[:MAX_RUN]]
        found.append((run, _as_text(bytes(values))))
    found.sort(key=lambda pair: pair[0].start())
    return _bounded(Piece(run.start(), run.end(), said) if said else None for run, said in found)


_FROM_TAGS = {code: chr(code - 0xE0000) for code in range(0xE0020, 0xE007F)}


def _as_text(data: bytes) -> str:
    """`data` as UTF-8, a character cut at its start or end left out; empty when it is no text."""
    for _ in range(3):
        data = data[1:] if data and 0x80 <= data[0] < 0xC0 else data
    try:
        said = data.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(data) - 3:
            return ""
        said = data[: error.start].decode("utf-8")
    readable = sum(map(str.isprintable, said)) + said.count("\n") + said.count("\t") + said.count("\r")
    return said if said and readable >= _READABLE * len(said) else ""


def _bounded(pieces: Iterable[Piece | None]) -> list[Piece]:
    found: list[Piece] = []
    left = MAX_DECODED
    for piece in pieces:
        if piece is not None:
            found.append(piece)
            left -= len(piece.text)
            if left <= 0:
                break
    return found
