"""The gateway's own headers: what an answer cost, and the names that LiteLLM's clients know."""

from decimal import Decimal

import pytest

from gateway.exchange import Exchange, Rate
from gateway.guards.verdict import Verdict
from gateway.middleware import headers
from gateway.types import CompletionRequest, Cost
from tests.inprocess import InProcess


def told(cost: Cost | None, *, stream: bool = False) -> str | None:
    exchange = Exchange("r", "POST", "/v1/completions", deployment="m-1", cost=cost)
    exchange.request = CompletionRequest("m", ("p",), stream=stream)
    found = dict(headers.own(exchange)).get(b"x-gateway-cost-usd")
    return None if found is None else found.decode()


@pytest.mark.parametrize(
    ("total", "written"),
    [
        ("0.000001250", "0.00000125"),
        ("1.25E-6", "0.00000125"),
        ("0", "0"),
        ("0E-9", "0"),
        ("1E+2", "100"),
        ("100", "100"),
        ("12.50", "12.5"),
    ],
)
def test_a_cost_is_a_plain_number(total, written):
    assert told(Cost(Decimal(total), "catalogue", "1")) == written


@pytest.mark.parametrize("cost", [None, Cost(None, "unpriced"), Cost(Decimal(1), "unpriced")])
def test_a_cost_that_is_not_wholly_known_is_not_told(cost):
    assert told(cost) is None


def test_a_stream_has_not_cost_anything_yet_when_its_headers_leave():
    assert told(Cost(Decimal(1), "config", "config"), stream=True) is None


def test_litellms_clients_find_their_own_names_where_they_are_wanted():
    exchange = Exchange("r", "POST", "/v1/completions", deployment="m-1", cost=Cost(Decimal("1.5E-6"), "config"))
    exchange.judges.append(lambda: [Verdict("pii", 1, stage, "allow", True) for stage in ("input", "output")])
    exchange.judges.append(lambda: [Verdict("fruit", 1, "input", "allow", True)])
    exchange.judges.append(lambda: [Verdict("sampled", 1, "input", "allow", True, "skipped")])
    both = dict(headers.own(exchange, litellm=True))
    assert {name: value for name, value in both.items() if name.startswith(b"x-litellm-")} == {
        b"x-litellm-call-id": b"r",
        b"x-litellm-model-id": b"m-1",
        b"x-litellm-response-cost": b"0.0000015",
        b"x-litellm-applied-guardrails": b"pii,fruit",
    }
    assert both.keys() - dict(headers.own(exchange)).keys() == {name for name in both if b"litellm" in name}


@pytest.mark.parametrize("wanted", [[], ["litellm"]], ids=["default", "litellm"])
def test_an_answer_has_the_headers_of_litellm_only_where_the_configuration_says_so(wanted):
    entry = {"model_name": "m", "litellm_params": {"model": "demo/demo", "input_cost_per_token": 1}}
    gateway = InProcess({"model_list": [entry], "policies": ["pii"], "telemetry": {"compat": wanted}})
    try:
        reply = gateway.ask({"model": "m", "prompt": "one"})
        refused = gateway.ask({"model": "m"})
    finally:
        gateway.close()
    twins = {name for name in reply.headers if name.startswith("x-litellm-")}
    if not wanted:
        assert not twins
        return
    assert twins == {f"x-litellm-{name}" for name in ("call-id", "model-id", "response-cost", "applied-guardrails")}
    assert reply.headers["x-litellm-call-id"] == reply.headers["x-request-id"]
    assert [name for name in refused.headers if name.startswith("x-litellm-")] == ["x-litellm-call-id"]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, "0"),
        # "one two three" is 7 tokens around 3, and the demo says back as much as max_tokens lets it: 2
        ({"input_cost_per_token": 0.001, "output_cost_per_token": 0.01}, "0.03"),
    ],
)
def test_an_answer_says_what_it_cost(params, expected):
    entry = {"model_name": "m", "litellm_params": {"model": "demo/demo", **params}}
    gateway = InProcess({"model_list": [entry], "policies": []})
    try:
        reply = gateway.ask({"model": "m", "prompt": "one two three", "max_tokens": 2})
        counted = reply.json["usage"]
        assert reply.headers["x-gateway-cost-usd"] == expected, counted
    finally:
        gateway.close()


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0, b"0ms"),
        (0.0101, b"11ms"),
        (1, b"1s"),
        (59.2, b"1m0s"),
        (360, b"6m0s"),
        (3_600, b"1h0m0s"),
        (86_400, b"24h0m0s"),
        (90_061.5, b"25h1m2s"),
    ],
)
def test_a_time_until_a_limit_is_whole_is_written_as_openai_does_and_never_too_short(seconds, written):
    assert headers.until(seconds) == written


def test_only_limits_that_bind_are_told_and_one_that_is_never_whole_again_has_no_time():
    exchange = Exchange("r", "POST", "/v1/completions")
    exchange.rates = (Rate("tokens", 100, 7, None),)
    found = {name: value for name, value in headers.own(exchange) if name.startswith(b"x-ratelimit")}
    assert found == {b"x-ratelimit-limit-tokens": b"100", b"x-ratelimit-remaining-tokens": b"7"}
