"""The usage record: one per request, whatever happened to it, and nothing in it of what was said."""

from decimal import Decimal

import orjson
import pytest

from gateway.errors import (
    ClientDisconnected,
    GatewayError,
    GuardrailUnavailable,
    InvalidValue,
    PolicyBlocked,
    UpstreamRejected,
    UpstreamTimeout,
)
from gateway.exchange import Exchange
from gateway.telemetry import usage
from gateway.telemetry.options import Options
from gateway.types import Cost, Usage
from tests.telemetry.finished import TRACE, Answer, call, judged, request

CANARY = "canary-4111"
OPTIONS = Options()


def line(exchange: Exchange, options: Options = OPTIONS) -> dict[str, object]:
    return usage.line(usage.record(exchange, options), options)


def test_the_line_of_a_request_says_who_asked_for_what_and_what_it_came_to():
    exchange = request(stream=True)
    exchange.end_user, exchange.session, exchange.key_alias, exchange.tags = "u", "s", "team", ("a", "b")
    exchange.attempts, exchange.dropped, exchange.first_chunk = 1, ("seed",), 0.25
    call(exchange)
    exchange.opening = exchange.calls[0].opening
    judged(exchange, ("pii", "mask"))
    found = line(exchange)
    overhead = found.pop("overhead_ms")
    assert 0 < overhead <= 500
    assert found == {
        "gateway.request.id": "req_1",
        "trace_id": TRACE.trace_id,
        "span_id": TRACE.span_id,
        "http.request.method": "POST",
        "url.path": "/v1/completions",
        "http.response.status_code": 200,
        "gateway.outcome": "masked",
        "duration_ms": 500.0,
        "gateway.model": "fast",
        "gen_ai.request.stream": True,
        "gen_ai.provider.name": "azure.ai.openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gateway.deployment": "azure-1",
        "gateway.attempts": 1,
        "gen_ai.response.time_to_first_chunk": 0.25,
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "gateway.usage.estimated": False,
        "gen_ai.usage.cost": 0.000048,
        "gateway.cost.source": "config",
        "gateway.cost.price_version": "config",
        "gateway.guardrails": [
            {
                "policy": "pii",
                "version": 2,
                "stage": "input",
                "decision": "mask",
                "enforced": True,
                "status": "ok",
                "findings": 1,
            }
        ],
        "user.id": "u",
        "session.id": "s",
        "gateway.key.alias": "team",
        "gateway.tags": ("a", "b"),
        "gateway.dropped_params": ("seed",),
    }


def test_the_record_counts_exactly_and_over_all_calls():
    exchange = request("a", "b")
    for first in (0, 1):
        call(exchange, first=first)
    made = usage.record(exchange, OPTIONS)
    assert (made.cost, made.input_cost) == (Decimal("0.000096"), Decimal("0.000016"))
    assert (made.input_tokens, made.output_tokens, made.cached_tokens) == (20, 40, 8)
    assert made.finish_reasons == ("stop", "stop")


def test_nothing_of_what_was_said_is_in_it():
    exchange = request(CANARY, suffix=CANARY, stop=(CANARY,), metadata={"a": CANARY})
    call(exchange, CANARY, Answer(error=UpstreamRejected(CANARY, param=CANARY)))
    exchange.error, exchange.status = UpstreamRejected(CANARY), 400
    assert CANARY not in orjson.dumps(line(exchange)).decode()


def test_a_request_that_was_never_read_has_its_line_too():
    exchange = Exchange("r", "GET", "/x" * 1000)
    exchange.status, exchange.error = 401, InvalidValue("x")
    found = line(exchange)
    assert (found["gateway.outcome"], found["error.type"]) == ("error", "invalid_value")
    assert len(str(found["url.path"])) == usage.LONGEST_PATH
    assert "gateway.model" not in found


def test_an_unknown_price_is_null_and_says_so():
    exchange = request()
    assert "gen_ai.usage.cost" not in line(exchange)
    call(exchange, answer=Answer(Usage(3, 4, estimated=True), Cost(None, "unpriced")))
    found = line(exchange)
    assert (found["gen_ai.usage.cost"], found["gateway.cost.source"]) == (None, "unpriced")
    assert found["gateway.usage.estimated"] is True


BLOCKED = PolicyBlocked("x")


@pytest.mark.parametrize(
    ("outcome", "error", "status", "decisions"),
    [
        ("allowed", None, 200, []),
        ("allowed", None, 200, [("flag", True), ("allow", True)]),
        ("allowed", None, 200, [("block", False), ("mask", False)]),
        ("masked", None, 200, [("allow", True), ("mask", True)]),
        ("masked", None, 200, [("hash", True)]),
        ("masked", None, 200, [("redact", True), ("block", False)]),
        ("blocked", None, 200, [("mask", True), ("block", True)]),
        ("blocked", BLOCKED, 400, [("block", True)]),
        ("error", GuardrailUnavailable("x"), 503, [("block", True)]),
        ("error", UpstreamTimeout("x"), 200, [("mask", True)]),
        ("error", None, 500, []),
        ("cancelled", ClientDisconnected("x"), 499, [("mask", True)]),
    ],
)
def test_what_a_request_came_to(outcome: str, error: GatewayError | None, status: int, decisions):
    exchange = request()
    exchange.error, exchange.status = error, status
    for decision, enforced in decisions:
        judged(exchange, decision=decision, enforced=enforced)
    assert usage.outcome(exchange) == outcome


def test_an_answer_that_a_policy_gives_in_place_of_a_call_is_a_block():
    exchange = request()
    exchange.withheld = "no"
    assert usage.outcome(exchange) == "blocked"


def test_end_users_may_be_told_by_a_pseudonym_that_stays_the_same():
    from gateway.config.load import loads
    from gateway.config.otel import plan
    from gateway.telemetry.options import options

    def named(key: str) -> str | None:
        settings = loads(f"general_settings: {{master_key: {key}}}\nend_users: {{pseudonymize: true}}").settings
        exchange = request()
        exchange.end_user = "carol@example.com"
        return usage.record(exchange, options(settings, plan(settings.telemetry, {}))).end_user

    first, again, other = named("sk-master-1"), named("sk-master-1"), named("sk-master-2")
    assert first == again
    assert first not in (other, "carol@example.com")
    assert "carol" not in str(first)
