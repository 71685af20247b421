"""The gateway called in process, through its whole onion and without a server: a configuration in, answers out."""

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from gateway.app import Gateway
from gateway.config.load import from_mapping
from gateway.exchange import LOCAL_KEY
from gateway.telemetry import logs
from gateway.wire import asgi, json, sse

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: status, headers by lower-case name, and the bytes of the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error object; fails when the body is anything but one, or has a key too many or too few."""
        value = self.json
        assert list(value) == ["error"], value
        assert list(value["error"]) == ["message", "type", "param", "code"], value
        error: dict[str, Any] = value["error"]
        return error

    @property
    def events(self) -> list[bytes]:
        """The data of a stream's events; fails when a byte is left over after the last one."""
        assert self.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert self.body.endswith(b"\n\n")
        return [event.data for event in sse.Decoder().feed(self.body)]


class InProcess:
    """A gateway of this configuration on an event loop of its own; to be closed."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        found = from_mapping(config)
        self.gateway = Gateway(found.settings, found.source, logs.make("library"))
        self._runner = asyncio.Runner()

    def close(self) -> None:
        self.run(self.gateway.close())
        self._runner.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def ask(
        self,
        body: object = b"",
        path: str = "/v1/completions",
        headers: Iterable[tuple[bytes, bytes]] = (),
        *,
        method: str = "POST",
        scope: Mapping[str, Any] | None = None,
        app: asgi.App | None = None,
    ) -> Reply:
        """Send one request and read its whole answer; a body that is not bytes is sent as JSON."""
        return self.run(self.asked(body, path, headers, method=method, scope=scope, app=app))

    async def asked(
        self,
        body: object = b"",
        path: str = "/v1/completions",
        headers: Iterable[tuple[bytes, bytes]] = (),
        *,
        method: str = "POST",
        scope: Mapping[str, Any] | None = None,
        app: asgi.App | None = None,
    ) -> Reply:
        """`ask`, awaited."""
        sent = body if isinstance(body, bytes) else json.dumps(body)
        extras = {LOCAL_KEY: True, **(scope or {})}
        answer = await asgi.request(app or self.gateway, method, path, headers, sent, extras=extras)
        return Reply(answer.status, answer.headers, await answer.read())
