"""The guard `phrases`: words, globs and regular expressions of the operator's, with exceptions and conditions.

A match counts when none of the rule's exceptions stands around it and, where the rule has conditions (`with`), one of
them stands before it in the same sentence. Conditions look backwards only, and at most `LOOK_BACK` characters: what
follows a match could undo a decision about text that has already left. A sentence ends at . ! ? or … before white space
(also after a closing quote or bracket), at their full-width forms, and at an empty line.

Words and globs match whole words unless `whole_word` is false; every white space fits between the words of a phrase. Of
a regular expression's matches from one place the longest counts, and every place counts for itself.
"""

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, Field, model_validator

from gateway.config.fields import Strict
from gateway.guards.base import Action, Finding
from gateway.guards.beginnings import encodable
from gateway.guards.expressions import Search, expression, glob
from gateway.guards.phrases_words import Lane, Phrase, Place, lane, longest
from gateway.guards.reported import Plain

NAME = "phrases"
LOOK_BACK = 400
"""Characters before a match in which a condition may stand."""
MAX_PHRASE = 200
MAX_PHRASES = 10_000
"""Phrases of one rule."""

# One sign that ends a sentence, not a run of them: each of a thousand full stops would be the start of another try.
_SENTENCE_END = re.compile("[.!?\u2026][\"'\u201d\u2019)\\]\u00bb]*\\s|[\u3002\uff01\uff1f]|\n[ \t\r]*\n")


def _phrases(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(values) > MAX_PHRASES:
        raise ValueError(f"must hold at most {MAX_PHRASES} phrases")
    for value in values:
        if not value.strip() or len(value) > MAX_PHRASE:
            raise ValueError(f"must hold phrases of 1 to {MAX_PHRASE} characters")
    return values


def _globs(values: tuple[str, ...]) -> tuple[str, ...]:
    return _expressions(values, glob)


def _expressions(values: tuple[str, ...], made: Any = str) -> tuple[str, ...]:
    for number, value in enumerate(_phrases(values) if made is glob else values):
        try:
            expression(made(value), match_case=True)
        except ValueError as error:
            raise ValueError(f"[{number}] {error}") from None
    return values


Phrases = Annotated[tuple[str, ...], AfterValidator(_phrases)]


class PhraseRule(Strict):
    """One rule: what is looked for, what excuses it, what must stand before it, and what is done about it."""

    name: Plain = Field(description="The rule's name in findings.")
    category: Plain = Field("phrases", description="The risk it belongs to.")
    action: Action = Field("block", description="What is done about a finding.")
    score: float = Field(1.0, ge=0, le=1, description="The score of its findings.")
    words: Phrases = Field((), description="Words and phrases, as they are.")
    globs: Annotated[tuple[str, ...], AfterValidator(_globs)] = Field(
        (), description="The same with * for up to 40 letters or digits and ? for one."
    )
    regexes: Annotated[tuple[str, ...], AfterValidator(_expressions)] = Field(
        (), description="Regular expressions in RE2's syntax that have a longest match and no ^ or $."
    )
    except_: Phrases = Field((), alias="except", description="Phrases that excuse a match they stand around.")
    with_: Phrases = Field(
        (), alias="with", description="Phrases one of which must stand before a match in its sentence."
    )
    match_case: bool = Field(False, description="Tell capitals from small letters.")
    whole_word: bool = Field(True, description="Match whole words only.")

    @model_validator(mode="after")
    def _looks_for_something(self) -> "PhraseRule":
        if not (self.words or self.globs or self.regexes):
            raise ValueError("must have words, globs or regexes")
        return self


def _once(rules: tuple[PhraseRule, ...]) -> tuple[PhraseRule, ...]:
    names = [rule.name for rule in rules]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"has two rules called {name}")
    return rules


class PhrasesConfig(Strict):
    """Settings of the guard `phrases`."""

    rules: Annotated[tuple[PhraseRule, ...], AfterValidator(_once)] = Field(description="What is looked for.")


class Told(NamedTuple):
    """What findings of a rule say, and whether the rule has exceptions and conditions."""

    name: str
    category: str
    action: Action
    score: float
    excused: bool
    conditional: bool


class Patterns(NamedTuple):
    """The globs and expressions of a rule."""

    rule: int
    search: Search


class Match(NamedTuple):
    """Where a rule, by its index, matches."""

    start: int
    end: int
    rule: int


@dataclass(frozen=True, slots=True)
class PhrasesGuard:
    """Finds phrases. `context` is how far back it looks."""

    rules: tuple[Told, ...] = field(repr=False)
    lanes: tuple[Lane, ...] = field(repr=False)
    patterns: tuple[Patterns, ...] = field(repr=False)
    context: int
    name: str = NAME

    def find(self, text: str, path: str) -> list[Finding]:
        """Every match that counts, in order of start; rules do not know of each other."""
        return self._findings(self._look(encodable(text))[0], path)

    def settled(self, text: str) -> int:
        """Where the first match starts that what follows could complete, prolong, excuse or undo."""
        text = encodable(text)
        return self._held(text, *self._look(text))

    def judge(self, text: str, path: str) -> tuple[list[Finding], int]:
        """`find(text, path)` and `settled(text)` at once, for little more than the price of one of them."""
        text = encodable(text)
        matches, hold = self._look(text)
        return self._findings(matches, path), self._held(text, matches, hold)

    def _findings(self, matches: set[Match], path: str) -> list[Finding]:
        findings = []
        for start, end, index in sorted(matches):
            rule = self.rules[index]
            findings.append(Finding(NAME, rule.name, rule.category, rule.action, path, start, end, rule.score))
        return findings

    def _held(self, text: str, matches: set[Match], hold: int) -> int:
        ends = [lane.undecided(text) for lane in self.lanes]
        hold = min([hold, *(match for match, _ in ends), *(each.search.undecided(text) for each in self.patterns)])
        excuse = min((excuse for _, excuse in ends), default=len(text))
        for start, end, index in sorted(matches, reverse=True):
            if start < hold < end or (start >= excuse and start < hold and self.rules[index].excused):
                hold = start
        return hold

    def shortest_context(self) -> int:
        """As far back as exceptions and conditions reach, and one character to see where a word starts."""
        return self.context

    def _look(self, text: str) -> tuple[set[Match], int]:
        """Matches that count, and the first start of what is undecided."""
        matches: set[Match] = set()
        undecided: set[Match] = set()
        around: dict[tuple[int, str], list[Place]] = {}
        for each in self.lanes:
            for place in each.places(text):
                if place.term.role != "match":
                    around.setdefault((place.term.rule, place.term.role), []).append(place)
                    continue
                if place.open:
                    undecided.add(Match(place.start, len(text), place.term.rule))
                if place.end is not None:
                    matches.add(Match(place.start, place.end, place.term.rule))
        for pattern in self.patterns:
            matches.update(Match(start, end, pattern.rule) for start, end in pattern.search.spans(text))
        if not matches and not undecided:
            return matches, len(text)
        for index, rule in enumerate(self.rules):
            if rule.conditional:
                meets = _Conditions(around.get((index, "with"), ())).hold
                matches = {each for each in matches if each.rule != index or meets(text, each.start)}
                undecided = {each for each in undecided if each.rule != index or meets(text, each.start)}
            if rule.excused:
                excuses = _Excuses(around.get((index, "except"), ()))
                undecided |= {each for each in matches if each.rule == index and each.start >= excuses.undecided}
                matches = {each for each in matches if each.rule != index or not excuses.cover(each)}
        return matches, min((each.start for each in undecided), default=len(text))


class _Excuses:
    """The exceptions of a rule in a text. `undecided` is where the first starts that is not yet one."""

    def __init__(self, places: Sequence[Place]) -> None:
        whole = sorted((place.start, place.end) for place in places if place.end is not None)
        self._starts = [start for start, _ in whole]
        self._ends = list(accumulate((end for _, end in whole), max))
        self.undecided = min((place.start for place in places if place.open), default=1 << 62)

    def cover(self, match: Match) -> bool:
        """Does one stand around `match`?"""
        before = bisect_right(self._starts, match.start)
        return before > 0 and self._ends[before - 1] >= match.end


class _Conditions:
    """The conditions of a rule in a text."""

    def __init__(self, places: Sequence[Place]) -> None:
        self._places = sorted((place.end, place.start) for place in places if place.end is not None)

    def hold(self, text: str, start: int) -> bool:
        """Does one stand before `start`, near enough, with no end of a sentence between them?"""
        for at in range(bisect_right(self._places, (start, start)) - 1, -1, -1):
            end, begin = self._places[at]
            if end < start - LOOK_BACK:
                return False
            if begin >= start - LOOK_BACK:
                return _SENTENCE_END.search(text, end, start) is None
        return False


def build(config: PhrasesConfig) -> PhrasesGuard:
    """The guard for `config`.

    Raises:
        ValueError: the expressions of a rule are too large together.
    """
    told, patterns, reach = [], [], 0
    phrases: Mapping[bool, list[Phrase]] = {True: [], False: []}
    for index, rule in enumerate(config.rules):
        told.append(Told(rule.name, rule.category, rule.action, rule.score, bool(rule.except_), bool(rule.with_)))
        for role, texts in (("match", rule.words), ("except", rule.except_), ("with", rule.with_)):
            phrases[rule.match_case] += (Phrase(index, role, text, rule.whole_word) for text in texts)  # type: ignore[arg-type]
        sources = (*map(glob, rule.globs), *rule.regexes)
        if sources:
            read = [expression(source, match_case=rule.match_case) for source in sources]
            patterns.append(Patterns(index, Search(read, whole=rule.whole_word)))
        reach = max(reach, LOOK_BACK if rule.with_ else 0)
    lanes = tuple(
        made for match_case, texts in phrases.items() if (made := lane(texts, match_case=match_case)) is not None
    )
    excuses = (term for each in lanes for terms in each.terms for term in terms if term.role == "except")
    return PhrasesGuard(tuple(told), lanes, tuple(patterns), max(reach, longest(excuses)) + 2)
