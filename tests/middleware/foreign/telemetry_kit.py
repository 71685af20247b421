"""Foreign apps that are told of: their spans as a file has them, and their lines in the log."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway import GuardrailMiddleware, TelemetryMiddleware
from gateway.embed import Protected
from gateway.wire import asgi, json, sse
from tests.middleware.foreign.kit import SSE, App, Reply, aask
from tests.telemetry.kit import plain

MODEL = "gpt-4o-2024-08-06"
USED = {
    "prompt_tokens": 2006,
    "completion_tokens": 300,
    "total_tokens": 2306,
    "prompt_tokens_details": {"cached_tokens": 1920},
    "completion_tokens_details": {"reasoning_tokens": 64},
}
"""As OpenAI's guides on prompt caching and on reasoning have it."""


def answer(text: str = "Hello there", usage: Any = USED, finish: str = "stop", *, chat: bool = True) -> bytes:
    """A whole answer."""
    said = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
    choice = {"index": 0, **said, "logprobs": None, "finish_reason": finish}
    body = {"id": "c-1", "object": "x", "created": 1, "model": MODEL, "choices": [choice]}
    return json.dumps(body if usage is None else {**body, "usage": usage})


def events(text: str = "Hello there", usage: Any = USED, *, chat: bool = True, done: bool = True) -> list[bytes]:
    """The same as the events of a stream; `done` unset breaks it off after its texts."""
    head = {"id": "c-1", "object": "x", "created": 1, "model": MODEL}
    made: list[Any] = []
    for word in text.split(" "):
        said = {"delta": {"content": f"{word} "}} if chat else {"text": f"{word} "}
        made.append({**head, "choices": [{"index": 0, **said, "finish_reason": None}]})
    if done:
        end: Any = {"delta": {}} if chat else {"text": ""}
        made.append({**head, "choices": [{"index": 0, **end, "finish_reason": "stop"}]})
        if usage is not None:
            made.append({**head, "choices": [], "usage": usage})
    return [sse.encode(json.dumps(one)) for one in made] + ([sse.DONE] if done else [])


def app(*pieces: bytes, stream: bool = False, **rest: Any) -> App:
    """An app that answers with these pieces."""
    return App(pieces, headers=[SSE], **rest) if stream else App(pieces, **rest)


@dataclass(frozen=True)
class Told:
    """What was told of some requests."""

    replies: list[Reply]
    spans: list[dict[str, Any]]
    lines: list[dict[str, Any]]

    def of(self, kind: int) -> list[dict[str, Any]]:
        """The spans of a kind: 2 for those of the server, 3 for those of a client, 1 for the guards'."""
        return [span for span in self.spans if span["kind"] == kind]

    @property
    def server(self) -> dict[str, Any]:
        """The server span; there is one."""
        (one,) = self.of(2)
        return one

    @property
    def call(self) -> dict[str, Any]:
        """The span of the call; there is one, and its parent is the server span."""
        (one,) = self.of(3)
        assert one["parentSpanId"] == self.server["spanId"]
        return one

    @property
    def line(self) -> dict[str, Any]:
        """The line of the log; there is one."""
        (one,) = self.lines
        return one


Ask = Callable[[asgi.App], Awaitable[Reply]]


def told(
    make: Callable[[Path], asgi.App], folder: Path, caplog: pytest.LogCaptureFixture, *asks: tuple[Any, ...] | Ask
) -> Told:
    """Ask an app, and read what is told of it.

    Args:
        make: the app behind its steps, by the file that spans are written to.
        asks: bodies and paths for `aask`, or what asks in its own way.
    """
    path = folder / f"spans-{len(list(folder.iterdir()))}.jsonl"
    served = make(path)

    async def run() -> list[Reply]:
        replies = [await (ask(served) if callable(ask) else aask(served, *ask)) for ask in asks]
        await _telling(served).flush()
        return replies

    caplog.clear()
    with caplog.at_level(logging.INFO, "gateway"):
        replies = asyncio.run(run())
    assert "telemetry_fault" not in caplog.text
    written = path.read_bytes().splitlines() if path.exists() else []
    spans = [
        {**span, "attributes": plain(span["attributes"])}
        for line in written
        for resource in orjson.loads(line)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]
    lines = [vars(record) for record in caplog.records if record.name == "gateway" and record.msg == "request"]
    return Told(replies, spans, lines)


def _telling(served: Any) -> Any:
    while not isinstance(served, TelemetryMiddleware | Protected):
        assert isinstance(served, GuardrailMiddleware)
        served = served.app
    assert served.tells is not None
    return served.tells.telling.telemetry
