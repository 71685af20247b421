"""Spans to export, and a collector on loopback that says what it got."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from gateway.routing.engines.pooled.pool import PooledUpstream
from gateway.routing.reporting import poster
from gateway.telemetry import logs
from gateway.telemetry.export import otlp_json
from gateway.telemetry.export.port import Exporter, Post
from gateway.telemetry.span import Event, Kind, Span, new_span_id, new_trace_id
from tests.routing.servers import Connection, response, serve

RESOURCE = otlp_json.resource({"service.name": "test"})
SCOPE = otlp_json.scope("gateway", "1")
LOG = logs.make("library")
OK = response(b"{}", b"content-type: application/json")
AT = 1_700_000_000_000_000_000


def span(name: str = "POST /v1/completions", parent: str = "", **attributes: object) -> Span:
    return Span(
        new_trace_id(),
        new_span_id(),
        parent,
        name,
        Kind.SERVER,
        AT,
        AT + 5_000_000,
        {"gateway.model": "m", "http.response.status_code": 200, **attributes},  # type: ignore[dict-item]
        events=(Event("gen_ai.guardrail.result", AT + 1, {"gen_ai.guardrail.risk.score": 0.5}),),
    )


def spans(count: int) -> list[Span]:
    return [span(f"span {number}") for number in range(count)]


@dataclass
class Collector:
    """What a collector has on its hands. `answers` are given one after the other, the last one again and again."""

    answers: Sequence[bytes] = (OK,)
    url: str = ""
    heads: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, connection: Connection) -> None:
        self.heads.append(connection.head)
        self.bodies.append(connection.body)
        answer = self.answers[min(len(self.bodies), len(self.answers)) - 1]
        self.arrived.set()
        if not answer:
            await asyncio.Event().wait()
        await connection.send(answer)

    def decoded(self) -> list[bytes]:
        pairs = zip(self.heads, self.bodies, strict=True)
        return [gzip.decompress(body) if b"content-encoding: gzip" in head.lower() else body for head, body in pairs]

    def names(self) -> list[str]:
        """Names of the spans in every JSON body, in the order they came."""
        return [
            one["name"]
            for body in map(orjson.loads, self.decoded())
            for resource in body["resourceSpans"]
            for scope in resource["scopeSpans"]
            for one in scope["spans"]
        ]

    def protobuf_names(self) -> list[str]:
        """The same of every protobuf body."""
        requests = [ExportTraceServiceRequest.FromString(body) for body in self.decoded() if body[:1] != b"{"]
        return [
            one.name
            for request in requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for one in scope.spans
        ]


@asynccontextmanager
async def collector(*answers: bytes) -> AsyncIterator[Collector]:
    """A collector that gives `answers`; an empty one is never given: the request hangs."""
    made = Collector(answers or (OK,))
    async with serve(made.handle) as server:
        made.url = f"{server.url}/v1/traces"
        yield made


@asynccontextmanager
async def posting() -> AsyncIterator[Post]:
    """The gateway's own HTTP client."""
    upstream = PooledUpstream()
    try:
        yield poster(upstream)
    finally:
        await upstream.close()


@asynccontextmanager
async def running(exporter: Exporter, seconds: float = 5.0) -> AsyncIterator[None]:
    exporter.start()
    try:
        yield
    finally:
        await exporter.close(seconds)


def troubles(caplog: pytest.LogCaptureFixture) -> list[tuple[str, int]]:
    """The reason and the number of dropped spans of each line about a receiver."""
    return [
        (record.reason, record.dropped)  # type: ignore[attr-defined]
        for record in caplog.records
        if record.message == "telemetry_trouble"
    ]


async def until(condition: object, tries: int = 1000) -> None:
    """Give the loop turns until `condition()` is true."""
    for _ in range(tries):
        if condition():  # type: ignore[operator]
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not happen")
