"""The gateway in process: the same steps, the same policies and accounting, the same errors, and no socket.

A call here is an ASGI request to the same application that `gateway serve` runs, so nothing can differ.
"""

import asyncio
import atexit
import os
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import aclosing
from functools import lru_cache
from math import isfinite
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
        if not all(
            map(_finite, body.values())
        ):  # JSON has no such numbers; they would be sent as null, which is absent
            raise errors.InvalidValue("The parameters must not hold NaN or an infinite number.")
        response = await asgi.request(
            self.gateway, "POST", "/v1/completions", headers, encoded, extras={LOCAL_KEY: True, "client": None}
        )
        if response.status != 200:
            raise errors.from_body(response.status, json.loads(await response.read()), response.headers)
        return response


@overload
def text_completion(
    model: str, prompt: Prompt, *, config: Config = None, stream: Literal[False] = False, **params: Any
) -> Completion: ...
@overload
def text_completion(
    model: str, prompt: Prompt, *, config: Config = None, stream: Literal[True], **params: Any
) -> Iterator[Completion]: ...
def text_completion(
    model: str, prompt: Prompt, *, config: Config = None, stream: bool = False, **params: Any
) -> Completion | Iterator[Completion]:
    """A text completion, in this process, without a server.

    The work is done on an event loop of its own, so it may be called from any thread; called in a coroutine it keeps
    that coroutine's loop waiting, for which there is `atext_completion`.

    Args:
        model: an alias of the configuration; without one, `provider/model`, or the plain name of an OpenAI model.
        prompt: a string, a list of strings, token ids, or a list of lists of token ids.
        config: a path to a configuration, which is read once, or a mapping of the same form; None reads provider keys
            from the environment.
        stream: True for an iterator of chunks; closing it early ends the call to the provider.
        params: every parameter of a text completion (`max_tokens`, `n`, `logprobs`, …), and `end_user`, `session`,
            `timeout` (seconds) and `request_id`.

    Returns:
        An object with the attributes and `model_dump()` of the `openai` client's `Completion`.

    Raises:
        GatewayError: with the same status and code as over HTTP.
    """
    return _shared(config).completion(model=model, prompt=prompt, stream=stream, **params)  # type: ignore[call-overload, no-any-return]


@overload
async def atext_completion(
    model: str, prompt: Prompt, *, config: Config = None, stream: Literal[False] = False, **params: Any
) -> Completion: ...
@overload
async def atext_completion(
    model: str, prompt: Prompt, *, config: Config = None, stream: Literal[True], **params: Any
) -> AsyncIterator[Completion]: ...
async def atext_completion(
    model: str, prompt: Prompt, *, config: Config = None, stream: bool = False, **params: Any
) -> Completion | AsyncIterator[Completion]:
    """`text_completion` for a running event loop; with `stream=True` it returns an asynchronous iterator."""
    return await _shared(config).acompletion(model=model, prompt=prompt, stream=stream, **params)  # type: ignore[call-overload, no-any-return]


def _finite(value: Any) -> bool:
    if isinstance(value, float):
        return isfinite(value)
    if isinstance(value, Mapping):
        return all(map(_finite, value.values()))
    return not isinstance(value, list | tuple) or all(map(_finite, value))


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


def _shared(config: Config) -> Client:
    """The client that the module's functions keep for a configuration."""
    if config is None:
        return _client(None, builtin.state())
    if not isinstance(config, Mapping):
        return _client(str(config), 0)
    try:
        return _client(json.dumps(config), 0)
    except TypeError as error:
        raise errors.ConfigError(["config: a mapping must hold what a YAML file can: text, numbers, lists"]) from error


@lru_cache(maxsize=32)
def _client(config: str | bytes | None, _state: int) -> Client:
    """A client by its configuration's path, or its JSON; `_state` tells one environment from another."""
    return Client(json.loads(config) if isinstance(config, bytes) else config)


class _Loop:
    """An event loop on a thread of its own, for callers that have none; `streams` are those being read."""

    def __init__(self) -> None:
        self.streams: set[AsyncIterator[Completion]] = set()
        self._process = os.getpid()
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._loop = self._runner.get_loop()
        self._thread = threading.Thread(target=self._serve, name="gateway", daemon=True)
        self._thread.start()
        atexit.register(self._stop)

    @property
    def running(self) -> bool:
        """False once the interpreter is on its way out."""
        return self._thread.is_alive()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`; an interrupt of the waiting thread cancels it."""
        if not self.running or self._thread is threading.current_thread():
            work.close()
            raise RuntimeError(
                "a completion cannot be waited for while the interpreter or the gateway itself is at work"
            )
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _serve(self) -> None:
        with self._runner:  # cancels at its end whatever is still under way
            self._loop.run_forever()

    def _stop(self) -> None:
        """Ends calls under way while there still is an interpreter to end them with."""
        if self._process == os.getpid() and self.running:
            for chunks in tuple(self.streams):
                self.run(_close(chunks))
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_STOP_SECONDS)


_STOP_SECONDS = 2.0
_STARTING = threading.Lock()


def _background() -> _Loop:
    with _STARTING:
        return _started()


@lru_cache(maxsize=1)
def _started() -> _Loop:
    return _Loop()


def _forget() -> None:
    """A forked child has neither the parent's threads nor its connections."""
    _started.cache_clear()
    _client.cache_clear()
    _STARTING.release()


os.register_at_fork(before=_STARTING.acquire, after_in_parent=_STARTING.release, after_in_child=_forget)


def _blocking(loop: _Loop, chunks: AsyncIterator[Completion]) -> Iterator[Completion]:
    async def following() -> Completion | None:
        return await anext(chunks, None)

    loop.streams.add(chunks)
    try:
        while (chunk := loop.run(following())) is not None:
            yield chunk
    finally:
        loop.streams.discard(chunks)
        if loop.running:
            loop.run(_close(chunks))


async def _close(chunks: Any) -> None:
    await chunks.aclose()
