"""`protect` and `GuardrailMiddleware`: in front of FastAPI and Starlette apps, and of a gateway; alone and whole."""

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from gateway import Client, GuardrailMiddleware, protect
from gateway.config.load import from_mapping
from gateway.errors import ConfigError
from gateway.exchange import LOCAL_KEY
from gateway.wire import asgi, json, sse
from gateway.wire.lifespan import lifespan
from tests.middleware.foreign.kit import CHAT, JSON, TEXT, App, aask, ask, chunk

EMAIL, CARD = "bob@corp.example.com", "4111 1111 1111 1111"
POLICY = """
policy: mine
version: 1
guards:
  - phrases: {rules: [{name: canary, words: [xylophone], action: mask}]}
"""


async def echo(request: Request) -> Response:
    body = await request.json()
    if "messages" not in body:
        choice = {"text": body["prompt"], "index": 0, "logprobs": None, "finish_reason": "stop"}
        return JSONResponse({"id": "c", "object": "text_completion", "choices": [choice]})
    words = body["messages"][-1]["content"].split(" ")

    async def events():
        for word in words:
            yield chunk(0, {"content": f"{word} "})
        yield chunk(0, {}, "stop") + sse.DONE

    return StreamingResponse(events(), media_type="text/event-stream")


def app(**options: Any) -> Starlette:
    routes = [Route(path, echo, methods=["POST"]) for path in (TEXT, CHAT)]
    return Starlette(routes=[*routes, Route("/other", lambda _: PlainTextResponse(EMAIL))], **options)


def test_ten_lines_of_fastapi_are_guarded():
    fastapi = pytest.importorskip("fastapi")
    seen: list[str] = []

    served = fastapi.FastAPI()
    served.add_middleware(GuardrailMiddleware, policies=["pii", "secrets"])

    @served.post("/v1/completions")
    async def complete(body: dict[str, Any]) -> dict[str, Any]:
        seen.append(body["prompt"])
        choice = {"index": 0, "text": f"You wrote: {body['prompt']}", "logprobs": None, "finish_reason": "stop"}
        return {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": body["model"], "choices": [choice]}

    reply = ask(served, {"model": "m", "prompt": f"I am {EMAIL}"}, TEXT)
    assert seen == ["I am <EMAIL_ADDRESS_1>"]
    assert reply.json["choices"][0]["text"] == f"You wrote: I am {EMAIL}"
    assert reply.headers["x-gateway-guardrails"] == "pii=mask, secrets=allow"
    assert ask(served, {"model": "m", "prompt": f"Card {CARD}"}, TEXT).status == 400
    assert ask(served, {"model": "m"}, "/elsewhere").json == {"detail": "Not Found"}
    assert len(seen) == 1


def test_fastapi_streams_and_tells_its_own_errors():
    fastapi = pytest.importorskip("fastapi")
    served = fastapi.FastAPI()
    served.add_middleware(GuardrailMiddleware, policies=["pii"])

    @served.post(CHAT)
    async def complete(body: dict[str, Any]) -> StreamingResponse:
        if not body["messages"]:
            raise fastapi.HTTPException(418, f"mail {EMAIL}")
        return await echo(FakeRequest(body))  # type: ignore[arg-type, return-value]

    body = {"stream": True, "messages": [{"role": "user", "content": f"a {EMAIL} b"}]}
    events = ask(served, body).events
    assert "".join(e["choices"][0]["delta"].get("content", "") for e in events) == f"a {EMAIL} b "
    reply = ask(served, {"messages": []})
    assert (reply.status, reply.json) == (418, {"detail": "mail <EMAIL_ADDRESS_1>"})
    assert ask(served, [1]).status == 422


class FakeRequest:
    """A request that has been read already."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body

    async def json(self) -> dict[str, Any]:
        return self.body


def test_a_starlette_app_is_guarded_with_its_other_middleware():
    served = app(
        middleware=[Middleware(GZipMiddleware, minimum_size=1), Middleware(GuardrailMiddleware, policies=["pii"])]
    )
    served.add_middleware(GZipMiddleware, minimum_size=1)
    reply = ask(served, {"prompt": f"I am {EMAIL}"}, TEXT, headers=[JSON, (b"accept-encoding", b"identity")])
    assert reply.json["choices"][0]["text"] == f"I am {EMAIL}"
    inside = Starlette(routes=app().routes, middleware=[Middleware(GZipMiddleware, minimum_size=1)])
    reply = ask(
        GuardrailMiddleware(inside, policies=["pii"]),
        {"prompt": "x"},
        TEXT,
        headers=[JSON, (b"accept-encoding", b"gzip")],
    )
    assert reply.json["choices"][0]["text"] == "x"


@pytest.mark.parametrize(
    ("policies", "said"),
    [
        ([], "name at least one; the shipped ones are"),
        (["pi"], 'did you mean "pii"?'),
        (["pii", "pii"], "a second time"),
        (["./nowhere.yaml"], "cannot be read"),
        ("pii", "must be a list"),
    ],
)
def test_policies_that_cannot_be_had_are_refused_at_once_with_words_that_help(policies, said):
    with pytest.raises(ConfigError) as refused:
        GuardrailMiddleware(App(), policies=policies)
    assert said in refused.value.message
    if policies:
        with pytest.raises(ConfigError):
            protect(App(), policies=policies)


def test_other_options_are_checked_too():
    with pytest.raises(ConfigError, match="unreadable"):
        GuardrailMiddleware(App(), policies=["pii"], unreadable="maybe")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="polices"):
        protect(App(), config={"polices": ["pii"]})


def test_a_document_that_needs_a_model_is_refused_where_there_is_none(tmp_path: Path):
    document = tmp_path / "judge.yaml"
    document.write_text("policy: j\nversion: 1\nguards:\n  - judge: {model: m, question: 'Is it bad?'}\n")
    with pytest.raises(ConfigError, match="judge"):
        GuardrailMiddleware(App(), policies=[document])


def test_documents_are_found_by_their_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "mine.yaml").write_text(POLICY)
    monkeypatch.chdir(tmp_path)
    for name in ("mine.yaml", "./mine.yaml", Path("mine.yaml"), tmp_path / "mine.yaml"):
        assert repr(GuardrailMiddleware(App(), policies=[name])) == "<GuardrailMiddleware mine>"
    (tmp_path / "config.yaml").write_text("policies: [./mine.yaml]\n")
    for config in ("config.yaml", tmp_path / "config.yaml", {"policies": ["./mine.yaml"]}):
        assert repr(protect(App(), config)) == "<Protected mine>"


def test_protect_puts_the_whole_stack_in_front():
    seen = App([b'{"x": 1}'])
    served = protect(seen, policies=["pii"])
    reply = ask(served, {"prompt": f"I am {EMAIL}"}, TEXT, headers=[JSON, (b"x-request-id", b"mine")])
    assert seen.body == {"prompt": "I am <EMAIL_ADDRESS_1>"}
    assert reply.headers["x-request-id"] == "mine"
    assert reply.headers["x-gateway-guardrails"] == "pii=mask"
    assert "x-gateway-version" in ask(served, b"", "/other").headers
    refused = ask(served, {"prompt": f"Card {CARD}"}, TEXT)
    assert (refused.status, refused.json["error"]["code"]) == (400, "policy_blocked")


def test_protect_enforces_the_default_pack_where_nothing_is_said_and_nothing_where_none_is_wanted():
    assert repr(protect(App())) == "<Protected default>"
    assert repr(protect(App(), config={})) == "<Protected default>"
    assert repr(protect(App(), config={"policies": []})) == "<Protected >"
    seen = App()
    ask(protect(seen, policies=[]), {"prompt": EMAIL}, TEXT)
    assert seen.body == {"prompt": EMAIL}


def test_a_master_key_is_asked_for_only_where_there_is_one():
    far = {"client": ("203.0.113.7", 5)}

    async def status(served: asgi.App, *headers: tuple[bytes, bytes]) -> int:
        answer = await asgi.request(served, "POST", TEXT, [JSON, *headers], b'{"prompt": "x"}', extras=far)
        await answer.read()
        return answer.status

    async def run() -> None:
        assert await status(protect(App(), policies=["pii"])) == 200
        keyed = protect(App(), config={"general_settings": {"master_key": "sk-12345678"}, "policies": ["pii"]})
        assert await status(keyed) == 401
        assert await status(keyed, (b"authorization", b"Bearer sk-12345678")) == 200

    asyncio.run(run())


def test_settings_are_taken_as_they_are():
    settings = from_mapping({"policies": ["pii"], "general_settings": {"max_request_bytes": 1024}}).settings
    served = protect(App(), settings)
    assert ask(served, {"prompt": "x" * 2000}, TEXT).status == 413


def test_the_lifespan_reaches_the_app_and_closes_what_the_guards_hold():
    said: list[str] = []

    @asynccontextmanager
    async def life(_: Starlette):
        said.append("up")
        yield {"shared": 5}
        said.append("down")

    async def run() -> None:
        for served in (protect(app(lifespan=life), policies=["pii"]), GuardrailMiddleware(app(lifespan=life), ["pii"])):
            async with lifespan(served):
                reply = await aask(served, {"prompt": "x"}, TEXT)
                assert reply.status == 200

    asyncio.run(run())
    assert said == ["up", "down"] * 2


def test_a_websocket_passes():
    async def talk(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(await socket.receive_text())
        await socket.close()

    served = GuardrailMiddleware(Starlette(routes=[WebSocketRoute("/ws", talk)]), ["pii"])
    sent: list[Any] = []
    inbox = [{"type": "websocket.connect"}, {"type": "websocket.receive", "text": EMAIL}]

    async def receive() -> Any:
        return inbox.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": "/ws", "headers": [], "query_string": b"", "subprotocols": []}
    asyncio.run(served(scope, receive, send))
    assert EMAIL in [message.get("text") for message in sent]


@pytest.mark.parametrize("make", [GuardrailMiddleware, protect])
@pytest.mark.parametrize("stream", [False, True])
def test_a_gateway_behind_the_guards_works_as_it_does_alone(make, stream):
    models = [{"model_name": "demo", "litellm_params": {"model": "demo/demo"}}]
    inner = Client(config={"model_list": models, "policies": ["secrets"]}).gateway

    async def run() -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        body = json.dumps({"model": "demo", "prompt": f"Say: {EMAIL}", "max_tokens": 30, "stream": stream})
        served = make(inner, policies=["pii"])
        answer = await asgi.request(served, "POST", TEXT, [JSON], body, extras={LOCAL_KEY: True})
        return answer.status, answer.raw_headers, await answer.read()

    status, headers, raw = asyncio.run(run())
    assert status == 200
    assert EMAIL.encode() in raw
    assert b"finish_reason" in raw
    assert raw.endswith(sse.DONE) == stream
    assert [value for name, value in headers if name == b"x-gateway-guardrails"] == [b"secrets=allow", b"pii=mask"]
    assert len([name for name, _ in headers if name == b"x-request-id"]) == 1


def test_the_example_in_the_readme_is_guarded():
    pytest.importorskip("fastapi")
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    example = next(block for block in readme.split("```python\n") if "add_middleware(GuardrailMiddleware" in block)
    names: dict[str, Any] = {}
    exec(example.partition("```")[0], names)  # noqa: S102 - it is our own README
    reply = ask(names["app"], {"prompt": f"I am {EMAIL}"}, TEXT)
    assert reply.json["choices"][0]["text"] == f"You wrote: I am {EMAIL}"
    assert ask(names["app"], {"prompt": f"Card {CARD}"}, TEXT).status == 400
