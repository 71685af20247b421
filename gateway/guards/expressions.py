"""An operator's regular expressions: RE2's syntax, linear time, bounded, and able to say where a match may have begun.

From the expression two are made: the expression itself, and its beginnings, which match up to the end of a text from
every place where a match may have begun that the text does not yet decide. The text may come in pieces, so an
expression has a longest match, and knows no beginning and no end of the text.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from gateway.guards.linear import compiled

MAX_LENGTH = 1_000
"""Characters of the longest match an expression may have."""
MAX_DEPTH = 20

_FLAGS = re.compile(r"\(\?([is]+)\)")
_GROUP = re.compile(r"\((?:\?(?P<flags>[is]*(?:-[is]+)?:)|\?P?<\w+>|(?!\?))")
_COUNT = re.compile(r"(?:(?P<sign>[?*+])|\{(?P<least>\d+)(?P<comma>,(?P<most>\d*))?\})\??")
_ESCAPE = re.compile(
    r"\\(?:[dDwWsStnrfvabB]|x[0-9A-Fa-f]{2}|x\{[0-9A-Fa-f]{1,6}\}|[pP](?:\w|\{\^?\w+\})|[^\w\s])", re.ASCII
)
_SET = re.compile(r"\[\^?\]?(?:\[:\^?\w+:\]|\\.\{[^}]*\}|\\.|[^\]\\])*\]", re.DOTALL)
_WORD = re.compile(r"\w+")
_LETTER = r"[0-9A-Za-z_\x{c0}-\x{1fff}\x{2c00}-\x{2fff}\x{3040}-\x{d7ff}\x{f900}-\x{faff}\x{10000}-\x{10ffff}]"
"""Letters and digits, near enough: RE2 writes `\\pL` out as hundreds of byte ranges for every repetition."""
_GLOBS = {"*": f"{_LETTER}{{0,40}}", "?": _LETTER}


class Node(NamedTuple):
    """A part of an expression: a single character, a place without width, a sequence, a choice, a repetition, a group
    with flags of its own."""

    kind: Literal["one", "none", "all", "any", "times", "group"]
    text: str = ""
    parts: tuple["Node", ...] = ()
    least: int = 1
    most: int = 1


class _Reader:
    """Reads one expression, from left to right."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._at = 0

    def whole(self) -> Node:
        node = self._choice(0)
        if self._at < len(self._source):
            raise ValueError("has a ) too many")
        return node

    def _choice(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise ValueError(f"has groups more than {MAX_DEPTH} deep")
        ways = [self._sequence(depth)]
        while self._source[self._at : self._at + 1] == "|":
            self._at += 1
            ways.append(self._sequence(depth))
        return Node("any", parts=tuple(ways))

    def _sequence(self, depth: int) -> Node:
        parts: list[Node] = []
        while self._at < len(self._source) and self._source[self._at] not in "|)":
            parts.append(self._counted(self._single(depth)))
        return Node("all", parts=tuple(parts))

    def _counted(self, node: Node) -> Node:
        while found := _COUNT.match(self._source, self._at):
            self._at = found.end()
            if found["sign"] in ("*", "+") or (found["comma"] and not found["most"]):
                raise ValueError("repeats without an end: write {0,64} instead of *, {1,64} instead of +")
            least = 0 if found["sign"] else int(found["least"])
            most = 1 if found["sign"] else int(found["most"] or found["least"])
            node = Node("times", parts=(node,), least=least, most=most)
        return node

    def _single(self, depth: int) -> Node:
        source, at = self._source, self._at
        character = source[at]
        if character in "^$":
            raise ValueError("uses ^ or $, but a text may come in pieces; \\b is where a word starts or ends")
        if character == "(":
            return self._group(depth)
        kind = {"[": _SET, "\\": _ESCAPE}.get(character)
        if kind is None:
            self._at = at + 1
            return Node("one", character)
        found = kind.match(source, at)
        if found is None:
            raise ValueError("has an escape or a set that is not read here")
        self._at = found.end()
        return Node("none" if found[0] in (r"\b", r"\B") else "one", found[0])

    def _group(self, depth: int) -> Node:
        found = _GROUP.match(self._source, self._at)
        if found is None:
            raise ValueError("has a group that is not read here; look-arounds are not linear")
        self._at = found.end()
        inner = self._choice(depth + 1)
        if self._source[self._at : self._at + 1] != ")":
            raise ValueError("has a ( too many")
        self._at += 1
        return Node("group", f"(?{found['flags'] or ':'}", (inner,))


def _written(node: Node) -> str:
    """The expression of `node`."""
    if node.kind in ("one", "none"):
        return node.text
    if node.kind == "all":
        return "".join(map(_written, node.parts))
    if node.kind == "any":
        return "(?:" + "|".join(map(_written, node.parts)) + ")"
    inner = _written(node.parts[0])
    return f"{node.text}{inner})" if node.kind == "group" else f"(?:{inner}){{{node.least},{node.most}}}"


def _begun(node: Node) -> str:
    """What matches every text that what `node` matches begins with: nothing, a part, the whole."""
    if node.kind == "none":
        return ""
    if node.kind == "one":
        return f"(?:{node.text})?"
    if node.kind == "any":
        return "(?:" + "|".join(map(_begun, node.parts)) + ")"
    if node.kind == "group":
        return f"{node.text}{_begun(node.parts[0])})"
    if node.kind == "times":
        before = f"(?:{_written(node.parts[0])}){{0,{node.most - 1}}}" if node.most > 1 else ""
        return before + _begun(node.parts[0]) if node.most else ""
    made = ""
    for part in reversed(node.parts):
        made = f"(?:{_begun(part)}|{_written(part)}{made})"
    return made


def _length(node: Node, longest: bool) -> int:
    """Characters of the longest or the shortest match of `node`."""
    if node.kind in ("one", "none"):
        return int(node.kind == "one")
    lengths = [_length(part, longest) for part in node.parts]
    if node.kind == "any":
        return max(lengths) if longest else min(lengths)
    return sum(lengths) * ((node.most if longest else node.least) if node.kind == "times" else 1)


@dataclass(frozen=True, slots=True)
class Expression:
    """One expression as it was read: itself, its beginnings, and how many characters it takes at most."""

    source: str = field(repr=False)
    beginning: str = field(repr=False)
    longest: int


def expression(source: str, *, match_case: bool) -> Expression:
    """`source`, read and checked.

    Raises:
        ValueError: it is not in RE2's syntax, has no longest match or one over `MAX_LENGTH`, matches the empty text,
            or uses `^` or `$`; the message says which.
    """
    given = _FLAGS.match(source)
    flags = "".join(sorted({*(given[1] if given else ""), *("" if match_case else "i")}))
    node = _Reader(source[given.end() :] if given else source).whole()
    longest = _length(node, True)
    if _length(node, False) == 0:
        raise ValueError("matches the empty text")
    if longest > MAX_LENGTH:
        raise ValueError(f"may match more than {MAX_LENGTH} characters")
    made = Expression(f"(?{flags}:{_written(node)})", f"(?{flags}:{_begun(node)})", longest)
    compiled(made.source, longest=True)
    compiled(made.beginning, longest=True)
    return made


def glob(source: str) -> str:
    """The expression that `source` writes: `*` is up to 40 letters or digits, `?` one, a space is white space."""
    words = ("".join(map(_glob_part, word)) for word in source.split())
    return r"[\s\x{a0}]{1,8}".join(words)


def _glob_part(character: str) -> str:
    if character in _GLOBS:
        return _GLOBS[character]
    plain = character.isalnum() or character == "_" or not character.isascii()
    return character if plain else "\\" + character


def in_word(text: str, at: int) -> bool:
    """Does a word go on across index `at` of `text`?"""
    return 0 < at < len(text) and _is_word(text[at - 1]) and _is_word(text[at])


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


class Search:
    """Several expressions looked for at once.

    `whole`: a match starts and ends where no word goes on. Of the matches that start at one place the longest counts,
    and every place counts for itself, so that what is found does not hang on what stands far before it; only a match
    inside another is left out. One at the very start of a text hides none: the text may be cut out of a longer one.
    """

    __slots__ = ("_beginning", "_longest", "_pattern", "_whole")

    def __init__(self, expressions: Sequence[Expression], *, whole: bool) -> None:
        """Raises ValueError: they are too large together."""
        self._pattern = compiled("|".join(each.source for each in expressions), longest=True)
        self._beginning = compiled("(?:" + "|".join(each.beginning for each in expressions) + r")\z", longest=True)
        self._longest = max(each.longest for each in expressions)
        self._whole = whole

    def __repr__(self) -> str:
        return f"<Search up to {self._longest} characters>"

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Every match in `text`, by start. `text` has no lone surrogates."""
        raw = text.encode()
        at = byte = hidden = 0
        while found := self._pattern.search(raw, byte):
            first, last = found.span()
            start = at + len(raw[byte:first].decode())
            end = start + len(raw[first:last].decode())
            if end > hidden and not (self._whole and (in_word(text, start) or in_word(text, end))):
                hidden = end if start else 0
                yield start, end
            at = self._next(text, start)
            byte = first + len(text[start:at].encode())

    def undecided(self, text: str) -> int:
        """The first place in `text` where a match may start that what follows decides; its length when there is none.

        `text` has no lone surrogates.
        """
        size = len(text)
        at = max(0, size - self._longest)
        while at < size:
            tail = text[at:]
            raw = tail.encode()
            found = self._beginning.search(raw)
            start = at + len(raw[: found.start()].decode()) if found else size
            if start >= size or not (self._whole and in_word(text, start)):
                return start
            at = self._next(text, start)
        return size

    def _next(self, text: str, start: int) -> int:
        """The next place after `start` where a match may start."""
        word = _WORD.match(text, start) if self._whole else None
        return word.end() if word else start + 1
