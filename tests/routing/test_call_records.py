"""What is kept of each call to a provider: who, when, what it used and costs, and how it ended."""

import asyncio
from contextlib import aclosing
from dataclasses import replace
from decimal import Decimal

import orjson
import pytest

from gateway.config.load import from_mapping
from gateway.errors import GatewayError, UpstreamConnectionError, UpstreamTimeout
from gateway.exchange import CallRecord, Exchange
from gateway.routing import settling
from gateway.routing.deployments import Bound, Catalogue
from gateway.routing.upstream import Timeouts, timed_out
from gateway.types import Call, CompletionRequest, Cost, Delta, HttpRequest, Message, Usage
from tests.routing.test_call import Provider, Response, asking, calling, choice, chunk, new, said, whole
from tests.routing.test_call import run as run_call

COUNTED = {"prompt_tokens": 10, "completion_tokens": 5}
DEAR = {"input_cost_per_token": 0.001, "output_cost_per_token": 0.01}


Config = dict[str, object]


def to(model: str = "openai/x", **params: object) -> Config:
    """The configuration of one deployment, which is called once."""
    entry = {"model_name": "m", "litellm_params": {"model": model, "api_key": "k-12345678", **params}}
    return {"model_list": [entry], "router_settings": {"num_retries": 0}}


def bound(model: str = "openai/x", **params: object) -> Bound:
    found = from_mapping(to(model, **params))
    return Catalogue(found.settings, found.source).find("m")[0]


def run(provider: object, asked: CompletionRequest, config: Config, exchange: Exchange) -> list[Delta]:
    return run_call(provider, asked, exchange, config=config)


def one(exchange: Exchange) -> CallRecord:
    (record,) = exchange.calls
    assert record.ended is not None
    assert record.began <= record.ended
    return record


@pytest.mark.parametrize("stream", [False, True])
def test_a_call_is_kept_with_all_that_is_known_of_it(stream):
    counted = orjson.dumps({"id": "c-1", "model": "x-2", "choices": [], "usage": COUNTED})
    said_so = [chunk("o", model="x-2", id="c-1"), chunk("k", "length")]
    streamed = [*said_so, b"data: " + counted + b"\n\n", b"data: [DONE]\n\n"]
    answer = {"id": "c-1", "model": "x-2", "choices": [{**choice("ok"), "finish_reason": "length"}], "usage": COUNTED}
    exchange = new()
    provider = Provider(lambda _: Response(streamed if stream else [orjson.dumps(answer)]))
    run(provider, asking("p", stream=stream), to(**DEAR), exchange)
    record = one(exchange)
    assert (record.provider, record.deployment, record.model) == ("openai", "m-1", "x")
    assert record.call.prompt == "p"
    assert (record.first, record.attempt, record.status, record.sent) == (0, 1, 200, True)
    assert record.opening is not None
    assert (record.opening.id, record.opening.model) == ("c-1", "x-2")
    assert record.finish_reasons == {0: "length"}
    assert record.usage == Usage(10, 5)
    assert record.cost == Cost(Decimal("0.06"), "config", "config", Decimal("0.01"), Decimal("0.05"))
    assert (record.error, record.cut) == (None, False)
    assert (record.first_chunk is not None) == stream
    assert exchange.cost == record.cost


def test_a_record_prints_without_what_was_asked():
    exchange = new()
    run(Provider(lambda _: whole(choice("x"))), asking("canary-4111"), to(), exchange)
    assert "canary" not in repr(exchange.calls)


def test_each_call_of_a_request_has_its_own_cost_and_the_request_their_sum():
    def answer(body: dict[str, object]) -> Response:
        return whole(choice("x"), choice("y", 1), usage={"prompt_tokens": len(said(body)), "completion_tokens": 1})

    exchange = new()
    run(Provider(answer), asking("a", "bb", "ccc", n=2), to(**DEAR), exchange)
    assert {record.first: record.cost.total for record in exchange.calls if record.cost} == {
        0: Decimal("0.011"),
        2: Decimal("0.012"),
        4: Decimal("0.013"),
    }
    assert exchange.cost is not None
    assert exchange.cost.total == Decimal("0.036")
    assert exchange.usage == Usage(6, 3)


def test_a_further_call_for_the_same_choices_is_another_attempt():
    exchange = new()
    for config in (to(), to("anthropic/y")):
        provider = Provider(lambda _: Response([b"{}"], 500))
        with pytest.raises(GatewayError):
            run(provider, asking("p"), config, exchange)
    assert [(record.provider, record.attempt) for record in exchange.calls] == [("openai", 1), ("anthropic", 2)]


@pytest.mark.parametrize("status", [400, 429, 500])
def test_a_refused_call_has_nothing_to_pay(status):
    exchange = new()
    with pytest.raises(GatewayError):
        run(Provider(lambda _: Response([b"{}"], status)), asking("p"), to(**DEAR), exchange)
    record = one(exchange)
    assert (record.status, record.usage, record.cost) == (status, None, None)
    assert record.error is not None
    assert not record.cut
    assert exchange.cost is None


class Unreachable:
    def __init__(self, error: Exception | None) -> None:
        self.error = error

    async def send(self, request: HttpRequest, timeouts: Timeouts, *, stream: bool) -> Response:
        if self.error is None:
            await asyncio.Event().wait()
        assert self.error is not None
        raise self.error

    async def close(self) -> None: ...


def timeout(which: str) -> UpstreamTimeout:
    return timed_out("https://provider.example", which, Timeouts(1, 1, 1))


@pytest.mark.parametrize("which", ["read", "total"])
def test_a_call_nobody_waited_for_any_longer_is_paid_for_what_was_asked(which):
    exchange = new()
    with pytest.raises(UpstreamTimeout):
        run(Unreachable(timeout(which)), asking("p"), to(**DEAR), exchange)
    record = one(exchange)
    assert record.usage is not None
    assert record.usage.estimated
    assert record.usage.output_tokens == 0
    assert record.cost is not None


@pytest.mark.parametrize("error", [UpstreamConnectionError("refused"), timeout("connect")])
def test_a_call_that_found_no_answer_has_nothing_to_pay(error):
    exchange = new()
    with pytest.raises(GatewayError):
        run(Unreachable(error), asking("p"), to(**DEAR), exchange)
    record = one(exchange)
    assert (record.status, record.cost, record.error) == (None, None, error)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("error", [UpstreamConnectionError("broke"), UpstreamTimeout("too slow")])
def test_an_answer_that_was_lost_on_its_way_is_paid_for_by_estimate(error, stream):
    exchange = new()
    with pytest.raises(GatewayError):
        run(Provider(lambda _: Response([error])), asking("p", stream=stream), to(**DEAR), exchange)
    assert one(exchange).usage == Usage(3 + 4 + 1, 0, estimated=True)
    assert exchange.cost is not None
    assert exchange.cost.total == Decimal("0.008")


def test_a_call_whose_client_leaves_while_it_waits_is_paid_for_by_estimate():
    exchange = new()

    async def leave() -> None:
        stream = calling(Unreachable(None), asking("p"), exchange, config=to(**DEAR))
        waiting = asyncio.create_task(anext(stream))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    asyncio.run(leave())
    record = one(exchange)
    assert record.cut
    assert record.usage == Usage(8, 0, estimated=True)
    assert exchange.cost is not None
    assert exchange.cost.total == Decimal("0.008")


def test_a_stream_that_is_no_longer_wanted_is_paid_for_what_it_gave():
    exchange = new()

    async def leave() -> None:
        provider = Provider(lambda _: Response([chunk("one two"), *[chunk(" three")] * 1000]))
        stream = calling(provider, asking("p", stream=True), exchange, config=to(**DEAR))
        async with aclosing(stream):
            async for _ in stream:
                return

    asyncio.run(leave())
    record = one(exchange)
    assert (record.cut, record.usage) == (True, Usage(8, 2, estimated=True))
    assert record.cost is not None
    assert record.cost.total == Decimal("0.028")


def test_a_model_without_a_price_is_unpriced_and_its_tokens_are_counted():
    exchange = new()
    run(Provider(lambda _: whole(choice("x"), usage=COUNTED)), asking("p"), to("openai/unheard-of"), exchange)
    assert exchange.usage == Usage(10, 5)
    assert exchange.cost == Cost(None, "unpriced")


def test_what_the_provider_says_it_costs_is_what_it_costs():
    exchange = new()
    provider = Provider(lambda _: whole(choice("x"), usage={**COUNTED, "cost": 0.25}))
    run(provider, asking("p", "q"), to("openrouter/x", **DEAR), exchange)
    assert exchange.cost == Cost(Decimal("0.5"), "provider")


def two(**fields: object) -> Call:
    messages = (Message("system", "You are a helpful assistant."), Message("user", "Hello!"))
    return Call(messages, "Hello!", **fields)  # type: ignore[arg-type]


def test_an_estimated_chat_is_counted_as_openai_counts_it():
    # the example of OpenAI's chat reference, whose answer says prompt_tokens 19 and completion_tokens 9 or 10
    told = settling.estimate(two(), "Hello! How can I assist you today?", bound("openai/gpt-4o"))
    assert (told.input_tokens, told.output_tokens, told.estimated) == (19, 9, True)


def test_an_estimated_text_call_is_its_prompt_and_its_suffix_and_nothing_around_them():
    native = bound("text-completion-openai/gpt-3.5-turbo-instruct")
    asked = Call((Message("user", "four words are here"),), "four words are here")
    assert settling.estimate(asked, "", native).input_tokens == 4
    assert settling.estimate(replace(asked, suffix="two more"), "", native).input_tokens == 6
    assert settling.estimate(replace(asked, prompt=(1, 2, 3)), "", native).input_tokens == 3


def test_an_estimate_is_made_with_the_vocabulary_the_operator_names():
    text = "お誕生日おめでとう"
    plain, named = bound("openai/mine"), bound("openai/mine", tokenizer="o200k_base")
    assert settling.estimate(two(), text, plain).output_tokens == 9
    assert settling.estimate(two(), text, named).output_tokens == 8


def test_a_refusal_that_nobody_waited_to_read_has_nothing_to_pay():
    reading = asyncio.Event()

    class Endless(Response):
        async def read(self) -> bytes:
            reading.set()
            return await asyncio.Event().wait()  # type: ignore[return-value]

    exchange = new()

    async def leave() -> None:
        provider = Provider(lambda _: Endless([], 429))
        stream = calling(provider, asking("p"), exchange, config=to(**DEAR))
        waiting = asyncio.create_task(anext(stream))
        await reading.wait()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    asyncio.run(leave())
    assert (one(exchange).cut, one(exchange).status, exchange.cost) == (True, 429, None)
