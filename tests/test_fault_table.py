"""Every fault of a provider, met at every moment, with everywhere to go from there: what it comes to, exactly.

The rows say what a fault is about (`KINDS`) and what a client is told when nobody else could serve it; everything else
follows from where the fault strikes and who else there is: how many calls reach which upstream, status, headers,
spans, usage record and cost. Real sockets, real bytes; the waits are those of `tests/faults/gateway.py`.
"""

import asyncio
import ssl
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any, Literal

import pytest

from gateway.routing import retrying
from gateway.routing.engines.pooled.pool import PooledUpstream
from tests.faults.answers import error
from tests.faults.faults import FAULTS, WELL, Fault, after, close_at, limited, reset_at, stall_at
from tests.faults.gateway import Told, asking, deployment
from tests.faults.http2 import serving2
from tests.faults.plans import always, script
from tests.faults.upstream import serving
from tests.routing.servers import SECONDS, certificate

BROKEN, INVALID, SLOW = "upstream_error", "upstream_invalid_response", "upstream_timeout"
REJECTED, LIMITED = "upstream_rejected", "rate_limit_exceeded"

Where = Literal["retry", "group", "fallback", "single"]
"""`retry`: one deployment, well at its second call. `group`: a second deployment of the alias is well. `fallback`:
another alias is. `single`: one deployment, and it stays ill. One retry is allowed in each."""
WHERES: Sequence[Where] = ("retry", "group", "fallback", "single")

Paid = Literal["nothing", "prompt", "estimate"]
"""What the gateway counts for a failed call: nothing; the prompt, whose answer was made and lost; prompt and text."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a fault is about: whether the same deployment, another one, and the fallbacks are tried after it, and
    whether the same one is before the fallbacks."""

    same: bool
    other: bool
    chain: bool
    first: bool = False


KINDS = {
    "the request": Kind(same=False, other=False, chain=False),
    "the deployment": Kind(same=False, other=True, chain=True),
    "time": Kind(same=True, other=True, chain=True),
    "the moment": Kind(same=True, other=True, chain=True, first=True),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One fault. `status` and `code` are the client's, where nobody else serves it; `port` is the server's, for faults
    that no request is read for."""

    fault: Fault
    kind: str
    status: int = 502
    code: str = BROKEN
    paid: Paid = "nothing"
    port: Literal["open", "shut", "slams"] = "open"
    retry_after: str | None = None

    def __str__(self) -> str:
        return self.fault.name if self.port == "open" else self.port


LONG_AGO = "Sun, 06 Nov 1994 08:49:37 GMT"
LATER = Fault("limited_until", instead=lambda: error(429, "Slow down.", "requests", retry_after=LONG_AGO))

REFUSALS = (
    Row(FAULTS["bad_request"], "the request", 400, REJECTED),
    Row(FAULTS["context_window"], "the request", 400, REJECTED),
    Row(FAULTS["content_policy"], "the request", 400, REJECTED),
    Row(FAULTS["unprocessable"], "the request", 422, REJECTED),
    Row(FAULTS["unauthorized"], "the deployment"),
    Row(FAULTS["payment_required"], "the deployment"),
    Row(FAULTS["forbidden"], "the deployment"),
    Row(FAULTS["not_found"], "the deployment", 404, REJECTED),
    Row(FAULTS["request_timeout"], "time", 504, SLOW),
    Row(FAULTS["gateway_timeout"], "time", 504, SLOW),
    Row(limited(2), "time", 429, LIMITED, retry_after="2"),
    Row(LATER, "time", 429, LIMITED, retry_after=LONG_AGO),
    Row(FAULTS["quota"], "time", 429, LIMITED),
    Row(FAULTS["conflict"], "the moment"),
    Row(FAULTS["server_error"], "the moment"),
    Row(FAULTS["bad_gateway"], "the moment"),
    Row(FAULTS["unavailable"], "the moment", retry_after="1"),
    Row(FAULTS["overloaded"], "the moment"),
    Row(WELL, "the moment", port="shut"),
    Row(WELL, "the moment", port="slams"),
    Row(close_at(0), "the moment"),
    Row(reset_at(0), "the moment"),
    Row(FAULTS["goaway"], "the moment"),
    Row(stall_at(0), "time", 504, SLOW, "prompt"),
)
"""Faults that look the same whether the answer was to be streamed or not."""

WHOLE = (
    *REFUSALS,
    Row(after("close", 0), "the moment", paid="prompt"),
    Row(after("reset", 0), "the moment", paid="prompt"),
    Row(after("stall", 0), "time", 504, SLOW, "prompt"),
    Row(reset_at(7), "the moment"),
    Row(reset_at(150), "the moment", paid="prompt"),
    Row(close_at(150), "the moment", paid="prompt"),
    Row(stall_at(150), "time", 504, SLOW, "prompt"),
    Row(FAULTS["truncated"], "the moment", code=INVALID, paid="prompt"),
    Row(FAULTS["sign_in_page"], "the moment", code=INVALID, paid="prompt"),
    Row(FAULTS["html_type"], "the moment", code=INVALID, paid="prompt"),
    Row(FAULTS["empty_body"], "the moment", code=INVALID, paid="prompt"),
    Row(FAULTS["error_only"], "the moment"),
)

BEFORE = (
    *REFUSALS,
    Row(after("close", 0), "the moment", paid="prompt"),
    Row(after("reset", 0), "the moment", paid="prompt"),
    Row(after("stall", 0), "time", 504, SLOW, "prompt"),
    Row(reset_at(7), "the moment"),
    Row(reset_at(150), "the moment", paid="prompt"),
    Row(stall_at(150), "time", 504, SLOW, "prompt"),
    Row(FAULTS["silent_stream"], "the moment", paid="prompt"),
    Row(FAULTS["done_only"], "the moment", paid="prompt"),
    Row(FAULTS["role_only"], "the moment", paid="prompt"),
    Row(FAULTS["error_only"], "the moment"),
    Row(FAULTS["sign_in_page"], "the moment", paid="prompt"),
    Row(FAULTS["html_type"], "the moment", paid="prompt"),
    Row(FAULTS["empty_body"], "the moment", paid="prompt"),
)

AFTER = (
    Row(after("close", 2).hold(), "nobody's"),
    Row(after("reset", 2).hold(), "nobody's"),
    Row(after("stall", 2), "nobody's", 504, SLOW),
    Row(FAULTS["truncated"], "nobody's"),
    Row(FAULTS["garbled"], "nobody's", code=INVALID),
    Row(FAULTS["ends_early"], "nobody's"),
    Row(FAULTS["error_late"], "nobody's"),
)
"""What strikes after the first text has left: nothing is tried again, whoever is well."""

HARMLESS = (WELL, FAULTS["wrong_type"], FAULTS["no_usage"], FAULTS["no_done"], FAULTS["drip"])

PROMPT, TEXT = "say five words please", " one two three four five"
"""Four tokens and five, by the provider's count and by the gateway's."""
TOLD = {"text-completion-openai": 4, "openai": 11}
"""Tokens of the prompt in each language."""


@dataclass(frozen=True, slots=True)
class Ways:
    """What a test has to itself, and what it shares with those before it: a loop, and an engine on it."""

    folder: Path
    engine: PooledUpstream
    loop: asyncio.Runner


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[PooledUpstream, asyncio.Runner]]:
    with asyncio.Runner() as loop:
        engine = PooledUpstream()
        yield engine, loop
        loop.run(engine.close())


@pytest.fixture
def ways(shared: tuple[PooledUpstream, asyncio.Runner], tmp_path: Path) -> Ways:
    return Ways(tmp_path, *shared)


def looped(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test on the shared loop."""

    @wraps(test)
    def run(ways: Ways, **given: Any) -> None:
        ways.loop.run(asyncio.wait_for(test(ways=ways, **given), SECONDS))

    return run


def language(stream: bool) -> str:
    """Whole answers are asked of a native text completion, streams of a chat, which begins them with a role."""
    return "openai" if stream else "text-completion-openai"


def asked(stream: bool) -> dict[str, Any]:
    usage = {"stream_options": {"include_usage": True}} if stream else {}
    return {"model": "it", "prompt": PROMPT, "max_tokens": 16, "stream": stream, **usage}


async def met(row: Row, where: Where, stream: bool, ways: Ways, **router: Any) -> tuple[Told, int, int]:
    """The answer to one request, and how many calls its own and the other upstream saw."""
    plan = script(row.fault) if where == "retry" else always(row.fault)
    async with serving(plan, name="ill") as ill, serving(name="well") as well:
        ill.slams = row.port == "slams"
        if row.port == "shut":
            ill.shut()
        speaks, stalls = language(stream), row.fault.ending == "stall"
        patience = (0.5 if where == "retry" else 0.1) if stalls else SECONDS  # it must suffice for a second call
        models = [deployment(ill, language=speaks, timeout=patience, stream_timeout=patience, order=1)]
        settings: dict[str, Any] = {"num_retries": 1, **router}
        if where == "group":
            models.append(deployment(well, language=speaks, order=2))
        if where == "fallback":
            models.append(deployment(well, "other", language=speaks))
            settings["fallbacks"] = [{"it": ["other"]}]
        async with asking(ways.folder, models, settings, ways.engine) as running:
            told = await running.ask(asked(stream), ill)
        return told, ill.accepted if row.port == "slams" else ill.counts.asked, well.counts.asked


@dataclass(frozen=True, slots=True)
class Expected:
    """Calls to the ill deployment and to the one that is well, and whether the last one was answered."""

    ill: int
    well: int
    served: bool


def expected(row: Row, where: Where) -> Expected:
    kind = KINDS[row.kind]
    if where == "group" and kind.other:
        return Expected(1, 1, served=True)
    if where == "fallback" and kind.chain:
        return Expected(2 if kind.first else 1, 1, served=True)
    if where in ("retry", "single") and kind.same:
        return Expected(2, 0, served=where == "retry" and row.port == "open")
    return Expected(1, 0, served=False)


def usd(tokens_in: int, tokens_out: int) -> float:
    return tokens_in * 0.000001 + tokens_out * 0.000002


def assert_answered(told: Told, row: Row, want: Expected) -> None:
    """Status, body and headers."""
    attempts = want.ill + want.well
    assert told.headers["x-gateway-attempts"] == str(attempts)
    assert told.headers["x-gateway-deployment"] == ("well" if want.well else "ill")
    if want.served:
        assert (told.status, told.error, told.text) == (200, None, TEXT)
        assert "retry-after" not in told.headers
        return
    assert told.error is not None
    assert (told.status, told.error["code"]) == (row.status, row.code)
    assert told.headers["content-type"] == "application/json"
    assert told.headers.get("retry-after") == row.retry_after


def assert_waited(told: Told, row: Row, want: Expected) -> None:
    """Only the same deployment is waited for, by chance up to a bound, and as long as it asks for at least."""
    again = want.ill - 1
    assert len(told.waits) <= again  # the shortest wait is none
    asked = float(row.retry_after) if row.retry_after and row.retry_after != LONG_AGO else 0.0
    assert all(asked <= wait <= asked + retrying.BASE for wait in told.waits)
    assert len(told.waits) == again or not asked


def assert_told(told: Told, row: Row, want: Expected, stream: bool) -> None:
    """Spans and usage record: as many calls as there were, each with its error, and what each is paid."""
    attempts, failed = want.ill + want.well, want.ill + want.well - want.served
    errors = [call.get("error.type") for call in told.calls]
    assert errors == [row.code] * failed + [None] * want.served
    assert [call["gateway.deployment"] for call in told.calls] == ["ill"] * want.ill + ["well"] * want.well
    assert [call["gateway.attempt"] for call in told.calls] == list(range(1, attempts + 1))
    record = told.record
    assert record["gateway.attempts"] == attempts
    assert record["http.response.status_code"] == told.status
    assert record["gateway.outcome"] == ("allowed" if want.served else "error")
    assert record.get("error.type") == (None if want.served else row.code)
    prompt = TOLD[language(stream)]
    cost = failed * (usd(prompt, 0) if row.paid == "prompt" else 0.0) + want.served * usd(prompt, 5)
    assert record.get("gen_ai.usage.cost", 0.0) == pytest.approx(cost)


@pytest.mark.parametrize("where", WHERES)
@pytest.mark.parametrize("row", WHOLE, ids=str)
@looped
async def test_a_whole_answer_that_fails(row: Row, where: Where, ways: Ways) -> None:
    told, ill, well = await met(row, where, False, ways)
    want = expected(row, where)
    assert (ill, well) == (0 if row.port == "shut" else want.ill, want.well)
    assert_answered(told, row, want)
    assert_waited(told, row, want)
    assert_told(told, row, want, False)


@pytest.mark.parametrize("where", WHERES)
@pytest.mark.parametrize("row", BEFORE, ids=str)
@looped
async def test_a_stream_that_fails_before_its_first_text(row: Row, where: Where, ways: Ways) -> None:
    told, ill, well = await met(row, where, True, ways)
    want = expected(row, where)
    assert (ill, well) == (0 if row.port == "shut" else want.ill, want.well)
    assert_answered(told, row, want)
    assert_waited(told, row, want)
    assert_told(told, row, want, True)


@pytest.mark.parametrize("where", WHERES)
@pytest.mark.parametrize("row", AFTER, ids=str)
@looped
async def test_a_stream_that_fails_after_its_first_text(row: Row, where: Where, ways: Ways) -> None:
    told, ill, well = await met(row, where, True, ways)
    assert (ill, well) == (1, 0)
    assert (told.status, told.text) == (200, " one")
    assert told.error is not None
    assert told.error["code"] == row.code
    assert told.events[-1] == b"[DONE]"
    assert (told.headers["x-gateway-attempts"], told.headers["x-gateway-deployment"]) == ("1", "ill")
    (call,) = told.calls
    assert (call["error.type"], call["gateway.deployment"], call["gateway.attempt"]) == (row.code, "ill", 1)
    record = told.record
    assert (record["gateway.attempts"], record["gateway.outcome"], record["error.type"]) == (1, "error", row.code)
    assert record["http.response.status_code"] == 200
    assert record["gen_ai.usage.cost"] == pytest.approx(usd(TOLD["openai"], 1))
    assert record["gateway.usage.estimated"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("fault", HARMLESS, ids=lambda fault: fault.name)
@looped
async def test_what_can_be_lived_with_is(fault: Fault, stream: bool, ways: Ways) -> None:
    told, ill, well = await met(Row(fault, "nobody's"), "group", stream, ways)
    assert (ill, well) == (1, 0)
    assert (told.status, told.error, told.text) == (200, None, TEXT)
    (call,) = told.calls
    assert "error.type" not in call
    record = told.record
    assert (record["gateway.attempts"], record["gateway.outcome"]) == (1, "allowed")
    assert record["gen_ai.usage.cost"] == pytest.approx(usd(TOLD[language(stream)], 5))
    assert record["gateway.usage.estimated"] == (fault.name == "no_usage")


CHAINS = {"context_window": "context_window_fallbacks", "content_policy": "content_policy_fallbacks"}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("name", CHAINS)
@looped
async def test_a_refusal_that_another_model_would_not_make_goes_to_the_chain_for_it(
    name: str, stream: bool, ways: Ways
) -> None:
    row = Row(FAULTS[name], "the request", 400, REJECTED)
    async with serving(always(row.fault), name="ill") as ill, serving(name="well") as well:
        models = [deployment(ill), deployment(well, "long")]
        async with asking(ways.folder, models, {CHAINS[name]: [{"it": ["long"]}]}, ways.engine) as running:
            told = await running.ask(asked(stream))
        assert (ill.counts.asked, well.counts.asked) == (1, 1)
    assert (told.status, told.text, told.headers["x-gateway-deployment"]) == (200, TEXT, "well")
    assert [call.get("error.type") for call in told.calls] == [REJECTED, None]
    assert told.record["gen_ai.usage.cost"] == pytest.approx(usd(4, 5))


def _resumable(row: Row) -> Row:
    """The same one event earlier: a native text stream does not begin with a role."""
    fault = row.fault
    return replace(row, fault=replace(fault, piece=fault.piece - 1)) if fault.piece else row


@pytest.mark.parametrize("row", AFTER, ids=str)
@looped
async def test_a_stream_that_may_be_resumed_is_finished_by_another_deployment(row: Row, ways: Ways) -> None:
    row = _resumable(row)
    async with serving(always(row.fault), name="ill") as ill, serving(name="well") as well:
        models = [
            deployment(ill, order=1, stream_timeout=0.1 if row.fault.ending == "stall" else SECONDS),
            deployment(well, order=2),
        ]
        async with asking(ways.folder, models, {"num_retries": 1, "resume_streams": True}, ways.engine) as running:
            told = await running.ask({**asked(True), "max_tokens": 5}, ill)
        assert (ill.counts.asked, well.counts.asked) == (1, 1)
        (rest,) = well.asked
    assert (told.status, told.error) == (200, None)
    assert (rest.prompt, rest.body["max_tokens"]) == (f"{PROMPT} one", 4)
    assert told.text == " one" + " one two three four"
    assert told.events[-1] == b"[DONE]"
    assert [call.get("error.type") for call in told.calls] == [row.code, None]
    assert [call["gateway.deployment"] for call in told.calls] == ["ill", "well"]
    record = told.record
    assert (record["gateway.attempts"], record["gateway.outcome"]) == (2, "allowed")
    assert record["gen_ai.usage.cost"] == pytest.approx(usd(4, 1) + usd(5, 4))


@pytest.mark.parametrize("row", AFTER, ids=str)
@looped
async def test_a_stream_that_nobody_can_resume_ends_in_band(row: Row, ways: Ways) -> None:
    told, ill, _ = await met(row, "single", True, ways, resume_streams=True)
    assert ill == 1  # a chat cannot go on from a text, unless it is told to continue
    assert told.error is not None
    assert (told.status, told.text, told.error["code"]) == (200, " one", row.code)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, ssl.SSLContext]:
    pem, context = certificate(tmp_path_factory.mktemp("tls"))
    context.set_alpn_protocols(["h2"])
    return pem, context


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("name", ["goaway", "refuse", "reset_at_0", "close_at_0"])
@looped
async def test_over_http2_a_stream_that_is_refused_or_reset_is_asked_for_again(
    name: str, stream: bool, ways: Ways, tls: tuple[bytes, ssl.SSLContext]
) -> None:
    pem, context = tls
    engine = PooledUpstream(ca_bundle=pem, http2=True)
    async with serving2(context, script(WELL, FAULTS[name]), name="ill") as ill:
        async with asking(ways.folder, [deployment(ill)], {"num_retries": 1}, engine) as running:
            for attempts in (1, 2):
                told = await running.ask(asked(stream))
                assert (told.status, told.error, told.text) == (200, None, TEXT)
                assert told.headers["x-gateway-attempts"] == str(attempts)
        assert [asked.state for asked in ill.asked] == ["answered", "cut", "answered"]
        await engine.close()


@pytest.mark.parametrize("ending", ["reset", "close"])
@looped
async def test_over_http2_a_stream_that_is_reset_after_its_first_text_ends_in_band(
    ending: Literal["reset", "close"], ways: Ways, tls: tuple[bytes, ssl.SSLContext]
) -> None:
    pem, context = tls
    engine = PooledUpstream(ca_bundle=pem, http2=True)
    async with serving2(context, always(after(ending, 1).hold()), name="ill") as ill:
        async with asking(ways.folder, [deployment(ill)], {"num_retries": 1}, engine) as running:
            told = await running.ask(asked(True), ill)
        await engine.close()
    assert told.error is not None
    assert (told.status, told.text, told.error["code"]) == (200, " one", BROKEN)
    assert (ill.counts.asked, told.record["gateway.outcome"]) == (1, "error")
