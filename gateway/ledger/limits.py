"""The arithmetic of allowances: what is counted under one rule, and how long it takes until there is room. No I/O.

Rates are sliding windows: never more than `most` in any stretch as long as the period, wherever it begins. A fixed
window lets twice as much through around its edge, and so does a bucket of tokens that is full at first and refills
while it is emptied (the generic cell rate algorithm of ITU-T I.371, the bucket of RFC 2697); that is not what "so many
a minute" says, nor what a provider that counts that way allows. A log of every request is exact but as long as the
traffic is dense; so requests that come within the same sixtieth of a period are counted together, and given back
together, a period after the last of them. The count is never too low; room comes back at most a sixtieth of a period
late; requests further apart than that are counted exactly. (The sliding window counter of Cloudflare's "How we built
rate limiting capable of scaling to millions of domains" estimates between two windows, and lets a burst slip.)

Budgets are fixed windows (see `gateway.ledger.periods`), because people plan with them. Both count what is reserved
together with what is used: what a request reserved is taken off again where it was counted, and what it used beyond is
counted when it is known. A count may so pass `most`, by the error of an estimate, and nothing passes until it is below.

A redis script does the same (`gateway.ledger.allowances_lua`); a property test compares the two. All times are whole
microseconds since 1970. A clock that is set back gives nothing away, and nobody waits for it longer than two periods.
"""

from collections import deque
from collections.abc import Mapping
from typing import Protocol

from gateway.ledger import periods
from gateway.ledger.allowances import Amount, Refusal, Rule, Standing, Unit

SLICES = 60
"""Parts of a period that a rate tells apart."""

PARALLEL_WAIT = periods.SECOND
"""After what time one who found all places taken may ask again: nobody knows when a request ends."""


IDLE = 120 * periods.SECOND
"""After what time a budget that counts nothing is given up."""


class Counter(Protocol):
    """What is counted under a rule: `sum`, as it was when `counted` was asked last. `held` is how many reservations of
    it are not settled."""

    held: int
    rule: Rule
    sum: int

    def counted(self, now: int) -> int:
        """What is used and reserved at this time. To be asked before anything else is asked or done at that time."""
        ...

    def take(self, amount: int, now: int) -> int:
        """Count an amount, and say what `reset` says then."""
        ...

    def give(self, amount: int, at: int) -> None:
        """Take off what was reserved at a time and not used, if it still counts."""
        ...

    def add(self, amount: int, at: int, now: int) -> None:
        """Count what a request that began at a time used beyond what it reserved."""
        ...

    def wait(self, missing: int, now: int) -> int | None:
        """The time until `missing`, at most what is counted, is free again; None where no time frees it."""
        ...

    def reset(self, now: int) -> int:
        """The time until nothing is counted; 0 where it is so, or where no time makes it so."""
        ...

    def idle(self, now: int) -> bool:
        """Whether a new counter would count the same."""
        ...


class Rate:
    """So much in any stretch of a period. A slice is [its number, amount, when it was last counted in]."""

    __slots__ = ("_grain", "_period", "_slices", "held", "rule", "sum")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.held = 0
        self._period = periods.length(rule.period or "")
        self._grain = self._period // SLICES
        self._slices: deque[list[int]] = deque()
        self.sum = 0

    def counted(self, now: int) -> int:
        """See `Counter.counted`."""
        slices, before = self._slices, now - self._period
        while slices and slices[0][2] <= before:
            self.sum -= slices.popleft()[1]
        if slices and slices[-1][2] > now + self._period:  # the clock was set back by more than a period
            slices.clear()
            self.sum = 0
        return self.sum

    def take(self, amount: int, now: int) -> int:
        """See `Counter.take`."""
        if not amount:
            return self.reset(now)
        number, slices = now // self._grain, self._slices
        self.sum += amount
        last = slices[-1] if slices else None
        if last is None or last[0] < number:
            slices.append([number, amount, now])
            return self._period
        last[1] += amount
        if last[2] < now:
            last[2] = now
        return last[2] + self._period - now

    def give(self, amount: int, at: int) -> None:
        """See `Counter.give`."""
        number = at // self._grain
        for one in reversed(self._slices):
            if one[0] == number:
                off = min(amount, one[1])
                one[1] -= off
                self.sum -= off
            if one[0] <= number:
                return

    def add(self, amount: int, at: int, now: int) -> None:
        """See `Counter.add`: it counts from the time at which it is known."""
        self.take(amount, now)

    def wait(self, missing: int, now: int) -> int | None:
        """See `Counter.wait`."""
        freed = 0
        for _, amount, last in self._slices:
            freed += amount
            if freed >= missing:
                return last + self._period - now
        return None

    def reset(self, now: int) -> int:
        """See `Counter.reset`."""
        for _, amount, last in reversed(self._slices):
            if amount:
                return last + self._period - now
        return 0

    def idle(self, now: int) -> bool:
        """See `Counter.idle`."""
        return not self.held and not self.counted(now)


class Budget:
    """So much in each window; requests count in the one they began in. `seeded` says whether the ledger was asked."""

    __slots__ = ("end", "held", "rule", "seeded", "start", "sum", "touched")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.held = self.sum = self.start = self.end = self.touched = 0
        self.seeded = False

    def counted(self, now: int) -> int:
        """See `Counter.counted`."""
        if not self.start <= now < self.end:
            self.start, self.end = periods.window(self.rule.period, now)
            self.sum = 0
            self.seeded = False
        self.touched = now
        return self.sum

    def take(self, amount: int, now: int) -> int:
        """See `Counter.take`."""
        self.sum += amount
        return self.reset(now)

    def give(self, amount: int, at: int) -> None:
        """See `Counter.give`."""
        if self.start <= at < self.end:
            self.sum -= amount

    def add(self, amount: int, at: int, now: int) -> None:
        """See `Counter.add`."""
        if self.start <= at < self.end:
            self.sum += amount

    def wait(self, missing: int, now: int) -> int | None:
        """See `Counter.wait`."""
        return None if self.rule.period is None else self.end - now

    def reset(self, now: int) -> int:
        """See `Counter.reset`."""
        return self.end - now if self.sum and self.rule.period is not None else 0

    def idle(self, now: int) -> bool:
        """See `Counter.idle`. One that counts nothing may be about to: it is not idle before its answer has come."""
        untouched = abs(now - self.touched) > IDLE
        return untouched and not self.held and (not self.sum or not self.start <= now < self.end)

    def learn(self, spent: int, start: int) -> None:
        """The ledger knows of so much that was spent in the window of that start: no less is counted from now on."""
        if start == self.start:
            self.sum = max(self.sum, spent)
            self.seeded = True


class Parallel:
    """So many at one time."""

    __slots__ = ("held", "rule", "sum")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.held = self.sum = 0

    def counted(self, now: int) -> int:
        """See `Counter.counted`."""
        return self.sum

    def take(self, amount: int, now: int) -> int:
        """See `Counter.take`."""
        self.sum += amount
        return 0

    def give(self, amount: int, at: int) -> None:
        """See `Counter.give`."""
        self.sum -= amount

    def add(self, amount: int, at: int, now: int) -> None:
        """See `Counter.add`: a request that is over takes no place."""

    def wait(self, missing: int, now: int) -> int | None:
        """See `Counter.wait`: a guess."""
        return PARALLEL_WAIT

    def reset(self, now: int) -> int:
        """See `Counter.reset`."""
        return 0

    def idle(self, now: int) -> bool:
        """See `Counter.idle`."""
        return not self.sum


COUNTERS: dict[str, type[Rate] | type[Budget] | type[Parallel]] = {
    "rate": Rate,
    "budget": Budget,
    "parallel": Parallel,
}

Identity = tuple[str, str, str, str, str | None]


def identity(rule: Rule) -> Identity:
    """What makes two rules count together: all but `most`, which may change while the count goes on."""
    return (rule.scope, rule.name, rule.kind, rule.unit, rule.period)


def asked(rule: Rule, amount: Amount) -> int:
    """What a request that is thought to use `amount` reserves under a rule."""
    if rule.unit == "tokens":
        return amount.tokens
    return amount.picodollars if rule.unit == "picodollars" else 1


PLACES: Mapping[Unit, int] = {"requests": 0, "tokens": 1, "picodollars": 2}
"""Where `(1, *amount)` has what `asked` says: for whoever asks under many rules at once."""


def settles(rule: Rule) -> bool:
    """Whether what is reserved may change: a request is one request, whatever it came to, but it leaves its place."""
    return rule.kind == "parallel" or rule.unit != "requests"


def refusal(standings: tuple[Standing, ...], waits: list[tuple[int, int | None]]) -> Refusal:
    """The refusal by the rule with the longest wait; no wait that helps is the longest, and of equal ones the first.

    Args:
        standings: of all rules.
        waits: the rules that refuse, by their place, each with its wait.
    """
    place, wait = waits[0]
    for other, longer in waits[1:]:
        if wait is not None and (longer is None or longer > wait):
            place, wait = other, longer
    return Refusal(standings[place], None if wait is None else wait / periods.SECOND, standings)
