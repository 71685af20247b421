"""What is looked for, and a gate that mostly says "nothing"; then only the recognizers it did not rule out look.

The answers are those of `AnalyzerEngine.analyze` with the same recognizers, context words and thresholds. They differ
only where Presidio has no limits, on purpose: in names of machines and of mailboxes longer than the RFCs allow
(`islands`), in dates with more than `recognizers.MOST` decimals or IPv6 zones of more characters, and in extensions of
phone numbers behind more than `phone.MOST_BLANKS` blanks. Presidio also gives up on phone numbers, silently, after
65,535 attempts, and raises on digits that Python does not know.
"""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import get_args

from gateway.guards.linear import Linear, LinearSet
from gateway.guards.pii import context, phone, recognizers, seekers
from gateway.guards.pii.defaults import KNOWN, Cut
from gateway.guards.pii.links import Links
from gateway.guards.pii.numbers import Numbers
from gateway.guards.pii.phone import Regions
from gateway.guards.pii.recognizers import Hit, Recognizer, Undoubled
from gateway.guards.pii.trail import Trail

EMAIL_SHAPE = "@"
PHONE, URL = "PHONE_NUMBER", "URL"
_FEW = 2
"""Up to so many findings, the words before each are looked through without asking first whether any word is there."""

Entity = tuple[str, int, int, float]
"""An entity, start and end of a place, and how sure that is."""


@dataclass(frozen=True, slots=True)
class Sought:
    """One entity: the least score of a finding, and the context words that raise one."""

    entity: str
    threshold: float
    words: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Detector:
    """Everything that is looked for. `recognizers` and, behind them, `phones` are what `gate` counts.

    `needs` holds, for each weak recognizer, which expression of the gate stands for its context words.
    """

    recognizers: tuple[Recognizer, ...]
    phones: Sought | None
    regions: Regions | None
    gate: LinearSet
    needs: Mapping[int, int]
    undecided: Mapping[Cut, seekers.Undecided] = field(repr=False)
    domains: Linear

    def asked(self, part: str, whole: str) -> set[int]:
        """Which recognizers may find anything in a `part` of a text; both as `shapes.folded` makes them."""
        asked = set(self.gate.hits(part))
        if weak := self.needs.keys() & asked:
            words = asked if len(part) == len(whole) else self.gate.hits(whole)
            asked -= {one for one in weak if self.needs[one] not in words}
        return asked

    def find(self, text: str) -> dict[str, list[Hit]]:
        """Entities and where they are in the whole `text`.

        Raises:
            TimeoutError, ValueError: the text could not be judged.
        """
        trail = Trail()
        trail.add(text)
        found: dict[str, list[Hit]] = {}
        for entity, start, end, score in Seeking(self).look(trail, closing=True):
            found.setdefault(entity, []).append((start, end, score))
        return found


class Sieve:
    """Of the matches of one entity, those that are sure enough, with what the words before them add."""

    __slots__ = ("_first", "_last", "_pending", "_sought")

    def __init__(self, sought: Sought) -> None:
        self._sought = sought
        self._pending: list[Hit] = []
        self._first = Undoubled()
        self._last = Undoubled()

    def __copy__(self) -> "Sieve":
        other = Sieve(self._sought)
        other._pending, other._first, other._last = copy(self._pending), copy(self._first), copy(self._last)
        return other

    def put(self, hit: Hit) -> None:
        """A match that is sure to be one."""
        self._pending.append(hit)

    def take(self, trail: Trail, upto: int) -> list[Entity]:
        """What is found before the place `upto`, where no more matches will begin before."""
        ready = self._pending
        if not ready:
            return []
        if upto < trail.size:
            ready = [hit for hit in ready if hit[0] < upto]
            self._pending = [hit for hit in self._pending if hit[0] >= upto]
        else:
            self._pending = []
        hits = self._first.of(ready)
        entity = self._sought.entity
        return [(entity, *hit) for hit in self._last.of(self.sure(trail, hits))]

    def sure(self, trail: Trail, hits: Sequence[Hit]) -> list[Hit]:
        """Those of `hits` that are sure enough."""
        words = self._sought.words
        if len(hits) > _FEW and not trail.mentions((hit[0] for hit in hits), words):
            words = ()
        judged: list[Hit] = []
        for start, end, score in hits:
            if words and score < 1.0 and trail.supports(start, words):
                score = context.raised(score)
            if score >= self._sought.threshold:
                judged.append((start, end, score))
        return judged


Seeker = seekers.Patterned | seekers.Addresses | Links


class Seeking:
    """All that looks for something in one view of a text as it comes.

    `held` is the place before which nothing can change. `needs` is where text begins that will be looked at again.
    """

    __slots__ = ("_detector", "_links", "_numbers", "_seekers", "_sieves", "held", "needs", "reached")

    def __init__(self, detector: Detector, remember: int = 0, *, empty: bool = False) -> None:
        self._detector = detector
        self.held = self.needs = self.reached = 0
        self._seekers: list[Seeker] = []
        self._sieves: dict[str, Sieve] = {}
        self._links: Links | None = None
        self._numbers: Numbers | None = None
        if empty:
            return
        chosen = list(enumerate(detector.recognizers))
        for cut, undecided in detector.undecided.items():
            mine = [one for one in chosen if one[1].cut == cut]
            self._seekers.append(seekers.Patterned(cut, mine, undecided))
        for index, one in chosen:
            if one.cut == "email":
                self._seekers.append(seekers.Addresses(one))
            elif one.cut == "url":
                self._links = Links(index, one, detector.domains, remember)
                self._seekers.append(self._links)
        if detector.phones is not None and detector.regions is not None:
            self._numbers = Numbers(detector.regions)

    def __copy__(self) -> "Seeking":
        other = Seeking(self._detector, empty=True)
        other.held, other.needs, other.reached = self.held, self.needs, self.reached
        other._seekers = [copy(one) for one in self._seekers]
        other._links = next((one for one in other._seekers if isinstance(one, Links)), None)
        other._numbers = copy(self._numbers)
        other._sieves = {entity: copy(one) for entity, one in self._sieves.items()}
        return other

    def look(self, trail: Trail, *, closing: bool, asked: set[int] | None = None) -> list[Entity]:
        """What is sure now and was not before, at its places in the trail.

        Args:
            asked: which recognizers may find anything, when that is known.

        Raises:
            TimeoutError, ValueError: the text could not be judged.
        """
        if asked is None:
            asked = self._detector.asked(trail.folded[max(self.reached - trail.base, 0) :], trail.folded)
        found: list[Entity] = []
        held = reached = trail.size
        for one in self._seekers:
            if hits := one.look(trail, asked, closing=closing):
                sieves = {id(sieve := self._sieve(recognizer)): sieve for recognizer, _ in hits}
                for recognizer, hit in hits:
                    self._sieves[recognizer.entity].put(hit)
                if one is not self._links:
                    for sieve in sieves.values():
                        found += sieve.take(trail, trail.size)
            held = min(held, one.held)
            reached = min(reached, one.reached)
        if self._numbers is not None:
            numbers = self._numbers
            for hit in numbers.look(trail, asked=len(self._detector.recognizers) in asked, closing=closing):
                self._sieve(self._detector.phones).put(hit)
            if PHONE in self._sieves:
                found += self._sieves[PHONE].take(trail, numbers.held)
            held = min(held, numbers.held)
            reached = min(reached, numbers.reached)
        if self._links is not None:
            if URL in self._sieves:
                found += self._sieves[URL].take(trail, self._links.held)
            self.needs = min(reached, self._links.needs)
        else:
            self.needs = reached
        self.held, self.reached = held, reached
        return found

    def growing(self, trail: Trail) -> list[Entity]:
        """The links that go on at the end of the text, as they are now."""
        if self._links is None or not (hits := self._links.growing()):
            return []
        return [(URL, *hit) for hit in Undoubled().of(self._sieve(self._links.one).sure(trail, hits))]

    def _sieve(self, sought: Recognizer | Sought | None) -> Sieve:
        """The sieve of an entity, made when there is something to be put in."""
        if sought is None:
            raise ValueError("is not looked for")
        if (found := self._sieves.get(sought.entity)) is None:
            found = self._sieves[sought.entity] = Sieve(Sought(sought.entity, sought.threshold, sought.words))
        return found


def detector(scores: Mapping[str, float | None], regions: Sequence[str]) -> Detector:
    """A detector of the entities named in `scores`, each with its least score (None: the default).

    Raises:
        ValueError: one of `regions` is not to be had.
    """
    chosen = tuple(recognizers.recognizer(name, scores[name]) for name in KNOWN if name in scores and name != PHONE)
    phones, known = None, None
    if PHONE in scores:
        score = scores[PHONE]
        words = context.phrases(recognizers.presidio(PHONE).context)
        known = phone.regions(regions)
        phones = Sought(PHONE, KNOWN[PHONE].score if score is None else score, words)
    patterns = [EMAIL_SHAPE if one.cut == "email" else one.shape for one in chosen]
    links = next((one.shape for one in chosen if one.cut == "url"), r"[^\x00-\x{10FFFF}]")
    if known:
        patterns.append(known.gate())
    needs: dict[int, int] = {}
    for index, one in enumerate(chosen):
        if one.weak:
            needs[index] = len(patterns)
            patterns.append(_any_of(one.words))
    return Detector(chosen, phones, known, LinearSet(patterns), needs, _undecided(chosen), Linear(links))


def _undecided(chosen: Sequence[Recognizer]) -> dict[Cut, seekers.Undecided]:
    """By cut: what may be under way at the end of a text."""
    found: dict[Cut, seekers.Undecided] = {}
    for cut in get_args(Cut):
        if cut in ("token", "digits", "iban") and (mine := [one for one in chosen if one.cut == cut]):
            found[cut] = seekers.open_iban(mine[0]) if cut == "iban" else seekers.open_piece(cut, mine)
    return found


def _any_of(phrases: Sequence[str]) -> str:
    """One of some context words; what stands between two of them may be anything that is no word."""
    words = dict.fromkeys(phrase.strip().split(" ")[0] for phrase in phrases)
    return f"(?i:{'|'.join(words)})"
