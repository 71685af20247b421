"""Faults of this program in what goes on beside requests: told with their place, and the end of nothing else."""

import asyncio
from contextlib import suppress

import pytest

from gateway.errors import Unavailable
from gateway.ledger.allowances import Amount, Rule
from gateway.ledger.seeding import Repeated, Seeding, Touched
from gateway.ledger.settling import Settlement, Settling
from tests.ledger.kit import Log

RULE = Rule("all", "", "budget", "tokens", 100, "1d")


def test_a_fault_in_settling_is_told_with_its_place_and_not_tried_again():
    log, tried = Log(), []

    async def attempt(one: Settlement):
        tried.append(one.id)
        raise ZeroDivisionError("no number of a person")

    async def work():
        settling = Settling(attempt, lambda _: False, log)
        with pytest.raises(ZeroDivisionError):
            await settling.make(Settlement("one", (RULE,), (1,), 0, 0, "", Amount()))
        await settling.again()
        assert len(settling) == 0
        await settling.close(1)

    asyncio.run(asyncio.wait_for(work(), 60))
    ((event, told),) = log.events
    assert (tried, event, told["error"]) == (["one"], "allowances_settling_fault", "ZeroDivisionError")
    assert told["at"][-1].startswith("test_settling.py:")
    assert "person" not in str(told)


@pytest.mark.parametrize(("raised", "ours"), [(Unavailable("no"), False), (OSError(), False), (KeyError("x"), True)])
def test_a_ledger_that_cannot_be_asked_is_told_and_a_fault_of_ours_with_its_place(raised: Exception, ours: bool):
    log = Log()

    async def spent(rule: Rule, since: float) -> Amount:
        raise raised

    async def learn(touched: Touched, used: int) -> None:
        raise AssertionError(touched)

    async def work():
        seeding = Seeding(spent, learn, tuple, log)
        touched = Touched(RULE, 0)
        assert await seeding.first([touched]) == [touched]
        assert await seeding.first([touched]) == [touched]
        await seeding.close()

    asyncio.run(asyncio.wait_for(work(), 60))
    ((event, told),) = log.events
    assert (event, told["error"], "at" in told) == ("budgets_not_seeded", type(raised).__name__, ours)


def test_what_loses_one_cancellation_is_ended_by_the_next():
    async def run() -> None:
        begun = asyncio.Event()

        async def deaf_once() -> None:
            if begun.is_set():
                await asyncio.sleep(3_600)
            begun.set()
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(3_600)

        work = Repeated(0, deaf_once)
        work.wake()
        await begun.wait()
        await asyncio.wait_for(work.close(), 30)

    asyncio.run(run())
