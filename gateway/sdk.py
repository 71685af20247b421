"""The gateway in process: the same steps, the same policies and accounting, the same errors, and no socket.

A call here is an ASGI request to the same application that `gateway serve` runs, so nothing can differ.
"""

import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing
from functools import lru_cache
from math import isfinite
from pathlib import Path
from typing import Any, Literal, overload

from gateway import errors
from gateway.app import Gateway
from gateway.config.load import Loaded, from_mapping, load
from gateway.config.source import Source
from gateway.exchange import LOCAL_KEY
from gateway.routing import builtin
from gateway.telemetry import logs
from gateway.wire import asgi, json, sse, waiting
from gateway.wire.errors import from_body
from gateway.wire.objects import Completion, completion

Config = str | Path | Mapping[str, Any] | None
Prompt = str | list[str] | list[int] | list[list[int]]
Policies = Sequence[str] | None

_CLIENT_HEADERS = {
    "end_user": b"x-gateway-end-user",
    "session": b"x-gateway-session",
    "timeout": b"x-gateway-timeout",
    "request_id": b"x-request-id",
}


class Client:
    """A gateway of one configuration, called in process.

    Calls are recorded as a server's are where the configuration names `general_settings.database_url` or a key of
    `ledger`; otherwise nothing is written to the disk. The first call begins a thread that ships the records.

    Args:
        config: a path, a mapping of the same form, or None for the provider keys found in the environment.
        policies: names of shipped packs or paths to documents, instead of the configuration's; None leaves those, which
            are the pack `default` where it has no key `policies`; an empty list is none.

    Raises:
        ConfigError: every fault of the configuration, or of the policies, at once.
    """

    def __init__(self, config: Config = None, *, policies: Policies = None) -> None:
        loaded = _load(config)
        settings = loaded.settings
        if policies is not None:
            settings = settings.model_copy(update={"policies": _names(policies)})
        self.gateway = Gateway(settings, loaded.source, logs.make("library"))

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
        loop = waiting.background()
        if stream:
            chunks = loop.run(self.acompletion(model=model, prompt=prompt, stream=True, **params))
            return waiting.blocking(loop, chunks)
        whole: Completion = loop.run(self.acompletion(model=model, prompt=prompt, **params))
        return whole

    async def aclose(self) -> None:
        """Close the connections to providers, and put what the calls used in the database. What is called later begins
        anew; who does not call this has it done at the end of the process."""
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
            raise from_body(response.status, json.loads(await response.read()), response.headers)
        return response


@overload
def text_completion(
    model: str,
    prompt: Prompt,
    *,
    config: Config = None,
    policies: Policies = None,
    stream: Literal[False] = False,
    **params: Any,
) -> Completion: ...
@overload
def text_completion(
    model: str,
    prompt: Prompt,
    *,
    config: Config = None,
    policies: Policies = None,
    stream: Literal[True],
    **params: Any,
) -> Iterator[Completion]: ...
def text_completion(
    model: str,
    prompt: Prompt,
    *,
    config: Config = None,
    policies: Policies = None,
    stream: bool = False,
    **params: Any,
) -> Completion | Iterator[Completion]:
    """A text completion, in this process, without a server.

    The work is done on an event loop of its own, so it may be called from any thread; called in a coroutine it keeps
    that coroutine's loop waiting, for which there is `atext_completion`. The first call of a configuration makes its
    gateway: with policies about personal data that takes some tenths of a second more.

    Args:
        model: an alias of the configuration; without one, `provider/model`, or the plain name of an OpenAI model.
        prompt: a string, a list of strings, token ids, or a list of lists of token ids.
        config: a path to a configuration, which is read once, or a mapping of the same form; None reads provider keys
            from the environment.
        policies: names of shipped packs or paths to documents, instead of the configuration's. None leaves those,
            which are the pack `default` where nothing is said; `policies=[]` is none.
        stream: True for an iterator of chunks; closing it early ends the call to the provider.
        params: every parameter of a text completion (`max_tokens`, `n`, `logprobs`, …), and `end_user`, `session`,
            `timeout` (seconds) and `request_id`.

    Returns:
        An object with the attributes and `model_dump()` of the `openai` client's `Completion`.

    Raises:
        GatewayError: with the same status and code as over HTTP.
    """
    return _shared(config, policies).completion(model=model, prompt=prompt, stream=stream, **params)  # type: ignore[call-overload, no-any-return]


@overload
async def atext_completion(
    model: str,
    prompt: Prompt,
    *,
    config: Config = None,
    policies: Policies = None,
    stream: Literal[False] = False,
    **params: Any,
) -> Completion: ...
@overload
async def atext_completion(
    model: str,
    prompt: Prompt,
    *,
    config: Config = None,
    policies: Policies = None,
    stream: Literal[True],
    **params: Any,
) -> AsyncIterator[Completion]: ...
async def atext_completion(
    model: str,
    prompt: Prompt,
    *,
    config: Config = None,
    policies: Policies = None,
    stream: bool = False,
    **params: Any,
) -> Completion | AsyncIterator[Completion]:
    """`text_completion` for a running event loop; with `stream=True` it returns an asynchronous iterator."""
    return await _shared(config, policies).acompletion(model=model, prompt=prompt, stream=stream, **params)  # type: ignore[call-overload, no-any-return]


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
                        raise from_body(response.status, value)
                    yield completion(value)
    finally:
        await response.close()


def _load(config: Config) -> Loaded:
    if config is None:
        return Loaded(builtin.settings(), Source("environment"))
    if isinstance(config, Mapping):
        return from_mapping(config)
    return load(config)


def _names(policies: Sequence[str]) -> tuple[str, ...]:
    """`policies`, which are not one name spelled letter by letter."""
    if isinstance(policies, str) or not all(isinstance(name, str) for name in policies):
        raise errors.ConfigError(['policies: must be a list of texts, such as ["default"]'])
    return tuple(policies)


def _shared(config: Config, policies: Policies) -> Client:
    """The client that the module's functions keep for a configuration and policies."""
    names = None if policies is None else _names(policies)
    if config is None:
        return _client(None, names, builtin.state())
    if not isinstance(config, Mapping):
        return _client(str(config), names, 0)
    try:
        return _client(json.dumps(config), names, 0)
    except TypeError as error:
        raise errors.ConfigError(["config: a mapping must hold what a YAML file can: text, numbers, lists"]) from error


@lru_cache(maxsize=32)
def _client(config: str | bytes | None, policies: tuple[str, ...] | None, _state: int) -> Client:
    """A client by its configuration's path, or its JSON; `_state` tells one environment from another."""
    return Client(json.loads(config) if isinstance(config, bytes) else config, policies=policies)


os.register_at_fork(after_in_child=_client.cache_clear)  # a child does not have its parent's connections
