"""What one process finds open, the others hear of, through a real Redis; without it each finds out for itself."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest

from gateway.ledger.remote import Remote
from gateway.routing.sharing import Sharing
from gateway.telemetry import logs
from tests.ledger import redis
from tests.routing.routes import World, entry

PATIENT = {"connect": 30.0, "answer": 30.0}

pytestmark = pytest.mark.skipif(redis.missing() is not None, reason=redis.missing() or "")


@pytest.fixture(scope="module")
def server() -> Iterator[redis.Server]:
    with redis.server() as made:
        yield made


@contextlib.asynccontextmanager
async def processes(server: redis.Server, count: int = 2) -> AsyncIterator[list[tuple[World, Sharing]]]:
    """So many processes with the same deployments, which exchange when the test says so."""
    worlds = [World(entry("m", "a"), entry("m", "b")) for _ in range(count)]
    remotes = [Remote(server.url, logs.make("library"), **PATIENT) for _ in worlds]
    yield [(world, Sharing(world.book, remote, world.clock)) for world, remote in zip(worlds, remotes, strict=True)]
    for remote in remotes:
        await remote.close()


async def everybody(parts: list[tuple[World, Sharing]]) -> None:
    for _, sharing in parts:
        await sharing.exchange()


def test_what_one_finds_open_is_open_everywhere(server):
    async def go() -> None:
        server.ask("FLUSHALL")
        async with processes(server) as parts:
            (one, first), (other, second) = parts
            one.trip("a")
            await everybody(parts)
            assert (
                other.breaker("a")
                .line(1000.0)
                .endswith("another process found: 4 failures in a row, the last: HTTP 500")
            )
            assert 4.5 < other.breaker("a").until - 1000.0 <= 5.0
            assert {other.picks() for _ in range(20)} == {"b"}
            assert (repr(first), repr(second)) == (
                "<Sharing 2 deployments, 0 heard of>",
                "<Sharing 2 deployments, 1 heard of>",
            )

    asyncio.run(go())


def test_what_is_only_heard_is_not_said_again(server):
    async def go() -> None:
        server.ask("FLUSHALL")
        async with processes(server, 3) as parts:
            parts[0][0].trip("a")
            await everybody(parts)
            server.ask("FLUSHALL")
            await parts[1][1].exchange()
            await parts[2][1].exchange()
            for world, _ in parts[1:]:
                assert world.breaker("a").probes(1000.0)

    asyncio.run(go())


def test_where_one_has_found_it_well_again_the_others_find_out_at_once(server):
    async def go() -> None:
        server.ask("FLUSHALL")
        async with processes(server) as parts:
            (one, _), (other, _) = parts
            one.trip("a")
            await everybody(parts)
            one.clock.now += 5
            one.call(one.route().first().bound)
            assert one.breaker("a").health == "closed"
            await everybody(parts)
            await everybody(parts)
            assert other.breaker("a").probes(other.clock.now)

    asyncio.run(go())


def test_without_redis_each_finds_out_for_itself(server):
    async def go() -> None:
        world = World(entry("m", "a"), entry("m", "b"))
        remote = Remote("redis://127.0.0.1:1", logs.make("library"))
        sharing = Sharing(world.book, remote, world.clock)
        world.trip("a")
        await sharing.exchange()
        assert world.breaker("a").health == "open"
        assert world.breaker("b").health == "closed"
        sharing.start()
        await sharing.close()
        await remote.close()

    asyncio.run(go())
