"""A request's allowances from its reservation to its settlement, and what is seen of budgets on the way.

Counters in this process are settled in place, which takes microseconds; shared ones beside the request, so that nobody
waits for the network after the last byte of an answer. What is under way for longer than a lease is renewed.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextvars import Context
from time import monotonic
from typing import Final

from gateway.errors import Unavailable
from gateway.ledger.allowances import Allowances, Amount, Refusal, Reservation, Rule, Standing
from gateway.ledger.allowances_memory import MemoryAllowances
from gateway.ledger.limits import asked
from gateway.ledger.seeding import Repeated
from gateway.ledger.thresholds import Crossing, Thresholds

RENEW_SECONDS: Final = 240.0
"""How often reservations that are as old are renewed: several times within a lease."""

WAKE_SECONDS: Final = 60.0
"""How often it is looked whether the renewing goes on: it ends with its event loop, of which there may be several."""


class Counting:
    """Reserves and settles.

    Args:
        allowances: where it is counted.
        crossed: is told of budgets that come to their end.
        shared: whether the counters are elsewhere, so that asking them takes time.
        thresholds: what was told of budgets; None for a new memory of it.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        allowances: Allowances,
        crossed: Callable[[Crossing], None],
        *,
        shared: bool = False,
        thresholds: Thresholds | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._allowances = allowances
        self._crossed = crossed
        self._shared = shared
        # What is counted here is asked without a wait: each coroutine less is half a microsecond for every request.
        self._here = allowances if type(allowances) is MemoryAllowances else None
        self._thresholds = thresholds or Thresholds()
        self._clock = clock
        self._open: dict[str, tuple[Reservation, float]] = {}
        self._held: dict[Rule, int] = {}
        self._settling: set[asyncio.Task[None]] = set()
        self._renewing = Repeated(RENEW_SECONDS, self.renew)
        self._wake_at = float("-inf")

    def __repr__(self) -> str:
        return f"<Counting {self._allowances!r} open={len(self._open)} settling={len(self._settling)}>"

    async def reserve(self, rules: Sequence[Rule], amount: Amount) -> Reservation | Refusal:
        """Set aside one request and `amount` under all `rules`, or nothing at all.

        Raises:
            Unavailable: the counters cannot be reached.
        """
        here = self._here
        found = None if here is None else here.reserve_now(rules, amount)
        if found is None:
            found = await self._allowances.reserve(rules, amount)
        if isinstance(found, Refusal):
            standing = found.standing
            if standing.rule.kind == "budget":
                self._look((standing,), refused=True)
            return found
        now = self._clock()
        self._open[found.id] = (found, now)
        for rule in rules:
            if rule.kind == "budget":
                self._held[rule] = self._held.get(rule, 0) + asked(rule, amount)
        if now >= self._wake_at:
            self._wake_at = now + WAKE_SECONDS
            self._renewing.wake()
        return found

    async def settle(self, reservation: Reservation, used: Amount) -> None:
        """Put what was `used` in place of what was reserved: at once, or beside whatever comes next. Raises nothing."""
        if self._open.pop(reservation.id, None) is None:
            return
        for rule in reservation.rules:
            if rule.kind == "budget":
                left = self._held[rule] - asked(rule, reservation.amount)
                if left:
                    self._held[rule] = left
                else:
                    del self._held[rule]
        if self._here is not None:
            if standings := self._here.settle_now(reservation, used):
                self._look(standings)
        elif not self._shared:
            await self._settled(reservation, used)
        else:
            task = asyncio.get_running_loop().create_task(self._settled(reservation, used), context=Context())
            self._settling.add(task)
            task.add_done_callback(self._settling.discard)

    async def renew(self) -> None:
        """Let the leases begin anew of what has been under way for long."""
        now = self._clock()
        for reservation, since in tuple(self._open.values()):
            if now - since < RENEW_SECONDS:
                continue
            try:
                await self._allowances.renew(reservation)
            except Unavailable:
                return  # the next round may be luckier; a lease that ends is no loss, it only holds nothing any more
            if reservation.id in self._open:
                self._open[reservation.id] = (reservation, now)

    async def close(self, seconds: float) -> None:
        """Settle what is not settled yet, for at most so many seconds."""
        await self._renewing.close()
        if self._settling:
            await asyncio.wait(self._settling, timeout=seconds)
        await self._allowances.close(seconds)

    async def _settled(self, reservation: Reservation, used: Amount) -> None:
        try:
            standings = await self._allowances.settle(reservation, used)
        except Unavailable:
            return  # the counters do it themselves once they can be reached, see `Allowances.settle`
        self._look(standings)

    def _look(self, standings: Sequence[Standing], *, refused: bool = False) -> None:
        for standing in standings:
            if standing.rule.kind == "budget":
                held = self._held.get(standing.rule, 0)
                for crossing in self._thresholds.look(standing, held, refused=refused):
                    self._crossed(crossing)
