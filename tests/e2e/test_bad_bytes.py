"""Bytes that are hardly HTTP, sent to a real server: every client gets an answer, and the server is well afterwards."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.wire import json
from tests.e2e.process import Served, read_to_end, serving
from tests.e2e.test_bad_input import body

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    config = (
        "model_list: [{model_name: demo, litellm_params: {model: demo/demo}}]\n"
        "policies: []\n"
        "general_settings: {request_read_timeout: 0.5}\n"
    )
    with serving(tmp_path_factory.mktemp("bad-input"), config) as running:
        yield running


HEAD = b"POST /v1/completions HTTP/1.1\r\nhost: gateway\r\n"
LIVE = b"GET /health/live HTTP/1.0\r\n"
LENGTH = b"content-length: %d\r\n" % len(body())
CLOSE = b"connection: close\r\n"


@pytest.mark.parametrize(
    ("pieces", "status", "code"),
    [
        ([LIVE, b"x: ", b"a" * 65_536, b"\r\n\r\n"], 431, "headers_too_large"),
        ([LIVE, b"x: ", b"a" * 1_048_576, b"\r\n\r\n"], 431, "headers_too_large"),
        ([LIVE, *[b"x: endless\r\n" * 1000] * 50], 431, "headers_too_large"),
        ([b"GET /", b"x" * 2_000_000], 431, "headers_too_large"),
        ([b"GET /health/live HTTP/9.9\r\n\r\n"], 400, "invalid_http"),
        ([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], 400, "invalid_http"),
        ([b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"], 400, "invalid_http"),
        ([b"BREW /pot HTTP/1.1\r\n\r\n"], 400, "invalid_http"),
        ([b"GET /\xff HTTP/1.1\r\n\r\n"], 400, "invalid_http"),
        ([b"CONNECT example.org:443 HTTP/1.1\r\n\r\n"], 400, "invalid_http"),
        ([HEAD, b"content-length: twelve\r\n\r\n"], 400, "invalid_http"),
        ([HEAD, b"content-length: 1\r\ncontent-length: 2\r\n\r\n"], 400, "invalid_http"),
        ([HEAD, LENGTH, b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n"], 400, "invalid_http"),
        ([HEAD, b"transfer-encoding: chunked\r\n\r\nzz\r\n"], 400, "invalid_http"),
        ([HEAD, CLOSE, b"content-length: 104857600\r\n\r\n", b"x" * 1000], 413, "request_too_large"),
        ([HEAD, CLOSE, LENGTH, b"\r\n", body()[:9]], 408, "request_timeout"),
        ([HEAD, LENGTH, b"connection: Upgrade, HTTP2-Settings, close\r\nupgrade: h2c\r\n\r\n", body()], 200, None),
        ([b"POST /v1/completions HTTP/1.0\r\n", LENGTH, b"\r\n", body()], 200, None),
        ([b"POST http://elsewhere.example/v1/completions HTTP/1.1\r\n", LENGTH, CLOSE, b"\r\n", body()], 200, None),
        ([b"HEAD /v1/models HTTP/1.0\r\n\r\n"], 200, None),
        ([b"OPTIONS * HTTP/1.0\r\n\r\n"], 404, "route_not_found"),
        ([b"GET / HTTP/1.0\r\nhost: [\r\n\r\n"], 404, "route_not_found"),
        ([HEAD, CLOSE, b"\r\n"], 400, "invalid_json"),
    ],
)
def test_bytes_that_are_hardly_http_get_an_answer(
    served: Served, pieces: list[bytes], status: int, code: str | None
) -> None:
    head, _, said = served.raw(*pieces).partition(b"\r\n\r\n")
    assert int(head.split()[1]) == status
    assert b"x-request-id: req_" in head
    assert b"x-gateway-version: " in head
    assert code is None or json.loads(said)["error"]["code"] == code
    assert served.is_well()


def test_a_hundred_megabytes_in_chunks_are_refused_at_the_byte_that_goes_over(served: Served) -> None:
    piece = b"%x\r\n%s\r\n" % (1 << 20, b" " * (1 << 20))
    said = served.raw(HEAD, CLOSE, b"transfer-encoding: chunked\r\n\r\n", *[piece] * 100)
    assert said.startswith(b"HTTP/1.1 413 ") or said == b""  # a reset may overtake the answer while we still write
    assert served.is_well()


def test_a_body_that_is_waited_for_is_asked_for(served: Served) -> None:
    with served.connect() as sock:
        sock.sendall(HEAD + LENGTH + CLOSE + b"expect: 100-continue\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 100 Continue\r\n")
        sock.sendall(body())
        assert read_to_end(sock).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_body_over_the_bound_is_not_even_asked_for(served: Served) -> None:
    said = served.raw(HEAD, CLOSE, b"content-length: 104857600\r\nexpect: 100-continue\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 413 ")


def test_pipelined_requests_are_answered_in_their_order(served: Served) -> None:
    asked = b"".join(
        HEAD + b"content-length: %d\r\n%s\r\n%s" % (len(one), CLOSE if last else b"", one)
        for one, last in ((body(prompt="Say one"), False), (body(prompt="Say two"), False), (b"{}", True))
    )
    said = served.raw(asked)
    assert said.count(b"HTTP/1.1 ") == 3
    assert said.index(b"One.") < said.index(b"Two.") < said.index(b"missing_required_parameter")


@pytest.mark.parametrize(
    ("pieces", "status"),
    [
        ([b"GET /health/live HTTP/1.1\r\nx-slow"], [b"408"]),
        ([b"GET /health/live HTTP/1.1\r\n\r\n", b"GET /heal"], [b"200", b"408"]),
        ([b"POST /nope HTTP/1.1\r\ncontent-length: 1000000\r\n\r\n", b"and no end"], [b"404"]),
        ([b"POST /nope HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", b"1\r\nx\r\n"], [b"404"]),
        ([], []),
    ],
)
def test_a_head_that_trickles_in_or_a_refused_body_without_end_is_given_up(
    tmp_path: Path, pieces: list[bytes], status: list[bytes]
) -> None:
    with serving(tmp_path, patience=0.3) as hurried:
        said = hurried.raw(*pieces)
        assert [part.split()[0] for part in said.split(b"HTTP/1.1 ")[1:]] == status
        assert said.count(b"request_timeout") == status.count(b"408")
        assert hurried.is_well()
