"""A provider that answers when the test says so, and a gateway in front of it, all in one process, with real bytes."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from gateway.app import Gateway
from gateway.config.load import from_mapping
from gateway.exchange import LOCAL_KEY
from gateway.routing.engines.asgi_app import AsgiUpstream
from gateway.telemetry import logs
from gateway.wire import asgi, json, sse
from tests.inprocess import Reply

MASTER = "sk-master-1"


class Provider:
    """OpenAI's text completions. Each call is a dictionary in `asked`; with `hold`, it is answered once `let_go` was
    called as often. `say` is the text, in one piece per word where it is streamed. Under `/broken` it answers 500."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.say = "It says this"
        self.finish = "stop"
        self.status = 200
        self.hold = False
        self.left = self.running = self.most = 0
        self._places = asyncio.Semaphore(0)
        self._arrived = asyncio.Condition()

    def let_go(self, pieces: int = 1) -> None:
        """Let so many calls, or pieces of them, come."""
        for _ in range(pieces):
            self._places.release()

    async def arrived(self, count: int) -> None:
        """Wait until so many calls have come."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.asked) >= count)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        asked = json.loads((await receive())["body"])
        if scope["path"].startswith("/broken/"):
            await send({"type": "http.response.start", "status": 500, "headers": []})
            await send({"type": "http.response.body", "body": b"{}"})
            return
        self.asked.append(asked)
        self.running += 1
        self.most = max(self.most, self.running)
        async with self._arrived:
            self._arrived.notify_all()
        answer = asyncio.ensure_future(self._answer(asked, send))
        gone = asyncio.ensure_future(receive())
        try:
            await asyncio.wait((answer, gone), return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                self.left += 1
        finally:
            self.running -= 1
            answer.cancel()
            gone.cancel()

    async def _held(self) -> None:
        if self.hold:
            await self._places.acquire()

    async def _answer(self, asked: dict[str, Any], send: Any) -> None:
        number = len(self.asked)
        kind = b"text/event-stream" if asked.get("stream") else b"application/json"
        start = {"type": "http.response.start", "status": self.status, "headers": [(b"content-type", kind)]}
        if self.status != 200 or not asked.get("stream"):
            await self._held()
            await send(start)
            await send({"type": "http.response.body", "body": json.dumps(self._whole(asked, number))})
            return
        await send(start)
        words = self.say.split(" ")
        for place, word in enumerate(words):
            await self._held()
            last = place == len(words) - 1
            text = word if last else f"{word} "
            choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": self.finish if last else None}
            chunk = {**self._head(number), "choices": [choice]}
            body = sse.encode(json.dumps(chunk))
            await send({"type": "http.response.body", "body": body, "more_body": True})
        usage = {**self._head(number), "choices": [], "usage": _USAGE}
        await send({"type": "http.response.body", "body": sse.encode(json.dumps(usage)) + sse.DONE})

    def _head(self, number: int) -> dict[str, Any]:
        return {"id": f"cmpl-{number}", "object": "text_completion", "created": 1, "model": "served"}

    def _whole(self, asked: dict[str, Any], number: int) -> dict[str, Any]:
        if self.status != 200:
            return {"error": {"message": "No.", "type": "x", "param": None, "code": None}}
        choices = [
            {"index": index, "text": self.say, "logprobs": None, "finish_reason": self.finish}
            for index in range(asked.get("n") or 1)
        ]
        return {**self._head(number), "choices": choices, "usage": _USAGE}


_USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


def entry(alias: str = "m", id: str | None = None, **params: Any) -> dict[str, Any]:  # noqa: A002
    """A deployment of the provider."""
    return {
        "model_name": alias,
        "litellm_params": {
            "model": "text-completion-openai/served",
            "api_base": "http://provider.test/v1",
            "api_key": "sk-provider",
            "input_cost_per_token": 1.0,
            "output_cost_per_token": 1.0,
            **params,
        },
        **({"model_info": {"id": id}} if id else {}),
    }


class World:
    """A gateway, its provider, and those who ask."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.provider = Provider()
        found = from_mapping({"policies": [], "router_settings": {"num_retries": 0}, **config})
        self.gateway = Gateway(found.settings, found.source, logs.make("library"), AsgiUpstream(self.provider))
        self._tasks: list[asyncio.Task[Reply]] = []

    def ask(self, key: str | None = None, headers: Mapping[str, str] | None = None, **body: Any) -> asyncio.Task[Reply]:
        """One request, under way; done when the gateway is, too."""
        task = asyncio.create_task(self._asked(key, headers or {}, {"model": "m", "prompt": "Say it", **body}))
        self._tasks.append(task)
        return task

    async def opened(self, headers: Mapping[str, str] | None = None, **body: Any) -> asgi.AsgiResponse:
        """One request whose answer has begun, to be read or closed by the test."""
        return await self._request(None, headers or {}, {"model": "m", "prompt": "Say it", **body})

    async def _asked(self, key: str | None, headers: Mapping[str, str], body: Mapping[str, Any]) -> Reply:
        answer = await self._request(key, headers, body)
        whole = await answer.read()
        await answer.finished()
        return Reply(answer.status, answer.headers, whole)

    async def _request(
        self, key: str | None, headers: Mapping[str, str], body: Mapping[str, Any], path: str = "/v1/completions"
    ) -> asgi.AsgiResponse:
        sent = [(name.encode(), value.encode()) for name, value in headers.items()]
        if key is not None:
            sent.append((b"authorization", f"Bearer {key}".encode()))
        extras = {LOCAL_KEY: True} if key is None else {}
        return await asgi.request(self.gateway, "POST", path, sent, json.dumps(dict(body)), extras=extras)

    async def new_key(self, alias: str, **more: Any) -> str:
        """A virtual key, made by the administrator."""
        answer = await self._request(MASTER, {}, {"alias": alias, **more}, "/admin/keys")
        key: str = json.loads(await answer.read())["key"]
        return key

    async def ready(self) -> dict[str, Any]:
        """What `/health/ready` says."""
        answer = await asgi.request(self.gateway, "GET", "/health/ready")
        found: dict[str, Any] = json.loads(await answer.read())
        return found

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.gateway.close()


@asynccontextmanager
async def world(tmp_path: Any, **config: Any) -> AsyncIterator[World]:
    """A world of this configuration, its files in a folder of the test's."""
    general = {"database_url": f"sqlite:///{tmp_path}/gateway.db", **config.pop("general_settings", {})}
    made = World({"model_list": [entry()], "general_settings": general, **config})
    try:
        yield made
    finally:
        await made.close()


async def turns(count: int = 30) -> None:
    """Let everybody do what they can do now."""
    for _ in range(count):
        await asyncio.sleep(0)
