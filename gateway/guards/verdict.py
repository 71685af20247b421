"""What a policy decided about a request, and how that is said in a header. It holds no text: it may be logged."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from gateway.guards.base import SEVERITY, Action, Finding, Stage
from gateway.judgement import Judgement

Status = Literal["ok", "skipped", "timeout", "error"]
"""What really happened. `skipped`: not judged, or not by all guards (sampled out, or the text was blocked already)."""

Failure = Literal["block", "allow"]
"""What follows when a policy cannot be judged."""

GRAVITY: dict[Status, int] = {"ok": 0, "skipped": 1, "timeout": 2, "error": 3}
"""Of several things that happened to one policy, the one that is told."""


@dataclass(slots=True)
class Verdict:
    """One policy's decision about one stage. Nobody changes one; it is not frozen because each request makes several,
    and to make a frozen one of so many fields takes as long as to look a text up.

    `decision` is the gravest action of its findings, or `block` when it could not be judged and `fail_mode` says so.
    `enforced` is False for a policy in shadow: nothing was done about the decision. `duration` is in seconds, `began`
    the `perf_counter` of its beginning. `cached` says that every finding came from the verdict cache. `stream` says how
    guards that need a whole answer were served: `hold` (the answer waited for them) or `observe` (it did not).
    `failures` names the guards that failed and the class of what each raised, as in `moderation: GuardFailed`.
    """

    policy: str
    version: int
    stage: Stage
    decision: Action
    enforced: bool
    status: Status = "ok"
    fail_mode: Failure = "block"
    findings: tuple[Finding, ...] = ()
    duration: float = 0.0
    cached: bool = False
    stream: Literal["", "hold", "observe"] = ""
    failures: tuple[str, ...] = ()
    began: float = 0.0


def gravest(findings: Iterable[Finding]) -> Action:
    """The gravest action of `findings`; `allow` when there is none."""
    action: Action = "allow"
    for finding in findings:
        if SEVERITY[finding.action] > SEVERITY[action]:
            action = finding.action
    return action


def header(verdicts: Iterable[Judgement]) -> str:
    """The value of `x-gateway-guardrails`: `pii=mask, moderation=block;timeout, topics=flag;shadow`.

    One entry per policy, its gravest decision over all stages, and after it whatever else is true: `shadow`, a status
    other than `ok`, `hold` or `observe`.
    """
    decisions: dict[str, str] = {}
    notes: dict[str, dict[str, None]] = {}
    for verdict in verdicts:
        before = decisions.get(verdict.policy)
        if before is None or _GRAVITY[verdict.decision] > _GRAVITY[before]:
            decisions[verdict.policy] = verdict.decision
        said = notes.setdefault(verdict.policy, {})
        if not verdict.enforced:
            said["shadow"] = None
        if verdict.status != "ok":
            said[verdict.status] = None
        if verdict.stream:
            said[verdict.stream] = None
    return ", ".join([";".join((f"{policy}={decision}", *notes[policy])) for policy, decision in decisions.items()])


_GRAVITY: Mapping[str, int] = {str(action): number for action, number in SEVERITY.items()}
