"""Calling providers: numbering, side by side, accounting, and giving everything back whatever happens."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from random import Random

import orjson
import pytest

from gateway.config.load import from_mapping
from gateway.errors import (
    GatewayError,
    UpstreamConnectionError,
    UpstreamInvalidResponse,
    UpstreamRejected,
)
from gateway.exchange import Exchange
from gateway.routing import call
from gateway.routing.board import Book
from gateway.routing.deployments import Catalogue
from gateway.routing.router import Router
from gateway.routing.upstream import Timeouts
from gateway.types import CompletionRequest, Delta, HttpRequest, Usage


class Response:
    """What a provider answers, chunk by chunk; knows whether it was given back."""

    def __init__(self, chunks: list[bytes | Exception], status: int = 200) -> None:
        self.status = status
        self.headers: dict[str, str] = {}
        self.given = chunks
        self.closed = False

    async def read(self) -> bytes:
        return b"".join([chunk async for chunk in self.chunks()])

    async def chunks(self) -> AsyncIterator[bytes]:
        for chunk in self.given:
            await asyncio.sleep(0)
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk

    async def close(self) -> None:
        self.closed = True


class Provider:
    """An upstream that answers each request by a function of its body."""

    def __init__(self, answer: Callable[[dict[str, object]], Response]) -> None:
        self.answer = answer
        self.responses: list[Response] = []
        self.asked: list[tuple[dict[str, object], Timeouts]] = []
        self.most = self.now = 0

    async def send(self, request: HttpRequest, timeouts: Timeouts, *, stream: bool) -> Response:
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0)
        self.now -= 1
        body = orjson.loads(request.body)
        self.asked.append((body, timeouts))
        self.responses.append(self.answer(body))
        return self.responses[-1]

    async def close(self) -> None: ...


def choice(text: str, index: int = 0) -> dict[str, object]:
    return {"index": index, "message": {"content": text}, "finish_reason": "stop"}


def whole(*choices: dict[str, object], usage: dict[str, int] | None = None) -> Response:
    return Response([orjson.dumps({"choices": choices, "usage": usage})])


def chunk(text: str | None = None, finish: str | None = None, index: int = 0, **fields: object) -> bytes:
    body = {"id": "c", "choices": [{"index": index, "delta": {"content": text}, "finish_reason": finish}], **fields}
    return b"data: " + orjson.dumps(body) + b"\n\n"


def said(body: dict[str, object]) -> str:
    messages = body["messages"]
    assert isinstance(messages, list)
    return str(messages[0]["content"])


ONE = [{"model_name": "m", "litellm_params": {"model": "openai/x", "api_key": "k"}}]


async def at_once(seconds: float) -> None:
    """Waits for nothing."""


def calling(
    provider: object, request: CompletionRequest, exchange: Exchange, parallel: int = 8, config: object = None
) -> AsyncGenerator[Delta, None]:
    """The deltas of a request: of deployments that are tried once each, unless the configuration says otherwise."""
    found = from_mapping(config or {"model_list": ONE, "router_settings": {"num_retries": 0}})
    catalogue = Catalogue(found.settings, found.source)
    router = Router(catalogue, found.settings, Book(), rng=Random(1))  # noqa: S311 - the same each time
    return call.Caller(router, provider, parallel, at_once).begin(request, exchange).deltas()  # type: ignore[arg-type]


def asking(*prompts: str, n: int = 1, stream: bool = False, **fields: object) -> CompletionRequest:
    return CompletionRequest("m", prompts, n=n, stream=stream, **fields)  # type: ignore[arg-type]


def run(
    provider: object,
    request: CompletionRequest,
    exchange: Exchange | None = None,
    parallel: int = 8,
    config: object = None,
) -> list[Delta]:
    async def gather() -> list[Delta]:
        async with aclosing(calling(provider, request, exchange or new(), parallel, config)) as stream:
            return [delta async for delta in stream]

    return asyncio.run(gather())


def new() -> Exchange:
    return Exchange("r", "POST", "/")


def test_choices_are_numbered_over_all_prompts():
    provider = Provider(lambda body: whole(choice(said(body) + "1", 1), choice(said(body) + "0", 0)))
    found = run(provider, asking("a", "b", n=2))
    assert sorted((delta.index, delta.text) for delta in found) == [(0, "a0"), (1, "a1"), (2, "b0"), (3, "b1")]


def test_usage_and_opening_go_to_the_exchange_summed():
    exchange = new()
    provider = Provider(lambda _: whole(choice("x"), usage={"prompt_tokens": 2, "completion_tokens": 3}))
    assert all(delta.usage is None for delta in run(provider, asking("a", "b"), exchange))
    assert exchange.usage == Usage(4, 6)
    assert (exchange.provider, exchange.served_model, exchange.attempts) == ("openai", "x", 2)


def test_tokens_that_the_provider_does_not_count_are_counted_here():
    exchange = new()
    run(Provider(lambda _: whole(choice("one two three"))), asking("four words are here"), exchange)
    assert exchange.usage == Usage(3 + 4 + 4, 3, estimated=True)


def test_no_more_calls_than_allowed_are_under_way_at_once():
    provider = Provider(lambda body: whole(choice(said(body))))
    found = run(provider, asking(*"abcdefgh"), parallel=3)
    assert provider.most == 3
    assert sorted(delta.text for delta in found) == list("abcdefgh")


def test_streams_of_several_prompts_keep_the_order_of_each():
    provider = Provider(
        lambda body: Response([chunk(said(body)), chunk(said(body) * 2), chunk(None, "stop"), b"data: [DONE]\n\n"])
    )
    found = run(provider, asking("a", "b", stream=True))
    for index, letter in enumerate("ab"):
        mine = [delta for delta in found if delta.index == index]
        assert [delta.text for delta in mine] == [letter, letter * 2, ""]
        assert mine[-1].finish_reason == "stop"


@pytest.mark.parametrize("stream", [False, True])
def test_the_first_failure_ends_all_calls_and_gives_everything_back(stream):
    def answer(body: dict[str, object]) -> Response:
        if said(body) == "b":
            return Response([b'{"error": {"message": "too long"}}'], 400)
        return Response([chunk("x"), *[chunk("y")] * 1000] if stream else [b" "] * 1000)

    provider = Provider(answer)
    with pytest.raises(UpstreamRejected, match="too long"):
        run(provider, asking("a", "b", stream=stream))
    assert all(response.closed for response in provider.responses)


@pytest.mark.parametrize(
    ("body", "stream"),
    [
        (b"<html>", False),
        (b'{"choices": [{"message": {"content": "x"}, "index": 0, "finish_reason": "stop"}]}', False),
        (b'{"choices": [{"message": {"content": "x"}, "index": 7, "finish_reason": "stop"}]}', False),
        (b'{"choices": [{"message": {"content": 5}, "index": 0}], "usage": 3}', False),
        (b"data: {\n\n", True),
        (b'data: {"choices": [{"index": 5, "delta": {"content": "x"}}]}\n\n', True),
        (b'data: {"choices": [5]}\n\n', True),
        (b'data: {"choices": 5}\n\n', True),
    ],
)
def test_what_is_not_the_providers_language_is_an_invalid_response(body, stream):
    provider = Provider(lambda _: Response([body]))
    with pytest.raises(UpstreamInvalidResponse):
        run(provider, asking("a", n=2, stream=stream))
    assert provider.responses[0].closed


def test_a_stream_that_breaks_is_counted_for_what_it_gave():
    exchange = new()
    provider = Provider(lambda _: Response([chunk("one two"), UpstreamConnectionError("gone")]))
    with pytest.raises(UpstreamConnectionError):
        run(provider, asking("p", stream=True), exchange)
    assert exchange.usage == Usage(3 + 4 + 1, 2, estimated=True)


def test_a_call_that_is_refused_is_not_counted():
    exchange = new()
    with pytest.raises(GatewayError):
        run(Provider(lambda _: Response([b"{}"], 500)), asking("p"), exchange)
    assert exchange.usage is None


@pytest.mark.parametrize("prompts", [("a",), ("a", "b", "c")])
def test_whoever_stops_listening_closes_the_calls(prompts):
    provider = Provider(lambda _: Response([chunk("x")] * 1000))

    async def leave() -> None:
        async with aclosing(calling(provider, asking(*prompts, stream=True), new())) as stream:
            async for _ in stream:
                return

    asyncio.run(leave())
    assert provider.responses
    assert all(response.closed for response in provider.responses)


def test_the_clients_patience_shortens_the_time_limits():
    exchange = new()
    exchange.timeout = 2.0
    provider = Provider(lambda _: whole(choice("x")))
    run(provider, asking("a"), exchange)
    limits = provider.asked[0][1]
    assert limits == Timeouts(limits.total, limits.total, limits.total)
    assert 1 < limits.total <= 2


def test_a_call_that_starts_late_has_only_the_rest_of_the_clients_patience():
    exchange = new()
    exchange.timeout, exchange.began = 2.0, exchange.began - 5
    provider = Provider(lambda _: whole(choice("x")))
    run(provider, asking("a"), exchange)
    assert provider.asked[0][1].total == 0.001


def test_time_spent_waiting_for_the_provider_is_not_overhead():
    class Slow(Provider):
        async def send(self, request: HttpRequest, timeouts: Timeouts, *, stream: bool) -> Response:
            await asyncio.sleep(0.05)
            return await super().send(request, timeouts, stream=stream)

    exchange = new()
    run(Slow(lambda _: whole(choice("x"))), asking("a", "b"), exchange)
    assert exchange.duration() - exchange.overhead() >= 0.05
    assert exchange.overhead() > 0
