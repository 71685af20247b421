"""From a reservation to its settlement: exactly once, and with nobody waiting for counters that are elsewhere."""

import asyncio
from collections.abc import Sequence

from gateway.errors import Unavailable
from gateway.ledger.allowances import Amount, Refusal, Reservation, Rule, Standing
from gateway.ledger.allowances_memory import MemoryAllowances
from gateway.ledger.counting import RENEW_SECONDS, Counting
from gateway.ledger.thresholds import Crossing
from gateway.telemetry import logs

BUDGET = Rule("all", "", "budget", "tokens", 100)


class Slow(MemoryAllowances):
    """Counters that are settled only when they are let, or cannot be reached; what they are asked is kept."""

    def __init__(self, *, away: bool = False) -> None:
        super().__init__(logs.make("library"), clock=lambda: 1_800_057_600.0)
        self.let = asyncio.Event()
        self.away = away
        self.settled: list[Amount] = []
        self.renewed: list[str] = []

    async def settle(self, reservation: Reservation, used: Amount) -> tuple[Standing, ...]:
        await self.let.wait()
        self.settled.append(used)
        if self.away:
            raise Unavailable("away", code="counters_unavailable")
        return await super().settle(reservation, used)

    async def renew(self, reservation: Reservation) -> None:
        self.renewed.append(reservation.id)
        if self.away:
            raise Unavailable("away", code="counters_unavailable")


async def reserved(counting: Counting, tokens: int, rules: Sequence[Rule] = (BUDGET,)) -> Reservation:
    found = await counting.reserve(rules, Amount(tokens))
    assert isinstance(found, Reservation)
    return found


def test_counters_elsewhere_are_settled_beside_the_request_and_before_the_end():
    async def run() -> None:
        slow, told = Slow(), []
        counting = Counting(slow, told.append, shared=True)
        one = await reserved(counting, 90)
        await asyncio.wait_for(counting.settle(one, Amount(85)), 5)
        await counting.settle(one, Amount(50))
        assert slow.settled == [], "nobody has waited"
        closing = asyncio.create_task(counting.close(5))
        slow.let.set()
        await closing
        assert slow.settled == [Amount(85)], "once"
        assert [crossing.percent for crossing in told] == [80]

    asyncio.run(run())


def test_counters_that_are_away_fail_nobody():
    async def run() -> None:
        slow = Slow(away=True)
        slow.let.set()
        for shared in (False, True):
            counting = Counting(slow, lambda _: None, shared=shared)
            await counting.settle(await reserved(counting, 1), Amount(1))
            await counting.close(5)
        assert len(slow.settled) == 2

    asyncio.run(run())


def test_what_others_have_under_way_does_not_count_as_spent():
    async def run() -> list[int]:
        told: list[Crossing] = []
        counting = Counting(MemoryAllowances(logs.make("library")), told.append)
        several = [await reserved(counting, 30) for _ in range(3)]
        assert isinstance(await counting.reserve([BUDGET], Amount(30)), Refusal)
        await counting.settle(several[0], Amount(10))
        assert told == []
        await counting.settle(several[1], Amount(30))
        await counting.settle(several[2], Amount(41))
        await counting.close(1)
        return [crossing.percent for crossing in told]

    assert asyncio.run(run()) == [80]


def test_what_takes_long_is_renewed_until_it_is_over():
    async def run() -> None:
        now, slow = [0.0], Slow()
        slow.let.set()
        counting = Counting(slow, lambda _: None, clock=lambda: now[0])
        early = await reserved(counting, 1)
        now[0] = RENEW_SECONDS - 1
        late = await reserved(counting, 1)
        await counting.renew()
        assert slow.renewed == []
        now[0] = RENEW_SECONDS
        await counting.renew()
        await counting.renew()
        assert slow.renewed == [early.id]
        await counting.settle(early, Amount(1))
        now[0] = 3 * RENEW_SECONDS
        await counting.renew()
        assert slow.renewed == [early.id, late.id]
        slow.away = True
        now[0] = 5 * RENEW_SECONDS
        await counting.renew()
        await counting.close(1)

    asyncio.run(run())
