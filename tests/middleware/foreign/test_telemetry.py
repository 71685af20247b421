"""`TelemetryMiddleware` in front of foreign apps, alone and with guards: what is told of each request, what is not."""

import asyncio
import gzip
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway import GuardrailMiddleware, TelemetryMiddleware, protect
from gateway.errors import ConfigError
from gateway.middleware.foreign import call as foreign_call
from gateway.middleware.foreign import reading as foreign_reading
from gateway.middleware.foreign.reading import Reading
from gateway.wire import asgi, json, sse
from tests.middleware.foreign.kit import CHAT, JSON, SSE, TEXT, App, Reply, aask
from tests.middleware.foreign.telemetry_kit import MODEL, USED, answer, app, events, told

ASKED = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Say hello"}], "temperature": 0.5, "max_tokens": 9}
STREAM = {**ASKED, "stream": True}
PROMPT = {"model": "gpt-4o", "prompt": "Say hello"}
EMAIL, CARD = "bob@corp.example.com", "4111 1111 1111 1111"
CALLER = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
PRICES = {"*": {"input_cost_per_token": 0.000001, "output_cost_per_token": 0.000002}}


def alone(inner: asgi.App, **options: Any):
    """The step alone."""
    return lambda path: TelemetryMiddleware(inner, otlp_file=str(path), **options)


def in_front(inner: asgi.App, **options: Any):
    """Telemetry in front of a guard."""
    return lambda path: TelemetryMiddleware(GuardrailMiddleware(inner, ["pii"]), otlp_file=str(path), **options)


def behind(inner: asgi.App, **options: Any):
    """Telemetry behind a guard."""
    return lambda path: GuardrailMiddleware(TelemetryMiddleware(inner, otlp_file=str(path), **options), ["pii"])


def protected(inner: asgi.App, **options: Any):
    """The whole stack."""
    return lambda path: protect(inner, {"telemetry": {"otlp_file": str(path), **options}, "policies": ["pii"]})


WAYS = [alone, in_front, behind, protected]
GUARDED = [in_front, behind, protected]


def leaving(body: Any, pieces: int = 1) -> Callable[[asgi.App], Awaitable[Reply]]:
    """A client that goes after some pieces of a stream."""

    async def ask(served: asgi.App) -> Reply:
        response = await asgi.request(served, "POST", CHAT, [JSON], json.dumps(body))
        read: list[bytes] = []
        async for piece in response.chunks():
            read.append(piece)
            if len(read) == pieces:
                break
        await response.close()
        return Reply(response.status, {}, read)

    return ask


class Breaking(App):
    """An app that sends its pieces and fails."""

    async def __call__(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        async def unended(message: asgi.Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "more_body": True}
            await send(message)

        await super().__call__(scope, receive, unended)
        raise ZeroDivisionError(f"{EMAIL} {CARD}")


def failing(body: Any) -> Callable[[asgi.App], Awaitable[Reply]]:
    """A client of an app that fails, behind whatever server."""

    async def ask(served: asgi.App) -> Reply:
        try:
            return await aask(served, body)
        except Exception:
            return Reply(0, {}, [])

    return ask


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("chat", [True, False])
@pytest.mark.parametrize("stream", [False, True])
def test_usage_of_the_answer_is_told_once_with_its_cost(way, chat, stream, tmp_path, caplog):
    pieces = events(chat=chat) if stream else [answer(chat=chat)]
    body = {**(ASKED if chat else PROMPT), "stream": stream}
    got = told(way(app(*pieces, stream=stream)), tmp_path, caplog, (body, CHAT if chat else TEXT))
    assert got.replies[0].body == b"".join(pieces)
    call, server = got.call["attributes"], got.server["attributes"]
    assert call["gen_ai.usage.input_tokens"] == 2006
    assert call["gen_ai.usage.output_tokens"] == 300
    assert call["gen_ai.usage.cache_read.input_tokens"] == 1920
    assert call["gen_ai.usage.reasoning.output_tokens"] == 64
    assert call["gen_ai.usage.cost"] == pytest.approx(86 * 2.5e-6 + 1920 * 1.25e-6 + 300 * 10e-6)
    assert call["gateway.cost.source"] == "catalogue"
    assert call["gateway.usage.estimated"] is False
    assert (call["gen_ai.request.model"], call["gen_ai.response.model"]) == ("gpt-4o", MODEL)
    assert (call["gen_ai.response.id"], call["gen_ai.response.finish_reasons"]) == ("c-1", ["stop"])
    assert call["gen_ai.provider.name"] == "openai"
    assert call["gen_ai.request.stream"] is stream
    assert ("gen_ai.response.time_to_first_chunk" in call) == stream
    assert not any(name.startswith("gen_ai.usage") for name in server)
    assert (server["http.route"], server["http.response.status_code"]) == (CHAT if chat else TEXT, 200)
    assert server["gateway.outcome"] == "allowed"
    line = got.line
    assert (line["gen_ai.usage.input_tokens"], line["gen_ai.usage.output_tokens"]) == (2006, 300)
    assert line["gen_ai.usage.cost"] == call["gen_ai.usage.cost"]
    assert line["gen_ai.response.finish_reasons"] == ("stop",)
    assert ("gen_ai.response.time_to_first_chunk" in line) == stream
    assert line["trace_id"] == got.server["traceId"]


@pytest.mark.parametrize("path", [TEXT, CHAT])
def test_the_operation_is_what_the_path_is_for(path, tmp_path, caplog):
    got = told(alone(app(answer())), tmp_path, caplog, ({**ASKED, **PROMPT}, path))
    operation = {TEXT: "text_completion", CHAT: "chat"}[path]
    assert got.call["attributes"]["gen_ai.operation.name"] == operation
    assert got.call["name"] == f"{operation} gpt-4o"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stream", [False, True])
def test_tokens_are_counted_where_the_answer_has_none_and_said_to_be_estimated(way, stream, tmp_path, caplog):
    pieces = events(usage=None) if stream else [answer(usage=None)]
    got = told(way(app(*pieces, stream=stream)), tmp_path, caplog, (STREAM if stream else ASKED,))
    call = got.call["attributes"]
    assert call["gateway.usage.estimated"] is True
    assert call["gen_ai.usage.input_tokens"] == 3 + 4 + 2  # the beginning of an answer, around a message, "Say hello"
    assert call["gen_ai.usage.output_tokens"] in (2, 3)  # "Hello there", and a blank at its end
    assert call["gen_ai.usage.cost"] > 0


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("status", "code", "reddened"),
    [(500, "upstream_error", True), (429, "rate_limit_exceeded", False), (422, "upstream_rejected", False)],
)
def test_an_error_of_the_app_is_told_by_its_status_and_costs_nothing(way, status, code, reddened, tmp_path, caplog):
    said = json.dumps({"error": {"message": f"{EMAIL} is unknown"}, "detail": EMAIL})
    got = told(way(App([said], status)), tmp_path, caplog, (ASKED,))
    assert got.replies[0].status == status
    assert got.call["attributes"]["error.type"] == code
    assert not any("usage" in name or "cost" in name for name in got.call["attributes"])
    assert got.server["attributes"]["error.type"] == str(status)
    assert got.server["attributes"]["gateway.outcome"] == "error"
    assert (got.server.get("status", {}).get("code") == 2) == reddened
    assert EMAIL not in f"{got.spans}{got.lines}"


@pytest.mark.parametrize("way", WAYS)
def test_a_request_that_is_no_json_is_told_without_a_model(way, tmp_path, caplog):
    got = told(way(App([b'{"detail": "no JSON"}'], 400)), tmp_path, caplog, (b'{"model": "gpt', CHAT))
    assert got.replies[0].status == 400
    assert got.server["attributes"]["gateway.outcome"] == "error"
    if way is alone:
        assert got.call["attributes"]["gen_ai.request.model"] == "unknown"
    else:
        assert got.of(3) == []  # the guard refused it


@pytest.mark.parametrize("way", [alone, behind])
def test_an_answer_that_is_no_json_is_an_error_that_was_worked_for(way, tmp_path, caplog):
    got = told(way(App([b"<html>busy</html>"])), tmp_path, caplog, (ASKED,))
    assert got.call["attributes"]["error.type"] == "upstream_invalid_response"
    assert got.call["attributes"]["gen_ai.usage.input_tokens"] == 9
    assert got.server["attributes"]["gateway.outcome"] == "error"


@pytest.mark.parametrize("way", WAYS)
def test_a_client_that_leaves_pays_for_what_was_written(way, tmp_path, caplog):
    inner = app(*events("one two three four five six"), stream=True)
    got = told(way(inner), tmp_path, caplog, leaving(STREAM))
    assert got.server["attributes"]["gateway.outcome"] == "cancelled"
    assert got.line["http.response.status_code"] == 499
    call = got.call["attributes"]
    assert "error.type" not in call
    assert call["gateway.usage.estimated"] is True
    assert 1 <= call["gen_ai.usage.output_tokens"] <= 12


@pytest.mark.parametrize("way", WAYS)
def test_a_stream_that_the_app_breaks_off_is_an_error(way, tmp_path, caplog):
    pieces = events("one two three", done=False)
    got = told(way(Breaking(pieces, headers=[SSE])), tmp_path, caplog, failing(STREAM))
    call = got.call["attributes"]
    assert call["error.type"] == "upstream_error"
    assert call["gen_ai.response.finish_reasons"] == ["error"]
    assert call["gen_ai.usage.output_tokens"] >= 3
    assert got.server["attributes"]["gateway.outcome"] == "error"
    assert EMAIL not in f"{got.spans}"


@pytest.mark.parametrize("way", WAYS)
def test_a_stream_that_ends_before_its_answer_does_is_an_error_too(way, tmp_path, caplog):
    pieces = events("one two three", done=False)
    got = told(way(app(*pieces, stream=True)), tmp_path, caplog, (STREAM,))
    assert got.call["attributes"]["error.type"] == "upstream_error"
    assert got.server["attributes"]["gateway.outcome"] == "error"


@pytest.mark.parametrize("way", WAYS)
def test_an_error_told_in_a_stream_is_one(way, tmp_path, caplog):
    pieces = [*events("one two", done=False), sse.encode(b'{"error": {"message": "gone"}}'), sse.DONE]
    got = told(way(app(*pieces, stream=True)), tmp_path, caplog, (STREAM,))
    assert got.call["attributes"]["error.type"] == "upstream_error"


@pytest.mark.parametrize("way", WAYS)
def test_an_app_that_fails_without_an_answer_is_told_of(way, tmp_path, caplog):
    async def broken(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        await receive()
        raise ZeroDivisionError(EMAIL)

    got = told(way(broken), tmp_path, caplog, failing(ASKED))
    assert got.call["attributes"]["error.type"] == "upstream_error"
    assert got.server["attributes"]["http.response.status_code"] == 500
    assert got.server["attributes"]["error.type"] == "internal_error"
    assert got.server["status"]["code"] == 2


@pytest.mark.parametrize("way", GUARDED)
@pytest.mark.parametrize("pieces", [None, [], [b": busy\n\n"]], ids=["no answer", "no event", "a comment"])
def test_no_guard_claims_to_have_judged_an_answer_of_which_nothing_came(way, pieces, tmp_path, caplog):
    async def broken(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        await receive()
        raise ZeroDivisionError(EMAIL)

    inner = broken if pieces is None else Breaking(pieces, headers=[SSE])
    got = told(way(inner), tmp_path, caplog, failing(STREAM))
    (judged,) = got.of(1)
    assert judged["attributes"]["gen_ai.guardrail.source"] == "input"
    assert [one["stage"] for one in got.line["gateway.guardrails"]] == ["input"]


@pytest.mark.parametrize("way", GUARDED)
@pytest.mark.parametrize("stream", [False, True])
def test_a_request_that_a_guard_refuses_has_its_span_and_verdict_and_no_call(way, stream, tmp_path, caplog):
    inner = app(*events(), stream=True)
    body = {**STREAM, "stream": stream, "messages": [{"role": "user", "content": f"Charge {CARD}"}]}
    got = told(way(inner), tmp_path, caplog, (body,))
    assert got.replies[0].status == 400
    assert inner.bodies == []
    assert got.of(3) == []
    assert got.server["attributes"]["gateway.outcome"] == "blocked"
    assert got.server["attributes"]["error.type"] == "policy_blocked"
    (verdict,) = got.of(1)
    assert verdict["attributes"]["gateway.guardrail.action"] == "block"
    assert verdict["parentSpanId"] == got.server["spanId"]
    assert got.line["gateway.guardrails"][0]["decision"] == "block"
    assert CARD not in f"{got.spans}{got.lines}"


@pytest.mark.parametrize("way", GUARDED)
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_a_guard_stops_is_told_with_what_it_used(way, stream, tmp_path, caplog):
    said = f"Take {CARD} now and then"
    pieces = events(said) if stream else [answer(said)]
    got = told(way(app(*pieces, stream=stream)), tmp_path, caplog, ({**ASKED, "stream": stream},))
    assert got.server["attributes"]["gateway.outcome"] == "blocked"
    call = got.call["attributes"]
    assert call["gen_ai.usage.input_tokens"] == (9 if stream else 2006)
    assert call["gateway.usage.estimated"] is stream  # the events after the block were never written
    if stream:
        assert call["gen_ai.response.finish_reasons"] == ["content_filter"]
        assert got.line["gen_ai.response.finish_reasons"] == ("content_filter",)
    assert {span["attributes"]["gen_ai.guardrail.source"] for span in got.of(1)} == {"input", "output"}
    assert CARD not in f"{got.spans}{got.lines}"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stream", [False, True])
def test_content_is_told_only_where_it_is_wanted_and_guarded(way, stream, tmp_path, caplog):
    def ask(**options: Any) -> Any:
        said = f"Ask {EMAIL} then"
        inner = app(*(events(said) if stream else [answer(said)]), stream=stream)
        body = {**ASKED, "messages": [{"role": "user", "content": "Whom?"}], "stream": stream}
        return told(way(inner, **options), tmp_path, caplog, (body,))

    silent = ask()
    assert "gen_ai.input.messages" not in silent.call["attributes"]
    assert "Whom?" not in f"{silent.spans}{silent.lines}"
    wanted = ask(capture_content="guarded")
    assert EMAIL not in f"{wanted.spans}{wanted.lines}"
    call = wanted.call["attributes"]
    if way is alone:
        assert "gen_ai.input.messages" not in call  # nobody has judged it
        return
    assert json.loads(call["gen_ai.input.messages"])[0]["parts"][0]["content"] == "Whom?"
    assert "<EMAIL_ADDRESS_1>" in call["gen_ai.output.messages"]


@pytest.mark.parametrize("way", GUARDED)
def test_what_a_guard_masks_for_the_app_is_masked_for_telemetry_and_never_turned_back(way, tmp_path, caplog):
    body = {**ASKED, "messages": [{"role": "user", "content": f"Write to {EMAIL}"}]}
    inner = app(answer("Dear <EMAIL_ADDRESS_1>,"))
    got = told(way(inner, capture_content="guarded"), tmp_path, caplog, (body,))
    assert EMAIL in got.replies[0].body.decode()
    assert "<EMAIL_ADDRESS_1>" in got.call["attributes"]["gen_ai.input.messages"]
    assert EMAIL not in f"{got.spans}{got.lines}"
    assert got.server["attributes"]["gateway.outcome"] == "masked"


def test_behind_two_guards_no_content_is_told(tmp_path, caplog):
    twice = behind(GuardrailMiddleware(app(answer("Dear <EMAIL_ADDRESS_1>,")), ["secrets"]), capture_content="guarded")
    body = {**ASKED, "messages": [{"role": "user", "content": f"Write to {EMAIL}"}]}
    got = told(twice, tmp_path, caplog, (body,))
    assert "messages" not in f"{got.spans}"
    assert len(got.of(3)) == 1


@pytest.mark.parametrize("way", WAYS)
def test_parameters_people_and_the_callers_trace_are_told(way, tmp_path, caplog):
    body = {**ASKED, "top_p": 0.9, "n": 2, "seed": 5, "metadata": {"user_id": "u-2", "conversation_id": "c-7"}}
    own = [
        JSON,
        (b"traceparent", CALLER),
        (b"tracestate", b"a=b"),
        (b"x-gateway-session", b"s-1"),
        (b"user-agent", b"t/1"),
    ]
    choices = [{"index": index, "message": {"content": "x"}, "finish_reason": "length"} for index in (0, 1)]
    inner = app(json.dumps({"id": "c", "model": MODEL, "choices": choices, "usage": USED}))

    async def ask(served: asgi.App) -> Reply:
        return await aask(served, body, headers=[*own, (b"x-gateway-tags", b"a, b")])

    got = told(way(inner), tmp_path, caplog, ask)
    call, server = got.call["attributes"], got.server
    assert (server["traceId"], server["parentSpanId"]) == (CALLER[3:35].decode(), CALLER[36:52].decode())
    assert server["traceState"] == "a=b"
    assert server["attributes"]["user.id"] == call["user.id"] == "u-2"
    assert call["session.id"] == "s-1"
    assert call["gen_ai.conversation.id"] == "c-7"
    assert server["attributes"]["gateway.tags"] == ["a", "b"]
    assert server["attributes"]["user_agent.original"] == "t/1"
    asked = {name.rpartition("request.")[2]: value for name, value in call.items() if "gen_ai.request." in name}
    assert asked == {
        "model": "gpt-4o",
        "max_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.9,
        "choice.count": 2,
        "seed": 5,
        "stream": False,
    }
    assert call["gen_ai.response.finish_reasons"] == ["length", "length"]


def test_an_unsampled_trace_has_its_line_and_no_spans(tmp_path, caplog):
    async def ask(served: asgi.App) -> Reply:
        return await aask(served, ASKED, headers=[JSON, (b"traceparent", CALLER[:-1] + b"0")])

    got = told(alone(app(answer())), tmp_path, caplog, ask)
    assert got.spans == []
    assert got.line["gen_ai.usage.input_tokens"] == 2006


@pytest.mark.parametrize(
    ("method", "path", "count"),
    [("GET", CHAT, 0), ("POST", "/other", 0), ("OPTIONS", TEXT, 0), ("POST", "/p/v1/completions", 1)],
)
def test_only_posts_to_completions_are_told_of(method, path, count, tmp_path, caplog):
    async def ask(served: asgi.App) -> Reply:
        return await aask(served, PROMPT, path, method=method)

    got = told(alone(app(answer(chat=False))), tmp_path, caplog, ask)
    assert len(got.lines) == len(got.of(2)) == len(got.of(3)) == count


def test_protect_tells_of_every_request_and_of_calls_only_where_there_are_any(tmp_path, caplog):
    got = told(protected(App([b"{}"])), tmp_path, caplog, ({}, "/other"))
    assert got.of(3) == []
    assert got.server["attributes"]["url.path"] == "/other"


def test_alone_it_changes_neither_bytes_nor_headers_and_holds_nothing_back(tmp_path, caplog):
    pieces = [b": hi\r\n\r\n", *events(), b"data: {not json\n\n", b"rest"]
    inner = App(pieces, headers=[SSE, (b"x-mine", b"1")])
    got = told(alone(inner), tmp_path, caplog, (STREAM,))
    assert got.replies[0].pieces == pieces
    assert set(got.replies[0].headers) == {"content-type", "x-mine"}
    assert inner.body == STREAM
    assert got.call["attributes"]["gen_ai.usage.output_tokens"] == 300


@pytest.mark.parametrize("stream", [False, True])
def test_compressed_answers_are_read(stream, tmp_path, caplog):
    raw = gzip.compress(b"".join(events()) if stream else answer())
    inner = App([raw[:40], raw[40:]], headers=[SSE if stream else JSON, (b"content-encoding", b"gzip")])
    got = told(alone(inner), tmp_path, caplog, ({**ASKED, "stream": stream},))
    assert got.replies[0].body == raw
    assert got.call["attributes"]["gen_ai.usage.input_tokens"] == 2006


def test_an_answer_that_cannot_be_read_is_estimated_without_its_text(tmp_path, caplog):
    inner = App([b"\x0b\x02\x80"], headers=[JSON, (b"content-encoding", b"br")])
    call = told(alone(inner), tmp_path, caplog, (ASKED,)).call["attributes"]
    assert (call["gen_ai.usage.input_tokens"], call["gen_ai.usage.output_tokens"]) == (9, 0)
    assert call["gateway.usage.estimated"] is True
    assert "error.type" not in call


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_is_too_large_to_be_kept_passes_and_is_estimated(stream, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(foreign_reading, "MAX_BYTES", 10_000)
    piece = b"data: " + b"x" * 6000 if stream else b"x" * 6000
    inner = app(piece, b"y" * 6000, stream=stream)
    got = told(alone(inner), tmp_path, caplog, ({**ASKED, "stream": stream},))
    assert len(got.replies[0].body) == len(piece) + 6000
    assert got.call["attributes"]["gateway.usage.estimated"] is True
    assert got.call["attributes"]["gen_ai.usage.input_tokens"] == 9


@pytest.mark.parametrize("encoding", ["gzip", "deflate, gzip", "br"])
def test_compressed_requests_are_read_where_they_can_be(encoding, tmp_path, caplog):
    raw = gzip.compress(json.dumps(ASKED))
    inner = app(answer())

    async def ask(served: asgi.App) -> Reply:
        return await aask(served, raw, headers=[JSON, (b"content-encoding", encoding.encode())])

    got = told(alone(inner), tmp_path, caplog, ask)
    assert inner.bodies == [raw]
    assert got.call["attributes"]["gen_ai.request.model"] == ("gpt-4o" if encoding == "gzip" else "unknown")
    assert "telemetry_fault" not in caplog.text


def test_a_request_that_is_too_large_to_be_kept_reaches_the_app(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(foreign_call, "MAX_BYTES", 100)
    inner = app(answer())
    body = {**ASKED, "messages": [{"role": "user", "content": "x" * 200}]}
    got = told(alone(inner), tmp_path, caplog, (body,))
    assert inner.body == body
    assert got.call["attributes"]["gen_ai.request.model"] == "unknown"
    assert got.call["attributes"]["gen_ai.usage.input_tokens"] == 2006


def test_what_tools_are_called_with_and_what_was_thought_is_counted(tmp_path, caplog):
    call = {"function": {"name": "look_up", "arguments": '{"city": "Berlin"}'}}
    message = {"content": None, "reasoning_content": "Let me think about it.", "tool_calls": [call]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    got = told(alone(app(json.dumps({"model": MODEL, "choices": [choice]}))), tmp_path, caplog, (ASKED,))
    assert got.call["attributes"]["gen_ai.usage.output_tokens"] > 10
    assert got.call["attributes"]["gen_ai.response.finish_reasons"] == ["tool_calls"]
    assert got.line["gen_ai.response.finish_reasons"] == ("tool_calls",)


def test_words_of_the_apps_own_are_no_finish_reasons(tmp_path, caplog):
    got = told(alone(app(answer(finish=f"because {EMAIL}"))), tmp_path, caplog, (ASKED,))
    assert got.call["attributes"]["gen_ai.response.finish_reasons"] == ["stop"]


@pytest.mark.parametrize(
    "usage",
    [
        {},
        [],
        7,
        {"prompt_tokens": "10"},
        {"prompt_tokens": -1},
        {"prompt_tokens": 1.5},
        {"input_tokens": 10},
        {"prompt_tokens": True},
    ],
)
def test_counts_that_are_none_are_estimated(usage, tmp_path, caplog):
    got = told(alone(app(answer(usage=usage))), tmp_path, caplog, (ASKED,))
    assert got.call["attributes"]["gateway.usage.estimated"] is True


@pytest.mark.parametrize(
    ("options", "model", "cost", "source"),
    [
        ({"prices": PRICES}, "mine", 2006 * 1e-6 + 300 * 2e-6, "config"),
        ({"prices": {"mine": PRICES["*"]}}, "mine", 2006 * 1e-6 + 300 * 2e-6, "config"),
        ({}, "mine", None, "unpriced"),
        ({}, "gpt-oss-120b", None, "unpriced"),
        ({"provider": "hosted_vllm"}, "gpt-4o", None, "unpriced"),
        ({}, "gpt-4o", 86 * 2.5e-6 + 1920 * 1.25e-6 + 300 * 10e-6, "catalogue"),
    ],
)
def test_prices_are_given_or_the_catalogues(options, model, cost, source, tmp_path, caplog):
    raw = json.dumps({"id": "c", "choices": [{"message": {"content": "x"}, "finish_reason": "stop"}], "usage": USED})
    got = told(alone(app(raw), **options), tmp_path, caplog, ({**ASKED, "model": model},))
    call = got.call["attributes"]
    assert call["gateway.cost.source"] == source
    assert call.get("gen_ai.usage.cost") == (None if cost is None else pytest.approx(cost))
    assert call["gen_ai.provider.name"] == options.get("provider", "openai")


def test_what_the_provider_says_it_costs_comes_first(tmp_path, caplog):
    got = told(alone(app(answer(usage={**USED, "cost": 0.125})), prices=PRICES), tmp_path, caplog, (ASKED,))
    assert got.call["attributes"]["gen_ai.usage.cost"] == 0.125
    assert got.call["attributes"]["gateway.cost.source"] == "provider"


def test_protect_takes_prices_from_the_models_of_its_configuration(tmp_path, caplog):
    params = {"model": "hosted_vllm/mine", "api_base": "http://h/v1", **PRICES["*"]}
    model = {"model_name": "alias", "litellm_params": params}
    config = {"model_list": [model], "policies": []}

    def make(path: Any) -> asgi.App:
        return protect(
            app(answer(usage={"prompt_tokens": 10, "completion_tokens": 5})),
            {**config, "telemetry": {"otlp_file": str(path)}},
        )

    got = told(make, tmp_path, caplog, ({**ASKED, "model": "alias"},))
    assert got.call["attributes"]["gen_ai.usage.cost"] == pytest.approx(20e-6)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"prices": {"m": {"cost": 1}}}, "prices.m.cost: is not known"),
        ({"prices": {"m": {"input_cost_per_token": -1}}}, "prices.m.input_cost_per_token: must be a number"),
        ({"prices": {"m": {"input_cost_per_token": 1}}}, "prices.m: set both"),
        ({"nonsense": 1}, "telemetry.nonsense"),
        ({"otlp_endpoint": "ftp://x"}, "telemetry.otlp_endpoint"),
        ({"end_users": {"sources": ["nowhere"]}}, "end_users.sources"),
    ],
)
def test_options_that_are_wrong_are_refused_with_their_place(options, said):
    with pytest.raises(ConfigError, match=said):
        TelemetryMiddleware(App(), **options)


def test_end_users_are_named_as_the_options_say(tmp_path, caplog):
    body = {**ASKED, "user": "anna", "safety_identifier": "s-9"}
    first = told(alone(app(answer()), end_users={"sources": ["safety_identifier"]}), tmp_path, caplog, (body,))
    assert first.line["user.id"] == "s-9"
    hidden = told(alone(app(answer()), end_users={"pseudonymize": True}), tmp_path, caplog, (body,))
    assert hidden.line["user.id"] not in ("anna", "s-9")
    assert "anna" not in f"{hidden.spans}{hidden.lines}"


def test_one_telemetry_step_inside_another_tells_nothing(tmp_path, caplog):
    inside = tmp_path / "inside"
    inside.mkdir()

    def make(path: Any) -> asgi.App:
        return TelemetryMiddleware(alone(app(answer()))(inside / "spans.jsonl"), otlp_file=str(path))

    got = told(make, tmp_path, caplog, (ASKED,))
    assert got.call["attributes"]["gen_ai.usage.input_tokens"] == 2006
    assert not (inside / "spans.jsonl").exists()


def test_an_app_that_never_reads_its_request_is_told_of(tmp_path, caplog):
    async def closed(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        await send({"type": "http.response.start", "status": 401, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    got = told(alone(closed), tmp_path, caplog, (ASKED,))
    assert got.call["attributes"]["error.type"] == "upstream_rejected"
    assert got.server["attributes"]["http.response.status_code"] == 401


def test_what_an_app_does_after_its_answer_is_no_part_of_the_request(tmp_path, caplog):
    later = asyncio.Event()

    class Busy(App):
        async def __call__(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
            await super().__call__(scope, receive, send)
            lines = [record for record in caplog.records if record.msg == "request"]
            assert len(lines) == 1  # it has been told already
            later.set()
            raise ZeroDivisionError

    async def ask(served: asgi.App) -> Reply:
        async def server(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
            with pytest.raises(ZeroDivisionError):
                await served(scope, receive, send)

        return await aask(server, ASKED)

    got = told(alone(Busy([answer()])), tmp_path, caplog, ask)
    assert later.is_set()
    assert got.server["attributes"]["gateway.outcome"] == "allowed"
    assert "error.type" not in got.call["attributes"]


UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def read(pieces: list[bytes], headers: list[tuple[bytes, bytes]]) -> tuple[Any, ...]:
    """What is read of an answer that comes in these pieces."""
    texts: dict[int, str] = {}
    reading = Reading(lambda index, text: texts.update({index: texts.get(index, "") + text}))
    reading.start(headers)
    for number, piece in enumerate(pieces):
        reading.feed(piece, final=number + 1 == len(pieces), encoding=lambda: None)
    told = (reading.usage, reading.opening, reading.reasons, reading.done, reading.failed, reading.unreadable)
    return (*told, texts, reading.output_tokens(None))


@UNHURRIED
@given(st.booleans(), st.lists(st.integers(0, 1200)), st.booleans())
def test_an_answer_is_read_alike_wherever_it_is_cut(stream, cuts, compressed):
    raw = b"".join(events("one two three é 漢字")) if stream else answer("one two three é 漢字")
    headers = [SSE if stream else JSON]
    whole = read([raw], headers)
    if compressed:
        raw, headers = gzip.compress(raw), [*headers, (b"content-encoding", b"gzip")]
    places = [0, *sorted(cut for cut in cuts if cut < len(raw)), len(raw)]
    pieces = [raw[start:end] for start, end in pairwise(places)]
    assert read(pieces, headers) == whole


@UNHURRIED
@given(st.binary(max_size=200), st.booleans())
def test_no_answer_makes_the_reader_fail(raw, stream):
    read([raw[:50], raw[50:]], [SSE if stream else JSON])


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=5,
)
KEYS = ("messages", "prompt", "n", "max_tokens", "temperature", "seed", "suffix", "stream", "role", "content", "text")
SHAPED = st.dictionaries(
    st.sampled_from(KEYS), st.lists(st.dictionaries(st.sampled_from(KEYS), JSON_VALUES)) | JSON_VALUES
)


@UNHURRIED
@given(SHAPED, st.sampled_from(["chat", "completions"]))
def test_no_request_makes_the_reader_fail(body, language):
    call = foreign_call.call_of(body, language)
    assert foreign_call.input_tokens(call, language, None) >= 0


ANSWERED = (
    "choices",
    "usage",
    "id",
    "model",
    "error",
    "index",
    "delta",
    "message",
    "text",
    "finish_reason",
    "content",
    "tool_calls",
    "function",
    "function_call",
    "refusal",
    "reasoning",
    "prompt_tokens",
    "completion_tokens",
    "prompt_tokens_details",
    "completion_tokens_details",
    "cost",
    "total_tokens",
    "reasoning_tokens",
)
PARTS = st.recursive(
    JSON_VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(ANSWERED), inner, max_size=5),
    max_leaves=8,
)


@UNHURRIED
@given(st.dictionaries(st.sampled_from(ANSWERED), PARTS), st.booleans())
def test_no_json_makes_the_reader_fail(value, stream):
    raw = json.dumps(value)
    read([sse.encode(raw) if stream else raw], [SSE if stream else JSON])
