"""Active probes, where `router_settings.health_check_interval` asks for them: tiny completions, so that no client is
the one to find out that a deployment has failed, or that it is back.

Probed is a deployment that nobody has called for the interval, and one that rests as soon as its cooldown is over. What
becomes of a probe is told to the router as of any other call. A provider bills it as any other call, too.

Of several processes that share a Redis one probes an idle deployment, and none while another one's clients call it. One
that rests is probed by each process that sees it resting, as each would else have a client find out. Without Redis each
process does everything for itself.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, Final
from uuid import uuid4

from gateway.errors import GatewayError, RequestError, Unavailable
from gateway.exchange import Exchange, new_id
from gateway.ledger.remote import Remote, Script
from gateway.providers.translation import translate
from gateway.routing import retrying, settling
from gateway.routing.attempt import Attempt, Place
from gateway.routing.beside import Beside
from gateway.routing.call import Caller
from gateway.routing.deployments import Bound
from gateway.routing.gate import Slot
from gateway.routing.health import Tell, silent
from gateway.routing.load import Load
from gateway.routing.pieces import Fitted
from gateway.routing.plan import Step
from gateway.routing.router import cause
from gateway.routing.upstream import Timeouts
from gateway.types import CompletionRequest

SECONDS: Final = 10.0
"""The longest that a probe is waited for, where the deployment's own time limits are not shorter."""

SIDE_BY_SIDE: Final = 4

AGAIN: Final = 1.0
"""Seconds after a probe that failed before the next one, so that a breaker opens within seconds, not intervals."""

JITTER: Final = 0.1
"""The part of an interval by which it may be longer, so that probes do not fall into step."""

LOOK: Final = 1.0
"""Seconds after which deployments are looked at again, at the latest: so soon is it seen that one has opened."""

_SOON = 0.01

_REQUEST: Final = CompletionRequest("probe", ("Say hi.",), max_tokens=1, given=frozenset({"max_tokens"}))

_PREFIX: Final = "gateway:{probes}:"

_HOLD: Final = Script(
    """
local holder = redis.call('GET', KEYS[1])
if ARGV[2] == '1' or not holder or holder == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
  return 1
end
return 0
"""
)
"""Whether a process (its name) is the one that probes a deployment. It stays so while it asks again in time, and the
one whose clients call the deployment ('1') takes that over."""


@dataclass(slots=True)
class _Watch:
    """When a deployment that is closed is due, before when none is probed, and when the last call to it had ended when
    the last probe had, so that a probe is not taken for traffic. All by the router's clock."""

    due: float
    rests: float = float("-inf")
    own: float = float("-inf")


class Probing:
    """The probes of one process.

    Args:
        tell: hears of each as `deployment_probed`: what came of it, the tokens it used and what they cost in USD.
        remote: the Redis through which processes divide the work; None for a process alone.
        clock: the time that breakers know.
        rng: chance.
    """

    def __init__(
        self,
        tell: Tell = silent,
        remote: Remote | None = None,
        *,
        clock: Callable[[], float] = perf_counter,
        rng: random.Random | None = None,
    ) -> None:
        self._tell = tell
        self._remote = remote
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 - it spreads load, it keeps no secret
        self._name = uuid4().hex
        self._caller: Caller | None = None
        self._seconds: float | None = None
        self._asked: dict[str, Fitted] = {}
        self._watches: dict[str, _Watch] = {}
        self._woken = asyncio.Event()
        self._beside = Beside("probing", self._go_on, tell)
        self.under_way: dict[str, asyncio.Task[object]] = {}
        """By deployment: at most one for each."""

    def __repr__(self) -> str:
        if self._seconds is None:
            return "<Probing off>"
        return f"<Probing {len(self._asked)} deployments every {self._seconds:g} s, {len(self.under_way)} under way>"

    def use(self, caller: Caller, seconds: float | None) -> None:
        """Probe the deployments of a configuration from now on; those of wildcards have no model to ask for.

        Args:
            caller: how they are called.
            seconds: the interval; None for no probes.
        """
        groups = caller.router.board.groups.values() if seconds is not None else ()
        bounds = {entry.bound.id: entry.bound for group in groups for entry in group.entries}
        found = {name: self._fitted(bound) for name, bound in bounds.items()}
        self._asked = {name: fitted for name, fitted in found.items() if fitted is not None}
        self._watches = {name: watch for name, watch in self._watches.items() if name in self._asked}
        self._caller, self._seconds = caller, seconds

    def _fitted(self, bound: Bound) -> Fitted | None:
        """What a deployment is asked, and how long it may take; None where it cannot be asked so."""
        limits = bound.whole
        quick = Timeouts(min(limits.connect, SECONDS), min(limits.read, SECONDS), min(limits.total, SECONDS))
        try:
            translation = translate(_REQUEST, bound.shape)
        except RequestError as error:
            self._tell("deployment_not_probed", {"deployment": bound.id, "cause": error.message})
            return None
        return Fitted(Step(replace(bound, whole=quick), 0.0, "first", bound.alias), _REQUEST, translation)

    def start(self) -> None:
        """Begin, on the running event loop."""
        self._beside.start()

    async def close(self) -> None:
        """End it, and the probes under way."""
        await self._beside.close()
        tasks = list(self.under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def look(self) -> float:
        """Begin the probes that are due, those of deployments that rest first.

        Returns:
            seconds until it is to be called again, unless a probe ends before.
        """
        caller, seconds = self._caller, self._seconds
        if caller is None or seconds is None:
            return LOOK
        now, wait = self._clock(), LOOK
        book = caller.router.board.book
        found = [(fitted, book.load(name, fitted.step.alias)) for name, fitted in self._asked.items()]
        for fitted, load in sorted(found, key=lambda pair: pair[1].breaker.health == "closed"):
            if load.id in self.under_way or load.breaker.cooldown <= 0:
                continue
            watch = self._watches.get(load.id)
            if watch is None:
                watch = self._watches[load.id] = _Watch(now + seconds * self._rng.random())
            wait = min(wait, self._looked(caller, seconds, fitted, load, watch, now))
        return max(_SOON, wait)

    def _looked(self, caller: Caller, seconds: float, fitted: Fitted, load: Load, watch: _Watch, now: float) -> float:
        """Begin the probe of one deployment, if that is due; else the seconds until it is, so far as is known."""
        breaker = load.breaker
        idle = breaker.health == "closed"
        watch.due = min(watch.due, now + seconds * (1 + JITTER))
        due = max(watch.due if idle else breaker.until, watch.rests)
        if now < due:
            return due - now
        if idle and (load.in_flight or (load.last > watch.own and now < load.last + seconds)):
            watch.due = (now if load.in_flight else load.last) + seconds
            if self._remote is not None and len(self.under_way) < SIDE_BY_SIDE:
                self._begin(load.id, self._held(load.id, seconds, anyway=True))
            return LOOK
        if len(self.under_way) >= SIDE_BY_SIDE or load.full(fitted.step.bound.terms, now) is not None:
            return LOOK
        if not idle:
            if not breaker.probes(now):
                return LOOK  # a client has been given it
            breaker.claim(now)
        self._begin(load.id, self._probe(caller, seconds, fitted, load, watch, idle=idle))
        return LOOK

    def _begin(self, name: str, work: Coroutine[Any, Any, object]) -> None:
        def over(_task: object) -> None:
            del self.under_way[name]
            self._woken.set()

        self.under_way[name] = task = asyncio.create_task(work)
        task.add_done_callback(over)

    async def _probe(
        self, caller: Caller, seconds: float, fitted: Fitted, load: Load, watch: _Watch, *, idle: bool
    ) -> None:
        again = seconds * (1 + JITTER * self._rng.random())
        try:
            if idle and not await self._held(load.id, seconds):
                return
            slot = caller.gates.enter_now(fitted.step.bound)
            if slot is not None and await self._fails(caller, fitted, slot):
                again = min(AGAIN, seconds)
        finally:
            now = self._clock()
            watch.due, watch.own = now + again, load.last
            watch.rests = now + min(AGAIN, again)

    async def _fails(self, caller: Caller, fitted: Fitted, slot: Slot) -> bool:
        """Whether the deployment fails at a probe, for which it has a place; it is told of. One that refuses it, as too
        short or too often, does not fail: it is not asked again before the next interval, or its cooldown, is over."""
        own = Exchange(new_id("probe_"), "POST", "")
        said, fails = "well", False
        attempt = Attempt(fitted, Place(0, 0), own, (caller.router, caller.upstream, slot), ("first", None))
        try:
            await attempt.open()
            while await attempt.more() is not None:
                pass
        except GatewayError as error:
            said, fails = cause(error), retrying.rule(error).mark == "failure"
        finally:
            await attempt.close()
        self._tell("deployment_probed", {"deployment": attempt.bound.id, "outcome": said, **settling.spent(own)})
        return fails

    async def _held(self, name: str, seconds: float, *, anyway: bool = False) -> bool:
        """Whether it is this process that probes the idle deployment `name`; where nobody can be asked, each does."""
        if self._remote is None:
            return True
        lasts = max(1, round(seconds * 2000))
        try:
            return bool(await self._remote.run(_HOLD, [_PREFIX + name], [self._name, "1" if anyway else "0", lasts]))
        except Unavailable:
            return True

    async def _go_on(self) -> None:
        while True:
            self._woken.clear()
            wait = self.look()
            try:
                async with asyncio.timeout(wait):
                    await self._woken.wait()
            except TimeoutError:
                continue
