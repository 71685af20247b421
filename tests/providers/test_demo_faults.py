"""The demo's faults, as the bytes and the connection a client sees."""

import asyncio
import time

import httpx
import openai
import orjson
import pytest

from gateway.errors import (
    UpstreamConnectionError,
    UpstreamError,
    UpstreamInvalidResponse,
    UpstreamRateLimited,
    UpstreamRejected,
)
from gateway.providers.base import Target
from gateway.providers.demo import language
from gateway.providers.demo.app import app
from gateway.providers.demo.faults import FAULTS, REFUSALS
from gateway.wire import asgi
from tests.providers import kit
from tests.providers.demo_kit import ask, serving

TEXT, CHAT = "/v1/completions", "/v1/chat/completions"
BODIES = {
    TEXT: {"model": "demo", "prompt": "Say one two three"},
    CHAT: {"model": "demo", "messages": [{"role": "user", "content": "Say one two three"}]},
}
both = pytest.mark.parametrize("path", [TEXT, CHAT])
streamed_or_not = pytest.mark.parametrize("stream", [False, True])


@pytest.fixture(scope="module")
def origin():
    with serving() as made:
        yield made


def body(path: str, stream: bool = False) -> dict[str, object]:
    return {**BODIES[path], **({"stream": True, "stream_options": {"include_usage": True}} if stream else {})}


def faulty(path: str, fault: str, stream: bool = False, **switches: object):
    return ask(path, body(path, stream), fault=fault, **switches)


def events(data: bytes) -> list[bytes]:
    return data.split(b"\n\n")


def shown(path: str, data: list[bytes]) -> str:
    choices = [choice for event in data for choice in orjson.loads(event.removeprefix(b"data: "))["choices"]]
    return "".join(choice["text"] if path == TEXT else choice["delta"].get("content", "") for choice in choices)


@both
@streamed_or_not
@pytest.mark.parametrize("fault", REFUSALS)
def test_a_refusal_comes_instead_of_any_answer(path, stream, fault):
    status, headers, data = faulty(path, fault, stream)
    assert status == int(fault.removeprefix("status_")) if fault.startswith("status_") else status in (200, 400, 429)
    assert data == REFUSALS[fault].body
    assert headers["content-length"] == str(len(data))
    assert ("retry-after" in headers) == (fault == "status_429")
    if headers["content-type"] == "application/json" and data:
        assert set(orjson.loads(data)["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("status_400", openai.BadRequestError),
        ("context_length", openai.BadRequestError),
        ("status_401", openai.AuthenticationError),
        ("status_403", openai.PermissionDeniedError),
        ("status_404", openai.NotFoundError),
        ("status_422", openai.UnprocessableEntityError),
        ("status_429", openai.RateLimitError),
        ("insufficient_quota", openai.RateLimitError),
        ("status_500", openai.InternalServerError),
        ("status_502", openai.InternalServerError),
        ("status_503", openai.InternalServerError),
        ("status_504", openai.InternalServerError),
    ],
)
def test_openais_client_sees_openais_errors(origin, fault, error):
    with (
        openai.OpenAI(base_url=f"{origin}/v1", api_key="any", max_retries=0) as client,
        pytest.raises(error) as caught,
    ):
        client.completions.create(model="demo", prompt="a", extra_headers={"x-demo-fault": fault})
    assert caught.value.status_code == REFUSALS[fault].status


@both
@pytest.mark.parametrize("at", [0, 1, 2, 99])
def test_a_stream_ends_early_after_the_events_asked_for_and_before_its_finish(path, at):
    whole = events(ask(path, body(path, True))[2])
    status, _, data = faulty(path, "end_early", True, fault_at=at)
    assert status == 200
    got = events(data)[:-1]
    assert got == [] if at == 0 else len(got) == min(at, len(whole) - 4)  # no finish, usage, [DONE], end
    assert b'finish_reason":"' not in data
    assert "One two three.".startswith(shown(path, got).strip())


@both
def test_truncated_json_is_an_event_cut_in_its_middle_in_a_body_that_ends(path):
    *before, cut, end = events(faulty(path, "truncated_json", True, fault_at=1)[2])
    assert (len(before), end) == (1, b"")
    assert cut.startswith(b'data: {"id"')
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(cut.removeprefix(b"data: "))
    whole = faulty(path, "truncated_json")[2]
    assert whole.startswith(b'{"id"')
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(whole)


def read_until_it_breaks(origin: str, path: str, stream: bool, fault: str) -> tuple[bytes, Exception | None]:
    """What a client on a socket gets of a body, and how it ended: None for a proper end."""
    got = b""
    timeout = httpx.Timeout(5, read=0.3)
    try:
        with httpx.stream(
            "POST", origin + path, json=body(path, stream), headers={"x-demo-fault": fault}, timeout=timeout
        ) as answer:
            for chunk in answer.iter_raw():
                got += chunk
    except httpx.TransportError as error:
        return got, error
    return got, None


@both
@streamed_or_not
def test_a_cut_connection_breaks_in_the_middle_of_the_body(origin, path, stream):
    got, end = read_until_it_breaks(origin, path, stream, "cut_stream")
    assert isinstance(end, httpx.RemoteProtocolError)
    assert got.startswith(b'data: {"id"' if stream else b'{"id"')
    assert b"[DONE]" not in got
    assert got.count(b"\n\n") == (2 if stream else 0)
    with pytest.raises(asgi.IncompleteAnswer):
        faulty(path, "cut_stream", stream)


@both
def test_an_error_event_follows_the_first_events(path):
    *before, error, done, end = events(faulty(path, "error_event", True)[2])
    assert (len(before), done, end) == (2, b"data: [DONE]", b"")
    assert orjson.loads(error.removeprefix(b"data: "))["error"]["type"] == "server_error"
    status, _, data = faulty(path, "error_event")
    assert status == 200
    assert list(orjson.loads(data)) == ["error"]


@both
@streamed_or_not
def test_a_stall_sends_nothing_more_and_leaves_the_connection_open(origin, path, stream):
    got, end = read_until_it_breaks(origin, path, stream, "stall")
    assert isinstance(end, httpx.ReadTimeout)
    assert got.count(b"\n\n") == (2 if stream else 0)


@both
@streamed_or_not
def test_an_endless_answer_goes_on_until_the_client_leaves(path, stream):
    async def read() -> tuple[int, asgi.AsgiResponse]:
        headers = [(b"x-demo-fault", b"endless")]
        answer = await asgi.request(app, "POST", path, headers, orjson.dumps(body(path, stream)))
        size = 0
        async for chunk in answer.chunks():
            size += len(chunk)
            if size > 200_000:
                break
        await answer.finished()
        return size, answer

    size, answer = asyncio.run(read())
    assert size > 200_000
    assert "closed" in repr(answer)


def test_an_endless_stream_over_a_socket_ends_with_the_connection(origin):
    with httpx.Client() as client:
        with client.stream("POST", origin + CHAT, json=body(CHAT, True), headers={"x-demo-fault": "endless"}) as r:
            pieces = r.iter_raw()
            assert sum(len(next(pieces)) for _ in range(50)) > 5_000
        assert client.get(f"{origin}/health").json() == {"status": "ok"}


@both
def test_no_done_and_no_usage_leave_out_just_that(path):
    whole = events(ask(path, body(path, True))[2])
    without_done = events(faulty(path, "no_done", True)[2])
    assert len(without_done) == len(whole) - 1
    assert b'"total_tokens"' in without_done[-2]
    without_usage = faulty(path, "no_usage", True)[2]
    assert b"total_tokens" not in without_usage
    assert without_usage.endswith(b"data: [DONE]\n\n")
    assert "usage" not in orjson.loads(faulty(path, "no_usage")[2])


@both
def test_a_content_filter_ends_the_answer_with_its_own_reason(path):
    data = faulty(path, "content_filter", True, fault_at=2)[2]
    assert data.count(b'"finish_reason":"content_filter"') == 1
    choice = orjson.loads(faulty(path, "content_filter", fault_at=2)[2])["choices"][0]
    assert choice["finish_reason"] == "content_filter"
    assert shown(path, events(data)[:-2]) == (choice["text"] if path == TEXT else choice["message"]["content"])
    assert shown(path, events(data)[:-2]).strip() == "One two"


def test_delays_come_before_the_answer_and_between_its_events():
    start = time.monotonic()
    ask(TEXT, body(TEXT), delay_ms=60)
    whole = time.monotonic()
    count = len(events(ask(TEXT, body(TEXT, True), chunk_delay_ms=20)[2])) - 1
    end = time.monotonic()
    assert whole - start >= 0.06
    assert end - whole >= 0.02 * (count - 1)


def test_a_client_that_leaves_during_a_delay_is_let_go():
    async def leave() -> asgi.AsgiResponse:
        headers = [(b"x-demo-chunk-delay-ms", b"60000")]
        answer = await asgi.request(app, "POST", TEXT, headers, orjson.dumps(body(TEXT, True)))
        async for _ in answer.chunks():
            break
        await answer.finished()
        return answer

    assert "closed" in repr(asyncio.run(leave()))


@pytest.mark.parametrize(
    "switches",
    [{"fault": "unheard_of"}, {"delay_ms": "soon"}, {"delay_ms": "-1"}, {"chunk_tokens": 0}, {"delay_ms": "9" * 9}],
)
def test_a_switch_with_a_wrong_value_is_a_400_that_names_it(switches):
    status, _, data = ask(TEXT, body(TEXT), **switches)
    assert status == 400
    assert orjson.loads(data)["error"]["param"] == "x-demo-" + next(iter(switches)).replace("_", "-")


IN_A_STREAM = {
    "end_early": UpstreamConnectionError,
    "truncated_json": UpstreamInvalidResponse,
    "error_event": UpstreamError,
}


@pytest.mark.parametrize(("bind", "path"), [(language.chat, CHAT), (language.text, TEXT)])
@pytest.mark.parametrize("fault", IN_A_STREAM)
def test_the_languages_take_each_fault_for_what_it_is(bind, path, fault):
    call = kit.call("Say one two three", max_tokens=16, stream=True)
    data = faulty(path, fault, True)[2]
    with pytest.raises(IN_A_STREAM[fault]):
        kit.decode(bind(Target("demo", "demo")).stream(call), [data])


@pytest.mark.parametrize(
    ("fault", "error"),
    [("context_length", UpstreamRejected), ("status_429", UpstreamRateLimited), ("status_502", UpstreamError)],
)
def test_the_languages_take_each_refusal_for_what_it_is(fault, error):
    status, headers, data = faulty(TEXT, fault)
    assert type(language.text(Target("demo", "demo")).error(status, headers, data)) is error


def test_every_fault_is_described():
    assert set(REFUSALS) < set(FAULTS)
    assert all(FAULTS.values())
