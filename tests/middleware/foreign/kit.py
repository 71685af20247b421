"""Foreign apps for the tests: they remember what they were sent, and answer what they are told, byte for byte."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.guards import load
from gateway.guards.assemble import assembled
from gateway.guards.policy import Policy
from gateway.guards.ports import Ports
from gateway.middleware.foreign.guard import ForeignGuardMiddleware
from gateway.middleware.foreign.scope import ForeignScopeMiddleware
from gateway.wire import asgi, json, sse

JSON = (b"content-type", b"application/json")
SSE = (b"content-type", b"text/event-stream")
TEXT, CHAT = "/v1/completions", "/v1/chat/completions"


@dataclass
class App:
    """An ASGI app. `pieces` are the body messages of its answer; `sent` counts those it could send."""

    pieces: Sequence[bytes] = (b"{}",)
    status: int = 200
    headers: Sequence[tuple[bytes, bytes]] = (JSON,)
    bodies: list[bytes] = field(default_factory=list)
    asked: list[dict[bytes, bytes]] = field(default_factory=list)
    sent: int = 0
    stopped: bool = False
    last: str = ""

    async def __call__(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        self.asked.append(dict(scope["headers"]))
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.bodies.append(body)
        try:
            await send({"type": "http.response.start", "status": self.status, "headers": list(self.headers)})
            for number, piece in enumerate(self.pieces):
                self.sent += 1
                await send({"type": "http.response.body", "body": piece, "more_body": number + 1 < len(self.pieces)})
        except OSError:
            self.stopped = True
            self.last = (await receive())["type"]
            raise

    @property
    def body(self) -> Any:
        """What it was sent last, decoded."""
        return json.loads(self.bodies[-1])


@dataclass(frozen=True)
class Reply:
    """An answer as the client read it; `pieces` are the messages it came in."""

    status: int
    headers: dict[str, str]
    pieces: list[bytes]

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The data of every event, decoded, but for the last, which says that the stream is done."""
        data = [event.data for event in sse.Decoder().feed(self.body)]
        assert data[-1] == b"[DONE]"
        return [json.loads(one) for one in data[:-1]]


def policy(text: str) -> Policy:
    """The policy of a document."""
    return assembled(load.loads(text), Ports(count=len))


def canary(action: str = "mask", mode: str = "enforce", more: str = "") -> Policy:
    """A policy that does something about the word `xylophone`."""
    return policy(
        f"policy: canary\nversion: 1\nmode: {mode}\n{more}\nguards:\n"
        f"  - phrases: {{rules: [{{name: canary, words: [xylophone], action: {action}, whole_word: false}}]}}\n"
    )


def front(app: asgi.App, policies: Iterable[Policy], **options: Any) -> asgi.App:
    """`app` behind the step, as `GuardrailMiddleware` puts it."""
    return ForeignScopeMiddleware(ForeignGuardMiddleware(app, tuple(policies), **options))


async def aask(
    app: asgi.App,
    body: object = None,
    path: str = CHAT,
    *,
    headers: Sequence[tuple[bytes, bytes]] = (),
    method: str = "POST",
) -> Reply:
    """One request, read to its end."""
    raw = body if isinstance(body, bytes) else json.dumps(body)
    answer = await asgi.request(app, method, path, headers or [JSON], raw)
    return Reply(answer.status, dict(answer.headers), [piece async for piece in answer.chunks()])


def ask(app: asgi.App, body: object = None, path: str = CHAT, **rest: Any) -> Reply:
    """`aask`, waited for."""
    return asyncio.run(aask(app, body, path, **rest))


def said(*choices: dict[str, Any], **more: Any) -> bytes:
    """A whole chat answer."""
    done = [{"index": number, "finish_reason": "stop", **choice} for number, choice in enumerate(choices)]
    return json.dumps({"id": "c1", "object": "chat.completion", "created": 1, "model": "m", "choices": done, **more})


def chunk(index: int, delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> bytes:
    """One event of a chat stream."""
    choice = {"index": index, "delta": delta or {}, "finish_reason": finish, **more}
    head = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return sse.encode(json.dumps({**head, "choices": [choice]}))
