"""Candidates that do not end: a key block without its last line, a token of a million characters.

A candidate as long as all that may be held is treated as a match (policies.md §4). Where its guard reports it already,
as a finding that reaches to the end of what has come, it is what the guard says: blocked, or done away with to its end,
wherever that is. Until then its middle is dropped as it comes: its beginning and its last part are kept, which is all a
guard needs that looks for an end. Where its guard reports nothing yet, nobody knows what it is, and it is blocked.
"""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import NamedTuple

from gateway.guards.base import SEVERITY, Finding
from gateway.guards.looking import Hits, Noted, Reader
from gateway.guards.merge import CHANGES

UNFINISHED = "unfinished"


class Place(NamedTuple):
    """Where a window stands: its buffer begins at `base` of the whole text (dropped parts left out), what is held
    begins at `sent` and ends at `end` of the buffer, and a match that begins here is cut at `cut` of the whole text."""

    path: str
    base: int
    sent: int
    end: int
    cut: int


class Swallowed:
    """A match whose middle has been dropped. Places count from the start of the whole text, dropped parts left out.

    Args:
        holder: the guard that waits for its end, and that decides where it is.
        opening: where the holder's candidate starts.
        finding: what is done about it; it starts where held text starts.
        cut: where characters are missing.
    """

    __slots__ = ("_middle", "cut", "finding", "holder", "opening", "skipped")

    def __init__(self, holder: Reader, opening: int, finding: Finding, cut: int) -> None:
        self.holder = holder
        self.opening = opening
        self.finding = finding
        self.cut = cut
        self.skipped = 0
        self._middle = blake2b(digest_size=16)

    def drop(self, buffer: str, base: int, count: int) -> str:
        """`buffer` without the `count` characters after the cut."""
        cut = self.cut - base
        gone = buffer[cut : cut + count]
        self._middle.update(gone.encode("utf-8", "surrogatepass"))
        self.skipped += len(gone)
        return buffer[:cut] + buffer[cut + count :]

    def resolved(self, hits: Sequence[Hits], base: int, end: int) -> int | None:
        """Where in the buffer, which ends at `end`, the match ends, when that is settled.

        A holder that is not among the `hits` has nothing more to say: it is settled to the end.
        """
        opening = self.opening - base
        for reader, found, settled in hits:
            if reader is self.holder:
                if settled <= opening:
                    return None
                end = next((hit.end for hit in found if hit.start == opening), settled)
        return max(end, self.cut - base)

    def hides(self, reader: Reader, hit: Finding, base: int) -> bool:
        """Whether a finding is the holder's own about this match, or one that reaches over what is missing."""
        own = reader is self.holder and hit.start == self.opening - base
        return own or hit.start < self.cut - base < hit.end

    def worsen(self, hits: Sequence[Hits], base: int) -> Noted | None:
        """Take the action of a graver finding inside the match; one that blocks is given back instead."""
        for one in hits:
            for hit in one.found:
                if hit.start < self.opening - base or self.hides(one.reader, hit, base):
                    continue
                if hit.action == "block":
                    return hit, one.reader.run
                if SEVERITY[hit.action] > SEVERITY[self.finding.action]:
                    self.finding = replace(hit, start=self.finding.start)
        return None

    def value(self, buffer: str, start: int, end: int, base: int) -> str:
        """What stands for the whole value where values are compared: its beginning, the middle's digest, its end."""
        cut = self.cut - base
        return f"{buffer[start:cut]}\0{self._middle.hexdigest()}\0{buffer[cut:end]}"


def lifted(hits: Sequence[Hits], end: int) -> list[Hits]:
    """`hits`, but what holds a match that is only told, and reaches `end`, does not hold it."""
    return [
        one._replace(settled=end) if (growing := _growing(one, end)) and growing.action not in CHANGES else one
        for one in hits
    ]


def decide(swallowed: Swallowed | None, hits: Sequence[Hits], holder: Hits, place: Place) -> Swallowed | Noted:
    """What becomes of a candidate that is as long as all that may be held: it is swallowed, or it blocks.

    Args:
        swallowed: the match that is being swallowed already.
        hits: what guards say of the buffer; none of it holds what it only tells (`lifted`).
        holder: the one of `hits` that waits.
    """
    if swallowed is not None:
        stopper = swallowed.worsen(hits, place.base)
        if stopper is None and swallowed.holder is holder.reader:
            return swallowed
        return stopper or _unfinished(holder, place)
    growing = _growing(holder, place.end)
    if growing is None or growing.start < place.sent:
        return _unfinished(holder, place)
    pending = [(hit, one.reader.run) for one in hits for hit in one.found if hit.start >= place.sent]
    gravest, run = max(pending, key=lambda one: (SEVERITY[one[0].action], one[0].end - one[0].start, -one[0].start))
    if gravest.action == "block":
        return gravest, run
    finding = replace(gravest, start=place.base + place.sent)
    return Swallowed(holder.reader, place.base + holder.settled, finding, place.cut)


def _unfinished(holder: Hits, place: Place) -> Noted:
    """The finding about a candidate that nobody knows."""
    name = holder.reader.guard.name
    found = Finding(name, UNFINISHED, UNFINISHED, "block", place.path, place.sent, place.end)
    return found, holder.reader.run


def _growing(holder: Hits, end: int) -> Finding | None:
    """The finding that begins where its guard is not settled, and reaches `end`."""
    return next((hit for hit in holder.found if hit.start == holder.settled and hit.end == end), None)
