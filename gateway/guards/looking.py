"""What the span guards of some policies say of one buffer."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from gateway.guards.base import Finding, Reading, SpanGuard
from gateway.guards.policy import Run, is_sound

Noted = tuple[Finding, Run]
"""A finding, and the record of the policy it belongs to."""


class Reader(NamedTuple):
    """A guard at work for a policy, on one text. `judge` does `find(text, path)` and `settled(text)` at once, where a
    guard can, and `judge_from` leaves out what is settled; `reading` is there when the guard is `Remembering`, and is
    asked instead."""

    guard: SpanGuard
    run: Run
    judge: Callable[[str, str], tuple[list[Finding], int]] | None = None
    judge_from: Callable[[str, str, int], tuple[list[Finding], int]] | None = None
    reading: Reading | None = None


class Fresh(NamedTuple):
    """What readings have not been shown: the `text` at the end of a buffer that begins at `base` of the whole text, of
    which what starts before `since` of the buffer is settled. After the place `cut` of the whole text, `missing`
    characters are not in the buffer."""

    text: str
    base: int
    since: int
    cut: int
    missing: int

    def read(self, reading: Reading, path: str, *, closing: bool) -> tuple[list[Finding], int]:
        """What `reading` says, at places of the buffer."""
        found, settled = reading.more(self.text, path, self.base + self.since, closing=closing)
        if not self.missing:
            base = self.base
            return [_at(one, one.start - base, one.end - base) for one in found] if base else found, settled - base
        there = [one for one in found if not self._is_missing(one.start) and not self._is_missing(one.end - 1)]
        return [_at(one, self._place(one.start), self._place(one.end)) for one in there], self._place(settled)

    def _is_missing(self, place: int) -> bool:
        return self.cut <= place < self.cut + self.missing

    def _place(self, place: int) -> int:
        return (min(place, self.cut) if place < self.cut + self.missing else place - self.missing) - self.base


def _at(one: Finding, start: int, end: int) -> Finding:
    return Finding(one.guard, one.rule, one.category, one.action, one.path, start, end, one.score)


class Hits(NamedTuple):
    """What a reader found in a buffer, and up to where that is settled."""

    reader: Reader
    found: list[Finding]
    settled: int


def readers(runs: Iterable[Run]) -> list[Reader]:
    """The span guards of all these policies."""
    return [
        Reader(
            guard,
            run,
            getattr(guard, "judge", None),
            getattr(guard, "judge_from", None),
            read() if (read := getattr(guard, "reading", None)) else None,
        )
        for run in runs
        for guard in run.policy.spans
    ]


def look(
    readers: Sequence[Reader], buffer: str, path: str, fresh: Fresh, *, closing: bool
) -> tuple[list[Hits] | None, list[tuple[Reader, str]]]:
    """What every guard says of `buffer`, and those that failed, each with the class of what it raised.

    The first is None when no guard finds anything and everything is settled; a reader that is not in it has found
    nothing and is settled to the end. `closing`: nothing more comes, so everything is settled.
    """
    end = len(buffer)
    hits: list[Hits] = []
    failed: list[tuple[Reader, str]] = []
    for reader in readers:
        guard = reader.guard
        try:
            if reader.reading is not None:
                found, settled = fresh.read(reader.reading, path, closing=closing)
            elif closing:
                found, settled = guard.find(buffer, path), end
            elif reader.judge_from is not None:
                found, settled = reader.judge_from(buffer, path, fresh.since)
            elif reader.judge is not None:
                found, settled = reader.judge(buffer, path)
            else:
                found, settled = guard.find(buffer, path), guard.settled(buffer)
            if found or settled != end or type(found) is not list:
                if is_sound(found, path, end) and type(settled) is int and 0 <= settled <= end:
                    hits.append(Hits(reader, found, settled))
                else:
                    failed.append((reader, "nonsense"))
        except Exception as error:  # the verdict tells it, and on_error says what follows
            failed.append((reader, type(error).__name__))
    return hits or None, failed


def needed(hits: Sequence[Hits], start: int) -> int:
    """`start`, or the front of the findings that reach over it: a finding is not looked at without its front."""
    for one in hits:
        for hit in one.found:
            if hit.start < start < hit.end:
                start = hit.start
    return start
