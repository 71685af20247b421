"""How well findings agree with labelled text: precision, recall and F2, entity by entity.

Pure counting over positions: no guard is run here, and no text is read. F2 weighs recall twice as much as precision
(van Rijsbergen's effectiveness with beta 2), as is usual for personal data: what is missed leaks.
"""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from gateway.guards.base import Finding

Span = tuple[str, int, int]
"""An entity, and where it starts and ends, in characters of its text."""

Places = Sequence[tuple[int, int]]

Agrees = Callable[[int, int, Places], bool]
"""Whether a span from one number to another agrees with any of the places, all of the same entity."""


def overlaps(start: int, end: int, places: Places) -> bool:
    """It shares a character with one of them."""
    return any(one < end and start < other for one, other in places)


def exact(start: int, end: int, places: Places) -> bool:
    """One of them starts and ends where it does."""
    return (start, end) in places


def half(start: int, end: int, places: Places) -> bool:
    """At least half of its characters lie in them, taken together."""
    covered = {at for one, other in places for at in range(max(start, one), min(end, other))}
    return 2 * len(covered) >= end - start


@dataclass(frozen=True, slots=True)
class Quality:
    """The counts of one entity, or their sum.

    `labelled` spans are in the data, and `hit` of them were found; `found` findings were made, and `right` of them
    agree with a label. One finding may cover two labels, and two findings one, so `hit` and `right` may differ.
    """

    labelled: int = 0
    found: int = 0
    hit: int = 0
    right: int = 0

    def __add__(self, other: "Quality") -> "Quality":
        return Quality(
            self.labelled + other.labelled, self.found + other.found, self.hit + other.hit, self.right + other.right
        )

    @property
    def precision(self) -> float | None:
        """The share of findings that are right; None when there are none."""
        return self.right / self.found if self.found else None

    @property
    def recall(self) -> float | None:
        """The share of labels that were found; None when there are none."""
        return self.hit / self.labelled if self.labelled else None

    @property
    def f2(self) -> float | None:
        """5PR / (4P + R), 0 when nothing was found; None when nothing is labelled."""
        if self.recall is None:
            return None
        precision = self.precision or 0.0
        below = 4 * precision + self.recall
        return 5 * precision * self.recall / below if below else 0.0


def measured(rows: Iterable[tuple[Sequence[Span], Sequence[Span]]], agrees: Agrees = overlaps) -> dict[str, Quality]:
    """The counts of every entity that is labelled or found, in alphabetical order.

    Args:
        rows: for each text its labels and what was found in it.
        agrees: when a label and a finding of the same entity are about the same thing.
    """
    counts: dict[str, Quality] = {}
    for labels, findings in rows:
        wanted, given = _by_entity(labels), _by_entity(findings)
        for entity in wanted.keys() | given.keys():
            theirs, ours = wanted.get(entity, []), given.get(entity, [])
            hit = sum(agrees(start, end, ours) for start, end in theirs)
            right = sum(agrees(start, end, theirs) for start, end in ours)
            counts[entity] = counts.get(entity, Quality()) + Quality(len(theirs), len(ours), hit, right)
    return dict(sorted(counts.items()))


def total(counts: Mapping[str, Quality]) -> Quality:
    """The sum over the entities that the data labels: of others nobody can say which findings are right."""
    return sum((quality for quality in counts.values() if quality.labelled), Quality())


def spans_of(findings: Iterable[Finding], labels: Container[str], length: int) -> list[Span]:
    """Findings in one text, `length` characters long, by the names the data uses, each place once.

    A finding goes by its rule (`EMAIL_ADDRESS`), and by its category (`secrets`, `prompt_injection`) where `labels` has
    that and not the rule. One about the whole text spans all of it. What was allowed was not found.
    """
    spans: list[Span] = []
    for one in findings:
        if one.action != "allow":
            name = one.category if one.rule not in labels and one.category in labels else one.rule
            spans.append((name, one.start, one.end) if one.end else (name, 0, length))
    return list(dict.fromkeys(spans))


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value that `share` (0 to 1) of `ordered`, which ascends, lies below; 0 when there are no values."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def _by_entity(spans: Iterable[Span]) -> dict[str, list[tuple[int, int]]]:
    places: dict[str, list[tuple[int, int]]] = {}
    for entity, start, end in spans:
        places.setdefault(entity, []).append((start, end))
    return places
