"""Connections that are given up while they are made: whenever that is, nothing of them stays open."""

import asyncio
import gc
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from gateway.routing.engines.pooled.pool import PooledUpstream
from gateway.routing.upstream import Timeouts
from gateway.types import HttpRequest
from tests.routing.servers import looped

LONG = Timeouts(connect=30, read=30, total=30)

TURNS = range(14)
"""Turns of the event loop after which a connection is given up: from before its socket to within its handshake."""

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="open files are counted in /proc")


@pytest.fixture(params=["asyncio", "uvloop"])
def engine(request: pytest.FixtureRequest) -> str:
    """The event loop that a test runs on; see `looped`."""
    return str(request.param)


@contextmanager
def mute() -> Iterator[tuple[socket.socket, int]]:
    """A server that takes connections and says nothing on them: the system does it for a socket that listens."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(512)
        listening.setblocking(False)
        yield listening, listening.getsockname()[1]


def ask(url: str) -> HttpRequest:
    return HttpRequest("POST", url, {}, b"{}")


def kept() -> tuple[int, int]:
    """How many files are open, and how many transports and TLS states somebody holds on to, here and there."""
    gc.collect()
    kinds = [type(each).__name__ for each in gc.get_objects()]
    return len(os.listdir("/proc/self/fd")), sum("Transport" in kind or kind == "SSLProtocol" for kind in kinds)


async def given_up(upstream: PooledUpstream, url: str, turns: int) -> None:
    asking = asyncio.create_task(upstream.send(ask(url), LONG, stream=False))
    for _ in range(turns):
        await asyncio.sleep(0)
    asking.cancel()
    with suppress(asyncio.CancelledError):
        await asking


async def settled() -> None:
    """Let the loop do what follows a cancellation."""
    for _ in range(5):
        await asyncio.sleep(0)


async def hung_up(link: socket.socket) -> None:
    """Return when the client has closed a connection; what it said before is read."""
    loop = asyncio.get_running_loop()
    link.setblocking(False)
    with link, suppress(ConnectionResetError):
        while await loop.sock_recv(link, 65_536):
            pass


@pytest.mark.parametrize("options", [{}, {"http2": True}], ids=["http1", "http2"])
@looped
async def test_nothing_stays_open_of_a_handshake_that_is_given_up_at_any_moment(
    engine: str, options: dict[str, Any]
) -> None:
    with mute() as (listening, port):
        upstream = PooledUpstream(**options)
        await given_up(upstream, f"https://127.0.0.1:{port}/", TURNS[-1])  # libraries open what they keep
        await settled()
        before = kept()
        for turns in TURNS:
            await given_up(upstream, f"https://127.0.0.1:{port}/", turns)
        await settled()
        assert kept() == before
        assert repr(upstream) == "<PooledUpstream 0 in flight, 0 idle>"
        links = []
        with suppress(BlockingIOError):
            while True:
                links.append(listening.accept()[0])
        assert len(links) >= len(TURNS)
        await asyncio.gather(*map(hung_up, links))
        await upstream.close()
