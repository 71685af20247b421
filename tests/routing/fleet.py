"""Several deployments that answer as they are told to, call by call, and who was called with what."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from random import Random
from typing import Any
from urllib.parse import urlsplit

import orjson

from gateway.config.load import from_mapping
from gateway.exchange import CallRecord, Exchange
from gateway.routing.board import Book
from gateway.routing.call import Caller
from gateway.routing.deployments import Catalogue
from gateway.routing.router import Router
from gateway.routing.upstream import Timeouts
from gateway.types import CompletionRequest, Delta, HttpRequest
from tests.routing.test_call import Response, choice, chunk, new

Body = dict[str, Any]

Answer = Callable[[Body], "Response | Exception | Awaitable[Response]"]
"""What a deployment makes of a request's body."""


def says(*words: str, **fields: object) -> Answer:
    """A good answer: these words in each choice, streamed word by word where that is asked for."""

    def answer(body: Body) -> Response:
        count = body.get("n", 1)
        if body.get("stream"):
            events = [chunk(word, index=index) for word in words for index in range(count)]
            ends = [chunk(None, "stop", index) for index in range(count)]
            return Response([*events, *ends, b"data: [DONE]\n\n"])
        choices = [_choice(body, "".join(words), index) for index in range(count)]
        usage = {"prompt_tokens": 10, "completion_tokens": len(words) * count}
        return Response([orjson.dumps({"choices": choices, "usage": usage, **fields})])

    return answer


def _choice(body: Body, text: str, index: int) -> Body:
    if "prompt" in body:
        return {"index": index, "text": text, "finish_reason": "stop"}
    return choice(text, index)


def refuses(status: int, message: str = "no", **headers: str) -> Answer:
    """An error in OpenAI's form."""

    def answer(body: Body) -> Response:
        response = Response([orjson.dumps({"error": {"message": message}})], status)
        response.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return response

    return answer


def fails(error: Exception) -> Answer:
    """The call itself fails."""
    return lambda body: error


def sends(*pieces: bytes | Exception) -> Answer:
    """These bytes, whatever was asked for."""
    return lambda body: Response(list(pieces))


class Fleet:
    """An upstream of deployments named by the host of their `api_base`.

    Args:
        scripts: for each deployment what it answers, call after call; its last answer is repeated.
    """

    def __init__(self, **scripts: "Answer | list[Answer]") -> None:
        self.scripts = {
            name: list(script) if isinstance(script, list) else [script] for name, script in scripts.items()
        }
        self.calls: list[tuple[str, Body]] = []
        self.limits: list[Timeouts] = []
        self.responses: list[Response] = []

    @property
    def called(self) -> list[str]:
        """Who was called, in order."""
        return [name for name, _ in self.calls]

    async def send(self, request: HttpRequest, timeouts: Timeouts, *, stream: bool) -> Response:
        name = urlsplit(request.url).hostname or ""
        body = orjson.loads(request.body)
        self.calls.append((name, body))
        self.limits.append(timeouts)
        script = self.scripts[name]
        answer = script.pop(0) if len(script) > 1 else script[0]
        await asyncio.sleep(0)
        found = answer(body)
        if isinstance(found, Exception):
            raise found
        if not isinstance(found, Response):
            found = await found
        self.responses.append(found)
        return found

    async def close(self) -> None: ...


def entry(name: str, alias: str = "m", model: str = "openai/x", **params: Any) -> Body:
    """A deployment of the fleet; those with a lower `order` are called first."""
    base = f"http://{name}/v1"
    return {
        "model_name": alias,
        "litellm_params": {"model": model, "api_key": "k-12345678", "api_base": base, **params},
        "model_info": {"id": name},
    }


def group(*names: str, **router: Any) -> Body:
    """A configuration of one alias whose deployments are called in this order."""
    listed = [entry(name, order=order) for order, name in enumerate(names)]
    return {"model_list": listed, "router_settings": router}


class Walk:
    """One request answered by a fleet, and what came of it. `slept` are the waits before retries, in seconds."""

    def __init__(
        self, fleet: Fleet, config: Body, request: CompletionRequest, exchange: Exchange | None = None
    ) -> None:
        self.exchange = exchange or new()
        self.slept: list[float] = []
        self.deltas: list[Delta] = []
        self.error: Exception | None = None
        found = from_mapping(config)
        self.settings = found.settings
        catalogue = Catalogue(found.settings, found.source)
        self.router = Router(catalogue, found.settings, Book(), rng=Random(1))  # noqa: S311 - the same each time
        parallel = found.settings.general.max_parallel_prompts
        self._caller = Caller(self.router, fleet, parallel, self._sleep)  # type: ignore[arg-type]
        self._request = request

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def stream(self) -> AsyncGenerator[Delta, None]:
        self.calling = self._caller.begin(self._request, self.exchange)
        return self.calling.deltas()

    async def go(self) -> "Walk":
        try:
            async with aclosing(self.stream()) as stream:
                async for delta in stream:
                    self.deltas.append(delta)
        except Exception as error:
            self.error = error
        return self

    @property
    def texts(self) -> Mapping[int, str]:
        """The text of each choice."""
        found: dict[int, str] = {}
        for delta in self.deltas:
            found[delta.index] = found.get(delta.index, "") + delta.text
        return dict(sorted(found.items()))

    @property
    def records(self) -> list[CallRecord]:
        return self.exchange.calls

    @property
    def why(self) -> list[str]:
        return [record.why for record in self.records]


def walked(fleet: Fleet, config: Body, *prompts: str, exchange: Exchange | None = None, **asked: Any) -> Walk:
    """A request for the alias `m`, answered or failed."""
    request = CompletionRequest(asked.pop("model", "m"), prompts or ("p",), **asked)
    return asyncio.run(Walk(fleet, config, request, exchange).go())
