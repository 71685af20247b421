"""Requests nobody should send: what they are answered with, and that the gateway is well afterwards."""

import gzip
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from gateway.wire import asgi, json
from tests.inprocess import InProcess

MODELS = [
    {"model_name": "demo", "litellm_params": {"model": "demo/demo"}},
    {"model_name": "open", "litellm_params": {"model": "demo/demo", "extra_params": "allow"}},
    {"model_name": "team/größer 模型", "litellm_params": {"model": "demo/demo"}},
    {
        "model_name": "filled",
        "litellm_params": {"model": "text-completion-demo/demo", "max_tokens": 3, "stop": ["\n\n"], "n": 2},
    },
]
GOOD = {"model": "demo", "prompt": "Say hello", "max_tokens": 5}
NESTED = b"[" * 300 + b"]" * 300


@pytest.fixture(scope="module")
def gateway() -> Iterator[InProcess]:
    running = InProcess({"model_list": MODELS, "policies": [], "general_settings": {"max_request_bytes": 100_000}})
    yield running
    running.close()


def body(**changes: Any) -> bytes:
    return json.dumps({**GOOD, **changes})


@pytest.mark.parametrize(
    ("sent", "code", "param"),
    [
        (b"", "invalid_json", None),
        (b"\x00", "invalid_json", None),
        (b"prompt=hello&model=demo", "invalid_json", None),
        (b"{'model': 'demo'}", "invalid_json", None),
        (b'{"model":"demo","prompt":"caf\xe9"}', "invalid_json", None),
        (b'\xef\xbb\xbf{"model":"demo","prompt":"x"}', "invalid_json", None),
        ('{"model":"demo","prompt":"x"}'.encode("utf-16"), "invalid_json", None),
        (b'{"model":"demo","prompt":"\\ud83d"}', "invalid_json", None),
        (b'{"model":"demo","prompt":"x","temperature":NaN}', "invalid_json", None),
        (b'{"model":"demo","prompt":"x","temperature":1e400}', "invalid_json", None),
        (b'{"model":"demo","prompt":"x"}{}', "invalid_json", None),
        (b"[" * 90_000, "invalid_json", None),
        (b'{"a":' * 15_000, "invalid_json", None),
        (b"[]", "invalid_json", None),
        (b"null", "invalid_json", None),
        (b'"demo"', "invalid_json", None),
        (b"{}", "missing_required_parameter", "model"),
        (b'{"model":"demo"}', "missing_required_parameter", "prompt"),
        (b'{"model":null,"prompt":"x"}', "missing_required_parameter", "model"),
        (body(max_tokens="5"), "invalid_type", "max_tokens"),
        (body(max_tokens=2**31), "invalid_value", "max_tokens"),
        (b'{"model":"demo","prompt":"x","max_tokens":' + b"9" * 400 + b"}", "invalid_json", None),
        (b'{"model":"demo","prompt":"x","max_tokens":' + b"9" * 200 + b"}", "invalid_value", "max_tokens"),
        (body(n=True), "invalid_type", "n"),
        (body(seed=2**63), "invalid_value", "seed"),
        (body(prompt=[]), "invalid_value", "prompt"),
        (body(prompt=[[]]), "invalid_value", "prompt"),
        (body(prompt=["a", 1]), "invalid_type", "prompt"),
        (body(prompt=[1.5]), "invalid_type", "prompt"),
        (body(prompt=[-1]), "invalid_value", "prompt"),
        (body(prompt=[2**40]), "invalid_value", "prompt"),
        (body(prompt={"text": "x"}), "invalid_type", "prompt"),
        (body(logit_bias={"9" * 5000: 1}), "invalid_value", "logit_bias"),
        (body(stream_options={"include_usage": True}), "invalid_value", "stream_options"),
        (body(best_of=2, stream=True), "invalid_value", "best_of"),
        (b'{"model":"demo","prompt":"x","metadata":' + NESTED + b"}", "invalid_type", "metadata"),
        (b'{"model":"demo","prompt":"x","metadata":{"a":' + NESTED + b"}}", "invalid_value", "metadata"),
        (b'{"model":"open","prompt":"x","shape":' + NESTED + b"}", "invalid_value", "shape"),
        (body(top_k=3), "unsupported_parameter", "top_k"),
        (body(**{"x" * 500: 3}), "unsupported_parameter", "x" * 80),
        (body(model=""), "invalid_value", "model"),
        (body(model="x" * 513), "invalid_value", "model"),
    ],
)
def test_a_body_that_is_no_completion_request_is_refused_by_name(
    gateway: InProcess, sent: bytes, code: str, param: str | None
) -> None:
    reply = gateway.ask(sent)
    assert (reply.status, reply.error["code"], reply.error["param"]) == (400, code, param)
    assert len(reply.error["message"]) < 300
    assert reply.headers["x-request-id"].startswith("req_")


def test_of_duplicate_keys_the_last_one_counts(gateway: InProcess) -> None:
    reply = gateway.ask(b'{"model":"none","n":1,"prompt":"x","max_tokens":1,"n":2,"model":"demo"}')
    assert (reply.status, reply.json["model"], len(reply.json["choices"])) == (200, "demo", 2)


def test_a_number_out_of_range_is_told_both_bounds(gateway: InProcess) -> None:
    assert gateway.ask(body(max_tokens=2**31)).error["message"] == "max_tokens must be between 0 and 2147483647."


@pytest.mark.parametrize(
    ("encoding", "sent", "status", "param"),
    [
        (b"gzip", gzip.compress(body(), mtime=0), 200, None),
        (b"GZIP", gzip.compress(body(), mtime=0), 200, None),
        (b"deflate", zlib.compress(body()), 200, None),
        (b"identity", body(), 200, None),
        (b"gzip", gzip.compress(bytes(50_000_000), mtime=0), 413, None),
        (b"gzip", body(), 400, "content-encoding"),
        (b"gzip", gzip.compress(body(), mtime=0)[:-9], 400, "content-encoding"),
        (b"gzip", gzip.compress(body(), mtime=0) + b"and more", 400, "content-encoding"),
        (b"deflate", b"\xff" * 50, 400, "content-encoding"),
        (b"br", body(), 400, "content-encoding"),
        (b"gzip, gzip", gzip.compress(gzip.compress(body(), mtime=0), mtime=0), 400, "content-encoding"),
    ],
)
def test_a_compressed_body_is_read_or_refused_but_never_outgrows_the_bound(
    gateway: InProcess, encoding: bytes, sent: bytes, status: int, param: str | None
) -> None:
    reply = gateway.ask(sent, headers=[(b"content-encoding", encoding)])
    assert reply.status == status
    assert status == 200 or reply.error["param"] == param


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/engines/demo/completions", 200, None),
        ("/v1/engines/demo/completions", 200, None),
        (
            "/openai/deployments/team%2Fgr%C3%B6%C3%9Fer%20%E6%A8%A1%E5%9E%8B/completions?api-version=2024-02-01",
            200,
            None,
        ),
        ("/openai/deployments/team/gr%C3%B6%C3%9Fer%20%E6%A8%A1%E5%9E%8B/completions", 200, None),
        ("/engines/d%2565mo/completions", 404, "model_not_found"),
        ("/engines/..%2F..%2F..%2Fetc%2Fpasswd/completions", 404, "model_not_found"),
        ("/engines/../../v1/completions", 404, "model_not_found"),
        ("/engines/%FF%FE/completions", 404, "model_not_found"),
        ("/engines/%20/completions", 400, "invalid_value"),
        (f"/engines/{'x' * 20_000}/completions", 400, "invalid_value"),
        ("/engines//completions", 404, "route_not_found"),
        ("/engines/completions", 404, "route_not_found"),
        ("/v1/completions%0A", 404, "route_not_found"),
        ("/v1/completions/", 404, "route_not_found"),
        ("//v1/completions", 404, "route_not_found"),
        ("/v1/completion", 404, "route_not_found"),
        ("/v1/chat/completions", 404, "route_not_found"),
        ("/%00", 404, "route_not_found"),
        ("/" + "x" * 20_000, 404, "route_not_found"),
    ],
)
def test_a_path_names_a_model_an_endpoint_or_nothing(
    gateway: InProcess, path: str, status: int, code: str | None
) -> None:
    reply = gateway.ask(body(model="not this one"), path)
    assert reply.status == status
    if code:
        assert reply.error["code"] == code
        assert len(reply.body) < 500


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE", "BREW"])
def test_a_completion_is_asked_for_with_post_only(gateway: InProcess, method: str) -> None:
    reply = gateway.ask(body(), method=method)
    assert (reply.status, reply.headers["allow"], reply.error["code"]) == (405, "POST", "method_not_allowed")


@pytest.mark.parametrize("path", ["/v1/models", "/health/live", "/openapi.json"])
def test_what_is_read_cannot_be_posted_to(gateway: InProcess, path: str) -> None:
    reply = gateway.ask(body(), path)
    assert (reply.status, reply.error["code"]) == (405, "method_not_allowed")
    assert set(reply.headers["allow"].split(", ")) == {"GET", "HEAD"}


@pytest.mark.parametrize(
    ("header", "status", "param"),
    [
        ((b"content-length", b"9" * 5000), 400, "content-length"),
        ((b"content-length", b"-1"), 400, "content-length"),
        ((b"content-length", b"100001"), 413, None),
        ((b"x-gateway-timeout", b"soon"), 400, "x-gateway-timeout"),
        ((b"x-gateway-timeout", b"nan"), 400, "x-gateway-timeout"),
        ((b"x-gateway-timeout", b"0"), 400, "x-gateway-timeout"),
        ((b"x-gateway-end-user", b"\xff\xfe\x00"), 200, None),
        ((b"x-request-id", b"a\r\nset-cookie: x"), 200, None),
        ((b"host", b"["), 200, None),
        ((b"traceparent", b"nonsense"), 200, None),
        ((b"content-type", b"text/plain"), 200, None),
    ],
)
def test_a_header_that_makes_no_sense_is_refused_or_ignored(
    gateway: InProcess, header: tuple[bytes, bytes], status: int, param: str | None
) -> None:
    reply = gateway.ask(body(), headers=[header])
    assert reply.status == status
    assert status == 200 or reply.error["param"] == param
    assert reply.headers["x-request-id"].startswith("req_")


def test_a_strange_host_does_not_hide_that_there_is_no_such_page(gateway: InProcess) -> None:
    assert gateway.ask(body(), "/nope", [(b"host", b"[")]).error["code"] == "route_not_found"


def test_an_operators_defaults_stand_in_only_for_what_the_client_left_out(gateway: InProcess) -> None:
    filled = gateway.ask({"model": "filled", "prompt": "x"}).json
    assert [choice["finish_reason"] for choice in filled["choices"]] == ["length", "length"]
    assert filled["usage"]["completion_tokens"] == 6
    given = gateway.ask({"model": "filled", "prompt": "x", "max_tokens": 4, "n": 1, "stop": None}).json
    assert given["usage"]["completion_tokens"] == 4


def test_an_answer_without_a_call_names_the_deployment_too(gateway: InProcess) -> None:
    reply = gateway.ask(body(max_tokens=0, echo=True))
    assert reply.json["choices"][0]["text"] == "Say hello"
    assert (reply.headers["x-gateway-deployment"], reply.headers["x-gateway-attempts"]) == ("demo-1", "0")


def test_below_another_app_every_path_means_the_same(gateway: InProcess) -> None:
    outer = Starlette(routes=[Mount("/llm", app=gateway.gateway)])
    for path in ("/llm/v1/completions", "/llm/engines/demo/completions"):
        assert gateway.ask(body(), path, app=outer).json["model"] == "demo"
    stranger = {"client": ("192.0.2.1", 1), "gateway.local": False}
    assert gateway.ask(method="GET", path="/llm/health/live", app=outer, scope=stranger).status == 200
    assert gateway.ask(method="GET", path="/llm/v1/models", app=outer, scope=stranger).status == 401


def test_a_client_in_process_that_leaves_a_stream_is_no_fault(
    gateway: InProcess, caplog: pytest.LogCaptureFixture
) -> None:
    async def leave() -> None:
        answer = await asgi.request(gateway.gateway, "POST", "/v1/completions", [], body(max_tokens=50, stream=True))
        async for _ in answer.chunks():
            break
        await answer.close()
        await answer.finished()

    with caplog.at_level("INFO", "gateway"):
        gateway.run(leave())
    line = caplog.records[-1].__dict__
    assert [record.getMessage() for record in caplog.records] == ["request"]
    assert line["error.type"] == "client_disconnected"


@pytest.mark.parametrize("sent", ["Jürgen", "Νίκος"])
def test_a_name_in_a_header_may_be_utf_8(gateway: InProcess, caplog: pytest.LogCaptureFixture, sent: str) -> None:
    with caplog.at_level("INFO", "gateway"):
        gateway.ask(body(), headers=[(b"x-gateway-end-user", sent.encode())])
    assert caplog.records[-1].__dict__["user.id"] == sent
