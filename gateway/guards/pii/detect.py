"""Finds personal data in one text: a gate that mostly says "nothing", then only the recognizers it did not rule out.

The answers are those of `AnalyzerEngine.analyze` with the same recognizers, context words and thresholds. They differ
in two places, on purpose: Presidio gives up on phone numbers, silently, after 65,535 attempts, and it has no limit to
the length of an e-mail address (see `islands.MAX_LOCAL`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gateway.guards.pii import context, islands, phone, recognizers, shapes
from gateway.guards.pii.defaults import KNOWN
from gateway.guards.pii.linear import Linear, LinearSet
from gateway.guards.pii.phone import Regions
from gateway.guards.pii.recognizers import OTHER_DIGITS, Hit, Recognizer

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
    domains: Linear | None

    def find(self, text: str) -> dict[str, list[Hit]]:
        """Entities and where they are; characters of `text`.

        Raises:
            TimeoutError, ValueError: the text could not be judged.
        """
        seen = shapes.folded(text, OTHER_DIGITS)
        hits = self.gate.hits(seen)
        if not hits:
            return {}
        asked = set(hits)
        found: dict[str, list[Hit]] = {}
        pieces: dict[str, islands.Pieces] = {}
        for index, one in enumerate(self.recognizers):
            if index not in asked or self.needs.get(index, index) not in asked:
                continue
            if one.cut == "email":
                raw = _emails(one, text)
            else:
                if one.cut not in pieces:
                    pieces[one.cut] = islands.cut(text, self._spans(one.cut, text, seen))
                cut = pieces[one.cut]
                raw = cut.back(one.hits(cut.text))
            if sure := _sure(text, raw, one.words, one.threshold):
                found[one.entity] = sure
        if self.phones and len(self.recognizers) in asked:
            raw = [(start, end, phone.SCORE) for start, end in phone.find(text, self.phones.regions)]
            raw = recognizers.undoubled(raw)
            if sure := _sure(text, raw, self.phones.words, self.phones.threshold):
                found["PHONE_NUMBER"] = sure
        return found

    def _spans(self, cut: str, text: str, seen: str) -> islands.Spans:
        if cut == "url" and self.domains:
            return islands.urls(text, self.domains.spans(seen))
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
    links = next((Linear(one.shape) for one in chosen if one.cut == "url"), None)
    if phones:
        patterns.append(phones.regions.gate())
    needs: dict[int, int] = {}
    for index, one in enumerate(chosen):
        if one.weak:
            needs[index] = len(patterns)
            patterns.append(_any_of(one.words))
    return Detector(chosen, phones, LinearSet(patterns), needs, links)


_PHONE = "PHONE_NUMBER"


def _any_of(phrases: Sequence[str]) -> str:
    """One of some context words; what stands between two of them may be anything that is no word."""
    words = dict.fromkeys(phrase.strip().split(" ")[0] for phrase in phrases)
    return f"(?i:{'|'.join(words)})"


def _emails(one: Recognizer, text: str) -> list[Hit]:
    """What `one`, the recognizer of e-mail addresses, finds, @ by @: no part of an address is part of a second."""
    hits: list[Hit] = []
    done = 0
    ((pattern, _),) = one.patterns
    for start, end in islands.emails(text):
        begin = max(start, done)
        for match in pattern.finditer(text, begin, end, timeout=recognizers.SECONDS):
            first, done = match.span()
            if one.presidio.validate_result(match[0]):
                at = text.find("@", first)
                # A name cut off at its longest is hidden from there, not from the next word in it.
                hits.append((begin if at - begin == islands.MAX_LOCAL else first, done, 1.0))
    return hits


def _sure(text: str, hits: list[Hit], words: Sequence[str], threshold: float) -> list[Hit]:
    """Those `hits` that are sure enough, with what the words before them add."""
    judged: list[Hit] = []
    for start, end, score in hits:
        if score < 1.0 and context.supports(text, start, words):
            score = context.raised(score)
        if score >= threshold:
            judged.append((start, end, score))
    return recognizers.undoubled(judged)
