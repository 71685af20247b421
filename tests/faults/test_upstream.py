"""The fault-injecting upstream: what it answers is OpenAI's language, and what it breaks it breaks where it says."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from email.utils import parsedate_to_datetime
from random import Random
from statistics import median
from time import time
from typing import Any

import pytest

from gateway.errors import UpstreamConnectionError, UpstreamTimeout
from gateway.ledger import tokens
from gateway.routing.engines.pooled.pool import PooledUpstream
from gateway.routing.upstream import Timeouts, UpstreamResponse
from gateway.types import HttpRequest
from gateway.wire import json, sse
from tests.faults import faults
from tests.faults.answers import WORDS, honest
from tests.faults.faults import FAULTS, WELL, Fault, after, close_at, reset_at, stall_at
from tests.faults.http2 import serving2
from tests.faults.plans import always, mixed, script, windows
from tests.faults.upstream import Upstream, serving
from tests.routing import servers
from tests.routing.servers import looped

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
LONG, SHORT = Timeouts(5, 5, 5), Timeouts(5, 0.05, 5)


def question(chat: bool, **more: Any) -> dict[str, Any]:
    asked = {"messages": [{"role": "user", "content": "say three words"}]} if chat else {"prompt": "say three words"}
    return {"model": "it", **asked, **more}


async def send(
    engine: PooledUpstream, upstream: Upstream, timeouts: Timeouts = LONG, chat: bool = True, **more: Any
) -> UpstreamResponse:
    body = json.dumps(question(chat, **more))
    request = HttpRequest("POST", upstream.url + (CHAT if chat else TEXT), {"content-type": "application/json"}, body)
    return await engine.send(request, timeouts, stream=bool(more.get("stream")))


@asynccontextmanager
async def engine(**options: Any) -> AsyncIterator[PooledUpstream]:
    made = PooledUpstream(**options)
    try:
        yield made
    finally:
        await made.close()


async def raw(upstream: Upstream, stream: bool = True) -> bytes:
    """Every byte of an answer, until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(upstream.url.rpartition(":")[2]))
    body = json.dumps(question(True, stream=stream))
    writer.write(b"POST %s HTTP/1.1\r\ncontent-length: %d\r\n\r\n%b" % (CHAT.encode(), len(body), body))
    found = b""
    try:
        while piece := await reader.read(65536):
            found += piece
    except ConnectionResetError:
        found += b"<reset>"
    writer.close()
    return found


@pytest.mark.parametrize("chat", [True, False])
@looped
async def test_a_whole_answer_is_openais_and_counted(chat: bool) -> None:
    async with serving() as upstream, engine() as client:
        answer = await send(client, upstream, chat=chat, max_tokens=3, n=2)
        body = json.loads(await answer.read())
    texts = [choice["message"]["content"] if chat else choice["text"] for choice in body["choices"]]
    assert texts == [" one two three"] * 2
    assert [choice["finish_reason"] for choice in body["choices"]] == ["length"] * 2
    prompt = 10 if chat else 3
    assert body["usage"] == {"prompt_tokens": prompt, "completion_tokens": 6, "total_tokens": prompt + 6}
    counts = upstream.counts
    assert (counts.asked, counts.answered) == (1, 1)
    assert (counts.prompt_tokens, counts.completion_tokens) == (prompt, 6)
    assert counts.cost == prompt * Decimal("0.000001") + 6 * Decimal("0.000002")


@pytest.mark.parametrize("chat", [True, False])
@looped
async def test_a_streamed_answer_tells_its_usage_and_ends(chat: bool) -> None:
    async with serving() as upstream, engine() as client:
        answer = await send(client, upstream, chat=chat, stream=True, stream_options={"include_usage": True})
        events = [event.data for event in sse.Decoder().feed(await answer.read())]
    assert answer.headers["content-type"].startswith("text/event-stream")
    *chunks, last = events
    assert last == b"[DONE]"
    parsed = [json.loads(chunk) for chunk in chunks]
    choices = [chunk["choices"][0] for chunk in parsed if chunk["choices"]]
    texts = [choice["delta"].get("content", "") if chat else choice["text"] for choice in choices]
    assert "".join(texts) == " one two three four five"
    assert [choice["finish_reason"] for choice in choices if choice["finish_reason"]] == ["stop"]
    assert parsed[-1]["usage"]["completion_tokens"] == upstream.counts.completion_tokens == 5


def test_its_tokens_are_those_the_gateway_counts_for_itself() -> None:
    for encoding in ("cl100k_base", "o200k_base"):
        assert all(tokens.estimate(f" {word}", encoding) == 1 for word in WORDS)
        assert tokens.estimate("".join(f" {word}" for word in WORDS), encoding) == len(WORDS)


@pytest.mark.parametrize("at", [0, 1, 16, 17, 90, 140, 300])
@pytest.mark.parametrize("stream", [False, True])
@looped
async def test_an_answer_ends_at_the_byte_that_was_named(at: int, stream: bool) -> None:
    async with serving() as upstream:
        for number, (make, mark) in enumerate(((close_at, b""), (reset_at, b"<reset>"))):
            upstream.plan = always(make(at))
            assert await raw(upstream, stream) == whole(upstream, stream, number)[:at] + mark
        assert upstream.counts.cut == 2


def whole(upstream: Upstream, stream: bool, number: int) -> bytes:
    """The bytes of the honest answer to this call."""
    reply = honest(CHAT, question(True, stream=stream), f"{upstream.name}-{number}", upstream.words)
    framed = b"".join(b"%x\r\n%b\r\n" % (len(piece.data), piece.data) for piece in reply.pieces) + b"0\r\n\r\n"
    return reply.head() + (framed if stream else reply.body)


@looped
async def test_a_stall_says_nothing_more_until_its_client_leaves() -> None:
    async with serving(always(stall_at(0))) as upstream, engine() as client:
        with pytest.raises(UpstreamTimeout):
            await send(client, upstream, SHORT)
        await upstream.idle.wait()
        upstream.plan = always(after("stall", 2))
        answer = await send(client, upstream, SHORT, stream=True)
        with pytest.raises(UpstreamTimeout):
            await answer.read()
        await upstream.idle.wait()
    assert [asked.state for asked in upstream.asked] == ["cut", "cut"]
    assert [asked.completion_tokens for asked in upstream.asked] == [0, 1]


@looped
async def test_a_client_that_leaves_is_noticed() -> None:
    async with serving(always(faults.slow(faults.constant(60)))) as upstream, engine() as client:
        with pytest.raises(UpstreamTimeout):
            await send(client, upstream, SHORT)
        await upstream.idle.wait()
        assert upstream.counts.left == 1
        assert upstream.counts.cost == 0


@looped
async def test_a_port_is_closed_and_opened_again() -> None:
    async with serving() as upstream, engine() as client:
        await (await send(client, upstream)).read()
        url = upstream.url
        upstream.shut()
        upstream.shut()
        with pytest.raises(UpstreamConnectionError):
            await send(client, upstream)
        await upstream.reopen()
        assert upstream.url == url
        await (await send(client, upstream)).read()
        upstream.slams = True
        upstream.shut()
        await upstream.reopen()
        accepted = upstream.accepted
        with pytest.raises(UpstreamConnectionError):
            await send(client, upstream)
        assert upstream.accepted > accepted
        assert upstream.counts.asked == 2


REFUSALS = {
    "bad_request": (400, None),
    "context_window": (400, "context_length_exceeded"),
    "content_policy": (400, "content_filter"),
    "unauthorized": (401, "invalid_api_key"),
    "payment_required": (402, None),
    "forbidden": (403, None),
    "not_found": (404, "model_not_found"),
    "request_timeout": (408, None),
    "conflict": (409, None),
    "unprocessable": (422, None),
    "rate_limited": (429, "rate_limit_exceeded"),
    "rate_limited_by_date": (429, "rate_limit_exceeded"),
    "quota": (429, "insufficient_quota"),
    "server_error": (500, None),
    "unavailable": (503, "overloaded"),
    "overloaded": (529, None),
}
PAGES = {"bad_gateway": 502, "gateway_timeout": 504, "sign_in_page": 200}


@looped
async def test_refusals_have_openais_form_or_a_proxys_and_cost_nothing() -> None:
    async with serving() as upstream, engine() as client:
        for name, (status, code) in REFUSALS.items():
            upstream.plan = always(FAULTS[name])
            answer = await send(client, upstream)
            error = json.loads(await answer.read())["error"]
            assert (answer.status, error["code"]) == (status, code), name
        for name, status in PAGES.items():
            upstream.plan = always(FAULTS[name])
            answer = await send(client, upstream)
            assert (answer.status, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
            assert (await answer.read()).startswith(b"<html>")
        assert upstream.counts.refused == len(REFUSALS) + 2
        assert upstream.counts.cost == 0


@looped
async def test_retry_after_is_told_in_seconds_or_as_a_date() -> None:
    plan = script(faults.limited(7), faults.limited(7, date=True))
    async with serving(plan) as upstream, engine() as client:
        seconds = (await send(client, upstream)).headers["retry-after"]
        date = (await send(client, upstream)).headers["retry-after"]
    assert seconds == "7"
    assert 5 < parsedate_to_datetime(date).timestamp() - time() <= 7.1


@pytest.mark.parametrize("name", list(FAULTS))
@pytest.mark.parametrize("stream", [False, True])
@looped
async def test_every_fault_is_played_and_leaves_the_server_well(name: str, stream: bool) -> None:
    fault = FAULTS[name]
    async with serving(script(fault)) as upstream, engine() as client:
        try:
            answer = await send(client, upstream, SHORT, stream=stream)
            await answer.read()
        except (UpstreamConnectionError, UpstreamTimeout):
            assert fault.ending != "end"
        answer = await send(client, upstream)
        assert json.loads(await answer.read())["choices"][0]["finish_reason"] == "stop"
        await client.close()
        await upstream.idle.wait()
    assert upstream.asked[0].state == ("cut" if fault.ending != "end" else _ended(upstream))


def _ended(upstream: Upstream) -> str:
    fault = upstream.asked[0].fault
    return "refused" if fault.instead is not None and fault.instead().status >= 300 else "answered"


@looped
async def test_a_drip_brings_the_whole_answer_byte_by_byte() -> None:
    async with serving(always(FAULTS["drip"])) as upstream, engine() as client:
        answer = await send(client, upstream, stream=True)
        chunks = [chunk async for chunk in answer.chunks()]
    assert len(chunks) > 100
    assert b"".join(chunks).endswith(b"data: [DONE]\n\n")


@looped
async def test_a_held_fault_waits_until_its_client_has_read() -> None:
    async with serving(always(after("reset", 2).hold())) as upstream, engine() as client:
        answer = await send(client, upstream, stream=True)
        chunks = answer.chunks()
        read = b""
        while b" one" not in read:
            read += await anext(chunks)
        upstream.gate.set()
        with pytest.raises(UpstreamConnectionError):
            await anext(chunks)
    assert b" two" not in read


def test_a_fault_must_say_where_it_ends() -> None:
    with pytest.raises(ValueError, match="must end at one byte"):
        Fault("nowhere", ending="reset")
    with pytest.raises(ValueError, match="must end at one byte"):
        Fault("twice", ending="reset", byte=1, piece=1)
    with pytest.raises(ValueError, match="must end at one byte"):
        replace(WELL, byte=1)


def test_a_script_is_followed_and_then_left() -> None:
    one, two = FAULTS["server_error"], FAULTS["drip"]
    plan = script(one, two)
    assert [plan(number) for number in range(4)] == [one, two, WELL, WELL]


def test_rates_are_kept_and_a_seed_repeats_itself() -> None:
    error, reset = FAULTS["server_error"], reset_at(0)
    plan = mixed(1, {error: 0.3, reset: 0.1})
    drawn = [plan(number) for number in range(4000)]
    assert abs(drawn.count(error) / 4000 - 0.3) < 0.03
    assert abs(drawn.count(reset) / 4000 - 0.1) < 0.03
    assert [plan(number) for number in reversed(range(4000))] == drawn[::-1]
    assert [mixed(2, {error: 0.3})(number) for number in range(99)] != drawn[:99]


def test_a_window_takes_its_requests_and_says_when_the_next_begins() -> None:
    now = [10.0]
    plan = windows(2, 5.0, clock=lambda: now[0])
    found = [plan(number) for number in range(3)]
    assert found[:2] == [WELL, WELL]
    assert found[2].instead is not None
    assert dict(found[2].instead().headers)["retry-after"] == "5"
    now[0] = 15.0
    assert plan(3) == WELL


def test_latencies_are_drawn_from_their_distributions() -> None:
    random = Random(1)  # noqa: S311 - a script, not a secret

    def drawn(latency: faults.Latency) -> list[float]:
        return [latency(random) for _ in range(4000)]

    assert set(drawn(faults.constant(0.2))) == {0.2}
    spread = drawn(faults.uniform(0.1, 0.3))
    assert 0.1 <= min(spread) < 0.11 < 0.29 < max(spread) <= 0.3
    assert abs(sum(drawn(faults.exponential(0.5))) / 4000 - 0.5) < 0.05
    assert abs(median(drawn(faults.lognormal(0.4))) - 0.4) < 0.03
    tail = drawn(faults.mostly(faults.constant(0.1), faults.constant(9), 0.05))
    assert abs(tail.count(9) / 4000 - 0.05) < 0.02


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, ssl.SSLContext]:
    pem, context = servers.certificate(tmp_path_factory.mktemp("tls"))
    context.set_alpn_protocols(["h2"])
    return pem, context


@looped
async def test_over_http2_it_answers_streams_side_by_side_and_refuses_them(
    tls: tuple[bytes, ssl.SSLContext],
) -> None:
    pem, context = tls
    async with serving2(context) as upstream, engine(ca_bundle=pem, http2=True) as client:
        answers = await asyncio.gather(*(send(client, upstream, stream=bool(at % 2)) for at in range(4)))
        bodies = [await answer.read() for answer in answers]
        assert [b"five" in body for body in bodies] == [True] * 4
        assert upstream.counts.answered == 4
        for name in ("reset_at_0", "close_at_0", "reset_after_0"):
            upstream.plan = always(FAULTS[name])
            with pytest.raises(UpstreamConnectionError):
                await (await send(client, upstream)).read()
        assert upstream.counts.cut == 3


@pytest.mark.parametrize("name", ["goaway", "refuse"])
@looped
async def test_over_http2_a_stream_is_refused_unseen_and_the_next_one_taken(
    name: str, tls: tuple[bytes, ssl.SSLContext]
) -> None:
    pem, context = tls
    async with (
        serving2(context, script(WELL, FAULTS[name])) as upstream,
        engine(ca_bundle=pem, http2=True) as client,
    ):
        await (await send(client, upstream)).read()
        with pytest.raises(UpstreamConnectionError):
            await send(client, upstream)
        assert b"five" in await (await send(client, upstream)).read()
    assert [asked.state for asked in upstream.asked] == ["answered", "cut", "answered"]
    assert upstream.asked[1].prompt_tokens == 0
