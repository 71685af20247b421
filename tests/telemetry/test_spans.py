"""The spans of a request: what each of them says, and what it leaves out."""

import re
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import (
    ClientDisconnected,
    GatewayError,
    GuardrailUnavailable,
    InternalError,
    InvalidValue,
    UpstreamConnectionError,
    UpstreamRateLimited,
    UpstreamRejected,
)
from gateway.exchange import Exchange
from gateway.telemetry import spans, usage
from gateway.telemetry.content import Content
from gateway.telemetry.export import otlp_json
from gateway.telemetry.options import Options
from gateway.telemetry.span import Kind, Span
from gateway.types import Cost, Usage
from tests.telemetry.finished import TRACE, Answer, call, judged, request

SECRET = "sk-never-to-be-told"


def of(exchange: Exchange, **options: object) -> list[Span]:
    return spans.of(exchange, Options(**options))  # type: ignore[arg-type]


def server(exchange: Exchange, **options: object) -> Span:
    return of(exchange, **options)[-1]


def inference(exchange: Exchange, **options: object) -> Span:
    return next(span for span in of(exchange, **options) if span.kind is Kind.CLIENT)


def test_the_server_span_joins_the_callers_trace_and_says_who_asked_for_what():
    exchange = request()
    exchange.end_user, exchange.session, exchange.key_alias, exchange.tags = "u", "s", "team", ("a", "b")
    span = server(exchange)
    assert (span.trace_id, span.span_id, span.parent_id) == (TRACE.trace_id, TRACE.span_id, TRACE.parent_id)
    assert (span.name, span.kind, span.parent_remote, span.state) == (
        "POST /v1/completions",
        Kind.SERVER,
        True,
        "vendor=1",
    )
    assert span.attributes == {
        "gateway.model": "fast",
        "http.request.method": "POST",
        "http.route": "/v1/completions",
        "url.path": "/v1/completions",
        "url.scheme": "http",
        "http.response.status_code": 200,
        "server.address": "10.0.0.1",
        "server.port": 4000,
        "user_agent.original": "openai/1",
        "user.id": "u",
        "session.id": "s",
        "gateway.request.id": "req_1",
        "gateway.key.alias": "team",
        "gateway.tags": ("a", "b"),
        "gateway.outcome": "allowed",
    }
    assert span.end - span.start == pytest.approx(500_000_000, abs=10)


def test_the_inference_span_says_what_was_asked_answered_used_and_paid():
    exchange = request(metadata={"conversation_id": "c-1"})
    exchange.end_user, exchange.session = "u", "s"
    call(exchange, max_tokens=9, temperature=1, top_p=0.5, seed=7, presence_penalty=0, frequency_penalty=-1)
    span = inference(exchange)
    assert (span.name, span.parent_id, span.error) == ("text_completion gpt-4o", TRACE.span_id, None)
    assert span.attributes == {
        "gen_ai.operation.name": "text_completion",
        "gen_ai.provider.name": "azure.ai.openai",
        "gen_ai.request.model": "gpt-4o",
        "server.address": "api.example.com",
        "server.port": 8443,
        "gen_ai.request.max_tokens": 9,
        "gen_ai.request.temperature": 1.0,
        "gen_ai.request.top_p": 0.5,
        "gen_ai.request.seed": 7,
        "gen_ai.request.presence_penalty": 0.0,
        "gen_ai.request.frequency_penalty": -1.0,
        "gen_ai.request.stream": False,
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "gen_ai.usage.cost": 0.000048,
        "gateway.cost.input": 0.000008,
        "gateway.cost.output": 0.00004,
        "gateway.cost.source": "config",
        "gateway.cost.price_version": "config",
        "gateway.usage.estimated": False,
        "gateway.deployment": "azure-1",
        "gateway.attempt": 1,
        "user.id": "u",
        "session.id": "s",
        "gen_ai.conversation.id": "c-1",
    }
    assert isinstance(span.attributes["gen_ai.request.temperature"], float)


@pytest.mark.parametrize("named", [None, {}, {"conversation_id": 7}, {"conversation_id": ""}])
def test_a_session_is_no_conversation(named):
    exchange = request(metadata=named)
    exchange.session = "s"
    call(exchange)
    assert "gen_ai.conversation.id" not in inference(exchange).attributes


def test_an_unknown_price_is_no_price_and_the_counts_are_those_that_are_not_zero():
    exchange = request()
    call(exchange, answer=Answer(Usage(1, 2, cache_write_tokens=3, reasoning_tokens=4), Cost(None, "unpriced")))
    attributes = inference(exchange).attributes
    assert attributes["gateway.cost.source"] == "unpriced"
    assert "gen_ai.usage.cost" not in attributes
    assert "gen_ai.usage.cache_read.input_tokens" not in attributes
    assert attributes["gen_ai.usage.cache_creation.input_tokens"] == 3
    assert attributes["gen_ai.usage.reasoning.output_tokens"] == 4


def test_the_newest_draft_has_another_name_for_what_is_written_to_a_cache():
    exchange = request()
    call(exchange, answer=Answer(Usage(1, 2, cache_write_tokens=3)))
    attributes = inference(exchange, newest_names=True).attributes
    assert attributes["gen_ai.usage.cache_write.input_tokens"] == 3
    assert "gen_ai.usage.cache_creation.input_tokens" not in attributes


@pytest.mark.parametrize(
    ("error", "status", "description"),
    [
        (InvalidValue("x", param="n"), 400, None),
        (UpstreamRateLimited("x"), 429, None),
        (UpstreamRejected("x", status=413), 413, None),
        (ClientDisconnected("x"), 499, None),
        (UpstreamConnectionError("x"), 502, "upstream_error"),
        (UpstreamConnectionError("x"), 200, "upstream_error"),
        (GuardrailUnavailable("x"), 503, "guardrail_unavailable"),
        (InternalError("x"), 500, "internal_error"),
        (None, 503, "503"),
        (None, 404, None),
        (None, 200, None),
    ],
)
def test_only_a_5xx_makes_the_server_span_an_error(error: GatewayError | None, status: int, description: str | None):
    exchange = request()
    exchange.error, exchange.status = error, status
    span = server(exchange)
    assert span.error == description
    assert ("error.type" in span.attributes) is (error is not None or status >= 400)


@pytest.mark.parametrize(
    ("answer", "reasons", "error"),
    [
        (Answer(error=UpstreamConnectionError(SECRET)), ("error",), "upstream_error"),
        (Answer(error=UpstreamRateLimited(SECRET), status=429, usage=None), None, "rate_limit_exceeded"),
        (Answer(error=UpstreamConnectionError(SECRET), status=None, usage=None), None, "upstream_error"),
        (Answer(cut=True), None, None),
    ],
)
def test_an_answer_that_broke_off_is_told_from_one_that_never_came(answer, reasons, error):
    exchange = request()
    call(exchange, answer=answer)
    span = inference(exchange)
    assert span.attributes.get("gen_ai.response.finish_reasons") == reasons
    assert (span.error, span.attributes.get("error.type")) == (error, error)


def test_what_the_gateway_itself_ended_has_the_gateways_reason():
    exchange = request()
    call(exchange, answer=Answer(cut=True), n=2)
    exchange.finish_reasons = {0: "content_filter", 1: "stop"}
    assert inference(exchange).attributes["gen_ai.response.finish_reasons"] == ("content_filter", "stop")


def test_each_call_is_a_span_of_its_own_and_tells_which_attempt_it_was():
    exchange = request("a", "b")
    for first in (0, 0, 1):
        call(exchange, first=first)
    found = [span for span in of(exchange) if span.kind is Kind.CLIENT]
    assert [span.attributes["gateway.attempt"] for span in found] == [1, 2, 1]
    assert {span.parent_id for span in found} == {TRACE.span_id}


def test_a_call_that_is_not_the_first_says_why_it_was_made():
    exchange = request()
    call(exchange)
    call(exchange).why = "fallback"
    reasons = [span.attributes.get("gateway.call.reason") for span in of(exchange) if span.kind is Kind.CLIENT]
    assert reasons == [None, "fallback"]


def test_a_guardrail_span_says_what_kind_of_thing_was_found_once_per_kind():
    exchange = request()
    judged(exchange, ("secrets", "flag"), ("pii", "flag"), ("pii", "mask"))
    span = of(exchange)[0]
    assert (span.name, span.kind, span.parent_id) == ("apply_guardrail pii", Kind.INTERNAL, TRACE.span_id)
    assert span.attributes == {
        "gen_ai.operation.name": "apply_guardrail",
        "openinference.span.kind": "GUARDRAIL",
        "gen_ai.guardrail.component.name": "pii",
        "gen_ai.guardrail.policy.id": "pii",
        "gen_ai.guardrail.policy.version": "2",
        "gen_ai.guardrail.source": "input",
        "gen_ai.guardrail.result.type": "modify",
        "gen_ai.guardrail.risk.category": "pii",
        "gen_ai.guardrail.risk.score": 0.7,
        "gateway.guardrail.action": "mask",
        "gateway.guardrail.enforced": True,
        "gateway.guardrail.status": "ok",
        "gateway.guardrail.findings": 3,
        "gateway.guardrail.masked": 1,
    }
    assert [(event.name, event.attributes["gen_ai.guardrail.risk.category"]) for event in span.events] == [
        ("gen_ai.guardrail.result", "secrets"),
        ("gen_ai.guardrail.result", "pii"),
    ]
    assert span.events[1].attributes["gateway.guardrail.findings"] == 2
    assert span.end - span.start == pytest.approx(10_000_000, abs=10)


@pytest.mark.parametrize(
    ("decision", "enforced", "result"),
    [
        ("allow", True, "allow"),
        ("flag", True, "warn"),
        ("redact", True, "modify"),
        ("block", True, "deny"),
        ("allow", False, "allow"),
        ("block", False, "audit"),
    ],
)
def test_a_policy_in_shadow_only_audits(decision, enforced, result):
    exchange = request()
    judged(exchange, decision=decision, enforced=enforced)
    assert of(exchange)[0].attributes["gen_ai.guardrail.result.type"] == result


@pytest.mark.parametrize("status", ["error", "timeout"])
def test_a_policy_that_could_not_be_judged_is_an_error(status):
    exchange = request()
    judged(exchange, status=status, decision="block")
    span = of(exchange)[0]
    assert (span.error, span.attributes["error.type"]) == (status, status)


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("POST", "/openai/deployments/any/thing/completions", "POST /openai/deployments/{model}/completions"),
        ("GET", "/v1/models/x", "GET /v1/models/{id}"),
        ("GET", "/.env", "GET"),
        ("BREW", "/pot", "HTTP"),
        ("BREW", "/v1/completions", "HTTP /v1/completions"),
    ],
)
def test_names_of_spans_come_from_a_closed_list(method, path, name):
    exchange = Exchange("r", method, path)
    exchange.trace = TRACE
    span = server(exchange)
    assert span.name == name
    assert span.attributes["url.path"] == path


def test_an_end_user_may_be_told_by_a_pseudonym():
    from gateway import hashing

    exchange = request()
    exchange.end_user = "carol@example.com"
    call(exchange)
    key = hashing.derive("sk-master-1", hashing.END_USERS)
    users = {span.attributes["user.id"] for span in of(exchange, pseudonym_key=key)}
    assert users == {key.pseudonym("carol@example.com")}


@pytest.mark.parametrize("prefix", ["", "/gateway"])
@pytest.mark.parametrize("name", ["carol@example.com", "a/carol", "x" * 600 + "carol"])
def test_where_pseudonyms_are_told_no_name_is_in_a_path(prefix, name):
    from gateway import hashing

    exchange = request()
    exchange.path = f"{prefix}/admin/end-users/{name}"
    options = Options(pseudonym_key=hashing.derive("sk-master-1", hashing.END_USERS))
    (server,) = spans.of(exchange, options)
    line = usage.line(usage.record(exchange, options), options)
    assert server.attributes["url.path"] == line["url.path"] == f"{prefix}/admin/end-users/{{id}}"
    (plain,) = spans.of(exchange, Options())
    assert plain.attributes["url.path"] == exchange.path[:512]


@pytest.mark.parametrize(
    ("parent", "remote", "said"), [("1" * 16, True, True), ("1" * 16, False, False), ("", True, False)]
)
def test_a_parent_is_remote_where_it_is_another_processs(parent, remote, said):
    exchange = request()
    exchange.trace = type(TRACE)("a" * 32, "b" * 16, parent, remote=remote)
    assert [span.parent_remote for span in of(exchange)] == [said]


def test_a_request_without_a_trace_or_that_is_not_sampled_has_no_spans():
    exchange = request()
    exchange.trace = None
    assert of(exchange) == []
    exchange.trace = type(TRACE)("a" * 32, "b" * 16, sampled=False)
    assert of(exchange) == []


@pytest.mark.parametrize("tool", ["openinference", "langfuse", "mlflow", "litellm"])
def test_names_for_other_tools_add_and_take_nothing_away(tool):
    exchange = request(metadata={"conversation_id": "c"})
    exchange.tags = ("a",)
    record = call(exchange, max_tokens=3, stream=True)
    record.first_chunk = record.began + 0.25
    judged(exchange)
    for plain, more in zip(of(exchange), of(exchange, compat=(tool,)), strict=True):
        assert plain.attributes.items() <= more.attributes.items()


def test_what_other_tools_read_of_a_call():
    exchange = request()
    record = call(exchange, max_tokens=3, stream=True)
    record.first_chunk = record.began + 0.25
    attributes = inference(exchange, compat=("openinference", "langfuse", "mlflow")).attributes
    assert attributes["openinference.span.kind"] == "LLM"
    assert attributes["llm.model_name"] == "gpt-4o-2024-08-06"
    assert (attributes["llm.token_count.prompt"], attributes["llm.token_count.total"]) == (10, 30)
    assert attributes["llm.cost.total"] == 0.000048
    assert attributes["llm.invocation_parameters"] == '{"stream":true,"max_tokens":3}'
    assert attributes["langfuse.observation.usage_details"] == (
        '{"input":6,"output":20,"total":30,"input_cached_tokens":4}'
    )
    assert attributes["langfuse.observation.cost_details"] == '{"input":8e-6,"output":0.00004,"total":0.000048}'
    assert str(attributes["langfuse.observation.completion_start_time"]).endswith("Z")
    assert attributes["mlflow.llm.cost"] == '{"input_cost":8e-6,"output_cost":0.00004,"total_cost":0.000048}'


def test_no_cost_is_told_to_other_tools_where_none_is_known():
    exchange = request()
    call(exchange, answer=Answer(cost=Cost(None, "unpriced")))
    attributes = inference(exchange, compat=("openinference", "langfuse", "mlflow")).attributes
    assert not [name for name in attributes if "cost" in name and name != "gateway.cost.source"]


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://api.openai.com/v1/chat/completions", ("api.openai.com", 443)),
        ("http://[::1]:8000/v1", ("::1", 8000)),
        ("asgi://demo/v1", ("demo", None)),
        ("", ("", None)),
        ("http://[broken", ("", None)),
        ("http://host:port/", ("", None)),
    ],
)
def test_of_a_providers_address_only_host_and_port_are_told(url, found):
    from gateway.telemetry.spans_inference import server

    assert server(url) == found


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(-5, 5)), max_size=4), st.floats(0, 3))
def test_children_lie_within_their_parent_whatever_clocks_say(calls, lasted):
    exchange = request()
    exchange.ended = exchange.began + lasted
    for began, ended in calls:
        record = call(exchange, answer=Answer(usage=None))
        record.began, record.ended = exchange.began + began, exchange.began + max(began, ended)
    verdict = judged(exchange)
    verdict.began, verdict.duration = exchange.began + lasted, 9.0
    *children, parent = of(exchange)
    for span in children:
        assert parent.start <= span.start <= span.end <= parent.end


@given(st.text(max_size=20), st.text(max_size=20), st.integers(), st.decimals(allow_nan=False, allow_infinity=False))
def test_whatever_clients_and_providers_say_can_be_written(name, other, number, amount):
    exchange = request(metadata={"conversation_id": name})
    exchange.end_user, exchange.tags, exchange.key_alias = name, (other,), other
    exchange.method = name
    record = call(exchange, answer=Answer(cost=Cost(Decimal(amount), "provider")), seed=number)
    record.finish_reasons = {0: "stop"}
    for span in of(exchange, compat=("openinference", "langfuse", "mlflow")):
        otlp_json.span(span)


def test_no_message_of_an_error_is_told():
    exchange = request()
    call(exchange, answer=Answer(error=UpstreamRejected(SECRET, param=SECRET)))
    exchange.error, exchange.status = UpstreamRejected(SECRET, param=SECRET), 400
    judged(exchange, status="error")
    assert SECRET.encode() not in b"".join(otlp_json.span(span) for span in of(exchange))


def test_the_readme_lists_every_attribute_and_no_other():
    exchange = request(metadata={"conversation_id": "c"})
    exchange.end_user, exchange.session, exchange.key_alias, exchange.tags = "u", "s", "team", ("a",)
    exchange.error, exchange.status = UpstreamConnectionError("x"), 502
    exchange.capture = Content(9)
    exchange.capture.note(0, "text")
    asked = {"temperature": 1, "top_p": 1, "seed": 1, "presence_penalty": 1, "frequency_penalty": 1, "max_tokens": 1}
    used = Usage(9, 9, cached_tokens=1, cache_write_tokens=1, reasoning_tokens=1)
    record = call(exchange, answer=Answer(used), n=2, stream=True, **asked)
    record.first_chunk, record.url = record.began, "http://host:1/"
    call(exchange, answer=Answer(error=UpstreamConnectionError("x")), first=2).why = "retry"
    judged(exchange, ("pii", "mask"), status="error")
    written = {name for span in of(exchange, content=True) for name in span.attributes}
    written |= {event.name for span in of(exchange) for event in span.events}
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    section = readme[readme.index("## What is observed") : readme.index("`gateway.outcome` is")]
    listed: set[str] = set()
    for group in re.findall(r"`([a-z_.]+)\{([^}]+)\}([a-z_.]*)`", section):
        listed |= {f"{group[0]}{name}{group[2]}" for name in group[1].split(",")}
    listed |= {name for name in re.findall(r"`([a-z_.]+)`", section) if "." in name}
    assert written == listed
