"""The gateway in process: the same steps, the same policies and accounting, the same errors, and no socket.

A call here is an ASGI request to the same application that `gateway serve` runs, so nothing can differ.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import aclosing
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar, overload

from gateway import errors
from gateway.app import Gateway
from gateway.config.load import Loaded, from_mapping, load
from gateway.config.source import Source
from gateway.exchange import LOCAL_KEY
from gateway.routing import builtin
from gateway.telemetry import logs
from gateway.wire import asgi, json, sse
from gateway.wire.objects import Completion, completion

T = TypeVar("T")
Config = str | Path | Mapping[str, Any] | None
Prompt = str | list[str] | list[int] | list[list[int]]

_CLIENT_HEADERS = {
    "end_user": b"x-gateway-end-user",
    "session": b"x-gateway-session",
    "timeout": b"x-gateway-timeout",
    "request_id": b"x-request-id",
}


class Client:
    """A gateway of one configuration, called in process.

    Args:
        config: a path, a mapping of the same form, or None for the provider keys found in the environment.

    Raises:
        ConfigError: every fault of the configuration at once.
    """

    def __init__(self, config: Config = None) -> None:
        loaded = _load(config)
        self.gateway = Gateway(loaded.settings, loaded.source, logs.make("library"))

    @overload
    async def acompletion(
        self, *, model: str, prompt: Prompt, stream: Literal[False] = False, **params: Any
    ) -> Completion: ...
    @overload
    async def acompletion(
        self, *, model: str, prompt: Prompt, stream: Literal[True], **params: Any
    ) -> AsyncIterator[Completion]: ...
    async def acompletion(
        self, *, model: str, prompt: Prompt, stream: bool = False, **params: Any
    ) -> Completion | AsyncIterator[Completion]:
        """A text completion; see `atext_completion`."""
        response = await self._send({"model": model, "prompt": prompt, "stream": stream, **params})
        if stream:
            return _chunks(response)
        return completion(json.loads(await response.read()))

    @overload
    def completion(
        self, *, model: str, prompt: Prompt, stream: Literal[False] = False, **params: Any
    ) -> Completion: ...
    @overload
    def completion(
        self, *, model: str, prompt: Prompt, stream: Literal[True], **params: Any
    ) -> Iterator[Completion]: ...
    def completion(
        self, *, model: str, prompt: Prompt, stream: bool = False, **params: Any
    ) -> Completion | Iterator[Completion]:
        """A text completion, waited for; see `text_completion`."""
        loop = _background()
        if stream:
            chunks = loop.run(self.acompletion(model=model, prompt=prompt, stream=True, **params))
            return _blocking(loop, chunks)
        whole: Completion = loop.run(self.acompletion(model=model, prompt=prompt, **params))
        return whole

    async def aclose(self) -> None:
        """Close the connections to providers."""
        await self.gateway.close()

    async def _send(self, body: dict[str, Any]) -> asgi.AsgiResponse:
        headers = [(b"content-type", b"application/json")]
        for name, header in _CLIENT_HEADERS.items():
            value = body.pop(name, None)
            if value is not None:
                headers.append((header, str(value).encode()))
        try:
            encoded = json.dumps(body)
        except TypeError as error:
            raise errors.InvalidType("The parameters must be plain JSON values.") from error
        response = await asgi.request(
            self.gateway, "POST", "/v1/completions", headers, encoded, extras={LOCAL_KEY: True, "client": None}
        )
        if response.status != 200:
            raise errors.from_body(response.status, json.loads(await response.read()), response.headers)
        return response


def text_completion(
    model: str, prompt: Prompt, *, config: Config = None, stream: bool = False, **params: Any
) -> Completion | Iterator[Completion]:
    """A text completion, in this process, without a server.

    Args:
        model: an alias of the configuration; without one, `provider/model`, or the plain name of an OpenAI model.
        prompt: a string, a list of strings, token ids, or a list of lists of token ids.
        config: a path to a configuration or a mapping of the same form; None reads provider keys from the environment.
        stream: True for an iterator of chunks.
        params: every parameter of a text completion (`max_tokens`, `n`, `logprobs`, …), and `end_user`, `session`,
            `timeout` (seconds) and `request_id`.

    Returns:
        An object with the attributes and `model_dump()` of the `openai` client's `Completion`.

    Raises:
        GatewayError: with the same status and code as over HTTP.
    """
    return _client(_key(config)).completion(model=model, prompt=prompt, stream=stream, **params)  # type: ignore[call-overload, no-any-return]


async def atext_completion(
    model: str, prompt: Prompt, *, config: Config = None, stream: bool = False, **params: Any
) -> Completion | AsyncIterator[Completion]:
    """`text_completion` for a running event loop; with `stream=True` it returns an asynchronous iterator."""
    return await _client(_key(config)).acompletion(model=model, prompt=prompt, stream=stream, **params)  # type: ignore[call-overload, no-any-return]


async def _chunks(response: asgi.AsgiResponse) -> AsyncIterator[Completion]:
    """A stream's chunks; an error told in-band is raised, and leaving early cancels the call to the provider."""
    decoder = sse.Decoder()
    try:
        async with aclosing(response.chunks()) as pieces:  # type: ignore[type-var]
            async for piece in pieces:
                for event in decoder.feed(piece):
                    if event.data == b"[DONE]":
                        return
                    value = json.loads(event.data)
                    if "error" in value:
                        raise errors.from_body(response.status, value)
                    yield completion(value)
    finally:
        await response.close()


def _load(config: Config) -> Loaded:
    if config is None:
        return Loaded(builtin.settings(), Source("environment"))
    if isinstance(config, Mapping):
        return from_mapping(config)
    return load(config)


def _key(config: Config) -> str | Path | None:
    """What the clients of the module's functions are kept by: mappings by their JSON text."""
    if isinstance(config, Mapping):
        return json.dumps(config).decode()
    return config


@lru_cache(maxsize=32)
def _client(key: str | Path | None) -> Client:
    if isinstance(key, str) and key.startswith("{"):
        return Client(json.loads(key))
    return Client(key)


class _Loop:
    """An event loop on a thread of its own, for callers that have none."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="gateway", daemon=True).start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`; an interrupt of the waiting thread cancels it."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise


@lru_cache(maxsize=1)
def _background() -> _Loop:
    return _Loop()


def _blocking(loop: _Loop, chunks: AsyncIterator[Completion]) -> Iterator[Completion]:
    async def following() -> Completion | None:
        return await anext(chunks, None)

    try:
        while (chunk := loop.run(following())) is not None:
            yield chunk
    finally:
        loop.run(_close(chunks))


async def _close(chunks: Any) -> None:
    await chunks.aclose()
