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

_SENTENCE_END = re.compile(r"[.!?][\s\"']|[。！？]|\n\s{0,8}\n")  # noqa: RUF001
_UNPARTED = re.compile("[\u0600-\u06ff\u0900-\u097f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_LINE_START = re.compile(r"(?:^|\n)[ \t>*#-]{0,8}$")
_LOOSE = 5
"""From this length on, a word is found inside letters that stand together without spaces."""
_PARTIALS = 3
"""Unfinished matches kept for each place of a rule: the latest ones, which reach furthest."""

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


@dataclass(frozen=True, slots=True)
class Match:
    """One occurrence of a rule in a view, before it is known how it is meant."""

    rule: Rule
    start: int
    end: int


class Asides:
    """Where the words stand that say how a match is meant: by class, in order."""

    __slots__ = ("_places",)

    def __init__(self) -> None:
        self._places: dict[str, list[int]] = {}

    def __repr__(self) -> str:
        return f"<Asides { ({name: len(places) for name, places in self._places.items()}) }>"

    def add(self, name: str, place: int) -> None:
        """Note a word of the class `name` that ends at `place`; places come in order."""
        self._places.setdefault(name, []).append(place)

    def within(self, name: str, start: int, end: int) -> bool:
        """Does a word of the class end between `start` and `end`, both included?"""
        places = self._places.get(name, ())
        return bisect_left(places, start) < bisect_right(places, end)


class Matcher:
    """A set of rules over a table of words, ready to be looked for. `rules` and `asides` name classes of `words`."""

    __slots__ = ("_asides", "_gate", "_gate_words", "_keywords", "_rules", "_slots", "_words")

    def __init__(self, rules: Sequence[Rule], words: Mapping[str, str], asides: Sequence[str]) -> None:
        self._rules = rules
        self._asides = frozenset(asides)
        wanted = {name for rule in rules for name in rule.pattern} | self._asides
        self._words = _words({name: words[name] for name in sorted(wanted)})
        self._keywords = Keywords([word.text for word in self._words])
        anchors = {rule.anchor for rule in rules}
        rare = [word for word in self._words if anchors & set(word.classes)]
        hidden = [Word(text, (kind,), False, False, False) for kind, text in _ciphers()]
        self._gate_words = (*rare, *hidden)
        self._gate = Keywords([word.text for word in self._gate_words])
        slots: dict[str, list[tuple[int, int]]] = {}
        for index, rule in enumerate(rules):
            for place in reversed(range(len(rule.pattern))):
                slots.setdefault(rule.pattern[place], []).append((index, place))
        self._slots = {name: sorted(places, key=lambda place: -place[1]) for name, places in slots.items()}

    def __repr__(self) -> str:
        return f"<Matcher {len(self._rules)} rules, {len(self._words)} words>"

    def look(self, text: str, *, loose: bool = False) -> set[str]:
        """What is worth a look in a folded text: `plain` when an anchor stands in it, `rot13`, `reversed`."""
        found: set[str] = set()
        for index, start, end in self._gate.hits(text):
            word = self._gate_words[index]
            if word.classes[0] in ("rot13", "reversed"):
                found.add(word.classes[0])
            elif "plain" not in found and stands(word, text, start, end, loose=loose):
                found.add("plain")
            if len(found) == 3:
                break
        return found

    def find(self, text: str, *, loose: bool = False) -> tuple[list[Match], Asides]:
        """All matches in a folded text, and the words that say how they are meant.

        Args:
            loose: longer words are also found inside runs of letters, as when spaces were lost.
        """
        matches: list[Match] = []
        asides = Asides()
        partial: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for index, start, end in self._keywords.hits(text):
            word = self._words[index]
            if not stands(word, text, start, end, loose=loose):
                continue
            for name in word.classes:
                if name in self._asides:
                    asides.add(name, end)
                for number, place in self._slots.get(name, ()):
                    began = start if place == 0 else self._extends(text, partial, number, place, start)
                    if began is None:
                        continue
                    if place == len(self._rules[number].pattern) - 1:
                        matches.append(Match(self._rules[number], began, end))
                        continue
                    kept = partial.setdefault((number, place), [])
                    kept.append((began, end))
                    if len(kept) > _PARTIALS:
                        del kept[0]
        return matches, asides

    def _extends(
        self, text: str, partial: Mapping[tuple[int, int], list[tuple[int, int]]], number: int, place: int, start: int
    ) -> int | None:
        """Where the unfinished match began that a word at `start` continues."""
        gap = self._rules[number].gaps[place - 1]
        for began, ended in reversed(partial.get((number, place - 1), ())):
            if ended <= start <= ended + gap and not _SENTENCE_END.search(text, ended, start):
                return began
        return None


def stands(word: Word, text: str, start: int, end: int, *, loose: bool) -> bool:
    """Does `word` stand in `text` from `start` to `end` as it must: alone, at the start of a line?"""
    if loose and len(word.text) >= _LOOSE:
        return True
    if word.bound_before and start and text[start - 1].isalnum():
        return False
    if word.bound_after and end < len(text) and text[end].isalnum():
        return False
    return not word.at_line_start or _LINE_START.search(text, max(0, start - 10), start) is not None


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
    )


def _ciphers() -> Iterator[tuple[str, str]]:
    for text in CIPHERS:
        yield "reversed", text[::-1]
        yield "rot13", text.translate(_ROT13)
