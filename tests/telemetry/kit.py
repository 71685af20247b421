"""The gateway with its telemetry on: a provider that behaves as its model's name says, and all that was told of it."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from gateway.app import Gateway
from gateway.config.load import from_mapping
from gateway.routing.engines.asgi_app import AsgiUpstream
from gateway.telemetry import logs
from gateway.telemetry.logs import Logger
from gateway.telemetry.span import new_span_id
from gateway.wire import asgi

KEY = "sk-master-key-1"
MASKED = "carol@zanzibar.example.com"
"""Masked by the policies in prompts and answers."""
BLOCKED = "kumquat-7781-zanzibar"
"""Blocked by the policies in prompts and answers."""
CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

POLICY = f"""
policy: fruit
version: 3
description: One word that is said nowhere.
stages: [input, output]
guards:
  - phrases: {{rules: [{{name: fruit, category: produce, words: [{BLOCKED}]}}]}}
tests:
  - {{input: "a {BLOCKED} please", expect: block}}
"""

FALLS = "falls"
"""An alias whose deployment always fails, and which falls back to `ok`."""

MENDS = "mends"
"""An alias whose first deployment breaks off, and whose second goes on where a stream broke."""

KEPT = "kept"
"""An alias whose answers are kept and given again."""

LITTLE = 1e-9
"""USD that an end user may spend a day: nobody who is named can ask for anything."""

HOWS = ("ok", "leaky", "429", "400", "500", "stall", "cut", "invent")


class Mouth:
    """A provider that speaks OpenAI's chat language and does what its model is called: `gpt-cut`, `gpt-429`, …

    `ok` repeats what it was asked. `leaky` says what policies block, `invent` what they mask. Its errors repeat both
    and all that it was asked, in every field that they have.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.called = asyncio.Event()

    async def __call__(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        body = orjson.loads((await receive())["body"])
        how, self.asked = body["model"].removeprefix("gpt-"), [*self.asked, body["messages"][-1]["content"]]
        self.called.set()
        if how.isdigit():
            await _answer(send, int(how), b"application/json", orjson.dumps({"error": self._error()}))
        elif body.get("stream"):
            await self._stream(how, receive, send)
        else:
            await self._whole(how, body.get("n", 1), receive, send)

    def _error(self) -> dict[str, str]:
        said = f"{self.asked[-1]} {MASKED} {BLOCKED}"
        return {"message": said, "type": said, "code": said, "param": said}

    def _text(self, how: str) -> str:
        return {"leaky": f"Have a {BLOCKED} now.", "invent": f"Write to {MASKED} now."}.get(how, self.asked[-1])

    async def _whole(self, how: str, n: int, receive: asgi.Receive, send: asgi.Send) -> None:
        if how == "stall":
            await receive()
            return
        message = {"role": "assistant", "content": self._text(how)}
        choices = [{"index": index, "message": message, "finish_reason": "stop"} for index in range(n)]
        answer = orjson.dumps({"id": "c-1", "model": "gpt-x-1", "choices": choices, "usage": USED})
        if how == "cut":
            await send({"type": "http.response.start", "status": 200, "headers": [JSON]})
            await send({"type": "http.response.body", "body": answer[:20], "more_body": True})
            raise ConnectionResetError(self._error()["message"])
        await _answer(send, 200, JSON[1], answer)

    async def _stream(self, how: str, receive: asgi.Receive, send: asgi.Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(JSON[0], b"text/event-stream")]})

        async def event(value: Mapping[str, Any], *, more: bool = True) -> None:
            await send({"type": "http.response.body", "body": b"data: %b\n\n" % orjson.dumps(value), "more_body": more})

        words = self._text(how).split(" ")
        for number, word in enumerate(words):
            delta = {"content": word if number == 0 else f" {word}"}
            await event({"id": "c-1", "model": "gpt-x-1", "choices": [{"index": 0, "delta": delta}]})
            if number == 1 and how == "stall":
                await receive()
                return
            if number == 1 and how == "cut":
                raise ConnectionResetError(self._error()["message"])
            if number == 1 and how == "invent":
                await event({"error": self._error()}, more=False)
                return
        end = {"id": "c-1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": USED}
        await event(end, more=False)


JSON = (b"content-type", b"application/json")
USED = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30, "prompt_tokens_details": {"cached_tokens": 4}}


async def _answer(send: asgi.Send, status: int, kind: bytes, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind)]})
    await send({"type": "http.response.body", "body": body})


@dataclass
class Told:
    """Everything that left a gateway but its answers to clients that are well, and the gateway itself."""

    gateway: Gateway
    provider: Mouth
    path: Path
    log: io.BytesIO
    answers: list[tuple[int, bytes]] = field(default_factory=list)

    async def ask(self, model: str, prompt: object = "Say hello there", **rest: Any) -> tuple[int, bytes]:
        """One request from beginning to end."""
        response = await self._send(model, prompt, **rest)
        try:
            self.answers.append((response.status, await response.read()))
        finally:
            await response.close()
        return self.answers[-1]

    async def leave(self, model: str, prompt: object = "Say hello there", *, stream: bool) -> None:
        """One request whose client goes in the middle: of the stream, or of the wait for a whole answer."""
        before = len(self.lines())
        if stream:
            response = await self._send(model, prompt, stream=True)
            async for _ in response.chunks():
                break
            await response.close()
        else:
            asking = asyncio.create_task(self._send(model, prompt))
            await self.provider.called.wait()
            asking.cancel()
            await asyncio.wait((asking,))
        await until(lambda: len(self.lines()) > before)

    async def _send(
        self,
        model: str,
        prompt: object,
        *,
        key: str = KEY,
        body: bytes | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        **fields: Any,
    ) -> asgi.AsgiResponse:
        self.provider.called.clear()
        sent = body if body is not None else orjson.dumps({"model": model, "prompt": prompt, **fields})
        own = ((b"authorization", f"Bearer {key}".encode()), (b"user-agent", b"test/1"), *headers)
        return await asgi.request(self.gateway, "POST", "/v1/completions", own, sent)

    async def spans(self) -> list[dict[str, Any]]:
        """Every span that was written, as OTLP/JSON has it, with its attributes as a plain mapping."""
        await self.gateway.observing.telemetry.flush()
        lines = self.path.read_bytes().splitlines() if self.path.exists() else []
        return [
            {**span, "attributes": plain(span["attributes"])}
            for line in lines
            for resource in orjson.loads(line)["resourceSpans"]
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        ]

    def lines(self, event: str = "request") -> list[dict[str, Any]]:
        """The lines of the log about one event."""
        return [line for line in map(orjson.loads, self.log.getvalue().splitlines()) if line["event"] == event]

    async def everything(self) -> bytes:
        """Every byte that telemetry let out: exported spans, log lines, the metrics as text."""
        await self.gateway.observing.telemetry.flush()
        scraped = await asgi.request(self.gateway, "GET", "/metrics", [(b"authorization", f"Bearer {KEY}".encode())])
        exported = self.path.read_bytes() if self.path.exists() else b""
        return b"\n".join((exported, self.log.getvalue(), await scraped.read()))


def plain(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    """OTLP's list of keys and values as a mapping."""
    return {each["key"]: _plain(each["value"]) for each in attributes}


def _plain(value: dict[str, Any]) -> Any:
    (kind, given), *_ = value.items()
    if kind == "arrayValue":
        return [_plain(each) for each in given["values"]]
    return int(given) if kind == "intValue" else given


@contextmanager
def written() -> Iterator[tuple[Logger, io.BytesIO]]:
    """The log of a server, and the bytes that it writes."""
    out = io.BytesIO()
    text = io.TextIOWrapper(out, write_through=True)
    with redirect_stdout(text):
        log = logs.make("json")
    yield log, out
    if not out.closed:
        text.detach()  # the bytes are read after the text is gone


@asynccontextmanager
async def telling(folder: Path, *, policies: bool = True, retries: int = 0, **telemetry: Any) -> AsyncIterator[Told]:
    """A gateway that writes its spans to a file, with one alias for each of `HOWS` and some more."""
    (folder / "fruit.yaml").write_text(POLICY)
    path = folder / f"spans-{new_span_id()}.jsonl"
    params = {
        "api_key": "sk-provider-1",
        "timeout": 0.2,
        "input_cost_per_token": 0.000001,
        "cache_read_input_token_cost": 0.0000005,
        "output_cost_per_token": 0.000002,
    }
    end_users, general = telemetry.pop("end_users", {}), telemetry.pop("general", {})
    found = from_mapping(
        {
            "model_list": [
                {"model_name": how, "litellm_params": {"model": f"openai/gpt-{how}", **params}} for how in HOWS
            ]
            + [
                {"model_name": alias, "litellm_params": {"model": f"openai/gpt-{how}", **params, **more}}
                for alias, how, more in (
                    (FALLS, "500", {}),
                    (MENDS, "cut", {"order": 1}),
                    (MENDS, "ok", {"order": 2}),
                    (KEPT, "ok", {"cache": True}),
                )
            ],
            "general_settings": {"master_key": KEY, **general},
            "router_settings": {"num_retries": retries, "resume_streams": True, "fallbacks": [{FALLS: ["ok"]}]},
            "policies": ["pii", str(folder / "fruit.yaml")] if policies else [],
            "end_users": {"default_budget": {"max_usd": LITTLE, "period": "1d"}, **end_users},
            "telemetry": {"otlp_file": str(path), **telemetry},
        }
    )
    provider = Mouth()
    with written() as (log, out):
        gateway = Gateway(found.settings, found.source, log, AsgiUpstream(provider))
        try:
            yield Told(gateway, provider, path, out)
        finally:
            await gateway.close()


async def until(condition: Callable[[], bool], tries: int = 2000) -> None:
    """Give the loop turns until `condition()` is true."""
    for _ in range(tries):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it did not happen")
