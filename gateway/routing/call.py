"""Calls the providers a translation names and gives out their deltas as one stream, numbered as the client sees them.

A whole answer is a stream of one delta per choice: there is one code path, not two.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from gateway.exchange import Exchange
from gateway.ledger import tokens
from gateway.providers.base import StreamDecoder
from gateway.providers.failures import invalid_response
from gateway.providers.translation import Placed, Translation
from gateway.routing.deployments import Bound, within
from gateway.routing.upstream import Upstream, UpstreamResponse
from gateway.types import Call, Delta, Usage

_NOT_ITS_LANGUAGE = (KeyError, TypeError, AttributeError, ValueError, IndexError, RecursionError)
"""What a translator raises on bytes of a shape it did not expect."""

_QUEUED = 64
"""Deltas that wait for the client, over all calls of a request, before the providers are slowed down."""


def deltas(
    translation: Translation, bound: Bound, upstream: Upstream, exchange: Exchange, max_parallel: int
) -> AsyncGenerator[Delta, None]:
    """Every choice's deltas; usage and opening go to the Exchange instead.

    Args:
        max_parallel: most calls of this request under way at once.

    Raises:
        GatewayError: the first failure of any call; the others are cancelled.
    """
    exchange.provider, exchange.deployment, exchange.served_model = bound.provider, bound.id, bound.model
    if len(translation.calls) == 1:
        return _placed(translation.calls[0], bound, upstream, exchange)
    return _side_by_side(translation.calls, bound, upstream, exchange, max_parallel)


async def _side_by_side(
    calls: tuple[Placed, ...], bound: Bound, upstream: Upstream, exchange: Exchange, max_parallel: int
) -> AsyncGenerator[Delta, None]:
    queue: asyncio.Queue[Delta | BaseException | None] = asyncio.Queue(_QUEUED)
    pending = list(reversed(calls))

    async def work() -> None:
        try:
            while pending:
                placed = pending.pop()
                async with aclosing(_placed(placed, bound, upstream, exchange)) as stream:
                    async for delta in stream:
                        await queue.put(delta)
            await queue.put(None)
        except Exception as error:  # handed to the reader of the queue, who raises it
            await queue.put(error)

    workers = [asyncio.create_task(work()) for _ in range(min(max_parallel, len(calls)))]
    try:
        running = len(workers)
        while running:
            item = await queue.get()
            if isinstance(item, BaseException):
                raise item
            if item is None:
                running -= 1
            else:
                yield item
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


async def _placed(placed: Placed, bound: Bound, upstream: Upstream, exchange: Exchange) -> AsyncGenerator[Delta, None]:
    """One call's deltas with the request's numbers, and its usage counted: by the provider, else by us."""
    call, first = placed.call, placed.first
    usage: Usage | None = None
    written: list[str] = []
    begun = False
    stream = _batches(call, bound, upstream, exchange)
    try:
        async for batch in stream:
            begun = True
            for delta in batch:
                if not _is_sound(delta):
                    raise invalid_response(bound.provider, "a field of its answer has an unexpected shape")
                if delta.opening is not None and exchange.opening is None:
                    exchange.opening = delta.opening
                if delta.usage is not None and _counts(delta.usage):
                    usage = delta.usage
                if delta.usage is not None or delta.opening is not None:
                    continue
                if not 0 <= delta.index < call.n:
                    raise invalid_response(bound.provider, "it has a choice that nobody asked for")
                written += (delta.text, delta.reasoning)
                yield replace(delta, index=first + delta.index) if first else delta
    finally:
        await stream.aclose()
        # A call that was cut short has been worked for and will be billed; one that was refused has not.
        if usage is None and begun:
            usage = estimate(call, "".join(written), bound)
        if usage is not None:
            exchange.add_usage(usage)


def _is_sound(delta: Delta) -> bool:
    """Whether a delta holds what its types say: translators copy values out of JSON that may hold anything."""
    opening = delta.opening
    if opening is not None:
        named = (opening.id, opening.model, opening.system_fingerprint)
        return all(value is None or type(value) is str for value in named)
    if not (type(delta.text) is str and type(delta.reasoning) is str and type(delta.index) is int):
        return False
    return all(
        type(token.token) is str and (token.logprob is None or type(token.logprob) in (float, int))
        for token in delta.logprobs or ()
    )


def _counts(usage: Usage) -> bool:
    """Whether these are counts; others are as good as none."""
    counts = (
        usage.input_tokens,
        usage.output_tokens,
        usage.cached_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
    )
    return all(type(count) is int and count >= 0 for count in counts)


async def _batches(
    call: Call, bound: Bound, upstream: Upstream, exchange: Exchange
) -> AsyncGenerator[list[Delta], None]:
    """One HTTP call: the request out, the answer's deltas in, those that came together in one list."""
    request = bound.translator.request(call)
    if bound.authorize is not None:
        request = await bound.authorize(request)
    exchange.attempts += 1
    timeouts = within(bound.stream if call.stream else bound.whole, exchange.time_left())
    exchange.waiting()
    try:
        response = await upstream.send(request, timeouts, stream=call.stream)
    finally:
        exchange.waited()
    try:
        if not 200 <= response.status < 300:
            body = await _body(response, exchange)
            raise bound.translator.error(response.status, response.headers, body)
        if not call.stream:
            yield _whole(call, bound, await _body(response, exchange))
            return
        decoder = bound.translator.stream(call)
        chunks = response.chunks()
        chunk: bytes | None = b""
        while chunk is not None:
            exchange.waiting()
            try:
                chunk = await anext(chunks, None)
            finally:
                exchange.waited()
            found = _decoded(decoder, chunk, bound)
            if found:
                yield found
    finally:
        await response.close()


def _decoded(decoder: StreamDecoder, chunk: bytes | None, bound: Bound) -> list[Delta]:
    """The deltas that a chunk completes, or those left at the end (None)."""
    try:
        return decoder.feed(chunk) if chunk is not None else decoder.close()
    except _NOT_ITS_LANGUAGE as error:
        raise invalid_response(bound.provider, "a part of its stream has an unexpected shape") from error


async def _body(response: UpstreamResponse, exchange: Exchange) -> bytes:
    exchange.waiting()
    try:
        return await response.read()
    finally:
        exchange.waited()


def _whole(call: Call, bound: Bound, body: bytes) -> list[Delta]:
    try:
        found = bound.translator.answer(call, body)
        finished = sorted(delta.index for delta in found if delta.finish_reason)
    except _NOT_ITS_LANGUAGE as error:
        raise invalid_response(bound.provider, "a field of its answer has an unexpected shape") from error
    if finished != list(range(call.n)):
        raise invalid_response(bound.provider, f"it does not have the {call.n} choices that were asked for")
    return found


def estimate(call: Call, text: str, bound: Bound) -> Usage:
    """Tokens of a call whose provider sent no counts, with the model's vocabulary or, where unknown, cl100k's."""
    encoding = tokens.encoding_for(bound.model)
    if isinstance(call.prompt, tuple):
        asked = len(call.prompt)
    else:
        asked = sum(tokens.estimate(message.content, encoding) for message in call.messages)
    return Usage(asked, tokens.estimate(text, encoding), estimated=True)
