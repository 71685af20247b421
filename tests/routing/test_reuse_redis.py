"""Answers kept in Redis, where every replica finds them; a real server."""

import asyncio
from collections.abc import Iterator
from contextlib import asynccontextmanager

import pytest

from gateway.ledger.remote import Remote
from gateway.routing.reuse.stores import PREFIX, Shared
from tests.ledger import redis
from tests.ledger.kit import Log
from tests.routing.held_provider import MASTER, entry, world

CACHED = {"model_list": [entry(cache={"ttl": 600})]}


@pytest.fixture
def server() -> Iterator[redis.Server]:
    if why := redis.missing():
        pytest.skip(why)
    with redis.server() as running:
        yield running


@asynccontextmanager
async def replica(folder, server: redis.Server, **config):
    """A gateway that shares the server, and that waits for it on a busy machine."""
    folder.mkdir()
    async with world(folder, **{**CACHED, **config}) as it:
        assert it.gateway.protection.reuse._store is None
        remote = Remote(server.url, Log(), connect=30.0, answer=30.0)
        it.gateway.protection.reuse._store = Shared(remote)
        try:
            yield it
        finally:
            await remote.close()


def told(reply):
    assert reply.status == 200, reply.body
    return reply.headers.get("x-gateway-cache")


def test_one_replica_finds_what_another_has_kept(tmp_path, server):
    async def run():
        async with replica(tmp_path / "a", server) as one, replica(tmp_path / "b", server) as other:
            assert told(await one.ask()) == "miss"
            found = await other.ask()
            assert told(found) == "hit"
            assert found.json["choices"][0]["text"] == "It says this"
            assert not other.provider.asked
            assert (await other.ready())["protection"].endswith("1 hits, 0 misses, 0 coalesced, answers in Redis")

    asyncio.run(run())


def test_nothing_of_a_prompt_or_a_tenant_is_in_redis_and_everything_ends(tmp_path, server):
    async def run():
        async with replica(tmp_path / "a", server, general_settings={"master_key": MASTER}) as it:
            key = await it.new_key("someones-key")
            await it.ask(key, prompt="A prompt of somebody", user="ann")
        names = server.ask(f"KEYS {PREFIX}*").split(b"\r\n")
        name = next(each for each in names if each.startswith(PREFIX.encode())).decode()
        assert len(names) == 4  # the number of lines, one name and its length
        assert len(name) == len(PREFIX) + 64
        value = server.ask(f"GET {name}")
        assert b"It says this" in value
        for private in (b"somebody", b"ann", b"someones-key"):
            assert private not in name.encode() + value
        assert 500_000 < int(server.ask(f"PTTL {name}")[1:].strip()) <= 600_000

    asyncio.run(run())


def test_what_another_program_wrote_is_no_answer(tmp_path, server):
    async def run():
        async with replica(tmp_path / "a", server) as it:
            await it.ask()
            names = server.ask(f"KEYS {PREFIX}*").split(b"\r\n")
            name = next(each for each in names if each.startswith(PREFIX.encode())).decode()
            server.ask(f"SET {name} something-else")
            assert [told(await it.ask()) for _ in range(2)] == ["miss", "hit"]

    asyncio.run(run())


def test_without_redis_requests_go_on_and_say_that_nobody_looked(tmp_path, server):
    async def run():
        async with replica(tmp_path / "a", server) as it:
            assert told(await it.ask()) == "miss"
            server.kill()
            assert [told(await it.ask()) for _ in range(3)] == ["bypass"] * 3
            assert len(it.provider.asked) == 4

    asyncio.run(run())


def test_the_configurations_redis_is_the_one(tmp_path, server):
    async def run():
        async with world(tmp_path, **CACHED, general_settings={"redis_url": server.url}) as it:
            assert it.gateway.protection.reuse._store is not None
            assert repr(it.gateway.protection.reuse._store).startswith("<Shared <Remote 127.0.0.1:")

    asyncio.run(run())
