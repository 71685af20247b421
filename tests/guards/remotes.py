"""What the tests of remote guards share: a caller over the gateway's own HTTP client, and servers that answer JSON."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from gateway.guards.ports import Caller
from gateway.routing.engines.pooled.pool import PooledUpstream
from gateway.routing.upstream import Timeouts
from gateway.types import HttpRequest
from tests.routing.servers import Connection, Handler, response


@asynccontextmanager
async def calling() -> AsyncIterator[Caller]:
    """A `Caller` over a real pool of connections."""
    upstream = PooledUpstream()

    async def call(request: HttpRequest, seconds: float) -> tuple[int, bytes]:
        answer = await upstream.send(request, Timeouts(seconds, seconds, seconds), stream=False)
        return answer.status, await answer.read()

    try:
        yield call
        assert "0 in flight" in repr(upstream)
    finally:
        await upstream.close()


def answers(value: Any | Callable[[Connection], Any], status: bytes = b"200 OK") -> Handler:
    """Answer with `value` as JSON; bytes as they are; a function is asked for it with each request."""

    async def handler(connection: Connection) -> None:
        said = value(connection) if callable(value) else value
        body = said if isinstance(said, bytes) else json.dumps(said).encode()
        await connection.send(response(body, b"content-type: application/json", status=status))

    return handler
