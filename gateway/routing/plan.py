"""The walk of one prompt over deployments: which is called first, which after a failure, and when to give up.

Nothing here waits or calls anybody: `gateway.routing.call` does what a step says and tells what came of it. What a walk
has behind it stands in its steps, not in the route, so that the parts of a prompt that are asked for in calls of their
own each walk on by themselves from the step that failed.

In the group: one that is well, of the lowest order that has any. After a failure one that has not been called yet;
else, where that may help, one that has, after a wait. Then the fallbacks, each name once. Where nobody is well, the
ill are called all the same, those of the group first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import ceil, inf
from typing import Literal

from gateway.errors import ContextTooLong, GatewayError, InvalidValue, RateLimited, Unavailable
from gateway.routing import retrying
from gateway.routing.board import Board
from gateway.routing.deployments import Bound
from gateway.routing.groups import Entry, Group, Level
from gateway.routing.picking import pick, pick_again, pick_busy, pick_ill
from gateway.routing.retrying import Chain, Rule
from gateway.routing.selection import eligible, widest
from gateway.types import CompletionRequest

Why = Literal["first", "retry", "fallback"]


@dataclass(frozen=True, slots=True)
class Trail:
    """What a step has behind it: the deployments called (a second call counts twice), those that must not be called
    again, the names that have had their turn, and those still to come. `attempt` counts the calls in its group."""

    called: tuple[str, ...] = ()
    barred: frozenset[str] = frozenset()
    names: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()
    attempt: int = 1


_FRESH = Trail()


@dataclass(frozen=True, slots=True)
class Step:
    """One call to make: `bound`, after sleeping `wait` seconds. `alias` is the name whose group it belongs to, another
    one than the request's on a fallback. Where `bound` is at its `max_parallel_requests`, the call waits for a place
    there or at one of `instead`, whichever has one first."""

    bound: Bound
    wait: float
    why: Why
    alias: str
    trail: Trail = field(default=_FRESH, repr=False, compare=False)
    instead: tuple[Bound, ...] = ()


class Route:
    """The walk of one unit (one prompt). `first` gives its first step, `after` the one after a step that failed before
    its first byte, once `Router.end` has been told of the failure."""

    __slots__ = ("_asked", "_board", "_levels", "_request", "_step", "_tags", "_until")

    def __init__(
        self, board: Board, request: CompletionRequest, tags: tuple[str, ...], now: float, until: float
    ) -> None:
        """See `Router.route`."""
        self._board = board
        self._request = request
        self._tags = tags
        self._until = until
        self._asked = group = board.find(request.model)
        self._levels: dict[str, Sequence[Level]] | None = None
        group.budget.request(now)
        lone = group.lone
        if lone is not None and lone.breaker.well and (group.limit is None or widest(request.prompts) <= group.limit):
            self._step = Step(lone.bound, 0.0, "first", group.name)
        else:
            self._step = self._start(now)

    def __repr__(self) -> str:
        return f"<Route {self._asked.name}: {self._step.why} {self._step.bound.id} of {self._step.alias}>"

    def first(self) -> Step:
        """The step to begin with."""
        return self._step

    def after(self, failed: Step, error: GatewayError) -> Step | None:
        """The next step, or None: give up and raise `error`.

        Args:
            failed: a step of this walk.
            error: what it failed with; a RequestError where it was found before a call that it cannot be asked.
        """
        rule = retrying.rule(error)
        now = self._board.clock()
        budget = self._asked.budget
        if not (rule.other or rule.chain) or now >= self._until or (rule.paid and budget.left < 1.0):
            return None
        step = self._next(failed, error, rule, now)
        if step is None or now + step.wait >= self._until:
            return None
        if rule.paid:
            budget.take()
        return step

    def beside(self, step: Step) -> Step | None:
        """A second call to make at the same time as a first one that is slow: another deployment of its group that is
        well, paid for like a retry. None where there is none."""
        now, trail = self._board.clock(), step.trail
        called = (*trail.called, step.bound.id)
        if now >= self._until or self._asked.budget.left < 1.0:
            return None
        entry = self._pick(self._eligible(step.alias), called, now)
        if entry is None:
            return None
        self._asked.budget.take()
        return Step(entry.bound, 0.0, "retry", step.alias, replace(trail, called=called, attempt=trail.attempt + 1))

    def _start(self, now: float) -> Step:
        """The first step, where it is not plain what it is."""
        name = self._asked.name
        try:
            levels = self._eligible(name)
        except ContextTooLong:
            found = self._fall(name, _FRESH, "context_window_fallbacks", [], now)
            if found is None:
                raise
            return found
        entry = self._pick(levels, (), now)
        if entry is not None:
            return Step(entry.bound, 0.0, "first", name)
        found = self._fall(name, _FRESH, "fallbacks", [(name, levels)], now)
        if found is None and (busy := pick_busy(levels, now)):
            return Step(busy[0].bound, 0.0, "first", name, instead=tuple(entry.bound for entry in busy[1:]))
        if found is None:
            raise _refusal(self._asked, levels, now)
        return replace(found, why="first") if found.alias == name else found

    def _next(self, failed: Step, error: GatewayError, rule: Rule, now: float) -> Step | None:
        trail, name, deployment = failed.trail, failed.alias, failed.bound.id
        barred = trail.barred | {deployment} if rule.same == "no" else trail.barred
        made = trail.attempt if rule.name == "unfit" else trail.attempt + 1
        trail = replace(trail, called=(*trail.called, deployment), barred=barred, attempt=made)
        if not rule.other:
            return self._fall(name, trail, rule.chain or "fallbacks", [], now)
        levels = self._eligible(name)
        group = self._group(name)
        allowed = self._board.allowances.retries(rule, name, group.alias, failed.bound.terms.retries)
        free = made <= allowed + 1
        if free:
            entry = self._pick(levels, trail.called, now)
            if entry is not None:
                return Step(entry.bound, 0.0, "retry", name, trail)
            suspect = next(
                (e.breaker.suspect or not e.breaker.well for e in group.entries if e.bound.id == deployment), True
            )
            if rule.same == "first" and not suspect and (step := self._again(name, levels, trail, error, now)):
                return step
        asides = [(name, levels)] if free else []
        if rule.chain is not None and (step := self._fall(name, trail, rule.chain, asides, now)):
            return step
        return self._again(name, levels, trail, error, now) if free and rule.same != "no" else None

    def _again(self, name: str, levels: Sequence[Level], trail: Trail, error: GatewayError, now: float) -> Step | None:
        """A deployment that has been called before, after a wait."""
        lone = len(self._group(name).entries) == 1
        entry = pick_again(levels, trail.called, trail.barred, now, lone=lone)
        if entry is None:
            return None
        deployment, rng = entry.bound.id, self._board.rng
        asked = entry.breaker.asked - now
        if deployment == trail.called[-1]:
            asked = max(asked, retrying.retry_after(error) or 0.0)
        if asked > retrying.PATIENCE:
            return None
        wait = retrying.backoff(trail.called.count(deployment), rng)
        if asked > 0.0:
            wait = max(wait, asked + rng.uniform(0.0, retrying.BASE))
        return Step(entry.bound, wait, "retry", name, trail)

    def _fall(
        self, name: str, trail: Trail, kind: Chain, asides: "list[tuple[str, Sequence[Level]]]", now: float
    ) -> Step | None:
        """The first of the names that stand in for `name` where somebody is well; else one of the ill, also of
        `asides`, which are names with nobody who is well."""
        board = self._board
        asked = name == self._asked.name
        names = trail.names or (name,)
        chain = board.chains.names(kind, name, self._group(name).alias, asked=asked)
        pending = [each for each in dict.fromkeys((*chain, *trail.pending)) if each not in names]
        while pending:
            other = pending.pop(0)
            names = (*names, other)
            try:
                levels = self._eligible(other)
            except (InvalidValue, ContextTooLong):
                continue  # not for these tags, or for prompts as long as this
            entry = self._pick(levels, trail.called, now)
            if entry is not None:
                found = Trail(trail.called, trail.barred, names, tuple(pending))
                return Step(entry.bound, 0.0, "fallback", other, found)
            asides = [*asides, (other, levels)]
        for other, levels in asides:
            lone = len(self._group(other).entries) == 1 if levels else False
            entry = pick_ill(levels, trail.called, now, lone=lone)
            if entry is not None:
                if other == name:
                    return Step(entry.bound, 0.0, "retry", name, replace(trail, names=names))
                return Step(entry.bound, 0.0, "fallback", other, Trail(trail.called, trail.barred, names))
        return None

    def _pick(self, levels: Sequence[Level], avoid: tuple[str, ...], now: float) -> Entry | None:
        board = self._board
        return pick(levels, avoid, now, board.strategy, board.rng)

    def _group(self, name: str) -> Group:
        found = self._asked if name == self._asked.name else self._board.target(name)
        assert found is not None  # noqa: S101 - the walk has come by it
        return found

    def _eligible(self, name: str) -> Sequence[Level]:
        """The levels of a name's group that may serve the request; none for a name that nobody has."""
        if self._levels is None:
            self._levels = {}
        found = self._levels.get(name)
        if found is None:
            board = self._board
            group = self._asked if name == self._asked.name else board.target(name)
            tags = self._tags if board.tagging else None
            found = () if group is None else eligible(group, self._request, tags, board.any_tag)
            self._levels[name] = found
        return found


def _refusal(group: Group, levels: Sequence[Level], now: float) -> GatewayError:
    """Why nobody of a group can be called now, and when somebody can."""
    entries = [entry for level in levels for entry in level]
    waits = [wait for entry in entries if (wait := entry.load.full(entry.terms, now)) is not None]
    if waits:
        seconds = max(1, ceil(min(waits)))
        return RateLimited(
            f"The deployments of the model {group.name[:120]} have no room for another call; try again in {seconds} s.",
            headers={"retry-after": str(seconds)},
        )
    left = min((entry.breaker.until - now for entry in entries), default=inf)
    seconds = max(1, ceil(min(left, 3600.0)))
    return Unavailable(
        f"No deployment of the model {group.name[:120]} can be called: each was refused by its provider. The operator "
        f"must check their keys, accounts and models; they are tried again in {seconds} s.",
        headers={"retry-after": str(seconds)},
    )
