"""Calls the providers a translation names and gives out their deltas as one stream, numbered as the client sees them.

A whole answer is a stream of one delta per choice: there is one code path, not two.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from time import perf_counter

from gateway.errors import GatewayError, UpstreamConnectionError, UpstreamInvalidResponse, UpstreamTimeout
from gateway.exchange import CallRecord, Exchange
from gateway.ledger import tokens
from gateway.ledger.cost import cost
from gateway.providers.base import StreamDecoder
from gateway.providers.failures import invalid_response
from gateway.providers.translation import Placed, Translation
from gateway.routing.deployments import Bound, within
from gateway.routing.upstream import Upstream, UpstreamResponse
from gateway.types import Call, Delta, Opening, Usage

_NOT_ITS_LANGUAGE = (KeyError, TypeError, AttributeError, ValueError, IndexError, RecursionError)
"""What a translator raises on bytes of a shape it did not expect."""

_LOST = UpstreamConnectionError | UpstreamInvalidResponse
"""What can happen to an answer that a provider has made."""

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
    told = translation.calls[0].call.messages if translation.calls else ()
    if told and told[0].role == "system" and told[0].content not in exchange.confidential:
        exchange.confidential += (told[0].content,)  # the gateway's own words, the same in each call
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
    """One call's deltas with the request's numbers; its record, its usage (by the provider, else by us), its cost."""
    call, first = placed.call, placed.first
    record = exchange.begin(bound.provider, bound.id, bound.model, call, first)
    usage: Usage | None = None
    written: list[str] = []
    stream = _batches(call, bound, upstream, exchange, record)
    try:
        async for batch in stream:
            for delta in batch:
                _check(delta, call, bound)
                if delta.usage is not None and _counts(delta.usage):
                    usage = delta.usage
                if delta.usage is not None or delta.opening is not None:
                    _note_opening(delta.opening, record, exchange)
                    continue
                if delta.finish_reason is not None:
                    record.finish_reasons[first + delta.index] = delta.finish_reason
                if not written and call.stream:
                    record.first_chunk = perf_counter()
                written += (delta.text, delta.reasoning)
                yield replace(delta, index=first + delta.index) if first else delta
    except GatewayError as error:
        record.error = error
        raise
    except BaseException:  # cancelled, or closed by whoever reads
        record.cut = True
        raise
    finally:
        await stream.aclose()
        record.ended = perf_counter()
        if usage is None and _worked(record, written):
            usage = estimate(call, "".join(written), bound)
        if usage is not None:
            exchange.settle(record, usage, cost(usage, bound.price))


def _note_opening(opening: Opening | None, record: CallRecord, exchange: Exchange) -> None:
    if opening is not None and record.opening is None:
        record.opening = opening
        if exchange.opening is None:
            exchange.opening = opening


def _worked(record: CallRecord, written: list[str]) -> bool:
    """Whether the provider has worked for a call, and will bill it, though it never told how much.

    A call that was refused has not been worked for, nor one that was never sent. One that was cut short has, also
    when nothing had come yet, one that nobody waited for any longer, and one whose answer failed on its way here.
    """
    if record.status is not None and record.status >= 300:
        return False
    if written or record.cut:
        return record.sent
    if isinstance(record.error, UpstreamTimeout):
        return record.sent and record.error.which != "connect"
    return record.status is not None and isinstance(record.error, _LOST | None)


def _check(delta: Delta, call: Call, bound: Bound) -> None:
    if not _is_sound(delta):
        raise invalid_response(bound.provider, "a field of its answer has an unexpected shape")
    if delta.usage is None and delta.opening is None and not 0 <= delta.index < call.n:
        raise invalid_response(bound.provider, "it has a choice that nobody asked for")


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
        usage.cache_write_1h_tokens,
        *(usage.billed or ()),
    )
    return all(type(count) is int and count >= 0 for count in counts)


async def _batches(
    call: Call, bound: Bound, upstream: Upstream, exchange: Exchange, record: CallRecord
) -> AsyncGenerator[list[Delta], None]:
    """One HTTP call: the request out, the answer's deltas in, those that came together in one list."""
    request = bound.translator.request(call)
    if bound.authorize is not None:
        request = await bound.authorize(request)
    exchange.attempts += 1
    timeouts = within(bound.stream if call.stream else bound.whole, exchange.time_left())
    record.sent, record.url = True, request.url
    exchange.waiting()
    try:
        response = await upstream.send(request, timeouts, stream=call.stream)
    finally:
        exchange.waited()
    record.status = response.status
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
            found, failure = _decoded(decoder, chunk, bound)
            if found:
                yield found
            if failure is not None:
                raise failure
    finally:
        await response.close()


def _decoded(decoder: StreamDecoder, chunk: bytes | None, bound: Bound) -> tuple[list[Delta], GatewayError | None]:
    """The deltas that a chunk completes, or those left at the end (None), and the failure that comes after them.

    A chunk of several lines is decoded line by line, so that the text before a failure is not lost with it.
    """
    found: list[Delta] = []
    try:
        if chunk is None:
            found = decoder.close()
        else:
            for piece in _pieces(chunk):
                found += decoder.feed(piece)
    except GatewayError as error:
        return found, error
    except _NOT_ITS_LANGUAGE as error:
        wrong = invalid_response(bound.provider, "a part of its stream has an unexpected shape")
        wrong.__cause__ = error
        return found, wrong
    return found, None


def _pieces(chunk: bytes) -> Sequence[bytes]:
    """The lines of `chunk`; all of it where it is what comes most often, one line or one server-sent event."""
    lines = chunk.count(b"\n")
    if lines < 2 or (lines == 2 and chunk.endswith((b"\n\n", b"\n\r\n"))):
        return (chunk,)
    return chunk.splitlines(keepends=True)


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
    """Tokens of a call whose provider sent no counts, with the model's vocabulary or, where unknown, cl100k's.

    A chat is more than its texts: OpenAI's models see three tokens around each message, its role, and three where the
    answer begins (https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken_models); other models' chat
    templates are of that order. A native text call is its prompt and its suffix.
    """
    encoding = bound.encoding
    if isinstance(call.prompt, tuple):
        asked = len(call.prompt)
    elif bound.shape.support.text:
        asked = tokens.estimate(call.prompt, encoding)
    else:
        asked = tokens.CHAT + sum(tokens.MESSAGE + tokens.estimate(each.content, encoding) for each in call.messages)
    if call.suffix and bound.shape.support.text:
        asked += tokens.estimate(call.suffix, encoding)
    return Usage(asked, tokens.estimate(text, encoding), estimated=True)
