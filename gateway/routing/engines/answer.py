"""An answer whose body is an async iterator, with the port's timeouts, bounds and errors around it.

`httpx_transport.py` and `asgi_app.py` give it out; the default engine has its own, thinner one.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import NoReturn

from gateway.routing import upstream
from gateway.routing.upstream import Bounds, Timeouts


@dataclass(frozen=True, slots=True)
class Terms:
    """Under which terms one request is answered: where it went, how long it may take, how large the answer may be.

    `began` is a time of `monotonic()`. `fail` raises an error of the engine as one of ours, or again as it is.
    """

    url: str
    timeouts: Timeouts
    began: float
    bounds: Bounds
    fail: "Callable[[Exception, Terms], NoReturn]"

    def patience(self, silence: float) -> asyncio.Timeout:
        """A time-out after `silence` seconds, or at the end of the total where that comes first."""
        left = self.began + self.timeouts.total - monotonic()
        return asyncio.timeout(min(silence, left))

    def which(self) -> str:
        """The timeout that has just passed, `read` or `total`."""
        return "total" if monotonic() - self.began >= self.timeouts.total - 0.001 else "read"


class Answer:
    """Status and headers at once, the body by `read()` or `chunks()`; see the port."""

    __slots__ = ("_chunks", "_close", "_open", "_terms", "headers", "status")

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str],
        chunks: AsyncIterator[bytes],
        close: Callable[[], Awaitable[None]],
        terms: Terms,
    ) -> None:
        """`close` is called once, at the end of the body or before it."""
        self.status = status
        self.headers = headers
        self._chunks = chunks
        self._close = close
        self._open = True
        self._terms = terms

    def __repr__(self) -> str:
        return f"<Answer {self.status} {'open' if self._open else 'closed'}>"

    async def read(self) -> bytes:
        return b"".join([chunk async for chunk in self._bounded(self._terms.bounds.whole)])

    def chunks(self) -> AsyncIterator[bytes]:
        return self._bounded(self._terms.bounds.stream)

    async def close(self) -> None:
        if self._open:
            self._open = False
            await self._close()

    async def _bounded(self, bound: int) -> AsyncIterator[bytes]:
        terms, left = self._terms, bound
        try:
            while self._open and (chunk := await self._next()) is not None:
                left -= len(chunk)
                if left < 0:
                    raise upstream.too_large(terms.url, bound)
                yield chunk
        finally:
            await self.close()

    async def _next(self) -> bytes | None:
        try:
            async with self._terms.patience(self._terms.timeouts.read):
                return await anext(self._chunks, None)
        except Exception as error:
            self._terms.fail(error, self._terms)
