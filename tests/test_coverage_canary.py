"""One word that no policy lets pass, in every field that bears text: it is judged wherever it stands.

On the way in a prompt with it is refused, on the way out nothing that leaves holds it: whole and streamed, in process
and from a server, with a real provider on loopback that says what its prompt asks it to.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from gateway.ledger import tokens
from gateway.wire import json
from tests.e2e.process import serving
from tests.inprocess import InProcess
from tests.routing.servers import Connection, response, serve

WORD = "xylocanary"
POLICY = """
policy: {stage}
version: 1
stages: [{stage}]
guards:
  - phrases: {{rules: [{{name: canary, words: [{word}], action: {action}}}]}}
"""

Row = Mapping[str, Any]


def chat(text: str = "fine", **more: Any) -> Row:
    return {"choices": [{"index": 0, "message": {"content": text, **more}, "finish_reason": "stop"}]}


def chunk(text: str | None = None, reason: str | None = None, index: int = 0, **more: Any) -> Row:
    delta = {"content": text, **more.pop("delta", {})}
    return {"choices": [{"index": index, "delta": delta, "finish_reason": reason, **more}]}


def text(said: str = "fine", reason: str | None = "stop", index: int = 0, **more: Any) -> Row:
    return {"choices": [{"index": index, "text": said, "finish_reason": reason, **more}]}


def logprobs(*names: str, top: str = "x", raw: str | None = None) -> Row:
    content = [
        {
            "token": name,
            "logprob": -0.5,
            "bytes": list((raw if raw is not None else name).encode()),
            "top_logprobs": [{"token": top, "logprob": -0.5, "bytes": list(top.encode())}],
        }
        for name in names
    ]
    return {"content": content}


def legacy(*names: str, top: str = "x") -> Row:
    return {
        "tokens": list(names),
        "token_logprobs": [-0.5] * len(names),
        "top_logprobs": [{top: -0.5}] * len(names),
        "text_offset": [0] * len(names),
    }


def with_logprobs(answer: Row, found: Row) -> Row:
    return {"choices": [{**answer["choices"][0], "logprobs": found}]}


HALVES = (WORD[:5], WORD[5:])
END = chunk(None, "stop")

WHOLE: Mapping[str, tuple[str, Row]] = {
    "text of a chat": ("chat", chat(f"so {WORD} it")),
    "text of its second choice": ("chat", {"choices": [*chat()["choices"], {**chat(WORD)["choices"][0], "index": 1}]}),
    "reasoning": ("chat", chat(reasoning_content=f"hm {WORD}")),
    "a token": ("chat", with_logprobs(chat(), logprobs("so ", WORD, " it"))),
    "two tokens": ("chat", with_logprobs(chat(), logprobs(*HALVES))),
    "a token with other bytes": ("chat", with_logprobs(chat(), logprobs(WORD, raw="fine"))),
    "the bytes of a token": ("chat", with_logprobs(chat(), logprobs("fine", raw=WORD))),
    "an alternative": ("chat", with_logprobs(chat(), logprobs("fine", top=WORD))),
    "an error in a good answer": ("chat", {"error": {"message": f"no {WORD}", "code": 400}}),
    "text of a completion": ("text", text(f"so {WORD}.")),
    "a token of a completion": ("text", text(logprobs=legacy("so ", WORD))),
    "two tokens of a completion": ("text", text(logprobs=legacy(*HALVES))),
    "an alternative of a completion": ("text", text(logprobs=legacy("fine", top=WORD))),
}

STREAMS: Mapping[str, tuple[str, list[Row]]] = {
    "text of a chat": ("chat", [chunk("so "), *(chunk(sign) for sign in WORD), END]),
    "text of its second choice": (
        "chat",
        [chunk("a"), chunk(HALVES[0], index=1), chunk(None, "stop"), chunk(HALVES[1], "stop", index=1)],
    ),
    "reasoning": ("chat", [*(chunk(delta={"reasoning_content": half}) for half in HALVES), END]),
    "a token": ("chat", [chunk("fine", logprobs=logprobs(f" {WORD}")), END]),
    "two tokens": ("chat", [*(chunk("fi", logprobs=logprobs(half)) for half in HALVES), END]),
    "a token with other bytes": ("chat", [chunk("fine", logprobs=logprobs(WORD, raw="fine")), END]),
    "the bytes of a token": ("chat", [chunk("fine", logprobs=logprobs("fine", raw=WORD)), END]),
    "an alternative": ("chat", [chunk("fine", logprobs=logprobs("fine", top=WORD)), END]),
    "the end of a stream that fails": ("chat", [chunk(f"so {WORD}"), {"error": {"message": "gone"}}]),
    "an error in a stream": ("chat", [chunk("so "), {"error": {"message": f"no {WORD}", "code": 400}}]),
    "an error instead of a stream": ("chat", [{"error": {"message": f"no {WORD}", "code": 422}}]),
    "text of a completion": ("text", [*(text(half, None) for half in ("so ", *HALVES)), text("")]),
    "a token of a completion": ("text", [text("fi", None, logprobs=legacy(WORD)), text("")]),
    "an alternative of a completion": ("text", [text("fi", None, logprobs=legacy("fi", top=WORD)), text("")]),
}

ERRORS: Mapping[str, tuple[int, Any]] = {
    f"{what}, {status}": (status, body)
    for status in (400, 401, 404, 413, 422, 429, 500, 503)
    for what, body in {
        "an error's message": {"error": {"message": f"what is {WORD}?", "param": "messages"}},
        "an error's param": {"error": {"message": "no", "param": WORD}},
        "an error's code and type": {"error": {"message": "no", "code": WORD, "type": WORD}},
        "a plain error": {"error": f"what is {WORD}?"},
        "a detail": {"detail": f"what is {WORD}?"},
        "a validator's fault": {"detail": [{"loc": ["body", WORD], "msg": f"not {WORD}", "input": WORD}]},
        "a body that is no JSON": f"<html>{WORD}</html>",
    }.items()
}


async def provider(connection: Connection) -> None:
    """Says what the row says that its prompt names."""
    asked = json.loads(connection.body)
    prompt = asked.get("prompt") or asked["messages"][-1]["content"]
    kind, _, name = prompt.partition(": ")
    if kind == "error":
        status, body = ERRORS[name]
        raw = body.encode() if isinstance(body, str) else json.dumps(body)
        await connection.send(response(raw, b"content-type: application/json", status=b"%d No" % status))
    elif kind == "stream":
        events = b"".join(b"data: " + json.dumps(row) + b"\n\n" for row in STREAMS[name][1]) + b"data: [DONE]\n\n"
        await connection.send(response(events, b"content-type: text/event-stream"))
    else:
        row = WHOLE[name][1] if name in WHOLE else chat()
        await connection.send(response(json.dumps(row), b"content-type: application/json"))


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The provider, on a loop of its own."""
    ready, stop = threading.Event(), asyncio.Event()
    url: list[str] = []

    async def main() -> None:
        async with serve(provider) as running:
            url.append(running.url)
            ready.set()
            await stop.wait()

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=lambda: loop.run_until_complete(main()))
    thread.start()
    assert ready.wait(10)
    try:
        yield url[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        with suppress(RuntimeError):
            loop.close()


@pytest.fixture(scope="module")
def config(server: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder: Path = tmp_path_factory.mktemp("canary")
    documents = []
    for stage, action in (("input", "block"), ("output", "mask")):
        documents.append(str(folder / f"{stage}.yaml"))
        Path(documents[-1]).write_text(POLICY.format(stage=stage, word=WORD, action=action))
    params = {"api_base": server, "api_key": "k"}
    return {
        "model_list": [
            {"model_name": "chat", "litellm_params": {"model": "openai/gpt-4o", **params}},
            {
                "model_name": "text",
                "litellm_params": {"model": "text-completion-openai/gpt-3.5-turbo-instruct", **params},
            },
        ],
        "policies": documents,
    }


Ask = Callable[[Mapping[str, Any]], tuple[int, Mapping[str, str], bytes]]


@pytest.fixture(scope="module", params=["in process", pytest.param("stand-alone", marks=pytest.mark.e2e)])
def ask(
    request: pytest.FixtureRequest, config: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ask]:
    """One request to a gateway: status, headers and every byte of the answer."""
    if request.param == "in process":
        gateway = InProcess(config)

        def in_process(body: Mapping[str, Any]) -> tuple[int, Mapping[str, str], bytes]:
            reply = gateway.ask(body)
            return reply.status, reply.headers, reply.body

        yield in_process
        gateway.close()
        return
    with serving(tmp_path_factory.mktemp("served"), json.dumps(config).decode()) as served:

        def stand_alone(body: Mapping[str, Any]) -> tuple[int, Mapping[str, str], bytes]:
            sent = json.dumps(body)
            head = b"POST /v1/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
            raw_head, _, raw = served.raw(head % len(sent), sent).partition(b"\r\n\r\n")
            first, *lines = raw_head.decode().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in lines)
            return int(first.split()[1]), headers, raw

        yield stand_alone
        assert WORD not in served.log.read_text()


def ids(said: str, encoding: str = "o200k_base") -> list[int]:
    return tokens.encode(said, encoding)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("prompt", {"prompt": f"so {WORD}"}),
        ("prompt", {"prompt": ["fine", WORD]}),
        ("prompt", {"prompt": ["fine", "fine", f"{WORD}."]}),
        ("prompt", {"prompt": ids(f"so {WORD}")}),
        ("prompt", {"prompt": [ids("fine"), ids(f"so {WORD}")]}),
        ("prompt", {"prompt": WORD, "n": 3}),
        ("prompt", {"prompt": WORD, "echo": True}),
        ("prompt", {"prompt": WORD, "echo": True, "max_tokens": 0}),
        ("suffix", {"prompt": "fine", "suffix": WORD}),
    ],
)
@pytest.mark.parametrize("model", ["chat", "text"])
def test_every_text_of_a_request_is_judged(ask: Ask, model: str, field: str, body: Mapping[str, Any], stream: bool):
    if model == "text" and isinstance(body["prompt"], list) and not isinstance(body["prompt"][-1], str):
        encoded = ids(f"so {WORD}", "cl100k_base")
        body = {"prompt": encoded if isinstance(body["prompt"][0], int) else [encoded]}
    status, headers, raw = ask({"model": model, "max_tokens": 5, "stream": stream, **body})
    error = json.loads(raw)["error"]
    assert (status, error["code"], error["param"]) == (400, "policy_blocked", field)
    assert headers["x-gateway-guardrails"] == "input=block"
    assert WORD.encode() not in raw


@pytest.mark.parametrize("name", list(WHOLE))
def test_every_text_of_an_answer_is_judged(ask: Ask, name: str):
    model, row = WHOLE[name]
    fields = {"logprobs": 1} if "logprobs" in row.get("choices", [{}])[0] else {}
    n = len(row.get("choices", [1]))
    status, headers, raw = ask({"model": model, "prompt": f"whole: {name}", "n": n, **fields})
    assert WORD.encode() not in raw
    assert headers["x-gateway-guardrails"] == "input=allow, output=mask", (status, raw)


@pytest.mark.parametrize("name", list(STREAMS))
def test_every_text_of_a_stream_is_judged(ask: Ask, name: str):
    model, rows = STREAMS[name]
    fields = {"logprobs": 1} if any("logprobs" in row.get("choices", [{}])[0] for row in rows) else {}
    n = 2 if "second choice" in name else 1
    _, _, raw = ask({"model": model, "prompt": f"stream: {name}", "stream": True, "n": n, **fields})
    said = b"".join(line for line in raw.splitlines() if line.startswith((b"data: ", b"{")))
    assert said
    assert WORD.encode() not in raw
    assert all(WORD.encode() not in written(raw, index) for index in range(n))


def written(raw: bytes, index: int) -> bytes:
    """The text of one choice of a stream, and its tokens, each joined."""
    events = [json.loads(line[6:]) for line in raw.splitlines() if line.startswith(b"data: {")]
    choices = [one for event in events for one in event.get("choices", []) if one["index"] == index]
    names = [name for one in choices for name in (one["logprobs"] or {}).get("tokens", ())]
    return "".join([*(one["text"] for one in choices), " ", *names]).encode()


@pytest.mark.parametrize("name", list(ERRORS))
@pytest.mark.parametrize("stream", [False, True])
def test_every_word_of_a_providers_error_that_leaves_is_judged(ask: Ask, name: str, stream: bool):
    status, headers, raw = ask({"model": "chat", "prompt": f"error: {name}", "stream": stream})
    assert status >= 400
    assert WORD.encode() not in raw
    assert WORD not in str(headers)
    assert json.loads(raw)["error"]["message"]
