"""A TCP relay between a gateway and a store of its, which a test lets hang, makes slow, cuts, and lets go on."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Literal

State = Literal["open", "hangs", "slow", "cut"]

SLOW_SECONDS = 0.05
"""How long a slow relay keeps every piece of bytes, in each direction."""


class Relay:
    """Forwards connections to a port of the loopback.

    While it `hangs`, connections are taken and bytes acknowledged, and none is forwarded, until it is open again; while
    it is `slow`, each piece is kept for `SLOW_SECONDS`; while it is `cut`, connections are refused or broken.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._goes = asyncio.Event()
        self._state: State = "open"
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._running: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> None:
        """Take connections at `port`."""
        self._thread.start()
        self._do(self._become("open"))

    def become(self, state: State) -> None:
        """How it is from now on, for connections that are there already too."""
        self._do(self._become(state))

    def stop(self) -> None:
        """Break what is open and take no more."""
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _do(self, work: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _become(self, state: State) -> None:
        self._state = state
        if state == "hangs":
            self._goes.clear()
        else:
            self._goes.set()
        if state == "cut":
            await self._close()
        elif self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in tuple(self._open):
            writer.transport.abort()

    async def _end(self) -> None:
        await self._close()
        for task in tuple(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        there: asyncio.StreamWriter | None = None
        try:
            await self._goes.wait()
            back, there = await asyncio.open_connection("127.0.0.1", self.target)
            self._open.add(there)
            await asyncio.gather(self._pump(reader, there), self._pump(back, writer))
        except (OSError, asyncio.CancelledError):
            pass  # one end has gone, or the test is over: the other end is told below
        finally:
            self._running.discard(task)
            for each in (writer, there):
                if each is not None:
                    self._open.discard(each)
                    each.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(65_536):
            if self._state == "slow":
                await asyncio.sleep(SLOW_SECONDS)
            await self._goes.wait()
            writer.write(piece)
            await writer.drain()
        raise ConnectionResetError  # the end of one direction ends both


@contextmanager
def relay(target: int) -> Iterator[Relay]:
    """A relay to a port of the loopback, open."""
    made = Relay(target)
    made.start()
    try:
        yield made
    finally:
        made.stop()
