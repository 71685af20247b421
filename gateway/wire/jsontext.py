"""JSON that comes as text, in pieces: what of it is a text that somebody may read, and what only holds texts together.

Tool arguments are JSON inside a JSON string, streamed in fragments cut anywhere. A `Reader` takes them apart without
waiting for their end. It is no parser: what is not JSON is given out as a text of its own, so that nothing is left out.
"""

import re
from typing import Literal, NamedTuple

from gateway.wire import json

Kind = Literal["signs", "string", "number", "loose"]

MAX_SCALAR = 400
"""Characters of a number; what is longer is no number."""

_SIGNS = re.compile(r"[ \t\r\n{}\[\],:]+")
_SCALAR = re.compile(r'[^ \t\r\n{}\[\],:"]+')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?", re.ASCII)
_WORDS = frozenset({"true", "false", "null"})
_SPECIAL = re.compile(r'["\\]')
_PAIR = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_HALF_PAIR = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u(?:[dD](?:[c-fC-F][0-9a-fA-F]?)?)?)?)?\Z")
_ESCAPE = re.compile(r'\\(?:u[0-9a-fA-F]{4}|["\\/bfnrt])')
_HALF_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?\Z")


class Part(NamedTuple):
    """A piece of the text, in its order: put together, every `raw` is the whole text.

    `signs` are brackets, quotes and the words `true`, `false` and `null`: no text. `string` is a piece of one string,
    `text` without its escapes; `ends` is set on its last piece, which may be empty. A `number` is whole. `loose` is a
    piece of everything from the first thing on that is not JSON.
    """

    kind: Kind
    raw: str
    text: str = ""
    ends: bool = False


class Reader:
    """Feed it text as it comes; it gives out the parts that are decided."""

    __slots__ = ("_inside", "_loose", "_rest")

    def __init__(self) -> None:
        self._rest = ""
        self._inside = False
        self._loose = False

    def feed(self, text: str) -> list[Part]:
        """The parts that `text` decides."""
        return self._parts(text, closing=False)

    def close(self) -> list[Part]:
        """What is left after the end has come; a string that is still open ends here."""
        parts = self._parts("", closing=True)
        if self._inside:
            self._inside = False
            parts.append(Part("string", "", "", ends=True))
        return parts

    def _parts(self, text: str, *, closing: bool) -> list[Part]:
        buffer, self._rest = self._rest + text, ""
        parts: list[Part] = []
        at = 0
        while at < len(buffer):
            if self._loose:
                parts.append(Part("loose", buffer[at:], buffer[at:]))
                break
            take = self._string if self._inside else self._outside
            after = take(buffer, at, parts, closing)
            if after == at and not self._loose:
                self._rest = buffer[at:]
                break
            at = after
        return parts

    def _outside(self, buffer: str, at: int, parts: list[Part], closing: bool) -> int:
        """Take what stands between strings; gives the place after it, `at` itself where more must come first."""
        if signs := _SIGNS.match(buffer, at):
            parts.append(Part("signs", signs[0]))
            return signs.end()
        if buffer[at] == '"':
            parts.append(Part("signs", '"'))
            self._inside = True
            return at + 1
        scalar = _SCALAR.match(buffer, at)
        assert scalar is not None  # noqa: S101 - the three patterns leave no sign out
        word = scalar[0]
        if scalar.end() == len(buffer) and not closing and len(word) <= MAX_SCALAR:
            return at
        if word in _WORDS:
            parts.append(Part("signs", word))
        elif len(word) <= MAX_SCALAR and _NUMBER.fullmatch(word):
            parts.append(Part("number", word, word))
        else:
            self._loose = True
            return at
        return scalar.end()

    def _string(self, buffer: str, at: int, parts: list[Part], closing: bool) -> int:
        """Take a piece of a string, or its end."""
        special = _SPECIAL.search(buffer, at)
        plain = special.start() if special else len(buffer)
        if plain > at:
            parts.append(Part("string", buffer[at:plain], buffer[at:plain]))
            return plain
        if buffer[at] == '"':
            parts += (Part("string", "", "", ends=True), Part("signs", '"'))
            self._inside = False
            return at + 1
        if not closing and (_HALF_ESCAPE.match(buffer, at) or _HALF_PAIR.match(buffer, at)):
            return at
        found = _PAIR.match(buffer, at) or _ESCAPE.match(buffer, at)
        if found is None:  # no escape at all: the sign stands for itself
            parts.append(Part("string", "\\", "\\"))
            return at + 1
        parts.append(Part("string", found[0], _unescaped(found[0])))
        return found.end()


def _unescaped(escape: str) -> str:
    """The one character that an escape stands for; half of a surrogate pair is no character."""
    if len(escape) == 6 and escape[2] in "dD" and escape[3] in "89abcdefABCDEF":
        return "\ufffd"
    character: str = json.loads(f'"{escape}"')
    return character


def escaped(text: str) -> str:
    """`text` as it stands inside a JSON string."""
    return json.dumps(text).decode()[1:-1]


def whole(text: str) -> list[Part]:
    """The parts of a text that is complete, each string in one `string` part with its end."""
    reader = Reader()
    parts: list[Part] = []
    raw: list[str] = []
    decoded: list[str] = []
    for part in (*reader.feed(text), *reader.close()):
        if part.kind != "string":
            parts.append(part)
            continue
        raw.append(part.raw)
        decoded.append(part.text)
        if part.ends:
            parts.append(Part("string", "".join(raw), "".join(decoded), ends=True))
            raw.clear()
            decoded.clear()
    return parts
