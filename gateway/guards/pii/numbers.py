"""Phone numbers in a text as it comes: where each region's matcher has got to, and what it may still find."""

from collections.abc import Sequence
from copy import copy

from gateway.guards.pii import phone
from gateway.guards.pii.phone import Looks, Region, Regions
from gateway.guards.pii.recognizers import Hit
from gateway.guards.pii.trail import Trail

_WHOLE = 20
"""Characters of a candidate of plain digits that no rule has cut: what is found in all of it, is found."""


class Numbers:
    """Looks for phone numbers from left to right, as `phonenumbers.PhoneNumberMatcher` does for each region.

    `reached` is where the next candidate may begin, `held` where the next number may.
    """

    __slots__ = ("_at", "_looks", "_regions", "held", "reached")

    def __init__(self, regions: Regions) -> None:
        self._regions = regions
        self._looks = Looks()
        self._at: dict[int, Sequence[Region]] = {0: regions.every}
        self.reached = 0
        self.held = 0

    def __copy__(self) -> "Numbers":
        other = Numbers(self._regions)
        other._at, other.reached, other.held = copy(self._at), self.reached, self.held
        return other

    def look(self, trail: Trail, *, asked: bool, closing: bool) -> list[Hit]:
        """The numbers that are sure now.

        Args:
            asked: whether there may be any number at all.

        Raises:
            ValueError: there are more digits than can be looked at.
        """
        text, base = trail.text, trail.base
        size = len(text)
        if closing and not asked:
            self.reached = self.held = size + base
            return []
        if len(self._at) == 1 and phone.FIRST.search(text, self.reached - base) is None:
            self._at = {size + base: self._at[self.reached]}
            self.reached = self.held = size + base
            return []
        lead = size if closing else phone.leading(text)
        sure = size if closing else size - phone.LOOK_AHEAD
        self._looks.looked_at = 0
        waiting = {place - base: of for place, of in self._at.items()}
        later: dict[int, Sequence[Region]] = {}
        hits: list[Hit] = []
        held = lead
        while waiting:
            index = min(waiting)
            of = waiting.pop(index)
            found = phone.candidate(text, index)
            while found and not waiting and found[1] < sure and phone.is_short(text, *found, self._regions):
                found = phone.candidate(text, found[1])
            if found is None:
                index = max(index, lead)
                later[index] = [*later.get(index, ()), *of]
                continue
            start, stop = found
            if waiting:
                for other in [other for other in waiting if other <= start]:
                    of = [*of, *waiting.pop(other)]
            undecided, labelled = (False, False) if closing else phone.goes_on(text, stop)
            if undecided:
                later[start] = [*later.get(start, ()), *of]
                if not labelled or phone.possible(text[start:stop], self._regions, of):
                    held = min(held, phone.begun(text, start, stop, self._looks, of))
                continue
            for region, (one, two) in self._numbers(text, start, stop, of) if asked else ():
                hits.append((one + base, two + base, phone.SCORE))
                waiting[two] = [*waiting.get(two, ()), region]
                of = [other for other in of if other is not region]
            if of:
                waiting[stop] = [*waiting[stop], *of] if stop in waiting else of
        self._at = {place + base: of for place, of in later.items()}
        self.reached = min(self._at)
        self.held = held + base
        return hits

    def _numbers(self, text: str, start: int, stop: int, of: Sequence[Region]) -> list[tuple[Region, tuple[int, int]]]:
        """What the matcher finds in a candidate, by region."""
        value = text[start:stop]
        found: list[tuple[Region, tuple[int, int]]] = []
        for region in phone.possible(value, self._regions, of):
            span = self._looks.at(text, start, stop, region.code, whole=True)
            if span is None:
                continue
            if span == (start, stop) and stop - start <= _WHOLE:
                return [(region, span)]  # all that other regions could find is inside it
            found.append((region, span))
        return found
