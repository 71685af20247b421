"""The functions in process: the objects, the errors and the streams of the API, without a server."""

import asyncio
import json
import logging
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai.types
import pytest

import gateway
from gateway import errors
from gateway.exchange import LOCAL_KEY
from gateway.sdk import Client, atext_completion, text_completion
from gateway.wire import asgi
from gateway.wire.objects import Completion, completion
from tests.routing import servers

DEMO = {"model_list": [{"model_name": "demo", "litellm_params": {"model": "demo/demo"}}]}
PROMPT = "Write a long story about the sea"
HEAVY = ("pydantic", "starlette", "httpx", "presidio_analyzer", "opentelemetry", "uvicorn", "pyreqwest", "yaml", "rich")


def faulty(fault: str) -> dict[str, Any]:
    params = {"model": "demo/demo", "demo_fault": fault}
    return {
        "model_list": [{"model_name": "demo", "litellm_params": params}],
        "router_settings": {"num_retries": 0},
    }


def over_http(config: Mapping[str, Any], body: Mapping[str, Any]) -> tuple[int, Mapping[str, str], dict[str, Any]]:
    """Status, headers and JSON that a server of this configuration answers."""

    async def ask() -> tuple[int, Mapping[str, str], dict[str, Any]]:
        app, sent = Client(config).gateway, json.dumps(body).encode()
        response = await asgi.request(app, "POST", "/v1/completions", (), sent, extras={LOCAL_KEY: True})
        return response.status, response.headers, json.loads(await response.read())

    return asyncio.run(ask())


def script(text: str, *arguments: str) -> str:
    """What a Python program of its own prints; it must end by itself, and well."""
    done = subprocess.run(  # noqa: S603
        [sys.executable, *arguments, "-c", text],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize(
    "params",
    [{}, {"logprobs": 2}, {"n": 2, "echo": True}, {"best_of": 2}, {"max_tokens": 3}],
    ids=["plain", "logprobs", "n and echo", "best_of", "length"],
)
@pytest.mark.parametrize("prompt", [PROMPT, ["One", "Two"]], ids=["one", "two"])
def test_an_answer_is_what_the_openai_client_makes_of_the_servers(prompt: Any, params: dict[str, Any]):
    _, _, raw = over_http(DEMO, {"model": "demo", "prompt": prompt, "seed": 1, **params})
    theirs = openai.types.Completion.model_validate(raw)
    assert completion(raw).model_dump() == theirs.model_dump()
    answer = text_completion("demo", prompt, config=DEMO, seed=1, **params)
    own = {"id", "created"}
    kept = {name: value for name, value in answer.model_dump().items() if name not in own}
    assert kept == theirs.model_dump(exclude=own)
    assert json.loads(answer.model_dump_json()) == answer.model_dump()
    assert answer.choices[0].text == theirs.choices[0].text


def test_every_detail_of_usage_has_the_clients_attribute():
    raw = {
        "id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m", "system_fingerprint": "fp",
        "choices": [{"text": "a", "index": 0, "logprobs": None, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7,
            "prompt_tokens_details": {"cached_tokens": 2}, "completion_tokens_details": {"reasoning_tokens": 1},
        },
    }  # fmt: skip
    assert completion(raw).model_dump() == openai.types.Completion.model_validate(raw).model_dump()


def text_of(chunks: list[Completion]) -> str:
    return "".join(choice.text for chunk in chunks for choice in chunk.choices)


def test_a_stream_is_an_iterator_of_chunks():
    whole = text_completion("demo", PROMPT, config=DEMO)
    options = {"include_usage": True}
    chunks = list(text_completion("demo", PROMPT, config=DEMO, stream=True, stream_options=options))
    assert len(chunks) > 5
    assert text_of(chunks) == whole.choices[0].text
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert {chunk.id for chunk in chunks} == {chunks[0].id}
    for chunk in chunks:
        theirs = openai.types.Completion.construct(**json.loads(chunk.model_dump_json()))
        assert chunk.model_dump() == theirs.model_dump()


def test_the_asynchronous_function_answers_and_streams_alike():
    async def ask() -> None:
        whole = await atext_completion("demo", PROMPT, config=DEMO)
        chunks = [chunk async for chunk in await atext_completion("demo", PROMPT, config=DEMO, stream=True)]
        assert text_of(chunks) == whole.choices[0].text

    asyncio.run(ask())
    asyncio.run(ask())  # nothing belongs to the first loop


def test_the_package_is_the_same_door():
    assert gateway.text_completion is text_completion
    assert gateway.atext_completion is atext_completion
    assert gateway.Client is Client


REFUSED: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "unknown model": (DEMO, {"model": "demmo", "prompt": "Hi"}),
    "wrong type": (DEMO, {"model": "demo", "prompt": "Hi", "max_tokens": "many"}),
    "out of range": (DEMO, {"model": "demo", "prompt": "Hi", "temperature": 3}),
    "unsupported": (DEMO, {"model": "demo", "prompt": "Hi", "top_k": 3}),
    "empty prompt": (DEMO, {"model": "demo", "prompt": []}),
    "rate limited": (faulty("status_429"), {"model": "demo", "prompt": "Hi"}),
    "context length": (faulty("context_length"), {"model": "demo", "prompt": "Hi"}),
    "not found upstream": (faulty("status_404"), {"model": "demo", "prompt": "Hi"}),
    "bad gateway": (faulty("status_502"), {"model": "demo", "prompt": "Hi"}),
    "broken answer": (faulty("truncated_json"), {"model": "demo", "prompt": "Hi"}),
}


@pytest.mark.parametrize(
    ("case", "stream"),
    [
        *((case, False) for case in REFUSED),
        *((case, True) for case in REFUSED if case != "broken answer"),  # a stream that breaks has begun with 200
    ],
)
def test_errors_are_those_of_the_api(case: str, stream: bool):
    config, body = REFUSED[case]
    status, headers, raw = over_http(config, {**body, "stream": stream})
    with pytest.raises(errors.GatewayError) as caught:
        text_completion(config=config, stream=stream, **body)
    error = caught.value
    assert (error.status, error.body()) == (status, raw)
    assert error.headers.get("retry-after") == headers.get("retry-after")
    assert type(error) is not errors.GatewayError


def test_an_error_has_its_own_class():
    with pytest.raises(errors.ModelNotFound, match="Did you mean demo"):
        text_completion("demmo", "Hi", config=DEMO)
    with pytest.raises(errors.UpstreamRateLimited):
        text_completion("demo", "Hi", config=faulty("status_429"))


@pytest.mark.parametrize("fault", ["error_event", "cut_stream", "end_early", "truncated_json"])
@pytest.mark.parametrize("policies", [[], ["default"]])
def test_a_stream_that_fails_raises_after_what_came_before(fault: str, policies: list[str]):
    chunks = text_completion("demo", PROMPT, config=faulty(fault), policies=policies, stream=True)
    came = [next(chunks)]
    with pytest.raises(errors.UpstreamError):
        came += chunks
    whole = text_completion("demo", PROMPT, config=DEMO).choices[0].text
    assert text_of(came)
    assert whole.startswith(text_of(came))


def test_no_word_that_came_is_lost_to_policies_when_a_stream_fails():
    def came(policies: list[str]) -> str:
        told: list[Completion] = []
        with pytest.raises(errors.UpstreamError):
            told += text_completion("demo", PROMPT, config=faulty("cut_stream"), policies=policies, stream=True)
        return text_of(told)

    assert came(["default"]) == came([])


def test_parameters_that_are_no_json_are_a_type_error_of_the_api():
    with pytest.raises(errors.InvalidType):
        text_completion("demo", "Hi", config=DEMO, user=object())


def test_the_configuration_may_be_a_path_or_a_mapping(tmp_path: Path):
    file = tmp_path / "config.yaml"
    file.write_text("model_list: [{model_name: mine, litellm_params: {model: demo/demo}}]")
    for config in (file, str(file), DEMO):
        model = "demo" if config is DEMO else "mine"
        assert text_completion(model, "Hi", config=config).model == model
    with pytest.raises(errors.ConfigError):
        text_completion("mine", "Hi", config=tmp_path / "nowhere.yaml")
    with pytest.raises(errors.ConfigError, match="nobody"):
        text_completion("x", "Hi", config={"model_list": [{"model_name": "x", "params": {"model": "nobody/x"}}]})
    with pytest.raises(errors.ConfigError, match="text, numbers, lists"):
        text_completion("x", "Hi", config={"model_list": object()})


def test_without_a_configuration_there_is_the_demo_and_what_the_environment_has_a_key_for(
    monkeypatch: pytest.MonkeyPatch,
):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_BASE"):
        monkeypatch.delenv(name, raising=False)
    assert text_completion("demo", "Hi").choices[0].text
    with pytest.raises(errors.ModelNotFound):
        text_completion("gpt-3.5-turbo-instruct", "Hi")
    with openai_like() as (url, seen):  # a key that comes later counts, as in a notebook
        monkeypatch.setenv("OPENAI_API_KEY", "sk-mine")
        monkeypatch.setenv("OPENAI_BASE_URL", f"{url}/v1")
        names = ("gpt-3.5-turbo-instruct", "openai/gpt-3.5-turbo-instruct", "gpt-4o", "openai/gpt-4o", "o1")
        for name in names:
            with pytest.raises(errors.UpstreamRejected):
                text_completion(name, "Hi")
    assert [line.split()[1] for line in seen] == ["/v1/completions"] * 2 + ["/v1/chat/completions"] * 3


MAIL = "bob@corp.example.com"


def echoed(config: Mapping[str, Any] | None = None, **params: Any) -> list[Any]:
    """A prompt with an address in it, as the provider got to see it."""
    answer = text_completion("demo", f"Mail {MAIL}", config=config, echo=True, max_tokens=0, **params)
    return [choice.text for choice in answer.choices]


@pytest.mark.parametrize("config", [None, DEMO])
def test_the_default_policies_are_in_force_where_nothing_is_said(config: Mapping[str, Any] | None):
    assert echoed(config) == ["Mail <EMAIL_ADDRESS_1>"]
    assert echoed(config, policies=None) == ["Mail <EMAIL_ADDRESS_1>"]
    key = "AKI" + "AZ7QJ3MX5LT2WN4RB"
    with pytest.raises(errors.PolicyBlocked):
        text_completion("demo", f"export AWS_ACCESS_KEY_ID={key}", config=config)


def test_no_policies_are_in_force_where_none_are_wanted():
    assert echoed(policies=[]) == echoed({**DEMO, "policies": []}) == [f"Mail {MAIL}"]


def test_policies_of_a_call_stand_in_place_of_the_configurations():
    assert echoed({**DEMO, "policies": []}, policies=["pii"]) == ["Mail <EMAIL_ADDRESS_1>"]
    assert echoed({**DEMO, "policies": ["pii"]}, policies=("secrets",)) == [f"Mail {MAIL}"]


@pytest.mark.parametrize("policies", ["default", [1], ["nobodys"]])
def test_policies_that_nobody_has_are_a_fault_of_the_configuration(policies: Any):
    with pytest.raises(errors.ConfigError, match="policies"):
        text_completion("demo", "Hi", policies=policies)
    with pytest.raises(errors.ConfigError, match="policies"):
        Client(DEMO, policies=policies)


@contextmanager
def on_a_loop_of_its_own() -> Iterator[Callable[[Any], Any]]:
    """Runs coroutines on a loop in another thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield lambda work: asyncio.run_coroutine_threadsafe(work, loop).result(servers.SECONDS)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextmanager
def served(handler: servers.Handler) -> Iterator[tuple[servers.Server, Callable[[Any], Any]]]:
    """A loopback server for code that waits."""
    with on_a_loop_of_its_own() as run:
        serving = servers.serve(handler)
        server = run(serving.__aenter__())
        try:
            yield server, run
        finally:
            run(serving.__aexit__(None, None, None))


@contextmanager
def openai_like() -> Iterator[tuple[str, list[str]]]:
    """A provider that refuses every request; its URL and the first line of each request."""
    body = b'{"error": {"message": "No.", "type": "invalid_request_error", "param": null, "code": null}}'
    seen: list[str] = []

    async def refuse(connection: servers.Connection) -> None:
        seen.append(connection.head.split(b"\r\n")[0].decode())
        await connection.send(servers.response(body, b"content-type: application/json", status=b"400 Bad Request"))

    with served(refuse) as (server, _):
        yield server.url, seen


EVENT = b'data: {"choices": [{"index": 0, "delta": {"content": "Hi "}}]}\n\n'
"""A word that is over: one that could go on as a mail address would be held by the default policies."""


def far(url: str) -> dict[str, Any]:
    params = {"model": "openai/far", "api_base": f"{url}/v1", "api_key": "any"}
    return {"model_list": [{"model_name": "far", "litellm_params": params}]}


WHOLE = (
    b'{"id": "1", "model": "far", "choices": [{"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop"}], '
    b'"usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}'
)


def test_connections_kept_alive_outlive_no_event_loop():
    with served(servers.says(servers.response(WHOLE))) as (server, _):
        config = far(server.url)

        async def twice() -> None:
            for _ in range(2):
                answer = await atext_completion("far", "Hello", config=config)
                assert answer.choices[0].text == "Hi"

        for _ in range(3):
            asyncio.run(twice())
            assert text_completion("far", "Hello", config=config).choices[0].text == "Hi"
        assert len(server.requests) == 9
        assert server.accepted <= 4  # one per loop: three that were run, and the one of the function that waits


def test_leaving_a_stream_early_ends_the_call_to_the_provider():
    with served(servers.says_and_waits(servers.CHUNKED, servers.chunk(EVENT))) as (server, run):
        for chunk in text_completion("far", "Hello", config=far(server.url), stream=True):
            assert chunk.choices[0].text == "Hi "
            break
        run(asyncio.wait_for(server.requests[0].gone.wait(), 5))


def test_leaving_an_asynchronous_stream_early_ends_the_call_to_the_provider():
    async def leave() -> None:
        async with servers.serve(servers.says_and_waits(servers.CHUNKED, servers.chunk(EVENT))) as server:
            async for chunk in await atext_completion("far", "Hello", config=far(server.url), stream=True):
                assert chunk.choices[0].text == "Hi "
                break
            await server.requests[0].gone.wait()

    asyncio.run(asyncio.wait_for(leave(), 5))


def test_cancelling_the_caller_ends_the_call_to_the_provider():
    async def cancel() -> None:
        async with servers.serve(servers.says_and_waits()) as server:
            calling = asyncio.ensure_future(atext_completion("far", "Hello", config=far(server.url)))
            await server.arrived.wait()
            calling.cancel()
            await asyncio.wait((calling,))
            await server.requests[0].gone.wait()

    asyncio.run(asyncio.wait_for(cancel(), 5))


def test_the_function_that_waits_works_in_a_coroutine_too():
    async def ask() -> None:
        assert text_completion("demo", "Hi", config=DEMO).choices[0].text
        assert text_of(list(text_completion("demo", "Hi", config=DEMO, stream=True)))

    asyncio.run(ask())


def test_many_threads_are_answered_at_once_by_one_loop():
    def ask(number: int) -> str:
        if number % 2:
            return text_of(list(text_completion("demo", f"Number {number}", config=DEMO, stream=True)))
        return text_completion("demo", f"Number {number}", config=DEMO).choices[0].text

    alone = [ask(number) for number in range(24)]
    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(ask, range(24))) == alone
    assert sum(thread.name == "gateway" for thread in threading.enumerate()) == 1


def test_who_asks_is_told_in_the_log_of_the_host_application(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "gateway")
    text_completion("demo", PROMPT, config=DEMO, end_user="Zoë", session="s-1", request_id="mine-1")
    (record,) = [record for record in caplog.records if record.getMessage() == "request"]
    assert record.__dict__["user.id"] == "Zoë"
    assert record.__dict__["session.id"] == "s-1"
    assert record.__dict__["gateway.request.id"] == "mine-1"
    assert PROMPT not in str(record.__dict__)


def test_a_callers_timeout_counts():
    slow = {"model": "demo/demo", "demo_delay_ms": 5000}
    config = {"model_list": [{"model_name": "slow", "litellm_params": slow}]}
    with pytest.raises(errors.UpstreamTimeout):
        text_completion("slow", "Hi", config=config, timeout=0.05)


def test_a_client_of_its_own_is_closed_by_its_owner():
    async def use() -> None:
        client = Client(DEMO)
        assert (await client.acompletion(model="demo", prompt="Hi")).model == "demo"
        chunks: AsyncIterator[Completion] = await client.acompletion(model="demo", prompt="Hi", stream=True)
        assert text_of([chunk async for chunk in chunks])
        await client.aclose()

    asyncio.run(use())


def test_importing_the_package_imports_nothing_heavy():
    said = script(f"import sys, gateway; gateway.__version__; print([m for m in {HEAVY} if m in sys.modules])")
    assert said == "[]\n"


def test_a_program_that_ends_in_the_middle_of_a_stream_ends():
    said = script(
        "from gateway import text_completion\n"
        "chunks = text_completion('demo', 'Write a long story', stream=True)\n"
        "print(bool(next(chunks).choices[0].text))\n"
    )
    assert said == "True\n"


def test_a_forked_child_has_a_gateway_of_its_own():
    said = script(
        "import os\n"
        "from gateway import text_completion\n"
        "first = text_completion('demo', 'Hi').choices[0].text\n"
        "if not (child := os.fork()):\n"
        "    same = text_completion('demo', 'Hi').choices[0].text == first\n"
        "    os._exit(0 if same else 1)\n"
        "print(os.waitpid(child, 0)[1])\n",
        "-W",
        "ignore::DeprecationWarning",  # Python 3.12 warns of any fork beside a thread
    )
    assert said == "0\n"


@pytest.mark.parametrize("params", [{"temperature": float("nan")}, {"logit_bias": {"1": float("inf")}}])
def test_a_number_that_json_does_not_have_is_refused_rather_than_dropped(params):
    with pytest.raises(errors.InvalidValue):
        text_completion(model="demo", prompt="p", **params)
