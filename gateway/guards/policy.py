"""A policy as it runs, and the record of one judgement by it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import random
from time import perf_counter
from types import MappingProxyType
from typing import Literal, Protocol, TypeGuard

from gateway.guards.base import SEVERITY, Action, Context, Finding, Guard, SpanGuard, Stage
from gateway.guards.vault import PLAIN, Form
from gateway.guards.verdict import GRAVITY, Failure, Status, Verdict, gravest

MAX_FAILURES = 8
"""Failures of one judgement that are told; one text may make a guard fail for each of a thousand prompts."""


def everyone(_: Context) -> bool:
    """The matcher of a policy without conditions."""
    return True


def is_span(guard: SpanGuard | Guard) -> TypeGuard[SpanGuard]:
    """Whether a guard judges at once, from the text alone."""
    return hasattr(guard, "settled")


class Finder(Protocol):
    """A guard that judges a whole text at once, and by that text alone."""

    @property
    def name(self) -> str:
        """As a `Guard`'s."""
        ...

    def find(self, text: str, path: str) -> list[Finding]:
        """As a `SpanGuard`'s."""
        ...


def finds_alone(guard: SpanGuard | Guard) -> TypeGuard[Finder]:
    """Whether a guard judges a whole text at once, and by that text alone (see `gateway.guards.asking`)."""
    if is_span(guard):
        return True
    return getattr(guard, "pure", False) is True and hasattr(guard, "find") and not hasattr(guard, "against")


@dataclass(frozen=True, slots=True)
class OnBlock:
    """What a caller is answered when the policy blocks; streams that have begun end with `content_filter` instead."""

    input: Literal["error", "replace"] = "error"
    output: Literal["error", "replace"] = "replace"
    message: str = "This answer was withheld by policy."


@dataclass(frozen=True, slots=True)
class Policy:
    """A loaded policy: plain values, and guards that are ready to be asked.

    `timeout` is in seconds, for each guard that is waited for. `on_error` None means `block` when enforcing and `allow`
    in shadow. `forms` says by guard name how its placeholders look, where not as `<{entity}_{n}>`. `stream` says if an
    answer that streams waits for guards that need all of it; `hold_chars` is how many characters of an unfinished
    clause are held for guards that judge clauses, and `hold_seconds` how long a stream may be held for one. `parallel`
    lets guards of the input that are waited for be asked beside the upstream call (`gateway.guards.beside`).
    """

    name: str
    version: int = 1
    guards: tuple[SpanGuard | Guard, ...] = ()
    mode: Literal["enforce", "shadow", "off"] = "enforce"
    stages: frozenset[Stage] = frozenset(("input", "output"))
    matches: Callable[[Context], bool] = everyone
    sample: float = 1.0
    on_error: Failure | None = None
    timeout: float = 0.2
    on_block: OnBlock = OnBlock()
    forms: Mapping[str, Form] = field(default_factory=lambda: MappingProxyType({}))
    stream: Literal["hold", "observe"] = "hold"
    hold_chars: int = 400
    hold_seconds: float = 0.3
    parallel: bool = False
    narrow: Mapping[int, frozenset[Stage]] = field(default_factory=lambda: MappingProxyType({}))
    """The stages of those guards, by their place, that judge not all of the policy's."""
    at: Mapping[Stage, "Policy"] = field(init=False, repr=False, compare=False)
    """The policy as it is at each of its stages: with the guards that judge there."""
    spans: tuple[SpanGuard, ...] = field(init=False)
    """The guards that judge at once."""
    asked: tuple[Guard, ...] = field(init=False)
    """The guards that are waited for where a text comes in pieces."""
    at_once: tuple[Finder, ...] = field(init=False)
    """The guards that judge a whole text at once, and by that text alone: `find` is all they are asked."""
    late: tuple[Guard, ...] = field(init=False)
    """The guards that are waited for also where a text is whole."""
    context: int = field(init=False)
    """How many characters before an index the span guards look at (`SpanGuard.shortest_context`)."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "spans", tuple(guard for guard in self.guards if is_span(guard)))
        object.__setattr__(self, "asked", tuple(guard for guard in self.guards if not is_span(guard)))
        object.__setattr__(self, "at_once", tuple(guard for guard in self.guards if finds_alone(guard)))
        object.__setattr__(self, "late", tuple(guard for guard in self.asked if not finds_alone(guard)))
        object.__setattr__(self, "context", max((guard.shortest_context() for guard in self.spans), default=0))
        object.__setattr__(self, "at", MappingProxyType({stage: self._at(stage) for stage in self.stages}))

    def _at(self, stage: Stage) -> "Policy":
        if not self.narrow:
            return self
        here = (guard for place, guard in enumerate(self.guards) if stage in self.narrow.get(place, self.stages))
        return replace(self, guards=tuple(here), stages=frozenset((stage,)), narrow=MappingProxyType({}))

    @property
    def enforced(self) -> bool:
        """Whether its decisions are carried out."""
        return self.mode == "enforce"

    @property
    def fail_mode(self) -> Failure:
        """What follows when it cannot be judged."""
        return self.on_error or ("block" if self.enforced else "allow")

    def form(self, guard: str) -> Form:
        """How placeholders of a guard look."""
        return self.forms.get(guard, PLAIN)


@dataclass(slots=True)
class Run:
    """One judgement by one policy, while it is being made."""

    policy: Policy
    found: list[Finding] = field(default_factory=list, repr=False)
    status: Status = "ok"
    duration: float = 0.0
    cached: bool = False
    stream: Literal["", "hold", "observe"] = ""
    failures: list[str] = field(default_factory=list)
    began: float = field(default_factory=perf_counter)
    patient: bool = False
    """The texts are long: only span guards are asked in place, the others may yield to the event loop."""

    @property
    def at_once(self) -> tuple[Finder, ...]:
        """The guards that are asked in place about whole texts."""
        return self.policy.spans if self.patient else self.policy.at_once

    @property
    def late(self) -> tuple[Guard, ...]:
        """The guards that are waited for where texts are whole."""
        return self.policy.asked if self.patient else self.policy.late

    @property
    def live(self) -> bool:
        """Whether there is anything to judge: not sampled out, and no matcher that failed."""
        return self.status == "ok"

    def fail(self, status: Status, reason: str = "") -> None:
        """A guard did not do its part; of several failures the gravest is told. `reason` never holds text."""
        if reason and len(self.failures) < MAX_FAILURES:
            self.failures.append(reason)
        if GRAVITY[status] > GRAVITY[self.status]:
            self.status = status

    @property
    def failed(self) -> bool:
        """Whether some guard could not be asked."""
        return self.status in ("error", "timeout")

    @property
    def decision(self) -> Action:
        """What the policy says of the text."""
        if self.status == "ok" and not self.found:
            return "allow"
        return "block" if self.failed and self.policy.fail_mode == "block" else gravest(self.found)

    @property
    def blocks(self) -> bool:
        """Whether the text must not pass."""
        return self.decision == "block" and self.policy.enforced

    def verdict(self, stage: Stage) -> Verdict:
        """The judgement, finished."""
        policy = self.policy
        return Verdict(
            policy.name,
            policy.version,
            stage,
            self.decision,
            policy.enforced,
            self.status,
            policy.fail_mode,
            tuple(self.found),
            self.duration,
            self.cached,
            self.stream,
            tuple(self.failures),
            self.began,
        )


Draw = Callable[[Policy], float]
"""A number from 0 to 1 for a policy; below its `sample`, the policy looks at the request."""


def by_chance(_: Policy) -> float:
    """A draw that hangs on nothing. One that hangs on the request's id samples both stages of a request alike."""
    return random()  # noqa: S311 - which requests are looked at is no secret


def begin(policies: Sequence[Policy], context: Context, draw: Draw = by_chance) -> list[Run]:
    """A record for each policy that concerns `context`: `skipped` when sampled out, `error` when its matcher fails."""
    runs: list[Run] = []
    for policy in policies:
        here = policy.at.get(context.stage)
        if here is None or policy.mode == "off":
            continue
        run = Run(here)
        try:
            if not policy.matches(context):
                continue
        except Exception as error:  # the verdict tells it, and on_error says what follows
            run.fail("error", f"match: {type(error).__name__}")
        if run.live and policy.sample < 1.0 and draw(policy) >= policy.sample:
            run.fail("skipped")
        runs.append(run)
    return runs


def unable(runs: Sequence[Run]) -> tuple[Verdict, ...]:
    """The verdicts about an answer of which no text came: nobody has judged it, and only what failed is told."""
    return tuple([run.verdict("output") for run in runs if run.failed])


def is_sound(found: object, path: str, length: int) -> TypeGuard[list[Finding]]:
    """Whether a guard's answer about one text is one: a list of findings that lie in that text."""
    return type(found) is list and (not found or all(_lies_in(finding, path, length) for finding in found))


def _lies_in(finding: object, path: str, length: int) -> bool:
    return (
        type(finding) is Finding
        and finding.path == path
        and finding.action in SEVERITY
        and type(finding.start) is int
        and type(finding.end) is int
        and 0 <= finding.start <= finding.end <= length
        and (finding.start < finding.end or not finding.end)
    )
