"""Matches that overlap one another: which of them count, whatever stands far to the left.

Presidio looks for a pattern from left to right and goes on behind each match. So in `4111 1111 1111 1111 1111 1111 …`
which four groups are one number hangs on where the row begins, however far that is, and a stream would have to hold the
whole row. Therefore: matches that overlap, one after the other, over no more than `ROW` characters are taken as
Presidio takes them, the first one first. Over more than that they are a row, and in a row only the sure ones (those
whose checksum is right) are taken so; where these overlap over more than `ROW` characters too, each of them counts up
to where the next one begins. What counts at one place is then decided by the `CONTEXT` characters before it.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

Span = tuple[int, int]
Hit = tuple[int, int, float]
"""Start, end and score of what one pattern matched."""

CONTEXT = 136
"""Characters before an index that decide, with what follows, what starts there."""
ROW = 60
"""Characters over which matches may overlap before they are a row."""
LONGEST = 72
"""Characters of a match that may be part of a row; a longer one stands for itself. With `ROW` less than `CONTEXT`, so
that a row is known for one from any place in it."""


def picked(
    spans: Sequence[Span],
    judge: Callable[[Span], Hit | None],
    rest: Callable[[Span, int], Span | None] | None = None,
) -> list[Hit]:
    """What counts of all the matches `spans` of one pattern, one for each place where one begins, in order.

    Args:
        judge: the finding a match is; None when it is none.
        rest: the match that remains of one whose beginning, up to an index, is part of another; none when left out.
    """
    if all(one[1] <= two[0] for one, two in pairwise(spans)):
        return [hit for span in spans if (hit := judge(span))]
    hits: list[Hit] = []
    for group in groups(spans):
        known: dict[Span, Hit] = {}
        if len(group) == 1:
            kept = group
        elif is_row(group):
            known = {span: hit for span in group if (hit := judge(span))}
            kept = [one for inner in groups(list(known)) for one in (inner if is_row(inner) else _first(inner, rest))]
        else:
            kept = _first(group, rest)
        hits += (hit for span in kept if (hit := known.get(span) or judge(span)))
    return _apart(hits)


def under_way(spans: Sequence[Span], judge: Callable[[Span], Hit | None], index: int) -> int:
    """The last place up to `index` where no match that began before it could be counted otherwise because of one that
    begins at `index` or later.

    Args:
        spans: the matches that begin before `index`, from at least `ROW` and `LONGEST` characters before it.
    """
    inner = _reaching(spans, index)
    if inner and index - inner[0][0] > ROW:
        inner = _reaching([span for span in inner if judge(span)], index)
    if inner and index - inner[0][0] > ROW:
        return max(start for start, end in inner if end > index)
    return inner[0][0] if inner else index


def groups(spans: Sequence[Span]) -> Iterator[list[Span]]:
    """`spans` in groups of those that overlap one another; those longer than `LONGEST` alone."""
    group: list[Span] = []
    end = -1
    for span in spans:
        if span[1] - span[0] > LONGEST:
            yield [span]
            continue
        if group and span[0] >= end:
            yield group
            group = []
        group.append(span)
        end = max(end, span[1])
    if group:
        yield group


def is_row(group: Sequence[Span]) -> bool:
    """Do these overlap over more than `ROW` characters?"""
    return max(end for _, end in group) - group[0][0] > ROW


def _first(group: Sequence[Span], rest: Callable[[Span, int], Span | None] | None) -> list[Span]:
    """Those of some matches that a search from left to right finds."""
    found = [group[0]]
    for span in group[1:]:
        done = found[-1][1]
        if span[0] >= done:
            found.append(span)
        elif rest and (left := rest(span, done)):
            found.append(left)
    return found


def _reaching(spans: Sequence[Span], index: int) -> list[Span]:
    """The last group of `spans`, when it reaches over `index`."""
    short = [span for span in spans if span[0] < index and span[1] - span[0] <= LONGEST]
    last = list(groups(short))[-1:]
    return last[0] if last and max(end for _, end in last[0]) > index else []


def _apart(hits: list[Hit]) -> list[Hit]:
    """`hits`, each up to where the next one begins."""
    hits.sort()
    return [
        (start, min(end, hits[at + 1][0]) if at + 1 < len(hits) else end, score)
        for at, (start, end, score) in enumerate(hits)
    ]
