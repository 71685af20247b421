"""Runs policies over labelled text, one text after another, for `gateway policies test --data`."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

from gateway.cli.labelled import Labelled
from gateway.guards.assemble import assembled
from gateway.guards.base import Context, Stage, Text
from gateway.guards.engine import judge
from gateway.guards.load import LoadedPolicy
from gateway.guards.measure import Agrees, Quality, Span, exact, measured, overlaps, percentile, spans_of, total
from gateway.guards.policy import Policy, everyone
from gateway.guards.ports import Ports
from gateway.guards.verdict import Verdict

MATCHING: Mapping[bool, tuple[str, Agrees]] = {False: ("overlap", overlaps), True: ("exact", exact)}
"""By whether positions must be the same: the name of the rule, and the rule."""

_PATHS: Mapping[Stage, str] = {"input": "prompt[0]", "output": "choices[0].text"}


@dataclass(frozen=True, slots=True)
class Measured:
    """How one policy did on labelled text.

    `microseconds` has one entry for each text, in ascending order. `failures` counts texts that could not be judged, by
    what failed. `left_out` are texts of a stage that the policy does not look at.
    """

    matching: str
    counts: Mapping[str, Quality]
    characters: int
    microseconds: Sequence[float]
    failures: Mapping[str, int]
    left_out: int = 0

    def as_dict(self) -> dict[str, Any]:
        """As JSON shows it: shares from 0 to 1, null where there is nothing to divide by."""
        return {
            "matching": self.matching,
            "texts": len(self.microseconds),
            "characters": self.characters,
            "left_out": self.left_out,
            "failures": dict(self.failures),
            "latency_us": {name: round(value, 1) for name, value in self.latencies().items()},
            "us_per_1000_characters": round(self.per_thousand(), 1),
            "entities": [{"entity": name, **_shares(quality)} for name, quality in self.counts.items()],
            "total": _shares(total(self.counts)),
        }

    def latencies(self) -> dict[str, float]:
        """Microseconds for one text: median, 95th and 99th percentile."""
        return {f"p{share}": percentile(self.microseconds, share / 100) for share in (50, 95, 99)}

    def per_thousand(self) -> float:
        """Mean microseconds for 1,000 characters."""
        return sum(self.microseconds) * 1_000 / self.characters if self.characters else 0.0


def _shares(quality: Quality) -> dict[str, Any]:
    return {
        "labelled": quality.labelled,
        "found": quality.found,
        "hit": quality.hit,
        "right": quality.right,
        "precision": _rounded(quality.precision),
        "recall": _rounded(quality.recall),
        "f2": _rounded(quality.f2),
    }


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 4)


async def measure(
    loaded: LoadedPolicy, ports: Ports, rows: Iterable[Labelled], *, same: bool, done: Callable[[], None]
) -> Measured:
    """Judge `rows` by one policy as if it held for everything and enforced nothing, so that what one guard blocks is
    seen by the others too.

    Args:
        same: whether a finding must start and end where the label does; else one shared character is enough.
        done: called after each text.

    Raises:
        ConfigError: guards that cannot be had here, each with its line.
    """
    rows = tuple(rows)
    policy = replace(assembled(loaded, ports), mode="shadow", matches=everyone, sample=1.0)
    labels = {entity for row in rows for entity, _, _ in row.spans}
    usual: Stage = "input" if "input" in policy.stages else "output"
    pairs: list[tuple[tuple[Span, ...], list[Span]]] = []
    taken: list[float] = []
    failures: Counter[str] = Counter()
    characters = 0
    await _judged(policy, usual, "What a guard makes at its first call it makes before the clock runs.")
    for row in rows:
        stage = row.stage or usual
        if stage in policy.stages:
            began = perf_counter()
            verdict = await _judged(policy, stage, row.text)
            taken.append((perf_counter() - began) * 1e6)
            characters += len(row.text)
            failures.update(set(verdict.failures))
            pairs.append((row.spans, spans_of(verdict.findings, labels, len(row.text))))
        done()
    name, agrees = MATCHING[same]
    return Measured(name, measured(pairs, agrees), characters, sorted(taken), failures, len(rows) - len(taken))


async def _judged(policy: Policy, stage: Stage, text: str) -> Verdict:
    outcome = await judge([policy], [Text(_PATHS[stage], text)], Context(stage))
    return outcome.verdicts[0]
