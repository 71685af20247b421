"""The log: one line per request, one form for everybody, and nothing in it that a client wrote."""

import logging
from decimal import Decimal

import orjson
import pytest

from gateway.errors import UpstreamTimeout
from gateway.exchange import Exchange
from gateway.telemetry import logs
from gateway.types import CompletionRequest, Cost, Usage

CANARY = "canary-4111"


def filled() -> Exchange:
    exchange = Exchange("req_1", "POST", "/v1/completions")
    exchange.request = CompletionRequest("m", (CANARY,), suffix=CANARY, stop=(CANARY,), metadata={"a": CANARY})
    exchange.provider, exchange.deployment, exchange.served_model = "openai", "openai-1", "gpt"
    exchange.usage = Usage(3, 4, estimated=True)
    exchange.finish_reasons = {1: "length", 0: "stop"}
    exchange.status, exchange.attempts, exchange.end_user, exchange.tags = 200, 1, "u-1", ("a", "b")
    return exchange


def test_the_line_of_a_request_says_what_happened_and_nothing_of_what_was_said():
    line = logs.request_line(filled())
    assert line["gen_ai.usage.input_tokens"] == 3
    assert line["gen_ai.response.finish_reasons"] == ["stop", "length"]
    assert (line["user.id"], line["gateway.tags"]) == ("u-1", ["a", "b"])
    assert CANARY not in orjson.dumps(line).decode()


def test_a_failure_is_named_by_its_code():
    exchange = filled()
    exchange.error = UpstreamTimeout("slow")
    assert logs.request_line(exchange)["error.type"] == "upstream_timeout"


def test_json_lines_carry_time_and_severity(capfdbinary):
    logs.make("json").info("request", a=1)
    line = orjson.loads(capfdbinary.readouterr().out)
    assert (line["event"], line["severity_text"], line["a"]) == ("request", "INFO", 1)
    assert line["timestamp"].endswith("Z")


@pytest.mark.parametrize("kind", ["json", "console"])
def test_a_traceback_never_shows_the_values_of_variables(kind, capfdbinary):
    def fails(prompt: str) -> None:
        raise ValueError("no")

    try:
        fails(CANARY)
    except ValueError:
        logs.make(kind).exception("internal_error")
    out = capfdbinary.readouterr().out.decode()
    assert "fails" in out
    assert CANARY not in out


@pytest.fixture
def root_logger():
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    yield root
    root.handlers[:], root.level = before


def test_libraries_log_in_the_same_form_and_chatter_stays_out(capfdbinary, root_logger):
    logs.take_over(logs.make("json"))
    logging.getLogger("some.library").warning("told %s", "once")
    logging.getLogger("httpx").info("HTTP Request: GET https://example.org/?key=secret")
    lines = [orjson.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
    assert [(line["event"], line["logger"], line["severity_text"]) for line in lines] == [
        ("told once", "some.library", "WARN")
    ]


def test_in_process_events_go_to_the_host_applications_logger(caplog):
    with caplog.at_level(logging.INFO, logger="gateway"):
        logs.make("library").info("request", **{"http.response.status_code": 200})
    assert [record.getMessage() for record in caplog.records] == ["request"]


@pytest.mark.parametrize(
    ("cost", "usd", "source"),
    [
        (Cost(Decimal("0.0000125"), "catalogue", "0.2.3"), 0.0000125, "catalogue"),
        (Cost(None, "unpriced"), None, "unpriced"),
    ],
)
def test_the_line_says_what_a_request_cost_and_who_says_so(cost, usd, source):
    exchange = filled()
    assert "gen_ai.usage.cost" not in logs.request_line(exchange)
    exchange.cost = cost
    line = logs.request_line(exchange)
    assert (line["gen_ai.usage.cost"], line["gateway.cost.source"]) == (usd, source)
    assert line["gateway.cost.price_version"] == cost.version
