"""A gateway in front of fault-injecting upstreams, over real sockets, and all that it tells of one request. The waits
before its retries are noted and left out."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

from gateway.app import Gateway
from gateway.config.load import from_mapping
from gateway.endpoints.completions import Completions
from gateway.exchange import LOCAL_KEY
from gateway.routing.engines.pooled.pool import PooledUpstream
from gateway.routing.upstream import Timeouts, UpstreamResponse
from gateway.types import HttpRequest
from gateway.wire import asgi, json, sse
from tests.faults.upstream import Upstream
from tests.telemetry.kit import plain, written

PRICES = {"input_cost_per_token": 0.000001, "output_cost_per_token": 0.000002}
"""Those of `upstream.Price`."""


def deployment(upstream: Upstream, alias: str = "it", language: str = "text-completion-openai", **params: Any) -> Any:
    """An entry of `model_list` whose id is the upstream's name."""
    base = {"model": f"{language}/it", "api_base": f"{upstream.url}/v1", "api_key": "sk-of-a-test", **PRICES}
    return {"model_name": alias, "litellm_params": {**base, **params}, "model_info": {"id": upstream.name}}


@dataclass(frozen=True, slots=True)
class Told:
    """An answer, byte by byte, and what was told of it: its spans and its usage record. `waits` are the seconds before
    each retry that had to wait."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    spans: Sequence[Mapping[str, Any]]
    record: Mapping[str, Any]
    waits: Sequence[float]

    @property
    def events(self) -> list[bytes]:
        """The data of a stream's events."""
        return [event.data for event in sse.Decoder().feed(self.body)]

    @property
    def error(self) -> Mapping[str, Any] | None:
        """The error it is, or that is in it; None where there is none."""
        if self.headers["content-type"].startswith("text/event-stream"):
            found = [value["error"] for value in self._values() if "error" in value]
            return found[0] if found else None
        error: Mapping[str, Any] | None = json.loads(self.body).get("error")
        return error

    @property
    def text(self) -> str:
        """What the first choice says, so far as it came."""
        if self.headers["content-type"].startswith("text/event-stream"):
            values = (value for value in self._values() if value.get("choices"))
        else:
            values = (value for value in [json.loads(self.body)] if "choices" in value)
        return "".join(value["choices"][0]["text"] for value in values)

    @property
    def calls(self) -> list[Mapping[str, Any]]:
        """The attributes of the spans of calls to providers, in the order they began."""
        kept = [span for span in self.spans if span["kind"] == 3]
        return [span["attributes"] for span in sorted(kept, key=lambda span: int(span["startTimeUnixNano"]))]

    def _values(self) -> list[dict[str, Any]]:
        return [json.loads(data) for data in self.events if data != b"[DONE]"]


@dataclass(slots=True)
class Asking:
    """A running gateway."""

    gateway: Gateway
    log: BytesIO
    path: Path
    """Where its spans go."""
    waits: list[float] = field(default_factory=list)
    """The seconds that were to be waited before each retry; nobody has waited them."""

    def __post_init__(self) -> None:
        for route in self.gateway.serving.routes:
            if isinstance(route.endpoint, Completions):
                route.endpoint.caller.sleep = self._sleep

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        await asyncio.sleep(0)

    async def ask(self, body: Mapping[str, Any], *opened: Upstream) -> Told:
        """One request, alone on this gateway; once the first bytes of its answer are there, the gates of these
        upstreams are opened."""
        sent = json.dumps(body)
        answer = await asgi.request(
            self.gateway, "POST", "/v1/completions", [(b"content-type", b"application/json")], sent, extras=_LOCAL
        )
        said = b""
        async for chunk in answer.chunks():
            said += chunk
            for upstream in opened:
                upstream.gate.set()
        await answer.finished()
        await self.gateway.observing.telemetry.flush()
        lines = [line for line in map(json.loads, self.log.getvalue().splitlines()) if line["event"] == "request"]
        return Told(answer.status, answer.headers, said, self._spans(), lines[-1], self.waits)

    def _spans(self) -> list[dict[str, Any]]:
        return [
            {**span, "attributes": plain(span["attributes"])}
            for line in self.path.read_bytes().splitlines()
            for resource in json.loads(line)["resourceSpans"]
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        ]


_LOCAL = {LOCAL_KEY: True}


class Lent:
    """An engine that gateways use one after the other: making one reads the system's certificates, each time anew."""

    def __init__(self, engine: PooledUpstream) -> None:
        self._engine = engine

    def __repr__(self) -> str:
        return repr(self._engine)

    async def send(self, request: HttpRequest, timeouts: Timeouts, *, stream: bool) -> UpstreamResponse:
        return await self._engine.send(request, timeouts, stream=stream)

    async def close(self) -> None:
        """Whoever lends it closes it."""


@asynccontextmanager
async def asking(
    folder: Path, deployments: Sequence[Any], router: Mapping[str, Any], engine: PooledUpstream | None = None
) -> AsyncIterator[Asking]:
    """A gateway of these deployments and router settings; it must have given every connection back at the end.

    Args:
        folder: where its spans go.
        engine: one to borrow; None for one of its own.
    """
    path = folder / "spans.jsonl"
    config = {
        "model_list": list(deployments),
        "router_settings": dict(router),
        "policies": [],
        "telemetry": {"otlp_file": str(path)},
    }
    found = from_mapping(config)
    with written() as (log, out):
        gateway = Gateway(found.settings, found.source, log, Lent(engine) if engine else None)
        try:
            yield Asking(gateway, out, path)
            assert "0 in flight" in repr(gateway.upstream)
        finally:
            await gateway.close()
