"""Words and phrases looked for in one pass: case folded where asked, white space of any kind between their words."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from gateway.guards.beginnings import Beginnings, beginnings
from gateway.guards.expressions import in_word
from gateway.guards.keywords import Keywords
from gateway.guards.shapes import Atom, Shape, bounded_length, edge, literal, run

Role = Literal["match", "except", "with"]

_SPACES = 8
"""Characters of white space that may stand between two words of a phrase."""


class Term(NamedTuple):
    """A phrase of a rule, by the rule's index, and what it is there for."""

    rule: int
    role: Role
    shape: Shape
    whole: bool


class Place(NamedTuple):
    """Where a term stands: `end` is None where the text ends inside it; `open` where what follows may undo it."""

    term: Term
    start: int
    end: int | None
    open: bool


class Phrase(NamedTuple):
    """A phrase as it is configured."""

    rule: int
    role: Role
    text: str
    whole: bool


def fold(text: str) -> tuple[str, list[int] | None]:
    """`text` with its case folded, and the place in `text` of each character; None where places are the same."""
    folded = text.casefold()
    if len(folded) == len(text):  # folding never makes a character vanish
        return folded, None
    return folded, [*(at for at, c in enumerate(text) for _ in c.casefold()), len(text)]


def _same(text: str) -> tuple[str, None]:
    return text, None


@dataclass(frozen=True, slots=True)
class Lane:
    """Phrases that are looked for in the same view of a text: as it stands, or with its case folded."""

    view: Callable[[str], tuple[str, list[int] | None]]
    terms: tuple[tuple[Term, ...], ...] = field(repr=False)
    gate: Keywords = field(repr=False)
    matches: Beginnings = field(repr=False)
    excuses: Beginnings = field(repr=False)
    whole: bool

    def places(self, text: str) -> list[Place]:
        """Where terms stand in `text`, which has no lone surrogates."""
        view, origin = self.view(text)
        found = []
        for word, start, _ in self.gate.hits(view):
            for term in self.terms[word]:
                if term.whole and in_word(view, start):
                    continue
                scan = term.shape.scan(view, start)
                if scan is not None:
                    found.append(_placed(term, scan.start, scan.end, scan.open, origin))
        return found

    def undecided(self, text: str) -> tuple[int, int]:
        """Where `text` ends in the beginning of a match, and of an exception; its length where it does not."""
        view, origin = self.view(text)
        match = self.matches.unfinished(view, self._may_start)
        excuse = self.excuses.unfinished(view, self._may_start)
        return (match, excuse) if origin is None else (origin[match], origin[excuse])

    def _may_start(self, view: str, at: int) -> bool:
        return not (self.whole and in_word(view, at))


def _placed(term: Term, start: int, end: int | None, open_: bool, origin: list[int] | None) -> Place:
    if origin is None:
        return Place(term, start, end, open_)
    return Place(term, origin[start], None if end is None else origin[end - 1] + 1, open_)


def lane(phrases: Iterable[Phrase], *, match_case: bool) -> Lane | None:
    """The lane for `phrases`; None when there are none."""
    view = _same if match_case else fold
    asked: dict[str, list[Term]] = {}
    first: dict[Role, list[str]] = {"match": [], "except": [], "with": []}
    whole = True
    for phrase in phrases:
        words = view(phrase.text)[0].split()
        asked.setdefault(words[0], []).append(Term(phrase.rule, phrase.role, _shape(words, phrase.whole), phrase.whole))
        first[phrase.role].append(words[0])
        whole = whole and phrase.whole
    if not asked:
        return None
    terms = tuple(map(tuple, asked.values()))
    return Lane(view, terms, Keywords(tuple(asked)), beginnings(first["match"]), beginnings(first["except"]), whole)


def _shape(words: list[str], whole: bool) -> Shape:
    atoms: list[Atom] = []
    for word in words:
        atoms += [run(r"\s", 1, _SPACES, re.UNICODE), literal(word)]
    if whole and (words[-1][-1].isalnum() or words[-1][-1] == "_"):
        atoms.append(edge(r"\w", re.UNICODE))
    return Shape(tuple(atoms[1:]))


def longest(terms: Iterable[Term]) -> int:
    """The most characters one of `terms` takes."""
    return max((bounded_length(term.shape.atoms) for term in terms), default=0)
