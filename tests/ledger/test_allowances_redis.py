"""Allowances in a real Redis: they count as those in memory do, for several processes, and through its death."""

import asyncio
import re
from collections.abc import Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import Unavailable
from gateway.ledger import settling
from gateway.ledger.allowances import Amount, Refusal, Reservation, Rule, Standing
from gateway.ledger.allowances_memory import MemoryAllowances
from gateway.ledger.allowances_redis import RedisAllowances
from gateway.ledger.limits import identity
from gateway.ledger.remote import Remote
from tests.ledger import redis
from tests.ledger.counted import RULES, STEPS, Clock, Ledger, Step, budget, parallel, rate, run
from tests.ledger.kit import Log

NOTHING = Amount()
PATIENT = {"connect": 30.0, "answer": 30.0}
SPACES = count(1)


class Ticks:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def server() -> Iterator[redis.Server]:
    """A Redis for the tests that do not break it; each has its own namespace."""
    if why := redis.missing():
        pytest.skip(why)
    with redis.server() as running:
        yield running


@pytest.fixture
def mortal() -> Iterator[redis.Server]:
    """A Redis to be killed."""
    if why := redis.missing():
        pytest.skip(why)
    with redis.server() as running:
        yield running


@asynccontextmanager
async def made(server: redis.Server, **options: Any) -> Any:
    """Allowances in a namespace of their own, unless one is named."""
    options = {"namespace": f"space{next(SPACES)}", "log": Log(), "ticks": Ticks(), **options}
    remote = Remote(server.url, options["log"], clock=options.pop("ticks"), **PATIENT)
    allowances = RedisAllowances(remote, options.pop("log"), **options)
    try:
        yield allowances
    finally:
        await allowances.close(0)
        await remote.close()


async def reserve(allowances: Any, *rules: Rule, amount: Amount = NOTHING) -> Reservation:
    """A reservation that is not refused."""
    found = await allowances.reserve(rules, amount)
    assert isinstance(found, Reservation)
    return found


async def left(allowances: Any, *rules: Rule) -> list[int]:
    """What is left of rules."""
    return [standing.left for standing in await allowances.standings(rules)]


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(RULES), unique=True, min_size=1, max_size=6), STEPS)
def test_redis_and_memory_agree_whatever_happens(server, rules, steps):
    async def work() -> None:
        clock = Clock()
        here = MemoryAllowances(Log(), clock=clock, lease=100.0)
        async with made(server, clock=clock, lease=100.0) as there:
            bound = list(rules)
            opened: list[tuple[Reservation, Reservation]] = []
            for step in steps:
                clock.micro += step.microseconds
                await happen(step, bound, opened, here, there)
                assert await here.standings(bound) == await there.standings(bound)

    run(work())


async def happen(
    step: Step,
    bound: list[Rule],
    opened: list[tuple[Reservation, Reservation]],
    here: MemoryAllowances,
    there: RedisAllowances,
) -> None:
    """One step in both, with the same outcome."""
    if step.what == "reserve":
        one, other = await here.reserve(bound, step.amount), await there.reserve(bound, step.amount)
        if isinstance(one, Refusal):
            assert one == other
        else:
            assert isinstance(other, Reservation)
            assert (one.at, one.standings) == (other.at, other.standings)
            opened.append((one, other))
    elif step.what == "most":
        place = step.pick % len(bound)
        rule = bound[place]
        bound[place] = Rule(rule.scope, rule.name, rule.kind, rule.unit, step.pick % 200, rule.period)
    elif opened and step.what in ("settle", "again"):
        one, other = opened[step.pick % len(opened)]
        if step.what == "settle":
            opened.remove((one, other))
        assert await here.settle(one, step.amount) == await there.settle(other, step.amount)
    elif opened and step.what == "renew":
        one, other = opened[step.pick % len(opened)]
        await here.renew(one)
        await there.renew(other)


def test_without_a_clock_redis_own_counts():
    if why := redis.missing():
        pytest.skip(why)

    async def work(server: redis.Server) -> None:
        async with made(server) as allowances:
            rules = (rate(5, period="1d"), budget(10**6, "1mo"), budget(100, None, "tokens"), parallel(2))
            found = await reserve(allowances, *rules, amount=Amount(60, 400))
            assert [s.left for s in found.standings] == [4, 10**6 - 400, 40, 1]
            seconds = int(re.findall(rb"\r\n(\d+)\r\n", server.ask("TIME"))[0])
            assert found.at <= seconds + 1
            after = await allowances.settle(found, Amount(25, 150))
            assert [s.left for s in after] == [10**6 - 150, 75]
            assert [s.left for s in await allowances.settle(found, Amount(99, 999))] == [10**6 - 150, 75]
            assert await left(allowances, *rules) == [4, 10**6 - 150, 75, 2]

    with redis.server() as running:
        run(work(running))


def test_a_guess_of_the_time_that_is_wrong_is_put_right_by_redis(server):
    async def work() -> None:
        async with made(server) as allowances:
            allowances._ahead = -(10**15)  # some thirty years behind
            found = await reserve(allowances, budget(100, "1s"), amount=Amount(0, 30))
            assert found.standings[0].left == 70

    run(work())


def test_money_is_counted_whole_however_much_it_is(server):
    async def work() -> None:
        async with made(server, clock=Clock()) as allowances:
            rule = budget(9 * 10**18)
            found = await reserve(allowances, rule, amount=Amount(0, 8 * 10**18 + 1))
            assert found.standings[0].left == 10**18 - 1
            assert (await allowances.settle(found, Amount(0, 8 * 10**18 + 7)))[0].left == 10**18 - 7
            for _ in range(30):
                found = await allowances.reserve((rate(10**6), budget(1, name="other")), NOTHING)
                assert isinstance(found, Reservation)
                await allowances.settle(found, Amount(0, 0))

    run(work())


def test_more_than_a_number_holds_is_counted_as_the_most_it_holds(server):
    async def work() -> None:
        async with made(server, clock=Clock()) as allowances:
            rule = budget((1 << 63) - 1)
            several = [await reserve(allowances, rule, amount=Amount(0, 4)) for _ in range(3)]
            for one in several:
                await allowances.settle(one, Amount(0, 4 * 10**18))
            assert isinstance(await allowances.reserve((rule,), Amount(0, 10**17)), Refusal)

    run(work())


@pytest.mark.parametrize("clients", [1, 2])
def test_side_by_side_they_never_pass_a_bound(server, clients):
    async def work() -> None:
        space = f"space{next(SPACES)}"
        rules = (budget(1_000), parallel(20), rate(60, "requests", "1h"))
        async with made(server, namespace=space) as first, made(server, namespace=space) as second:
            several = [first, second][:clients]
            at_once, highest = 0, 0

            async def one(n: int) -> int:
                nonlocal at_once, highest
                allowances = several[n % clients]
                found = await allowances.reserve(rules, Amount(0, 30))
                if isinstance(found, Refusal):
                    return 0
                at_once += 1
                highest = max(highest, at_once)
                await asyncio.sleep(0)
                at_once -= 1
                await allowances.settle(found, Amount(0, n % 31))
                return n % 31

            used = sum(await asyncio.gather(*(one(n) for n in range(200))))
            assert 0 < used <= 1_000
            assert 0 < highest <= 20
            assert (await left(first, *rules))[:2] == [1_000 - used, 20]
            assert await left(first, *rules) == await left(second, *rules)

    run(work())


def test_names_cannot_be_read_in_the_keys_nor_stand_for_others(server):
    names = ["u", "u:held", "{allowances}", "a\r\nFLUSHALL", "\ud800", "\\ud800", "", "é" * 300, "u' or '1", "u\x00"]

    async def work() -> None:
        async with made(server, namespace="names") as allowances:
            for number, name in enumerate(names):
                rule = budget(1_000, "1d", name=name)
                await reserve(allowances, rule, amount=Amount(0, number + 1))
            for number, name in enumerate(names):
                assert await left(allowances, budget(1_000, "1d", name=name)) == [999 - number]
        keys = [key for key in keys_of(server, "names") if not key.endswith(":held")]
        assert all(re.fullmatch(r"names:\{allowances\}:([0-9a-f]{32}|epoch)", key) for key in keys)
        assert len(keys) == len(names) + 1

    run(work())


def test_every_key_but_the_epoch_goes_away_by_itself(server):
    async def work() -> None:
        async with made(server, namespace="ends", clock=Clock(), lease=900.0) as allowances:
            kinds = (rate(5), rate(100, "tokens", "1h"), budget(500), budget(500, None), parallel(3))
            for _ in range(2):
                found = await reserve(allowances, *kinds, amount=Amount(9, 9))
            await allowances.settle(found, Amount(3, 3))
        lives = {key: int(server.ask(f"TTL {key}")[1:]) for key in keys_of(server, "ends")}
        assert lives.pop("ends:{allowances}:epoch") == -1
        assert lives
        assert all(0 < life <= 400 * 86_400 for life in lives.values())

    run(work())


def keys_of(server: redis.Server, space: str) -> list[str]:
    """The keys of a namespace."""
    return [word for word in server.ask(f"KEYS {space}:*").decode().split("\r\n") if word.startswith(space)]


def test_what_a_dead_process_reserved_is_free_when_its_lease_is_over(server):
    async def work() -> None:
        clock, space = Clock(), f"space{next(SPACES)}"
        rules = (budget(100, "1d"), parallel(1), rate(100, "tokens", "1d"))
        async with made(server, clock=clock, namespace=space, lease=30.0) as dead:
            found = await reserve(dead, *rules, amount=Amount(80, 80))
        async with made(server, clock=clock, namespace=space, lease=30.0) as alive:
            clock.micro += 29_999_999
            assert await left(alive, *rules) == [20, 0, 20]
            clock.micro += 1
            assert await left(alive, *rules) == [100, 1, 100]
            assert [s.left for s in await alive.settle(found, Amount(9, 9))] == [100]
            assert await left(alive, *rules) == [100, 1, 100]

    run(work())


def test_what_is_settled_after_its_lease_counts_once(server):
    async def work() -> None:
        clock = Clock()
        rules = (budget(100, "1d"), parallel(1), rate(100, "tokens", "1d"))
        async with made(server, clock=clock, lease=30.0) as allowances:
            found = await reserve(allowances, *rules, amount=Amount(80, 80))
            clock.micro += 31_000_000
            assert await left(allowances, *rules) == [100, 1, 100]
            one = allowances._open[found.id]
            for _ in range(2):
                assert [s.left for s in await allowances.settle(found, Amount(30, 40))] == [60]
                assert await left(allowances, *rules) == [60, 1, 70]
            # Not even where an answer was lost and it is asked again.
            assert [s.left for s in await allowances._settling.make(one)] == [60, 1, 70]

    run(work())


def test_a_settlement_whose_answer_was_lost_is_asked_again_and_counts_once(server):
    async def work() -> None:
        rules = (budget(100, "1d"), parallel(1), rate(100, "tokens", "1d"))
        async with made(server, clock=Clock()) as allowances:
            found = await reserve(allowances, *rules, amount=Amount(80, 80))
            one = allowances._open[found.id]
            await allowances.settle(found, Amount(90, 95))
            assert [s.left for s in await allowances._settling.make(one)] == [5, 1, 10]

    run(work())


def test_a_budget_begins_with_what_the_ledger_knows_and_asks_once_for_all_who_come(server):
    async def work() -> None:
        ledger, space, clock = Ledger(700), f"space{next(SPACES)}", Clock()
        ledger.answer.clear()
        rule = budget(1_000)
        async with (
            made(server, spent=ledger, namespace=space, clock=clock) as first,
            made(server, spent=ledger, namespace=space, clock=clock) as second,
        ):
            several = [asyncio.ensure_future(first.reserve((rule, rate(9)), Amount(0, 200))) for _ in range(5)]
            await ledger.reached.wait()
            ledger.answer.set()
            found = await asyncio.gather(*several)
            assert [isinstance(one, Reservation) for one in found].count(True) == 1
            assert await left(second, rule, rate(9)) == [100, 8]
            assert isinstance(await second.reserve((rule,), Amount(0, 200)), Refusal)
            assert len(ledger.asked) == 1
            ledger.spent = 950
            await first._seeding.again()
            assert await left(second, rule) == [50]
            assert [s.left for s in first.budgets()] == [50]

    run(work())


def test_a_ledger_that_cannot_be_asked_stops_nobody(server):
    async def work() -> None:
        ledger, log, clock = Ledger(700), Log(), Clock()
        ledger.fails = True
        async with made(server, spent=ledger, log=log, clock=clock) as allowances:
            for _ in range(3):
                await reserve(allowances, budget(1_000, "1d"), amount=Amount(0, 300))
            assert len(ledger.asked) == 1
            assert log.events == [("budgets_not_seeded", {"error": "OSError"})]
            ledger.fails = False
            clock.micro += 61_000_000
            assert isinstance(await allowances.reserve((budget(1_000, "1d"),), Amount(0, 300)), Refusal)
            assert await left(allowances, budget(1_000, "1d")) == [100]

    run(work())


def test_redis_killed_and_started_again_forgets_nothing_the_ledger_knows(mortal):
    async def work() -> None:
        ledger, ticks, clock = Ledger(0), Ticks(), Clock()
        rules = (budget(1_000), parallel(2), rate(500, "tokens"))
        async with made(mortal, spent=ledger, ticks=ticks, clock=clock) as allowances:
            done = await reserve(allowances, *rules, amount=Amount(0, 100))
            running = await reserve(allowances, *rules, amount=Amount(0, 100))
            await allowances.settle(done, Amount(7, 70))
            mortal.kill()
            with pytest.raises(Unavailable):
                await allowances.reserve(rules, Amount(0, 100))
            mortal.start()
            ticks.now += 60.0
            ledger.spent = 70
            found = await reserve(allowances, *rules, amount=Amount(0, 100))
            assert [s.left for s in found.standings] == [830, 1, 500]
            # What began before is counted whole, for Redis has lost what it reserved; and once.
            assert [s.left for s in await allowances.settle(running, Amount(5, 50))] == [780]
            assert [s.left for s in await allowances.settle(running, Amount(5, 50))] == [780]

    run(work())


def test_a_settlement_is_kept_while_redis_is_away_and_counts_once(mortal, monkeypatch):
    monkeypatch.setattr(settling, "AGAIN_SECONDS", 0.01)

    async def work() -> None:
        ticks = Ticks()
        async with made(mortal, ticks=ticks, clock=Clock()) as allowances:
            rules = (budget(1_000), parallel(5))
            several = [await reserve(allowances, *rules, amount=Amount(0, 100)) for _ in range(3)]
            mortal.kill()
            for one in several:
                with pytest.raises(Unavailable):
                    await allowances.settle(one, Amount(0, 60))
            assert "0 reservations, 3 to settle, 0 given up" in repr(allowances)
            mortal.start()
            ticks.now += 60.0
            await allowances.close(30.0)
            assert "0 to settle" in repr(allowances)
            assert await left(allowances, *rules) == [820, 5]

    run(work())


def test_what_cannot_be_settled_before_its_lease_is_over_is_given_up_and_told(mortal):
    async def work() -> None:
        ticks, clock, log = Ticks(), Clock(), Log()
        async with made(mortal, ticks=ticks, clock=clock, log=log) as allowances:
            found = await reserve(allowances, budget(1_000), amount=Amount(0, 100))
            mortal.kill()
            with pytest.raises(Unavailable):
                await allowances.settle(found, Amount(0, 60))
            clock.micro += 901_000_000
            await allowances._settling.again()
            assert "0 to settle, 1 given up" in repr(allowances)
            assert log.events[-1] == ("allowances_given_up", {"reservations": 1, "waiting": 0})

    run(work())


def test_a_close_that_comes_to_its_end_says_what_is_left(mortal):
    async def work() -> None:
        log = Log()
        async with made(mortal, log=log, clock=Clock()) as allowances:
            found = await reserve(allowances, budget(1_000), amount=Amount(0, 100))
            mortal.kill()
            with pytest.raises(Unavailable):
                await allowances.settle(found, Amount(0, 60))
            await allowances.close(0.05)
            assert log.events[-1] == ("allowances_not_settled", {"reservations": 1})

    run(work())


@pytest.mark.parametrize("turns", range(8))
def test_a_request_that_goes_away_while_it_reserves_leaves_nothing_reserved(server, turns):
    async def work() -> None:
        async with made(server, clock=Clock()) as allowances:
            rules = (budget(1_000), parallel(5), rate(100, "tokens"))
            await left(allowances, *rules)
            asking = asyncio.ensure_future(allowances.reserve(rules, Amount(50, 100)))
            for _ in range(turns):
                await asyncio.sleep(0)
            asking.cancel()
            await asyncio.wait([asking])
            if not asking.cancelled():  # it was quicker
                await allowances.settle(asking.result(), NOTHING)
            while len(allowances._settling):
                await asyncio.wait(tuple(allowances._settling._tasks.values()))
            assert await left(allowances, *rules) == [1_000, 5, 100]

    run(work())


@pytest.mark.parametrize("turns", range(8))
def test_a_request_that_goes_away_while_it_settles_is_settled_once(server, turns):
    async def work() -> None:
        async with made(server, clock=Clock()) as allowances:
            rules = (budget(1_000), parallel(5), rate(100, "tokens"))
            found = await reserve(allowances, *rules, amount=Amount(50, 100))
            settling_ = asyncio.ensure_future(allowances.settle(found, Amount(20, 40)))
            for _ in range(turns):
                await asyncio.sleep(0)
            settling_.cancel()
            await asyncio.wait([settling_])
            await allowances.settle(found, Amount(20, 40))
            while len(allowances._settling):
                await asyncio.wait(tuple(allowances._settling._tasks.values()))
            assert await left(allowances, *rules) == [960, 5, 80]

    run(work())


def test_a_reservation_that_was_released_first_does_not_come_to_be(server):
    async def work() -> None:
        async with made(server, clock=Clock()) as allowances:
            one = settling.Settlement("late", (budget(1_000),), (100,), 0, 1 << 60, "")
            await allowances._settling.make(one)
            assert (await allowances._ask("reserve", one, [("0", "")], lease=900_000_000))[0] == b"gone"
            assert await left(allowances, budget(1_000)) == [1_000]

    run(work())


def test_a_redis_that_hangs_is_told_in_bounded_time_and_goes_on_afterwards(mortal):
    async def work() -> None:
        ticks = Ticks()
        remote = Remote(mortal.url, Log(), connect=0.05, answer=0.05, clock=ticks)
        allowances = RedisAllowances(remote, Log(), clock=Clock())
        rules = (budget(1_000), parallel(5))
        mortal.freeze()
        with pytest.raises(Unavailable):
            await allowances.reserve(rules, Amount(0, 100))
        assert remote.resting
        for _ in range(100):
            with pytest.raises(Unavailable):
                await allowances.reserve(rules, Amount(0, 100))
        mortal.thaw()
        assert len(allowances._settling) == 1  # only one of them was asked
        await allowances.close(0)
        await remote.close()
        async with made(mortal, namespace="gateway", clock=Clock()) as other:
            assert sum(await left(other, *rules)) in (1_005, 904)  # the one may have been made: its lease ends

    run(work())


def test_no_rules_need_no_redis():
    async def work() -> None:
        remote = Remote(f"redis://127.0.0.1:{redis.free_port()}", Log())
        allowances = RedisAllowances(remote, Log())
        found = await reserve(allowances)
        assert await allowances.settle(found, Amount(1, 1)) == ()
        assert remote.health() == (True, "ok")

    run(work())


def test_budgets_are_listed_while_their_window_lasts_and_forgotten_after_it(server):
    async def work() -> None:
        clock = Clock()
        async with made(server, clock=clock) as allowances:
            for n in range(50):
                await reserve(allowances, budget(100, "1m", name=f"user {n}"), rate(5), amount=Amount(0, 30))
                clock.micro += 30_000_000
            listed: Sequence[Standing] = allowances.budgets()
            assert {s.rule.name for s in listed} == {"user 49"}
            assert [s.left for s in listed] == [70]
            assert len(allowances._seen) < 10
            assert identity(listed[0].rule) in allowances._seen

    run(work())
