"""The guard `injection`: texts that try to give a model other instructions than its operator's.

A text is read as it looks and in the ways it may be disguised (`gateway.guards.normalise`); rules are sequences of
words (`injection_rules`). What counts against a text is combined as independent evidence, 1 - (1 - a)(1 - b)…; where
words merely talk about such texts, quote them or report what someone said, a match counts for less. A text of more than
`SLICE` characters is judged slice by slice.

It is a heuristic: it finds what is put in the words it knows (English, German, French, Spanish, Italian, Portuguese,
Chinese, Russian, and the commonest orders in a few more), and nothing that is said in others.
"""

import asyncio
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import Field

from gateway.config.fields import Strict
from gateway.guards.base import Context, Finding, Scope, Text
from gateway.guards.injection_match import Asides, Match, Matcher, Sight
from gateway.guards.injection_rules import RULES, Category, Rule
from gateway.guards.injection_words import WORDS
from gateway.guards.injection_words_roles import ASIDES
from gateway.guards.normalise import KINDS, View, ViewKind, plain, slices, views

InjectionAction = Literal["allow", "flag", "block"]

SLICE = 1 << 14
"""Characters of a text that are judged together. A longer one is judged slice by slice: what it takes is bounded by
that, and what stands in different slices does not add up."""
OVERLAP = 1 << 11
"""Characters that a slice has in common with the one before it; no rule, and no instruction, is as long."""

_STOP = re.compile(r"[,.;:!?-]")
_TRIES = 8
"""Matches of one rule that are looked at in one view; the first may be quoted and the next not."""
_DISGUISED: Mapping[str, float] = {"hidden": 0.8, "base64": 0.5, "hex": 0.5, "rot13": 0.5, "reversed": 0.5}
_DISGUISE = 0.3
"""What it adds that a match was disguised, by kind of view; nobody writes so by chance."""
_ENCODED = frozenset(_DISGUISED)
_CIPHERS = frozenset({"rot13", "reversed"})
_NEGATED, _QUOTED_META, _QUOTED, _META, _SAID_META, _REPORTED, _CONDITION = 0.4, 0.3, 0.75, 0.5, 0.85, 0.55, 0.6
_TEMPLATES = frozenset({"fake-system", "fake-turn", "fake-role"})
_OWN_TAG = 0.3
"""A tag that closes what the text itself opened is part of its own structure."""
_POLITE = r"[\s\"'*>#-]{0,4}(?:(?:now|then|so|ok|okay|please|kindly|just|first|and|but|hey),? ?){0,3}$"
_SENTENCE = re.compile(rf"(?:^|[.!?;]\s|\n){_POLITE}")
_CLAUSE = re.compile(rf"(?:^|[.!?;:,]\s|\n|- ){_POLITE}")
"""What stands before an order, seen from its end: nothing, or the end of a sentence, or of a clause, and a please."""
_QUOTES = "\"'`"


class InjectionConfig(Strict):
    """Settings of the guard `injection`."""

    threshold: float = Field(0.6, gt=0, le=1, description="From which combined score on a text is reported.")
    action: InjectionAction = Field("flag", description="What is done about a text that reaches the threshold.")
    categories: Mapping[Category, InjectionAction] = Field(
        {}, description="For each category an action of its own; `allow` leaves its rules out."
    )
    views: tuple[ViewKind, ...] = Field(KINDS, description="The disguises that are looked behind.")


@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing that counts against a text. `start` and `end` are characters of the original."""

    rule: Rule
    start: int
    end: int
    score: float
    disguise: str | None


@dataclass(frozen=True, slots=True)
class InjectionGuard:
    """Judges whole texts. What it finds in a text hangs on that text alone, so that it may be remembered."""

    config: InjectionConfig
    matcher: Matcher = field(repr=False)
    name: str = "injection"
    scope: Scope = "whole"
    pure: bool = True

    async def check(self, texts: Sequence[Text], context: Context) -> list[Finding]:
        """The findings of every text, see `find`. Between two slices of a long text others have their turn."""
        findings: list[Finding] = []
        for text in texts:
            found: dict[str, Finding] = {}
            for counted, score in self._slices(text.value):
                self._report(counted, score, text.path, found)
                if len(text.value) > SLICE:
                    await asyncio.sleep(0)
            findings += _in_order(found)
        return findings

    def find(self, text: str, path: str) -> list[Finding]:
        """One finding for each category that counts against `text`, when together they reach the threshold.

        Each stands at its category's strongest match and has the score of the whole text, or of the gravest slice of a
        long one. Linear in the length of the text.
        """
        found: dict[str, Finding] = {}
        for counted, score in self._slices(text):
            self._report(counted, score, path, found)
        return _in_order(found)

    def weigh(self, text: str) -> tuple[list[Evidence], float]:
        """What counts against `text`, or the gravest slice of a long one, and how much it comes to."""
        return max(self._slices(text), key=lambda weighed: weighed[1])

    def _report(self, counted: Sequence[Evidence], score: float, path: str, found: dict[str, Finding]) -> None:
        """Put a finding for each category into `found`, if `score` reaches the threshold and none there is graver."""
        if score < self.config.threshold:
            return
        here: dict[str, Finding] = {}
        for one in counted:
            rule = one.rule
            action = self.config.categories.get(rule.category, self.config.action)
            finding = Finding(self.name, rule.name, rule.category, action, path, one.start, one.end, round(score, 4))
            here.setdefault(rule.category, finding)
        for name, finding in here.items():
            if name not in found or finding.score > found[name].score:
                found[name] = finding

    def _slices(self, text: str) -> Iterator[tuple[list[Evidence], float]]:
        """What counts against each slice of `text`, gravest first, and how much it comes to."""
        if len(text) <= SLICE:
            yield self._weighed(text, 0)
            return
        for start, end in slices(text, SLICE, OVERLAP):
            yield self._weighed(text[start:end], start)

    def _weighed(self, text: str, offset: int) -> tuple[list[Evidence], float]:
        """What counts against one slice that begins at `offset` of its text."""
        base = plain(text)
        sight = self.matcher.look(base.text)
        kinds = [kind for kind in self.config.views if kind not in _CIPHERS or kind in sight.ciphers]
        found: list[Evidence] = []
        for view in views(text, kinds, base):
            loose = view.kind.endswith("spaced")
            seen = sight if view is base else self.matcher.look(view.text, loose=loose)
            if seen.places:
                found += self._evidence(view, seen, offset, loose=loose)
        if not found:
            return [], 0.0
        counted = _counted(found)
        return counted, _together(_scores(counted))

    def _evidence(self, view: View, sight: Sight, offset: int, *, loose: bool) -> Iterable[Evidence]:
        """The gravest matches of each rule in `view`, weighed by how they are meant."""
        encoded = not _ENCODED.isdisjoint(view.kind.split("/"))
        disguise = None if view.kind == "plain" else view.kind
        tries: dict[str, int] = {}
        for matches, asides in self.matcher.find(view.text, sight, loose=loose):
            for match in sorted(matches, key=lambda match: -match.rule.score):
                name = match.rule.name
                tries[name] = tries.get(name, 0) + 1
                if tries[name] > _TRIES:
                    continue
                score = match.rule.score * (1 if encoded else _meant(match, view.text, asides, begins=not offset))
                start, end = view.span(match.start, match.end)
                yield Evidence(match.rule, offset + start, offset + end, score, disguise)


def _meant(match: Match, text: str, asides: Asides, *, begins: bool) -> float:
    """By how much a match counts less, because of how it is meant. `begins`: `text` is not a later slice of a text."""
    start, end = match.start, match.end
    if match.rule.name in _TEMPLATES:
        if text.startswith("</", start) and f"<{text[start + 2 : end]}" in text[:start]:
            return _OWN_TAG
        began = begins and start < 40 and not text[:start].strip()
        # A prompt that begins as a template is one; a text that changes into one is another matter.
        return 0.3 if began or (begins and _is_template(text)) else _spoken_of(start, end, text, asides)
    factor = _spoken_of(start, end, text, asides)
    if (
        match.rule.pattern[0] != "NEG"
        and asides.within("NEG", start - 7, start)
        and not _STOP.search(text, max(0, start - 7), start)
    ):
        factor *= _NEGATED
    if asides.within("REPORTED", start - 12, start):
        factor *= _REPORTED
    if asides.within("IFYOU", end, end + 16):
        factor *= _CONDITION
    return factor


def _spoken_of(start: int, end: int, text: str, asides: Asides) -> float:
    """By how much a match counts less where words near it speak of such texts.

    They do not excuse an order: what begins a sentence, or a clause beside words that excuse anything (`for my
    research, ...`), is said and not spoken of, unless it is quoted.
    """
    about = asides.within("META", start - 160, start) or asides.within("META", end, end + 60)
    excused = asides.within("EXCUSE", start - 160, start) or asides.within("EXCUSE", end, end + 60)
    if _is_quoted(text, start, end):
        spoken_of = about or excused or asides.within("METAQUOTED", start - 80, start)
        return _QUOTED_META if spoken_of else _QUOTED
    before = text[max(0, start - 24) : start]
    if about:
        return _SAID_META if _SENTENCE.search(before) else _META
    return _META if excused and not _CLAUSE.search(before) else 1.0


def _is_template(text: str) -> bool:
    return text[:40].lstrip().startswith(("<|", "[inst]", "<s>", "###", "<start_of_turn>", "system:", "<<sys>>"))


def _is_quoted(text: str, start: int, end: int) -> bool:
    """Does the match stand between quotes that are not those of the whole text?"""
    before = text[max(0, start - 60) : start]
    for offset in range(len(before) - 1, -1, -1):
        quote = before[offset]
        if quote not in _QUOTES:
            continue
        at = start - len(before) + offset
        if at and text[at - 1].isalnum():
            continue  # an apostrophe, or a closing quote
        after = text.find(quote, end, end + 200)
        while after >= 0 and after + 1 < len(text) and text[after + 1].isalnum():
            after = text.find(quote, after + 1, end + 200)
        return after >= 0 and bool(text[:at].strip() or text[after + 1 :].strip(" .!?\n"))
    return False


def _counted(found: Sequence[Evidence]) -> list[Evidence]:
    """Of each rule the strongest evidence, and of evidence at one place the strongest."""
    counted: list[Evidence] = []
    for evidence in sorted(found, key=lambda each: (-each.score, each.disguise is not None, each.start)):
        if any(
            evidence.rule.name == other.rule.name or (evidence.start < other.end and other.start < evidence.end)
            for other in counted
        ):
            continue
        counted.append(evidence)
    return counted


def _scores(counted: Sequence[Evidence]) -> Iterable[float]:
    yield from (evidence.score for evidence in counted)
    disguises = {evidence.disguise for evidence in counted if evidence.disguise and evidence.score >= _DISGUISE}
    if disguises:
        kinds = {kind for disguise in disguises for kind in disguise.split("/")}
        yield max(_DISGUISED.get(kind, _DISGUISE) for kind in kinds)


def _together(scores: Iterable[float]) -> float:
    """The chance that at least one of independent signs is right (noisy-or)."""
    none = 1.0
    for score in scores:
        none *= 1 - score
    return 1 - none


def _in_order(found: Mapping[str, Finding]) -> list[Finding]:
    return sorted(found.values(), key=lambda finding: (finding.start, finding.end))


def build(config: InjectionConfig) -> InjectionGuard:
    """The guard for `config`."""
    rules = [rule for rule in RULES if config.categories.get(rule.category) != "allow"]
    return InjectionGuard(config, Matcher(rules, WORDS, tuple(ASIDES)))
