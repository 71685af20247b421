"""Shapes: patterns that are read once, left to right, and say when they have run out of text.

A shape is a sequence of atoms. Each takes as much as it can and gives nothing back, so that a shape is read in one pass
whatever the text, and at the end of an unfinished text it is known whether it could still come true. That is what lets
a stream go on at once where a regular expression could only guess.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

_ATOM = re.compile(r"(?P<set>\[\^?\]?(?:\\.|[^\]\\])*\])(?P<count>\?|\{\d+(?:,\d*)?\})?")
_ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|(.))")

Kind = Literal["literal", "run", "edge", "open", "close"]


@dataclass(frozen=True, slots=True)
class Atom:
    """One part of a shape.

    `literal`: exactly `text`. `run`: `least` to `most` (None: any number of) characters that `pattern` takes. `edge`:
    what follows is not taken by `pattern`. `open` and `close`: where the value begins and ends.
    """

    kind: Kind
    text: str = ""
    pattern: re.Pattern[str] = field(default=re.compile(""), repr=False)
    least: int = 0
    most: int | None = 0


class Scan(NamedTuple):
    """What came of reading a shape.

    `end` is None while the text ended before the shape did; `start` is then where the value begins, or the end of the
    text when it was not reached. `open` says that what follows the text can still change the answer.
    """

    start: int
    end: int | None
    open: bool


_WORD = re.compile(r"\w", re.ASCII)


@dataclass(frozen=True, slots=True)
class Shape:
    """Atoms in order. `value` is whether a part of the match is marked as the value; otherwise all of it is."""

    atoms: tuple[Atom, ...]
    value: bool = False

    def scan(self, text: str, at: int) -> Scan | None:
        """What `text` from index `at` on makes of this shape; None when nothing that follows could make it fit."""
        size, start, end = len(text), at, -1
        begun, touched = not self.value, False
        for atom in self.atoms:
            kind = atom.kind
            if kind == "literal":
                if text.startswith(atom.text, at):
                    at += len(atom.text)
                elif size - at < len(atom.text) and atom.text.startswith(text[at:]):
                    return Scan(start if begun else size, None, True)
                else:
                    return None
            elif kind == "run":
                found = atom.pattern.match(text, at)
                stop = found.end() if found else at
                more = stop == size and (atom.most is None or stop - at < atom.most)
                touched = touched or more
                if stop - at < atom.least:
                    return Scan(start if begun else size, None, True) if more else None
                at = stop
            elif kind == "edge":
                if at == size:
                    touched = True
                elif atom.pattern.match(text, at):
                    return None
            elif kind == "open":
                start, begun = at, True
            else:
                end = at
        return Scan(start, at if end < 0 else end, touched)

    @property
    def lead(self) -> int:
        """The most characters before the value.

        Raises:
            ValueError: there is no bound.
        """
        if not self.value:
            return 0
        return bounded_length(self.atoms[: [atom.kind for atom in self.atoms].index("open")])

    @property
    def endless(self) -> tuple[re.Pattern[str], ...]:
        """The runs without a bound."""
        return tuple(atom.pattern for atom in self.atoms if atom.kind == "run" and atom.most is None)

    @property
    def opening(self) -> str:
        """The text every match begins with; empty when there is none."""
        first = next((atom for atom in self.atoms if atom.kind != "open"), None)
        return first.text if first is not None and first.kind == "literal" else ""


def bounded_length(atoms: Iterable[Atom]) -> int:
    """The most characters `atoms` take together.

    Raises:
        ValueError: there is no bound.
    """
    total = 0
    for atom in atoms:
        if atom.most is None:
            raise ValueError("has no bound")
        total += atom.most
    return total


def literal(text: str) -> Atom:
    """Exactly `text`."""
    return Atom("literal", text, least=len(text), most=len(text))


def run(characters: str, least: int, most: int | None, flags: int = re.ASCII) -> Atom:
    """`least` to `most` characters of a set written as in a regular expression: `[a-f0-9]`, `\\s`."""
    count = "*" if most is None else f"{{0,{most}}}"
    return Atom("run", pattern=re.compile(characters + count, flags), least=least, most=most)


def edge(characters: str = r"\w", flags: int = re.ASCII) -> Atom:
    """No further character of a set."""
    return Atom("edge", pattern=re.compile(characters, flags))


def shape(source: str) -> Shape:
    """The shape that `source` writes: atoms with white space between them, in the syntax of regular expressions.

    Literals (`ghp_`, `\\.`, `\\x20`), sets with a count (`[A-Z]{16}`, `[a-f0-9]{8,}`, `[ab]?`, `[+/]`), `\\b` for the
    end of a word, `(` and `)` around the value. Without the spaces it is a regular expression of RE2's kind that fits
    the same texts, as long as no run could take what the atom after it needs.

    Raises:
        ValueError: an atom is none of these.
    """
    atoms: list[Atom] = []
    for word in source.split():
        if word in "()":
            atoms.append(Atom("open" if word == "(" else "close"))
        elif word == r"\b":
            atoms.append(Atom("edge", pattern=_WORD))
        elif found := _ATOM.fullmatch(word):
            atoms.append(run(found["set"], *_counted(found["count"])))
        elif word[0] != "[" and not re.search(r"(?<!\\)[\[\](){}*+?|^$.]", word):
            atoms.append(literal(_ESCAPE.sub(lambda m: chr(int(m[1], 16)) if m[1] else m[2], word)))
        else:
            raise ValueError(f"{word} is no atom of a shape")
    return Shape(tuple(atoms), any(atom.kind == "open" for atom in atoms))


def _counted(count: str | None) -> tuple[int, int | None]:
    if count is None:
        return 1, 1
    if count == "?":
        return 0, 1
    least, comma, most = count[1:-1].partition(",")
    return int(least), int(most) if most else (None if comma else int(least))


def regex(source: str) -> str:
    """`source`, as `shape` reads it, as one regular expression."""
    return "".join(source.split())
