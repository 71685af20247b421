"""Telemetry in front of apps of FastAPI and Starlette: a real receiver, and the tracing that an application has of its
own."""

import asyncio
import json as plain_json
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

import gateway
from gateway import GuardrailMiddleware, TelemetryMiddleware, protect
from gateway.wire import sse
from gateway.wire.lifespan import lifespan
from tests.middleware.foreign.kit import CHAT, JSON, App, aask
from tests.middleware.foreign.telemetry_kit import answer, events

ROOT = Path(__file__).parent.parent
EMAIL = "bob@corp.example.com"
ASKED = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Say hello"}]}


class Collector:
    """An OTLP/JSON receiver on loopback."""

    def __init__(self) -> None:
        self.spans: list[dict[str, Any]] = []
        self.resources: list[dict[str, Any]] = []
        self.paths: list[str] = []

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                length = 0
                self.paths.append(line.split(b" ")[1].decode())
                while (header := await reader.readline()).strip():
                    name, _, value = header.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                self._take(orjson.loads(await reader.readexactly(length)))
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")
                await writer.drain()
        finally:
            writer.close()

    def _take(self, body: dict[str, Any]) -> None:
        for one in body.get("resourceSpans", []):
            self.resources.append(one["resource"])
            self.spans += [span for scope in one["scopeSpans"] for span in scope["spans"]]

    @asynccontextmanager
    async def running(self):
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()


def fast(**options: Any) -> Any:
    """Ten lines of FastAPI."""
    fastapi = pytest.importorskip("fastapi")
    served = fastapi.FastAPI(**options)

    @served.post(CHAT)
    async def complete(body: dict[str, Any]) -> Any:
        if body.get("stream"):
            return StreamingResponse(iter(events()), media_type="text/event-stream")
        return orjson.loads(answer())

    return served


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("guarded", ["", "outside", "inside"])
def test_ten_lines_of_fastapi_send_their_spans_to_a_collector(stream, guarded):
    collector = Collector()

    async def run() -> None:
        async with collector.running() as url:
            served = fast()
            if guarded == "inside":
                served.add_middleware(GuardrailMiddleware, policies=["pii"])
            served.add_middleware(TelemetryMiddleware, service_name="ten-lines", otlp_endpoint=url)
            if guarded == "outside":
                served.add_middleware(GuardrailMiddleware, policies=["pii"])
            async with lifespan(served):
                assert (await aask(served, {**ASKED, "stream": stream})).status == 200
        # the end of the lifespan has sent what was left

    asyncio.run(run())
    assert {"/v1/traces", "/v1/metrics"} >= set(collector.paths)
    kinds = sorted(span["kind"] for span in collector.spans)
    assert kinds == ([1, 1, 2, 3] if guarded else [2, 3])
    (call,) = (span for span in collector.spans if span["kind"] == 3)
    assert {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "2006"}} in call["attributes"]
    assert {"key": "service.name", "value": {"stringValue": "ten-lines"}} in collector.resources[0]["attributes"]


def test_refusals_of_a_guard_in_front_are_told_too():
    collector = Collector()

    async def run() -> None:
        async with collector.running() as url:
            served = fast()
            served.add_middleware(TelemetryMiddleware, otlp_endpoint=url)
            served.add_middleware(GuardrailMiddleware, policies=["pii"])
            async with lifespan(served):
                body = {**ASKED, "messages": [{"role": "user", "content": "Card 4111 1111 1111 1111"}]}
                assert (await aask(served, body)).status == 400

    asyncio.run(run())
    assert sorted(span["kind"] for span in collector.spans) == [1, 2]


@pytest.mark.parametrize("make", [TelemetryMiddleware, protect])
def test_an_app_without_a_lifespan_keeps_what_its_steps_hold(make):
    collector = Collector()

    async def run() -> None:
        async with collector.running() as url:
            section = {"otlp_endpoint": url}
            served = (
                make(App([answer()]), {"telemetry": section}) if make is protect else make(App([answer()]), **section)
            )
            async with lifespan(served):  # the app raises, as the specification allows
                assert (await aask(served, ASKED)).status == 200
                await served.tells.telling.telemetry.flush()

    asyncio.run(run())
    assert sorted(span["kind"] for span in collector.spans if span["kind"] > 1) == [2, 3]


def test_a_collector_that_is_away_fails_no_request_and_no_shutdown():
    async def run() -> None:
        served = fast()
        served.add_middleware(TelemetryMiddleware, otlp_endpoint="http://127.0.0.1:9", otlp_protocol="http/json")
        async with lifespan(served):
            assert (await aask(served, ASKED)).status == 200

    asyncio.run(run())


def test_the_step_counts_what_it_sees():
    served = TelemetryMiddleware(App([answer()]), models=["gpt-4o"])
    asyncio.run(aask(served, ASKED))
    counted = {points.instrument.name: points.series for points in served.tells.metrics.own().points}
    assert ("/v1/chat/completions", "gpt-4o", "2xx", "") in counted["gateway.requests"]
    assert len(counted["gen_ai.client.token.usage"]) == 2  # of input and of output
    assert len(counted["gen_ai.usage.cost"]) == 1


def test_starlettes_own_middleware_may_stand_anywhere(tmp_path: Path):
    from starlette.middleware.cors import CORSMiddleware
    from starlette.middleware.gzip import GZipMiddleware

    async def complete(request: Request) -> StreamingResponse:
        assert (await request.json())["model"] == "gpt-4o"
        return StreamingResponse(iter(events()), media_type="text/event-stream")

    path = tmp_path / "spans.jsonl"
    served = Starlette(routes=[Route(CHAT, complete, methods=["POST"])])
    served.add_middleware(GZipMiddleware, minimum_size=1)
    served.add_middleware(TelemetryMiddleware, otlp_file=str(path))
    served.add_middleware(CORSMiddleware, allow_origins=["*"])
    served.add_middleware(GuardrailMiddleware, policies=["pii"])

    async def run() -> None:
        async with lifespan(served):
            reply = await aask(served, {**ASKED, "stream": True}, headers=[JSON, (b"accept-encoding", b"gzip")])
            assert reply.body.endswith(sse.DONE)

    asyncio.run(run())
    spans = [span for line in path.read_bytes().splitlines() for span in _spans(orjson.loads(line))]
    assert sorted(span["kind"] for span in spans) == [1, 1, 2, 3]


def _spans(line: dict[str, Any]) -> list[dict[str, Any]]:
    return [span for one in line["resourceSpans"] for scope in one["scopeSpans"] for span in scope["spans"]]


HOST = """
import asyncio, json, sys
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import StreamingResponse
from starlette.routing import Route
from gateway import GuardrailMiddleware, TelemetryMiddleware, protect
from gateway.wire import asgi
from gateway.wire.lifespan import lifespan
from tests.middleware.foreign.kit import CHAT, JSON, aask
from tests.middleware.foreign.telemetry_kit import events

memory = InMemorySpanExporter()
tracer = trace.get_tracer("theirs")
way, outside = sys.argv[1], sys.argv[2] == "outside"

async def complete(request):
    await request.json()
    async def pieces():
        with tracer.start_as_current_span("in the stream"):
            for one in events():
                yield one
    async def after():
        with tracer.start_as_current_span("afterwards"):
            pass
    with tracer.start_as_current_span("in the handler"):
        return StreamingResponse(pieces(), media_type="text/event-stream", background=BackgroundTask(after))

async def life(app):
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    trace.set_tracer_provider(provider)  # as many applications do: only when they start
    yield

from contextlib import asynccontextmanager
app = Starlette(routes=[Route(CHAT, complete, methods=["POST"])], lifespan=asynccontextmanager(life))
if way == "protect":
    app = protect(app)
else:
    app.add_middleware(TelemetryMiddleware)
    if way == "guarded":
        app.add_middleware(GuardrailMiddleware, policies=["pii"])

async def ask():
    caller = (b"traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    body = {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
    return await aask(app, body, headers=[JSON, caller])

async def run():
    async with lifespan(app):
        if outside:
            with tracer.start_as_current_span("around"):
                await ask()
        else:
            await ask()

asyncio.run(run())
print(json.dumps([
    [span.name, f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}",
     f"{span.parent.span_id:016x}" if span.parent else "", span.attributes.get("gen_ai.usage.input_tokens"),
     span.parent is not None and span.parent.is_remote]
    for span in memory.get_finished_spans()
]))
"""


@pytest.mark.parametrize("way", ["alone", "guarded", "protect"])
@pytest.mark.parametrize("outside", ["caller", "outside"])
def test_spans_go_where_the_applications_own_go_and_make_one_tree_with_them(way, outside):
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", HOST, way, outside], cwd=ROOT, capture_output=True, text=True, check=True
    )
    spans = {name: rest for name, *rest in plain_json.loads(done.stdout)}
    server = spans[f"POST {CHAT}"]
    assert len({trace for trace, *_ in spans.values()}) == 1
    if outside == "outside":
        assert server[2] == spans["around"][1]
        assert not server[4], "its parent is of the same process"
    else:
        assert (server[0], server[2]) == ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
        assert server[4], "its parent is of another process"
    (call,) = (span for span in spans.values() if span[3] is not None)
    assert call[2] == server[1]
    assert call[3] == 2006
    for name in ("in the handler", "in the stream", "afterwards"):
        assert spans[name][2] == server[1], name
    assert ("apply_guardrail pii" in spans) == (way == "guarded")


LIGHT = """
import asyncio, sys
from gateway import TelemetryMiddleware
from tests.middleware.foreign.kit import App, aask
from tests.middleware.foreign.telemetry_kit import answer
served = TelemetryMiddleware(App([answer()]))
asyncio.run(aask(served, {"model": "m", "messages": []}))
print(any(name.startswith("opentelemetry") for name in sys.modules))
"""


def test_nothing_of_opentelemetry_is_loaded_for_an_app_that_has_none_of_it():
    done = subprocess.run([sys.executable, "-c", LIGHT], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout.strip() == "False"


def test_it_is_imported_only_when_asked_for():
    code = "import sys, gateway; print('gateway.embed' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout.strip() == "False"
    assert gateway.TelemetryMiddleware is TelemetryMiddleware
    assert "TelemetryMiddleware" in dir(gateway)
