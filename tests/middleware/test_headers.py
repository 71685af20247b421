"""The gateway's own headers: what an answer cost."""

from decimal import Decimal

import pytest

from gateway.exchange import Exchange
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
