"""`rpm` and `tpm` of deployments over processes that share a Redis, a real one; without it each counts for itself."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import wraps
from typing import Any

import pytest

from gateway.errors import RateLimited
from gateway.ledger.remote import Remote
from gateway.routing import beside
from gateway.routing.load import SOON
from gateway.routing.shared_usage import SharedUsage
from gateway.telemetry import logs
from tests.ledger import redis
from tests.routing.routes import World, entry

PATIENT = {"connect": 30.0, "answer": 30.0}
EIGHT = 8

pytestmark = pytest.mark.skipif(redis.missing() is not None, reason=redis.missing() or "")

Part = tuple[World, SharedUsage]


@pytest.fixture(scope="module")
def server() -> Iterator[redis.Server]:
    with redis.server() as made:
        yield made


@pytest.fixture(autouse=True)
def _well_within_a_minute(server: redis.Server) -> None:
    """Redis counts by its own minutes: none turns while a test counts exactly."""
    into = int(server.ask("TIME").split(b"\r\n")[2]) % 60
    if into >= 45:
        time.sleep(60 - into)


@contextlib.asynccontextmanager
async def processes(server: redis.Server, count: int = 2, **bounds: int) -> AsyncIterator[list[Part]]:
    """So many processes with one deployment, which exchange when the test says so."""
    server.ask("FLUSHALL")
    worlds = [World(entry("m", "a", **bounds)) for _ in range(count)]
    remotes = [Remote(server.url, logs.make("library"), **PATIENT) for _ in worlds]
    try:
        yield [
            (world, SharedUsage(world.book, remote, world.clock)) for world, remote in zip(worlds, remotes, strict=True)
        ]
    finally:
        for remote in remotes:
            await remote.close()


async def everybody(parts: list[Part]) -> None:
    """All say what they have counted, then all hear of it."""
    for _ in range(2):
        for _, usage in parts:
            await usage.exchange()


async def heard(parts: list[Part], world: World) -> int:
    """How many calls a process makes once it has heard of the others."""
    await everybody(parts)
    return calls(world)


def calls(world: World, most: int = 1_000, tokens: int = 10) -> int:
    """How many calls a process makes one after the other until it may not, or until it has made so many."""
    for made in range(most):
        try:
            world.call(world.route().first().bound, tokens=tokens)
        except RateLimited:
            return made
    return most


def looped(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @wraps(test)
    def run(**given: Any) -> None:
        asyncio.run(test(**given))

    return run


@looped
async def test_what_one_process_has_used_no_other_has(server):
    async with processes(server, rpm=60) as parts:
        (one, first), (other, second) = parts
        assert calls(one, 50) == 50
        await everybody(parts)
        assert other.book.loads["a"].requests.used(other.clock.now) == 50
        made = calls(other)
        assert made == 5  # the other may be taking as many
        while more := await heard(parts, other):
            made += more
        assert made == 10
        assert [calls(world) for world, _ in parts] == [0, 0]
        assert (repr(first), repr(second)) == ("<SharedUsage 1 deployments, with 1 other processes>",) * 2


@looped
async def test_a_bound_holds_over_eight_processes_but_for_less_than_a_request_each(server):
    async with processes(server, EIGHT, rpm=60) as parts:
        made = 0
        for world, _ in parts:  # each has begun, so that they know of each other
            made += calls(world, 1)
        for _ in range(40):
            await everybody(parts)
            made += sum(calls(world, 20) for world, _ in parts)
        assert 60 <= made < 60 + EIGHT


@looped
async def test_nobody_is_kept_waiting_for_a_share_that_others_do_not_take(server):
    async with processes(server, EIGHT, rpm=60) as parts:
        for world, _ in parts:
            calls(world, 1)
        busy, _ = parts[0]
        rounds, made = 0, EIGHT
        while made < 60:
            await everybody(parts)
            made += calls(busy)
            rounds += 1
        assert made == 60
        assert rounds < 30  # of a few milliseconds each


@looped
async def test_one_that_calls_alone_for_a_second_has_all_there_is_at_once(server):
    async with processes(server, EIGHT, rpm=60) as parts:
        await everybody(parts)
        alone, usage = parts[0]
        assert calls(alone) == 8  # of 60, by eight, and one more
        await everybody(parts)
        alone.clock.now += 1
        await usage.exchange()
        assert calls(alone) == 52


@looped
async def test_who_has_gone_is_waited_for_no_longer(server):
    async with processes(server, EIGHT, rpm=60) as parts:
        await everybody(parts)
        server.ask("DEL gateway:{usage}:")  # as five seconds do
        alone, usage = parts[0]
        await usage.exchange()
        assert calls(alone) == 60


@looped
async def test_who_may_not_call_before_it_has_heard_of_the_others_asks_at_once_and_soon_may(server):
    async with processes(server, rpm=60) as parts:
        pressed: list[str] = []
        for world, _ in parts:
            world.book.hurry = lambda: pressed.append("")
            calls(world, 1)
        assert len(pressed) == 2  # nobody knew of them
        await everybody(parts)
        world = parts[0][0]
        assert calls(world) == 29  # half of the 58 that are left
        assert len(pressed) > 2
        load = world.book.loads["a"]
        assert load.full(world.router.board.groups["m"].entries[0].terms, world.clock.now) == SOON
        with pytest.raises(RateLimited) as refused:
            world.route()
        assert refused.value.headers["retry-after"] == "1"
        await everybody(parts)
        assert calls(world, 1) == 1


@looped
async def test_tokens_are_counted_together_and_those_under_way_are_taken_for_as_many_elsewhere(server):
    async with processes(server, tpm=10_000) as parts:
        (one, _), (other, _) = parts
        assert calls(one, 4, tokens=1_000) == 4
        assert calls(other, 4, tokens=1_000) == 4
        await everybody(parts)
        assert one.book.loads["a"].tokens.used(one.clock.now) == 8_000
        one.router.begin(one.router.board.groups["m"].entries[0].bound)
        with pytest.raises(RateLimited):  # with as many under way at the other there would be 10,000, and none left
            one.route()


@looped
async def test_a_minute_is_the_same_for_all_and_is_forgotten_together(server):
    async with processes(server, rpm=60) as parts:
        (one, _), (other, _) = parts
        calls(one, 60)
        await everybody(parts)
        assert calls(other) == 0
        for world, _ in parts:
            world.clock.now += 120
        assert calls(other, 5) == 5


@looped
async def test_another_strategy_measures_by_what_all_have_used(server):
    server.ask("FLUSHALL")
    worlds = [
        World(entry("m", "a"), entry("m", "b"), routing_strategy="usage-based-routing", seed=seed) for seed in (1, 2)
    ]
    remote = Remote(server.url, logs.make("library"), **PATIENT)
    parts = [(world, SharedUsage(world.book, remote, world.clock)) for world in worlds]
    entries = worlds[0].router.board.groups["m"].entries
    worlds[0].call(entries[0].bound)
    await everybody(parts)
    assert worlds[1].picks() == entries[1].bound.id
    await remote.close()


@looped
async def test_what_was_counted_while_redis_was_away_is_told_for_a_minute(server):
    server.ask("FLUSHALL")
    world = World(entry("m", "a", rpm=60))
    away = Remote("redis://127.0.0.1:1", logs.make("library"))
    back = Remote(server.url, logs.make("library"), **PATIENT)
    usage = SharedUsage(world.book, away, world.clock)
    calls(world, 5)
    await usage.exchange()
    assert world.book.loads["a"].requests.unsaid == 5
    assert calls(world) == 55  # it counts for itself
    world.clock.now += 120
    await usage.exchange()
    assert world.book.loads["a"].requests.unsaid == 0
    calls(world, 2)
    await SharedUsage(world.book, back, world.clock).exchange()
    assert world.book.loads["a"].requests.used(world.clock.now) == 2
    await away.close()
    await back.close()


@looped
async def test_between_whiles_only_what_is_new_is_said(server):
    server.ask("FLUSHALL")
    world = World(entry("m", "a", rpm=60), entry("m", "b", rpm=60))
    remote = Remote(server.url, logs.make("library"), **PATIENT)
    usage = SharedUsage(world.book, remote, world.clock)
    world.call(world.route().first().bound)
    await usage.exchange(news=True)
    assert server.ask("DBSIZE") == b":3\r\n"  # the processes, and the counts and the callers of one deployment
    server.ask("FLUSHALL")
    await usage.exchange(news=True)
    assert server.ask("DBSIZE") == b":0\r\n"
    await remote.close()


@looped
async def test_nothing_is_asked_where_nothing_is_counted(server):
    server.ask("FLUSHALL")
    async with processes(server) as parts:
        calls(parts[0][0], 5)
        await everybody(parts)
        assert server.ask("DBSIZE") == b":0\r\n"


@looped
async def test_it_runs_beside_requests_and_what_is_pressing_is_asked_at_once(server):
    async with processes(server, rpm=60) as parts:
        async with asyncio.TaskGroup() as running:
            for world, usage in parts:
                usage.start()
                calls(world, 1)
                running.create_task(until_known(world))
        for world, usage in parts:
            await usage.close()
            assert world.book.hurry is None


async def until_known(world: World) -> None:
    """Until both processes have said what they have counted, and have heard of each other."""
    load = world.book.loads["a"]
    turn = asyncio.Event()
    while not (load.known and load.others):
        asyncio.get_running_loop().call_later(0.005, turn.set)
        await turn.wait()
        turn.clear()


@looped
async def test_a_fault_in_it_is_told_and_does_not_end_it(server, monkeypatch):
    monkeypatch.setattr(beside, "AGAIN", 0.001)
    told: list[tuple[str, Any]] = []
    faults = [ZeroDivisionError(), ZeroDivisionError()]

    def clock() -> float:
        if told_of and faults:
            raise faults.pop()
        return world.clock()

    told_of: list[bool] = []
    async with processes(server, 2, rpm=60) as parts:
        (world, _), (_, other) = parts
        remote = Remote(server.url, logs.make("library"), **PATIENT)
        usage = SharedUsage(world.book, remote, clock, lambda event, said: told.append((event, said)))
        told_of.append(True)
        calls(world, 1)
        await other.exchange()
        usage.start()
        await until_known(world)
        await usage.close()
        await remote.close()
    assert told == [("background_failed", {"task": "sharing of usage", "cause": "ZeroDivisionError"})] * 2


@looped
async def test_it_can_be_ended_at_any_moment(server):
    world = World(entry("m", "a", rpm=60))
    for turns in range(25):
        remote = Remote(server.url, logs.make("library"), **PATIENT)
        usage = SharedUsage(world.book, remote, world.clock)
        usage.start()
        for _ in range(turns):
            await asyncio.sleep(0)
        await usage.close()
        await remote.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}
