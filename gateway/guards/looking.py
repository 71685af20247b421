"""What the span guards of some policies say of one buffer."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from gateway.guards.base import Finding, SpanGuard
from gateway.guards.policy import Run, is_sound

Noted = tuple[Finding, Run]
"""A finding, and the record of the policy it belongs to."""


class Reader(NamedTuple):
    """A guard at work for a policy. `judge` does `find(text, path)` and `settled(text)` at once, where a guard can, and
    `judge_from` that for the part of a text that is not settled yet."""

    guard: SpanGuard
    run: Run
    judge: Callable[[str, str], tuple[list[Finding], int]] | None = None
    judge_from: Callable[[str, str, int], tuple[list[Finding], int]] | None = None


class Hits(NamedTuple):
    """What a reader found in a buffer, and up to where that is settled."""

    reader: Reader
    found: list[Finding]
    settled: int


def readers(runs: Iterable[Run]) -> list[Reader]:
    """The span guards of all these policies."""
    return [
        Reader(guard, run, getattr(guard, "judge", None), getattr(guard, "judge_from", None))
        for run in runs
        for guard in run.policy.spans
    ]


def look(
    readers: Sequence[Reader], buffer: str, path: str, *, closing: bool, since: int = 0
) -> tuple[list[Hits] | None, list[tuple[Reader, str]]]:
    """What every guard says of `buffer`, and those that failed, each with the class of what it raised.

    The first is None when no guard finds anything and everything is settled; a reader that is not in it has found
    nothing and is settled to the end. `closing`: nothing more comes, so everything is settled. What starts before
    `since` is settled already, and need not be found again.
    """
    end = len(buffer)
    hits: list[Hits] = []
    failed: list[tuple[Reader, str]] = []
    for reader in readers:
        guard = reader.guard
        try:
            if closing:
                found, settled = guard.find(buffer, path), end
            elif reader.judge_from is not None:
                found, settled = reader.judge_from(buffer, path, since)
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
