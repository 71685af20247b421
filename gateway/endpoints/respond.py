"""Writes a completion's answer: deltas in, bytes out, whole or as server-sent events."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from starlette.types import Send

from gateway.errors import ClientDisconnected, GatewayError, Unavailable
from gateway.exchange import Exchange
from gateway.middleware.errors import internal
from gateway.middleware.leaving import ClientWatch
from gateway.telemetry import conventions as names
from gateway.telemetry.logs import Logger
from gateway.types import Delta, Usage
from gateway.wire import json, sse
from gateway.wire.answers import Answer

_JSON = (b"content-type", b"application/json")
_STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


Close = Callable[[], Awaitable[None]]
"""Ends the calls to providers, and waits until they have."""


async def plain(send: Send, value: Any, status: int = 200, headers: Mapping[bytes, bytes] | None = None) -> None:
    """Answer with `value` as JSON."""
    await _body(send, json.dumps(value), status, headers)


async def _body(send: Send, body: bytes, status: int = 200, headers: Mapping[bytes, bytes] | None = None) -> None:
    own = [_JSON, (b"content-length", b"%d" % len(body)), *(headers or {}).items()]
    await send({"type": "http.response.start", "status": status, "headers": own})
    await send({"type": "http.response.body", "body": body})


async def whole(
    answer: Answer, deltas: AsyncIterator[Delta], exchange: Exchange, send: Send, watch: ClientWatch
) -> None:
    """Gather every delta, then answer with one JSON body."""
    async for delta in deltas:
        _note(delta, exchange)
        answer.add(delta)
    if exchange.opening:
        answer.mark(exchange.opening)
    body = answer.whole(exchange.usage or Usage())
    watch.stop()
    await _body(send, body)


async def streamed(
    answer: Answer,
    deltas: AsyncIterator[Delta],
    exchange: Exchange,
    send: Send,
    watch: ClientWatch,
    log: Logger,
    close: Close,
) -> None:
    """Answer delta by delta. What fails before the first one is raised; what fails after it is told in-band.

    Args:
        close: ends the calls, where the answer has ended before they have: what they used is known then, and not
            before, and it is to be recorded before the last byte leaves.
    """
    first = await anext(deltas, None)
    request = exchange.request
    with_usage = request is not None and request.include_usage
    if exchange.opening:
        answer.mark(exchange.opening)
    await send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})
    try:
        if first is not None:
            await _chunk(answer, first, exchange, send, with_usage)
            async for delta in deltas:
                await _chunk(answer, delta, exchange, send, with_usage)
    except ClientDisconnected:
        raise
    except GatewayError as error:
        exchange.error = error
    except Exception:
        log.exception("internal_error", **{names.REQUEST_ID: exchange.id})
        exchange.error = internal(exchange.id)
    except asyncio.CancelledError:
        if watch.left:
            raise
        # The server is closing and this stream has had its time: say so before the connection goes.
        exchange.error = Unavailable("The gateway is shutting down; send the request again.", code="overloaded")
    await close()
    tail = sse.DONE
    if exchange.error is not None:
        tail = sse.encode(json.dumps(exchange.error.body())) + tail
    elif with_usage:
        tail = answer.usage_chunk(exchange.usage or Usage()) + tail
    watch.stop()
    await send({"type": "http.response.body", "body": tail})


async def _chunk(answer: Answer, delta: Delta, exchange: Exchange, send: Send, with_usage: bool) -> None:
    if not delta.text and delta.finish_reason is None and not delta.logprobs:
        return  # thought alone is nothing a text completion shows
    _note(delta, exchange)
    body = answer.chunk(delta, with_usage=with_usage)
    await send({"type": "http.response.body", "body": body, "more_body": True})


def _note(delta: Delta, exchange: Exchange) -> None:
    if exchange.first_chunk is None:
        exchange.first_chunk = exchange.duration()
    if delta.finish_reason:
        exchange.finish_reasons[delta.index] = delta.finish_reason
