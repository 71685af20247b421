"""The walk of the README, followed step by step: what an earlier step refuses, a later one never sees."""

import asyncio
import re
from pathlib import Path

import orjson
import pytest

from gateway.app import Gateway
from gateway.config.load import from_mapping
from gateway.middleware import stack
from gateway.telemetry import logs
from gateway.wire import asgi

KEY = "sk-master-1"
CONFIG = {
    "model_list": [
        {"model_name": "demo", "litellm_params": {"model": "demo/demo"}},
        {"model_name": "broken", "litellm_params": {"model": "demo/demo", "demo_fault": "status_500"}},
    ],
    "router_settings": {"num_retries": 0},
    "general_settings": {"master_key": KEY, "max_request_bytes": 2048},
}
GOOD = {"model": "demo", "prompt": "Say this is a test", "max_tokens": 7}


def answer(body: bytes, key: str | None = KEY, path: str = "/v1/completions", method: str = "POST", **headers: str):
    async def run():
        found = from_mapping(CONFIG)
        gateway = Gateway(found.settings, found.source, logs.make("library"))
        sent = [(name.encode(), value.encode()) for name, value in headers.items()]
        if key:
            sent.append((b"authorization", f"Bearer {key}".encode()))
        response = await asgi.request(gateway, method, path, sent, body)
        whole = await response.read()
        await gateway.close()
        return response.status, dict(response.headers), orjson.loads(whole)

    return asyncio.run(run())


BIG = orjson.dumps({**GOOD, "prompt": "x" * 3000})


@pytest.mark.parametrize(
    ("step", "status", "code", "asked"),
    [
        ("request in", 413, "request_too_large", {"body": BIG, "key": None, "content-length": str(len(BIG))}),
        ("request in", 431, "headers_too_large", {"body": b"{", "key": None, "x-long": "x" * 40_000}),
        ("identify", 401, "invalid_api_key", {"body": b"{", "key": None}),
        ("identify", 401, "invalid_api_key", {"body": b"{", "key": "sk-other-1"}),
        ("read", 400, "invalid_json", {"body": b"{"}),
        ("read", 400, "missing_required_parameter", {"body": b'{"model": "nobody"}'}),
        ("translate, route, call", 404, "model_not_found", {"body": b'{"model": "dem", "prompt": "p", "best_of": 3}'}),
        (
            "translate, route, call",
            400,
            "unsupported_parameter",
            {"body": b'{"model": "broken", "prompt": "p", "x": 1}'},
        ),
        ("translate, route, call", 502, "upstream_error", {"body": b'{"model": "broken", "prompt": "p"}'}),
    ],
)
def test_each_step_refuses_before_the_next_one_looks(step, status, code, asked):
    found, headers, body = answer(**asked)
    assert (found, body["error"]["code"]) == (status, code), step
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert headers["x-request-id"]
    assert headers["x-gateway-version"]


def test_at_the_end_of_the_walk_there_is_an_answer_and_what_served_it():
    status, headers, body = answer(orjson.dumps(GOOD), **{"x-request-id": "mine-1"})
    assert (status, body["choices"][0]["text"], body["model"]) == (200, "This is a test.", "demo")
    assert headers["x-request-id"] == "mine-1"
    assert headers["x-gateway-provider"] == "demo"
    assert headers["x-gateway-attempts"] == "1"
    assert float(headers["x-gateway-overhead-ms"]) <= float(headers["x-gateway-duration-ms"])


def test_the_closest_alias_is_named():
    assert "demo" in answer(b'{"model": "dmo", "prompt": "p"}')[2]["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nowhere", 404), ("GET", "/v1/completions", 405), ("POST", "/v1/models", 405)],
)
def test_what_is_not_there_is_told_in_the_same_form(method, path, status):
    found, _, body = answer(b"", path=path, method=method)
    assert (found, set(body["error"])) == (status, {"message", "type", "param", "code"})


def test_the_readme_names_the_steps_in_the_order_of_the_onion():
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    walk = readme[readme.index("## The walk") : readme.index("## Providers and parameters")]
    found = from_mapping(CONFIG)
    files = [step.cls.__module__.rsplit(".", 1)[1] for step in stack(found.settings, logs.make("library"))]
    named = re.findall(r"(\w+)\.py", walk)
    assert [name for name in named if name in files] == files


@pytest.mark.parametrize(("path", "lines"), [("/health/live", 0), ("/v1/models", 1), ("/nowhere", 1)])
def test_one_line_is_logged_per_request_and_none_for_a_probe_that_finds_all_well(path, lines, caplog):
    with caplog.at_level("INFO", logger="gateway"):
        answer(b"", path=path, method="GET")
    assert [record.getMessage() for record in caplog.records] == ["request"] * lines
