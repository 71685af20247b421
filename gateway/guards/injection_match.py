"""Finds the sequences of words that the injection rules describe. Linear in the length of the text.

A cheap look over the rarest words of the rules comes first; most texts hold none of them, and nothing else is done.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gateway.guards.folding import fold
from gateway.guards.injection_rules import Rule
from gateway.guards.keywords import Keywords

_SENTENCE_END = re.compile(
    r"[.!?][\s\"']|;\s|[.!?;](?=[\u3000-\u9fff])|\u3002"
    r"|\n[ \t]{0,8}(?:\n|(?:[-*+\u2022\u2023\u25aa\u25cf\u00b7]|[0-9]{1,2}[.)])[ \t])"
)
"""A full stop and its like, a semicolon, an empty line, an item of a list that begins."""
_UNPARTED = re.compile("[\u0600-\u06ff\u0900-\u097f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_LINE_START = re.compile(r"(?:^|\n)[ \t>*#-]{0,8}$")
_LOOSE = 5
"""From this length on, a word is found inside letters that stand together without spaces."""
ASIDE = 160
"""How far from a match a word may stand that says how it is meant."""
_CIPHER_VIEWS = frozenset({"rot13", "reversed"})

CIPHERS = ("ignore", "instructions", "previous", "system prompt", "disregard", "reveal", "jailbreak", "anweisungen")
"""Words looked for backwards and in ROT13, to tell whether those views are worth a look."""
_ROT13 = str.maketrans("abcdefghijklmnopqrstuvwxyz", "nopqrstuvwxyzabcdefghijklm")


@dataclass(frozen=True, slots=True)
class Word:
    """One entry of the table of words, folded, and how it must stand in a text."""

    text: str
    classes: tuple[str, ...]
    bound_before: bool
    bound_after: bool
    at_line_start: bool
    is_long: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """One occurrence of a rule in a view, before it is known how it is meant."""

    rule: Rule
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Sight:
    """What a first look at a folded text shows: the words without which no rule holds, from where to where, their
    classes, and the ciphers (`rot13`, `reversed`) it may be written in."""

    places: Sequence[tuple[int, int]]
    classes: frozenset[str]
    ciphers: frozenset[str]


NOTHING = Sight((), frozenset(), frozenset())


class Asides:
    """Where the words stand that say how a match is meant: by class, in order."""

    __slots__ = ("_places",)

    def __init__(self, places: Mapping[str, Sequence[tuple[int, int]]]) -> None:
        self._places = {name: [end for _, end in found] for name, found in places.items()}

    def __repr__(self) -> str:
        return f"<Asides { ({name: len(ends) for name, ends in self._places.items()}) }>"

    def within(self, name: str, start: int, end: int) -> bool:
        """Does a word of the class end between `start` and `end`, both included?"""
        ends = self._places.get(name, ())
        return bisect_left(ends, start) < bisect_right(ends, end)


class _Stops:
    """Where sentences end in a part of a text."""

    __slots__ = ("_ends", "_starts")

    def __init__(self, text: str, start: int, end: int) -> None:
        found = [stop.span() for stop in _SENTENCE_END.finditer(text, start, end)]
        self._starts = [stop[0] for stop in found]
        self._ends = [stop[1] for stop in found]

    def between(self, start: int, end: int) -> bool:
        """Does a sentence end between the two places?"""
        index = bisect_left(self._starts, start)
        return index < len(self._ends) and self._ends[index] <= end


Places = Mapping[str, Sequence[tuple[int, int]]]
"""Where the words of each class stand, in order of end."""


class _Lexicon:
    """Words of some classes, looked for together."""

    __slots__ = ("_keywords", "words")

    def __init__(self, words: Sequence[Word]) -> None:
        self.words = words
        self._keywords = Keywords([word.text for word in words])

    def standing(self, text: str, start: int, end: int, *, loose: bool) -> Iterator[tuple[Word, int, int]]:
        """The words that stand in a part of a text as they must, in order of end."""
        words, size = self.words, len(text)
        for index, first, last in self._keywords.hits(text[start:end] if start or end < size else text):
            word = words[index]
            first += start
            last += start
            if word.bound_before and first and text[first - 1].isalnum() and not (loose and word.is_long):
                continue
            if word.bound_after and last < size and text[last].isalnum() and not (loose and word.is_long):
                continue
            if word.at_line_start and not _LINE_START.search(text, max(0, first - 10), first):
                continue
            yield word, first, last

    def places(self, text: str, start: int, end: int, *, loose: bool) -> Places:
        """Where the words of each class stand in a part of a text."""
        places: dict[str, list[tuple[int, int]]] = {}
        for word, first, last in self.standing(text, start, end, loose=loose):
            for name in word.classes:
                places.setdefault(name, []).append((first, last))
        return places


class Matcher:
    """A set of rules over a table of words, ready to be looked for. `rules` and `asides` name classes of `words`."""

    __slots__ = ("_anchors", "_asides", "_gate", "_lexicon", "_reach", "_rules")

    def __init__(self, rules: Sequence[Rule], words: Mapping[str, str], asides: Sequence[str]) -> None:
        self._rules = rules
        wanted = sorted({name for rule in rules for name in rule.pattern})
        found = _words({name: words[name] for name in wanted})
        self._lexicon = _Lexicon(found)
        self._asides = _Lexicon(_words({name: words[name] for name in asides}))
        self._anchors = frozenset(rule.anchor for rule in rules)
        rare = [word for word in found if not self._anchors.isdisjoint(word.classes)]
        self._gate = _Lexicon((*rare, *(Word(text, (kind,), False, False, False) for kind, text in _ciphers())))
        longest = max((len(word.text) for word in found), default=0)
        self._reach = max((sum(rule.gaps) + longest * len(rule.pattern) for rule in rules), default=0)

    def __repr__(self) -> str:
        return f"<Matcher {len(self._rules)} rules, {len(self._lexicon.words)} words>"

    def look(self, text: str, *, loose: bool = False) -> Sight:
        """What is worth a closer look in a folded text; mostly nothing."""
        places: list[tuple[int, int]] = []
        classes: set[str] = set()
        for word, start, end in self._gate.standing(text, 0, len(text), loose=loose):
            classes.update(word.classes)
            if word.classes[0] not in _CIPHER_VIEWS:
                places.append((start, end))
        return Sight(places, frozenset(classes & self._anchors), _CIPHER_VIEWS & classes) if classes else NOTHING

    def find(self, text: str, sight: Sight, *, loose: bool = False) -> list[tuple[list[Match], Asides]]:
        """All matches in a folded text, with the words around them that say how they are meant.

        Args:
            sight: what `look` says of the text.
            loose: longer words are also found inside runs of letters, as when spaces were lost.
        """
        rules = [rule for rule in self._rules if rule.anchor in sight.classes]
        found = []
        for start, end in self._parts(sight.places, len(text)):
            places = self._lexicon.places(text, start, end, loose=loose)
            stops: _Stops | None = None
            matches: list[Match] = []
            for rule in rules:
                if all(name in places for name in rule.pattern):
                    stops = stops or _Stops(text, start, end)
                    matches += [Match(rule, *span) for span in _joined(rule, places, stops)]
            if matches:
                around = max(0, start - ASIDE), min(len(text), end + ASIDE)
                found.append((matches, Asides(self._asides.places(text, *around, loose=loose))))
        return found

    def _parts(self, places: Sequence[tuple[int, int]], size: int) -> Iterator[tuple[int, int]]:
        """The parts of a text of `size` in which rules whose words stand at `places` can hold."""
        start, until = 0, -1
        for first, last in places:
            if first - self._reach > until:
                if until >= 0:
                    yield start, min(size, until)
                start = max(0, first - self._reach)
            until = max(until, last + self._reach)
        if until >= 0:
            yield start, min(size, until)


def _joined(rule: Rule, places: Places, stops: _Stops) -> list[tuple[int, int]]:
    """From where to where `rule` holds. Each word is joined to the latest before it: no other is nearer."""
    chains = list(places[rule.pattern[0]])
    for gap, name in zip(rule.gaps, rule.pattern[1:], strict=True):
        ends = [end for _, end in chains]
        longer: list[tuple[int, int]] = []
        for start, end in places[name]:
            index = bisect_right(ends, start) - 1
            if index >= 0 and ends[index] >= start - gap and not stops.between(ends[index], start):
                longer.append((chains[index][0], end))
        chains = longer
    return chains


def _words(table: Mapping[str, str]) -> tuple[Word, ...]:
    """The entries of `table`, each once, with all classes it stands in."""
    classes: dict[tuple[str, bool, bool], list[str]] = {}
    for name, entries in table.items():
        for entry in entries.split():
            bare = entry.removeprefix("^").removesuffix("*")
            text = fold(bare if bare.startswith(("<", "[", "=")) else bare.replace("_", " "))
            held = classes.setdefault((text, entry.startswith("^"), entry.endswith("*")), [])
            if name not in held:
                held.append(name)
    return tuple(_word(*key, tuple(names)) for key, names in classes.items())


def _word(text: str, at_line_start: bool, any_end: bool, classes: tuple[str, ...]) -> Word:
    unparted = _UNPARTED.search(text) is not None
    return Word(
        text,
        classes,
        bound_before=text[0].isalnum() and not unparted,
        bound_after=text[-1].isalnum() and not unparted and not any_end,
        at_line_start=at_line_start,
        is_long=len(text) >= _LOOSE,
    )


def _ciphers() -> Iterator[tuple[str, str]]:
    for text in CIPHERS:
        yield "reversed", text[::-1]
        yield "rot13", text.translate(_ROT13)
