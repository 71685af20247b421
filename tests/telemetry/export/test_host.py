"""Mounted in an application with tracing of its own: the gateway's spans go where the application's go."""

import subprocess
import sys
from pathlib import Path

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from gateway.telemetry.export.host import HostExporter, provider
from tests.routing.servers import looped
from tests.telemetry.export.kit import LOG, running, span, troubles

ROOT = Path(__file__).parents[3]


@looped
async def test_spans_reach_every_processor_with_the_applications_resource() -> None:
    app = TracerProvider(resource=Resource({"service.name": "their-app"}))
    memories = [InMemorySpanExporter(), InMemorySpanExporter()]
    for memory in memories:
        app.add_span_processor(SimpleSpanProcessor(memory))
    with app.get_tracer("theirs").start_as_current_span("their span") as theirs:
        parent = theirs.get_span_context()
    exporter = HostExporter(app, ("gateway", "1"), LOG)
    async with running(exporter):
        exporter.add([span("ours", parent=f"{parent.span_id:016x}")])
        await exporter.flush()
    for memory in memories:
        _, ours = memory.get_finished_spans()
        assert ours.name == "ours"
        assert ours.resource.attributes["service.name"] == "their-app"
        assert ours.parent is not None
        assert ours.parent.span_id == parent.span_id
        assert ours.instrumentation_scope is not None
        assert ours.instrumentation_scope.name == "gateway"
    assert repr(exporter) == "<HostExporter sent=1 dropped=0>"


class Broken(SpanProcessor):
    def on_end(self, span: ReadableSpan) -> None:
        raise RuntimeError("theirs")


@looped
async def test_a_processor_that_fails_fails_no_request(caplog: pytest.LogCaptureFixture) -> None:
    app = TracerProvider()
    app.add_span_processor(Broken())
    exporter = HostExporter(app, ("gateway", "1"), LOG)
    exporter.add([span(), span()])
    assert exporter.dropped() == 2
    assert troubles(caplog) == [("a span processor raised RuntimeError", 1)]


@looped
async def test_closing_leaves_the_applications_provider_at_work() -> None:
    app, memory = TracerProvider(), InMemorySpanExporter()
    app.add_span_processor(SimpleSpanProcessor(memory))
    exporter = HostExporter(app, ("gateway", "1"), LOG)
    await exporter.close(1)
    exporter.add([span()])
    with app.get_tracer("theirs").start_as_current_span("their span"):
        pass
    assert [each.name for each in memory.get_finished_spans()] == ["their span"]
    assert exporter.dropped() == 1


def test_an_application_that_has_only_the_api_has_no_provider() -> None:
    assert provider() is None


CHOICE = """
import sys
from gateway.config.otel import Plan
from gateway.config.otel_receiver import Otlp
from gateway.telemetry import logs
from gateway.telemetry.export import select

async def post(url, headers, body, seconds): raise AssertionError

{before}
print(type(select.make(Plan({plan}), post, logs.make("library"))).__name__,
      "opentelemetry.sdk.trace" in sys.modules)
"""
PROVIDER = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
trace.set_tracer_provider(TracerProvider())
"""
OTLP = 'otlp=Otlp("http://127.0.0.1:1/v1/traces", "http/json"), configured={}'


@pytest.mark.parametrize(
    ("before", "plan", "chosen"),
    [
        ("", "", "NoneType False"),
        ("", OTLP.format(True), "LeanExporter False"),
        ("", OTLP.format(False), "LeanExporter False"),
        ("import opentelemetry.sdk.trace", "", "NoneType True"),
        (PROVIDER, "", "HostExporter True"),
        (PROVIDER, OTLP.format(False), "HostExporter True"),
        (PROVIDER, OTLP.format(True), "LeanExporter True"),
        (PROVIDER, "disabled=True", "NoneType True"),
    ],
)
def test_an_applications_provider_comes_before_variables_and_after_the_configuration(
    before: str, plan: str, chosen: str
) -> None:
    code = CHOICE.format(before=before, plan=plan)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout.strip() == chosen
