"""Finds personal data in one text: a gate that mostly says "nothing", then only the recognizers it did not rule out.

The answers are those of `AnalyzerEngine.analyze` with the same recognizers, context words and thresholds. They differ
where Presidio's answer hangs on what stands any distance before, and where it has no limits, on purpose: in rows of
matches that overlap, or overlap a long one (`rows`), in runs of digits too long for a phone number (`phone.LONGEST`),
in names of machines and of mailboxes that are too long (`islands`), and in dates with hundreds of decimals. Presidio
also gives up on phone numbers, silently, after 65,535 attempts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from gateway.guards.linear import Linear, LinearSet
from gateway.guards.pii import context, islands, phone, recognizers, rows, shapes
from gateway.guards.pii.context import Behind
from gateway.guards.pii.defaults import KNOWN
from gateway.guards.pii.phone import Regions
from gateway.guards.pii.recognizers import OTHER_DIGITS, Recognizer
from gateway.guards.pii.rows import Hit, Span

EMAIL_SHAPE = "@"


@dataclass(frozen=True, slots=True)
class Phones:
    """The recognizer of phone numbers: regions, the least score, context words."""

    regions: Regions
    threshold: float
    words: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Detector:
    """Everything that is looked for. `recognizers` and, behind them, `phones` are what `gate` counts.

    `needs` holds, for each weak recognizer, which expression of the gate stands for its context words.
    """

    recognizers: tuple[Recognizer, ...]
    phones: Phones | None
    gate: LinearSet
    needs: Mapping[int, int]
    domains: Linear
    paths: Linear

    def find(self, text: str, since: int = 0, before_it: Behind = context.behind) -> dict[str, list[Hit]]:
        """Entities and where they are; characters of `text`. Not all that start before `since` need be among them.

        Raises:
            TimeoutError, ValueError: the text could not be judged.
        """
        hits = self.gate.hits(shapes.folded(text[since:], OTHER_DIGITS))
        if not hits:
            return {}
        asked = set(hits)
        if since and not self.needs.keys().isdisjoint(asked):
            asked.update(set(self.gate.hits(shapes.folded(text, OTHER_DIGITS))).intersection(self.needs.values()))
        found: dict[str, list[Hit]] = {}
        pieces: dict[str, islands.Pieces] = {}
        for index, one in enumerate(self.recognizers):
            if index not in asked or self.needs.get(index, index) not in asked:
                continue
            if one.cut == "email":
                raw = emails(one, text)
            else:
                if one.cut not in pieces:
                    pieces[one.cut] = islands.cut(text, self._spans(one.cut, text))
                cut = pieces[one.cut]
                raw = cut.back(one.hits(cut.text))
            if sure := _sure(text, raw, one.words, one.threshold, before_it):
                found[one.entity] = sure
        if self.phones and len(self.recognizers) in asked:
            raw = [(start, end, phone.SCORE) for start, end in phone.find(text, self.phones.regions, since)]
            raw = recognizers.undoubled(raw)
            if sure := _sure(text, raw, self.phones.words, self.phones.threshold, before_it):
                found["PHONE_NUMBER"] = sure
        return found

    def _spans(self, cut: str, text: str) -> islands.Spans:
        if cut == "url":
            return islands.urls(text, self.domains.spans(shapes.folded(text, OTHER_DIGITS)), self.paths)
        return islands.CUTS[cut](text)


def detector(scores: Mapping[str, float | None], regions: Sequence[str]) -> Detector:
    """A detector of the entities named in `scores`, each with its least score (None: the default).

    Raises:
        ValueError: one of `regions` is not to be had.
    """
    chosen = tuple(recognizers.recognizer(name, scores[name]) for name in KNOWN if name in scores and name != _PHONE)
    phones = None
    if _PHONE in scores:
        score = scores[_PHONE]
        words = context.phrases(recognizers.presidio(_PHONE).context)
        known = phone.regions(regions)
        phones = Phones(known, KNOWN[_PHONE].score if score is None else score, words)
    patterns = [EMAIL_SHAPE if one.cut == "email" else one.shape for one in chosen]
    links = next((one.shape for one in chosen if one.cut == "url"), r"[^\x00-\x{10FFFF}]")
    if phones:
        patterns.append(phones.regions.gate())
    needs: dict[int, int] = {}
    for index, one in enumerate(chosen):
        if one.weak:
            needs[index] = len(patterns)
            patterns.append(_any_of(one.words))
    return Detector(chosen, phones, LinearSet(patterns), needs, Linear(links), Linear(f"{links}/"))


_PHONE = "PHONE_NUMBER"
_FEW = 2
"""Up to so many findings, the words before each are looked through without asking first whether any word is there."""


def _any_of(phrases: Sequence[str]) -> str:
    """One of some context words; what stands between two of them may be anything that is no word."""
    words = dict.fromkeys(phrase.strip().split(" ")[0] for phrase in phrases)
    return f"(?i:{'|'.join(words)})"


def addresses(one: Recognizer, text: str, start: int = 0, end: int | None = None) -> list[Span]:
    """What `one`, the recognizer of e-mail addresses, matches around each @ from `start` to before `end`."""
    search = one.patterns[0].expression.search
    around = islands.emails(text, start, len(text) if end is None else end)
    found = (search(text, first, last, timeout=recognizers.SECONDS) for first, last in around)
    return [match.span() for match in found if match]


def emails(one: Recognizer, text: str) -> list[Hit]:
    """The e-mail addresses that `one` finds: no part of an address is part of a second, but see `rows`."""
    pattern = one.patterns[0]

    def rest(span: Span, done: int) -> Span | None:
        match = pattern.expression.search(text, done, span[1], timeout=recognizers.SECONDS)
        return match.span() if match else None

    hits: list[Hit] = []
    done = 0
    for start, end, score in rows.picked(addresses(one, text), partial(one.judged, text, pattern), rest):
        # A name cut off at its longest is hidden from there, not from the next word in it.
        first = islands.cut_off(text, start)
        hits.append((first if first >= done else start, end, score))
        done = end
    return hits


def _sure(text: str, hits: list[Hit], words: Sequence[str], threshold: float, before_it: Behind) -> list[Hit]:
    """Those `hits` that are sure enough, with what the words before them add."""
    judged: list[Hit] = []
    if len(hits) > _FEW and not context.mentioned(text.lower(), words):
        words = ()
    for start, end, score in hits:
        if words and score < 1.0 and context.supports(text, start, words, before_it):
            score = context.raised(score)
        if score >= threshold:
            judged.append((start, end, score))
    return recognizers.undoubled(judged)
