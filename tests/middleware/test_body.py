"""Reading a request: its body in any number of pieces, compressed or not, and whom it is for."""

import asyncio
import gzip
import zlib

import orjson
import pytest

from gateway.errors import (
    ClientDisconnected,
    InvalidValue,
    MethodNotAllowed,
    MissingParameter,
    RequestTimeout,
    RequestTooLarge,
)
from gateway.exchange import SCOPE_KEY, Exchange
from gateway.middleware.body import BodyMiddleware, decompress

GOOD = {"model": "m", "prompt": "p"}


def read(
    *pieces: bytes,
    headers: dict[str, str] | None = None,
    path: str = "/v1/completions",
    method: str = "POST",
    ends: str = "whole",
    **options: object,
) -> Exchange:
    exchange = Exchange("r", method, path)
    reached = []
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    if ends == "whole":
        messages[-1]["more_body"] = False
    elif ends == "left":
        messages.append({"type": "http.disconnect"})

    async def receive():
        if not messages:
            await asyncio.Event().wait()
        return messages.pop(0)

    async def app(scope, receive, send):
        reached.append(True)

    sent = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    scope = {"type": "http", "path": path, "method": method, "headers": sent, SCOPE_KEY: exchange}
    asyncio.run(BodyMiddleware(app, **{"max_bytes": 1000, "read_timeout": 5, **options})(scope, receive, None))
    assert reached
    return exchange


BODY = orjson.dumps(GOOD)


@pytest.mark.parametrize("cut", [0, 1, 10, len(BODY)])
def test_a_body_may_come_in_pieces(cut):
    assert read(BODY[:cut], BODY[cut:]).request == read(BODY).request


def test_other_paths_pass_untouched():
    assert read(b"not json", path="/v1/models", method="GET").request is None


def test_a_completion_is_asked_for_with_post():
    with pytest.raises(MethodNotAllowed):
        read(b"", method="GET")


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/completions", "m"), ("/engines/e/completions", "e"), ("/v1/engines/e/completions", "e"),
        ("/openai/deployments/d/completions", "d"), ("/engines/a/b/completions", "a/b"),
    ],
)  # fmt: skip
def test_the_model_of_the_path_wins(path, model):
    found = read(BODY, path=path).request
    assert found
    assert found.model == model


def test_a_client_that_leaves_before_its_body_is_whole_is_gone():
    with pytest.raises(ClientDisconnected):
        read(BODY[:5], ends="left")


def test_a_client_that_never_finishes_is_timed_out():
    with pytest.raises(RequestTimeout) as refused:
        read(BODY[:5], ends="never", read_timeout=0.01)
    assert refused.value.status == 408


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("identity", bytes)]
)
def test_a_compressed_body_is_read(encoding, pack):
    assert read(pack(BODY), headers={"content-encoding": encoding}).request == read(BODY).request


@pytest.mark.parametrize(
    ("body", "encoding", "error"),
    [
        (gzip.compress(b"0" * 10_000_000, mtime=0), "gzip", RequestTooLarge),
        (gzip.compress(BODY, mtime=0)[:-9], "gzip", InvalidValue),
        (b"not gzip", "gzip", InvalidValue),
        (BODY, "br", InvalidValue),
        (BODY, "gzip, gzip", InvalidValue),
    ],
)
def test_a_bomb_or_a_broken_body_is_refused(body, encoding, error):
    with pytest.raises(error):
        decompress(body, encoding, 1000)


USERS = {**GOOD, "user": "u", "metadata": {"user_id": "m"}, "safety_identifier": "s"}


@pytest.mark.parametrize(
    ("header", "sources", "expected"),
    [
        ("x-gateway-end-user", ("header", "user"), "h"),
        ("x-litellm-end-user-id", ("header",), "h"),
        ("x-litellm-customer-id", ("header",), "h"),
        (None, ("header", "user"), "u"),
        ("x-gateway-end-user", ("user", "header"), "u"),
        (None, ("metadata.user_id", "user"), "m"),
        (None, ("safety_identifier",), "s"),
        (None, ("header",), None),
    ],
)
def test_the_end_user_is_the_first_one_found(header, sources, expected):
    headers = {header: " h "} if header else {}
    assert read(orjson.dumps(USERS), headers=headers, end_user_sources=sources).end_user == expected


def test_names_are_bounded_and_printable():
    found = read(
        BODY,
        headers={"x-gateway-end-user": "a\tb" + "c" * 1000, "x-gateway-tags": "x, y,, x", "x-gateway-session": "s"},
    )
    assert found.end_user
    assert found.end_user.startswith("abc")
    assert len(found.end_user) <= 256
    assert (found.tags, found.session) == (("x", "y"), "s")


def test_tags_of_header_and_body_are_joined():
    assert read(orjson.dumps({**GOOD, "tags": ["b", "a"]}), headers={"x-gateway-tags": "a"}).tags == ("a", "b")


def test_an_end_user_may_be_required():
    with pytest.raises(MissingParameter) as refused:
        read(BODY, require_end_user=True)
    assert refused.value.param == "user"


@pytest.mark.parametrize("seconds", ["0", "-1", "x", "nan", "inf"])
def test_a_wrong_timeout_is_refused(seconds):
    with pytest.raises(InvalidValue) as refused:
        read(BODY, headers={"x-gateway-timeout": seconds})
    assert refused.value.param == "x-gateway-timeout"


def test_a_clients_timeout_is_kept():
    assert read(BODY, headers={"x-gateway-timeout": "2.5"}).timeout == 2.5
