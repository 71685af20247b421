"""Allowances counted in Redis, for all processes that share it: one question to reserve, one to settle.

What it counts, and how, is `gateway.ledger.limits`, done inside Redis by `gateway.ledger.allowances_lua`, with Redis'
clock. Names of people and keys are hashed in the keys, so that none can be read there, nor stand for another. Measured
with four rules: 35 µs of Redis' own time for each question, and 200 µs until its answer is here.
"""

import hashlib
import time
import uuid
from asyncio import CancelledError
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count, islice
from threading import Lock
from typing import Any, Final

from gateway.errors import Unavailable
from gateway.ledger import periods
from gateway.ledger.allowances import Amount, Refusal, Reservation, Rule, Spent, Standing
from gateway.ledger.allowances_lua import SCRIPT
from gateway.ledger.allowances_memory import LATE, LEASE_SECONDS
from gateway.ledger.limits import SLICES, Identity, asked, identity, refusal, settles
from gateway.ledger.periods import SECOND
from gateway.ledger.ports import Log
from gateway.ledger.remote import CODE, Remote
from gateway.ledger.seeding import AGAIN_SECONDS, Seeding, Touched, seedable
from gateway.ledger.settling import Settlement, Settling

TRIES: Final = 4
"""How often a question is asked that came with the window of another time, or had to wait for the ledger."""

_NEVER, _FREE = -1, -2


@dataclass(slots=True)
class _Seen:
    """A budget as it stood when it was looked at last, its window, and when that was (µs)."""

    standing: Standing
    start: int
    end: int
    touched: int


class RedisAllowances:
    """Counts in Redis. Fills the port `Allowances`.

    Args:
        remote: Redis; it is not closed here.
        log: where it is told what cannot be counted, or seeded.
        spent: what the ledger knows of budgets; without it they begin empty with Redis.
        clock: seconds since 1970 in place of Redis' own.
        lease: seconds.
        namespace: what every key begins with; gateways that share it share their counters.
    """

    def __init__(
        self,
        remote: Remote,
        log: Log,
        *,
        spent: Spent | None = None,
        clock: Callable[[], float] | None = None,
        lease: float = LEASE_SECONDS,
        namespace: str = "gateway",
    ) -> None:
        self._remote = remote
        self._clock = clock
        self._ahead = 0
        self._lease = int(lease * SECOND)
        self._tag = f"{namespace}:{{allowances}}:"
        self._process = uuid.uuid4().hex[:16]
        self._ids = count(1)
        self._lock = Lock()
        self._open: dict[str, Settlement] = {}
        self._seen: dict[Identity, _Seen] = {}
        self._unanswered: dict[Identity, int] = {}
        self._settling = Settling(self._attempt, lambda one: one.until <= self._now(), log)
        self._seeding = Seeding(spent, self._learn, self._in_use, log) if spent else None

    def __repr__(self) -> str:
        mine = f"{len(self._open)} reservations, {len(self._settling)} to settle"
        return f"<RedisAllowances {self._remote.server} {mine}, {self._settling.lost} given up>"

    async def reserve(self, rules: Sequence[Rule], amount: Amount) -> Reservation | Refusal:
        """See `Allowances.reserve`."""
        rules = tuple(rules)
        name = f"{self._process}-{next(self._ids):x}"
        if not rules:
            return Reservation(name, (), amount, self._now() / SECOND, ())
        one = Settlement(name, rules, tuple(asked(rule, amount) for rule in rules), 0, 0, "")
        not_asked = self._remote.resting
        try:
            answer = await self._reserve(one)
        except (Unavailable, CancelledError):
            if not not_asked:  # it may have been made
                one.until = self._now() + self._lease
                self._settling.begin(one)
            raise
        standings = self._standings(rules, answer)
        if answer[0] == b"full":
            waits = [(place, wait) for place, wait in enumerate(answer[5::3]) if wait != _FREE]
            return refusal(standings, [(place, None if wait == _NEVER else wait) for place, wait in waits])
        one.at, one.epoch = answer[1], answer[2].decode()
        one.until = one.at + self._lease
        self._remember(one)
        return Reservation(name, rules, amount, one.at / SECOND, standings)

    async def settle(self, reservation: Reservation, used: Amount) -> tuple[Standing, ...]:
        """See `Allowances.settle`."""
        one = self._open.pop(reservation.id, None)
        if one is None:
            return await self.standings([rule for rule in reservation.rules if rule.kind == "budget"])
        one.used = used
        return tuple([found for found in await self._settling.make(one) if found.rule.kind == "budget"])

    async def renew(self, reservation: Reservation) -> None:
        """See `Allowances.renew`."""
        one = self._open.get(reservation.id)
        if one is None:
            return
        answer = await self._ask("renew", one, lease=self._lease)
        with self._lock:
            if answer[0] == b"renewed" and self._open.pop(one.id, None):
                one.until = answer[1] + self._lease
                self._open[one.id] = one

    async def standings(self, rules: Sequence[Rule]) -> tuple[Standing, ...]:
        """See `Allowances.standings`."""
        if not rules:
            return ()
        one = Settlement("", tuple(rules), (0,) * len(rules), 0, 0, "")
        return self._standings(one.rules, await self._ask("look", one))

    def budgets(self) -> tuple[Standing, ...]:
        """See `Allowances.budgets`."""
        now = self._now()
        return tuple(seen.standing for seen in tuple(self._seen.values()) if seen.end > now)

    async def close(self, seconds: float) -> None:
        """See `Allowances.close`."""
        if self._seeding is not None:
            await self._seeding.close()
        await self._settling.close(seconds)

    async def _reserve(self, one: Settlement) -> list[Any]:
        for _ in range(TRIES):
            began = time.monotonic()
            blank = [("1" if self._to_ask(rule) else "0", "") for rule in one.rules]
            answer = await self._ask("reserve", one, blank, lease=self._lease)
            if answer[0] != b"seed" or self._seeding is None:
                return answer
            now = answer[1]
            touched = [
                Touched(rule, periods.window(rule.period, now)[0]) for rule in map(one.rules.__getitem__, answer[2:])
            ]
            for left in await self._seeding.first(touched, began):
                self._unanswered[identity(left.rule)] = now + int(AGAIN_SECONDS * SECOND)
        raise _puzzled()

    def _to_ask(self, rule: Rule) -> bool:
        """Whether a budget waits for the ledger, if nobody has asked it: not soon after it gave no answer."""
        if self._seeding is None or not seedable(rule):
            return False
        if not self._unanswered:
            return True
        until = self._unanswered.get(identity(rule), 0)
        if until <= self._now():
            self._unanswered.pop(identity(rule), None)
            return True
        return False

    async def _attempt(self, one: Settlement) -> tuple[Standing, ...]:
        if one.used is None:
            return self._standings(one.rules, await self._ask("release", one, lease=self._lease))
        extra = []
        for rule, amount in zip(one.rules, one.amounts, strict=True):
            used = asked(rule, one.used)
            extra.append((str(used), str(used - amount)))
        return self._standings(one.rules, await self._ask("settle", one, extra, lease=one.until))

    async def _learn(self, touched: Touched, spent: int) -> None:
        if periods.window(touched.rule.period, self._now())[0] == touched.start:
            one = Settlement("", (touched.rule,), (0,), 0, 0, "")
            answer = await self._ask("seed", one, [(str(spent), "")])
            if seen := self._seen.get(identity(touched.rule)):
                seen.standing = _standing(touched.rule, answer[3], answer[4])

    async def _ask(
        self, what: str, one: Settlement, extra: Sequence[tuple[str, str]] | None = None, lease: int = 0
    ) -> list[Any]:
        """One question, asked again where it came with the window of another time.

        Raises:
            Unavailable: Redis cannot be asked.
        """
        for _ in range(TRIES):
            now = self._now()
            keys = [f"{self._tag}epoch", f"{self._tag}mark:{one.id}"]
            said = "" if self._clock is None else str(now)
            args: list[str | int] = [
                what,
                said,
                one.id,
                lease,
                one.at,
                one.epoch,
                f"{self._process}-{next(self._ids):x}",
            ]
            for place, (rule, amount) in enumerate(zip(one.rules, one.amounts, strict=True)):
                key, fixed = _fixed(rule.scope, rule.name, rule.kind, rule.unit, rule.period)
                keys += (f"{self._tag}{key}", f"{self._tag}{key}:held")
                window = periods.window(rule.period, now) if rule.kind == "budget" else fixed
                args += (rule.kind, rule.most, amount, *window, "1" if settles(rule) else "0")
                args += ("", "") if extra is None else extra[place]
            answer: list[Any] = await self._remote.run(SCRIPT, keys, args)
            if self._clock is None:
                self._ahead = answer[1] - time.time_ns() // 1000
            if answer[0] != b"clock":
                return answer
        raise _puzzled()

    def _now(self) -> int:
        """The time as far as it is known here: Redis' own, guessed from when it said it last."""
        return time.time_ns() // 1000 + self._ahead if self._clock is None else int(self._clock() * SECOND)

    def _standings(self, rules: Sequence[Rule], answer: list[Any]) -> tuple[Standing, ...]:
        now, found = answer[1], []
        for rule, counted, reset in zip(rules, answer[3::3], answer[4::3], strict=True):
            standing = _standing(rule, counted, reset)
            found.append(standing)
            if rule.kind == "budget":
                self._note(standing, now)
        return tuple(found)

    def _note(self, standing: Standing, now: int) -> None:
        key = identity(standing.rule)
        seen = self._seen.get(key)
        if seen is not None and seen.start <= now < seen.end:
            seen.standing, seen.touched = standing, now
            return
        with self._lock:
            for old in tuple(islice(self._seen, 2)):  # one comes, so look whether two may go
                kept = self._seen.pop(old)
                if kept.end > now and kept.touched + periods.DAY > now:
                    self._seen[old] = kept
            self._seen[key] = _Seen(standing, *periods.window(standing.rule.period, now), now)

    def _in_use(self) -> Iterator[Touched]:
        since = self._now() - int(2 * AGAIN_SECONDS * SECOND)
        for seen in tuple(self._seen.values()):
            if seen.touched >= since and seedable(seen.standing.rule):
                yield Touched(seen.standing.rule, seen.start)

    def _remember(self, one: Settlement) -> None:
        """Keep what is to be settled, and some of what nobody settled before its lease was over."""
        with self._lock:
            self._open[one.id] = one
            oldest = next(iter(self._open.values()))
            if len(self._open) > LATE and oldest.until < one.at:
                del self._open[oldest.id]


@lru_cache(8192)
def _fixed(scope: str, name: str, kind: str, unit: str, period: str | None) -> tuple[str, tuple[int, int]]:
    """The key of a rule, and the period and slice of a rate. `ascii` tells any two names apart."""
    key = hashlib.blake2b(ascii((scope, name, kind, unit, period)).encode(), digest_size=16).hexdigest()
    span = periods.length(period) if kind == "rate" and period else 0
    return key, (span, span // SLICES)


def _standing(rule: Rule, counted: bytes | int, reset: int) -> Standing:
    return Standing(rule, rule.most - int(counted), reset / SECOND)


def _puzzled() -> Unavailable:
    return Unavailable("The shared counters keep changing their clock; try again later.", code=CODE)
