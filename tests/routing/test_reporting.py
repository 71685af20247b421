"""Telemetry's way out through the engine for providers: it answers, and never raises."""

import pytest

from gateway.routing.engines.pooled.pool import PooledUpstream
from gateway.routing.reporting import poster
from gateway.telemetry.export.port import Reply
from tests.routing.servers import closed_port, looped, response, says, says_and_closes, says_and_waits, serve


async def posted(url: str, seconds: float = 5.0) -> Reply:
    upstream = PooledUpstream()
    try:
        return await poster(upstream)(f"{url}/v1/traces", {"x-a": "1"}, b"{}", seconds)
    finally:
        await upstream.close()


@looped
async def test_a_reply_holds_status_body_and_retry_after() -> None:
    async with serve(says(response(b"later", b"Retry-After: 3", status=b"503 No"))) as server:
        assert await posted(server.url) == Reply(503, b"later", "3")
        [request] = server.requests
    assert request.head.startswith(b"POST /v1/traces ")
    assert b"x-a: 1\r\n" in request.head.lower()
    assert request.body == b"{}"


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (says_and_closes(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"), "no connection, or one that broke"),
        (says_and_closes(b"SMTP ready\r\n\r\n"), "an answer that is not HTTP, or too long"),
        (says_and_waits(b""), "no answer in time"),
        (says_and_waits(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"), "no answer in time"),
    ],
    ids=["cut", "not HTTP", "silent", "stuck"],
)
@looped
async def test_what_goes_wrong_is_a_reply_with_a_reason(handler: object, reason: str) -> None:
    async with serve(handler) as server:  # type: ignore[arg-type]
        assert await posted(server.url, 0.2) == Reply(0, reason=reason)


@looped
async def test_nobody_there_is_a_reply_too() -> None:
    assert await posted(f"http://127.0.0.1:{closed_port()}") == Reply(0, reason="no connection, or one that broke")
