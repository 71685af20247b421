"""Allowances counted in one process, for as long as it lives.

Everything between two waits is done in one go under a lock, which costs a tenth of a microsecond and is free but where
an application is called from several threads, each with its event loop. Measured with four rules (two rates, a budget,
requests at a time): reserve and settle together take 8 µs.
"""

import time
from collections.abc import Callable, Sequence
from itertools import count
from threading import RLock

from gateway.ledger.allowances import Amount, Refusal, Reservation, Rule, Spent, Standing
from gateway.ledger.limits import COUNTERS, PLACES, Budget, Counter, Identity, asked, identity, refusal, settles
from gateway.ledger.periods import SECOND
from gateway.ledger.ports import Log
from gateway.ledger.seeding import AGAIN_SECONDS, Seeding, Touched, seedable

LEASE_SECONDS = 900.0
"""After what time a reservation that nobody settles is taken back: longer than any answer takes that is not renewed."""

UNUSED_SECONDS = 86_400
"""How long a budget for ever is remembered that nobody uses, where the ledger knows it too."""

LATE = 10_000
"""How many reservations that outlived their lease are remembered, to count what they used."""


_new = tuple.__new__
"""Makes a named tuple from its values: twice as fast as its own constructor, which is a function around this."""


class _Lease:
    __slots__ = ("amounts", "at", "counters", "until")

    def __init__(self, counters: list[Counter], amounts: list[int], at: int, until: int) -> None:
        self.counters = counters
        self.amounts = amounts
        self.at = at
        self.until = until


class MemoryAllowances:
    """Counts in this process. Fills the port `Allowances`.

    Args:
        log: where it is told that the ledger cannot be asked.
        spent: what the ledger knows of budgets; without it they begin empty with the process.
        clock: seconds since 1970.
        lease: seconds.
    """

    def __init__(
        self,
        log: Log,
        *,
        spent: Spent | None = None,
        clock: Callable[[], float] = time.time,
        lease: float = LEASE_SECONDS,
    ) -> None:
        self._clock = clock
        self._lease = int(lease * SECOND)
        self._counters: dict[Identity, Counter] = {}
        self._open: dict[str, _Lease] = {}
        self._due = self._made = 0
        self._late: dict[str, None] = {}
        self._ids = count(1)
        self._lock = RLock()
        self._seeding = Seeding(spent, self._learn, self._in_use, log) if spent else None

    def __repr__(self) -> str:
        return f"<MemoryAllowances {len(self._counters)} rules, {len(self._open)} reservations>"

    async def reserve(self, rules: Sequence[Rule], amount: Amount) -> Reservation | Refusal:
        """See `Allowances.reserve`."""
        if (found := self.reserve_now(rules, amount)) is not None:
            return found
        await self._seed(rules)
        with self._lock:
            now = self._now()
            return self._reserved(rules, self._counters_of(rules, now), amount, now)

    def reserve_now(self, rules: Sequence[Rule], amount: Amount) -> Reservation | Refusal | None:
        """What `reserve` gives, without a wait; None where it has to ask the ledger first."""
        with self._lock:
            now = self._now()
            counters = self._counters_of(rules, now)
            if self._seeding is not None:
                for rule in rules:
                    if rule.kind == "budget" and _blank(counters):
                        return None
            return self._reserved(rules, counters, amount, now)

    def _reserved(
        self, rules: Sequence[Rule], counters: list[Counter], amount: Amount, now: int
    ) -> Reservation | Refusal:
        """Reserve under counters that were asked what they count at this time."""
        amounts, wants = [], (1, *amount)
        for rule, counter in zip(rules, counters, strict=True):
            wanted = wants[PLACES[rule.unit]]
            amounts.append(wanted)
            if counter.sum + (wanted or 1) > rule.most:
                return _refuse(rules, counters, [asked(rule, amount) for rule in rules], now)
        standings = []
        for rule, counter, wanted in zip(rules, counters, amounts, strict=True):
            reset = counter.take(wanted, now)
            counter.held += 1
            standings.append(_new(Standing, (rule, rule.most - counter.sum, reset / SECOND)))
        number = f"{next(self._ids):x}"
        if not self._open:
            self._due = now + self._lease
        self._open[number] = _Lease(counters, amounts, now, now + self._lease)
        return _new(Reservation, (number, tuple(rules), amount, now / SECOND, tuple(standings)))

    async def settle(self, reservation: Reservation, used: Amount) -> tuple[Standing, ...]:
        """See `Allowances.settle`."""
        return self.settle_now(reservation, used)

    def settle_now(self, reservation: Reservation, used: Amount) -> tuple[Standing, ...]:
        """What `settle` does and gives, without a wait."""
        rules = reservation.rules
        with self._lock:
            now = self._now()
            lease = self._open.pop(reservation.id, None)
            if lease is None:
                counters = self._counters_of(rules, now)
                if self._late.pop(reservation.id, False) is None:
                    _count(reservation, counters, used, now)
                return _standings(rules, counters, now, budgets=True)
            spent, budgets = (1, *used), False
            for rule, counter, reserved in zip(rules, lease.counters, lease.amounts, strict=True):
                counter.held -= 1
                kind = rule.kind
                if kind == "parallel":
                    counter.give(reserved, lease.at)
                    continue
                beyond = spent[PLACES[rule.unit]] - reserved
                if beyond or kind == "budget":
                    budgets = budgets or kind == "budget"
                    counter.counted(now)
                if beyond > 0:
                    counter.add(beyond, lease.at, now)
                elif beyond:
                    counter.give(-beyond, lease.at)
            return _standings(rules, lease.counters, now, budgets=True) if budgets else ()

    async def renew(self, reservation: Reservation) -> None:
        """See `Allowances.renew`."""
        with self._lock:
            now = self._now()
            if lease := self._open.pop(reservation.id, None):
                lease.until = now + self._lease
                self._open[reservation.id] = lease

    async def standings(self, rules: Sequence[Rule]) -> tuple[Standing, ...]:
        """See `Allowances.standings`."""
        await self._seed(rules)
        with self._lock:
            now = self._now()
            counters = self._counters_of(rules, now)
            return _standings(rules, counters, now)

    def budgets(self) -> tuple[Standing, ...]:
        """See `Allowances.budgets`."""
        with self._lock:
            now = self._now()
            seen = [one for one in self._budgets() if one.start <= now < one.end]
            return _standings([one.rule for one in seen], seen, now)

    async def close(self, seconds: float) -> None:
        """See `Allowances.close`: there is nothing to wait for."""
        if self._seeding is not None:
            await self._seeding.close()

    def _now(self) -> int:
        """The time, after everything was taken back whose lease is over by then."""
        now = int(self._clock() * SECOND)
        if self._open and now >= self._due:
            self._expire(now)
        return now

    def _expire(self, now: int) -> None:
        while self._open:
            name, lease = next(iter(self._open.items()))  # leases are as long: the oldest is the first
            self._due = lease.until
            if lease.until > now:
                return
            del self._open[name]
            for counter, reserved in zip(lease.counters, lease.amounts, strict=True):
                counter.counted(now)
                counter.held -= 1
                if settles(counter.rule):
                    counter.give(reserved, lease.at)
            self._late[name] = None
            if len(self._late) > LATE:
                del self._late[next(iter(self._late))]

    def _counters_of(self, rules: Sequence[Rule], now: int) -> list[Counter]:
        """The counters of rules, asked what they count at this time."""
        if self._made:
            self._forget(now)
        found = []
        for rule in rules:
            key = (rule.scope, rule.name, rule.kind, rule.unit, rule.period)
            counter = self._counters.get(key)
            if counter is None:
                counter = self._counters[key] = COUNTERS[rule.kind](rule)
                self._made += 1
            elif counter.rule is not rule:
                counter.rule = rule
            counter.counted(now)
            found.append(counter)
        return found

    def _forget(self, now: int) -> None:
        """For every counter that was made, look at the two that were not looked at for the longest, and drop those that
        count nothing: so that there are never many more than are in use, and no request looks at all of them."""
        for _ in range(min(2 * self._made, len(self._counters))):
            key = next(iter(self._counters))
            counter = self._counters.pop(key)
            if not (counter.idle(now) or (isinstance(counter, Budget) and self._unused(counter, now))):
                self._counters[key] = counter
        self._made = 0

    def _unused(self, budget: Budget, now: int) -> bool:
        known = self._seeding is not None and seedable(budget.rule)
        return known and not budget.held and now - budget.touched > UNUSED_SECONDS * SECOND

    async def _seed(self, rules: Sequence[Rule]) -> None:
        """Have the ledger asked for the budgets in whose window nobody has asked it yet."""
        if self._seeding is None:
            return
        with self._lock:
            blank = _blank(self._counters_of(rules, self._now()))
        if not blank:
            return
        await self._seeding.first(blank)
        with self._lock:
            for one in blank:
                counter = self._counters.get(identity(one.rule))
                if isinstance(counter, Budget) and counter.start == one.start:
                    counter.seeded = True

    async def _learn(self, touched: Touched, spent: int) -> None:
        with self._lock:
            counter = self._counters.get(identity(touched.rule))
            if isinstance(counter, Budget):
                counter.learn(spent, touched.start)

    def _in_use(self) -> list[Touched]:
        since = int((self._clock() - 2 * AGAIN_SECONDS) * SECOND)
        used = [one for one in self._budgets() if one.touched >= since and seedable(one.rule)]
        return [Touched(one.rule, one.start) for one in used]

    def _budgets(self) -> list[Budget]:
        with self._lock:
            return [one for one in self._counters.values() if isinstance(one, Budget)]


def _blank(counters: Sequence[Counter]) -> list[Touched]:
    """The budgets in whose window nobody has asked the ledger yet."""
    return [
        Touched(counter.rule, counter.start)
        for counter in counters
        if isinstance(counter, Budget) and not counter.seeded and seedable(counter.rule)
    ]


def _refuse(rules: Sequence[Rule], counters: Sequence[Counter], amounts: Sequence[int], now: int) -> Refusal:
    waits: list[tuple[int, int | None]] = []
    for place, (rule, counter, wanted) in enumerate(zip(rules, counters, amounts, strict=True)):
        needed = wanted or 1
        if needed > rule.most:
            waits.append((place, None))
        elif counter.sum + needed > rule.most:
            waits.append((place, counter.wait(counter.sum + needed - rule.most, now)))
    return refusal(_standings(rules, counters, now), waits)


def _standings(
    rules: Sequence[Rule], counters: Sequence[Counter], now: int, *, budgets: bool = False
) -> tuple[Standing, ...]:
    """How some rules stand, or the budgets among them, as those rules have them: a counter may have a newer one."""
    return tuple(
        [
            Standing(rule, rule.most - counter.sum, counter.reset(now) / SECOND)
            for rule, counter in zip(rules, counters, strict=True)
            if rule.kind == "budget" or not budgets
        ]
    )


def _count(reservation: Reservation, counters: Sequence[Counter], used: Amount, now: int) -> None:
    """Count what a request used whose reservation was taken back."""
    at = round(reservation.at * SECOND)
    for rule, counter in zip(reservation.rules, counters, strict=True):
        if settles(rule):
            counter.add(asked(rule, used), at, now)
