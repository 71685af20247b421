"""`otlp_protocol: auto` against receivers that speak JSON, that do not, and that are not there yet."""

import pytest

from gateway.config.otel import Plan
from gateway.config.otel_receiver import Otlp
from gateway.telemetry.export import select
from gateway.telemetry.export.auto import AutoExporter, asks
from gateway.telemetry.export.lean import Target
from gateway.telemetry.export.port import Post
from tests.routing.servers import closed_port, looped, response
from tests.telemetry.export.kit import LOG, OK, collector, posting, running, span, spans, troubles, until

UNAVAILABLE = response(b"", status=b"503 No")


def auto(url: str, post: Post) -> AutoExporter:
    made = select.make(Plan(Otlp(url, "auto", timeout=1.0), configured=True, delay=0.01), post, LOG)
    assert isinstance(made, AutoExporter)
    made._pause = 0.01
    return made


@looped
async def test_a_receiver_that_takes_json_gets_json() -> None:
    async with collector() as server, posting() as post:
        exporter = auto(server.url, post)
        exporter.add([span("early")])
        async with running(exporter):
            await exporter.flush()
            exporter.add([span("late")])
            await exporter.flush()
            assert server.names() == ["early", "late"]
        assert server.bodies[0] == b'{"resourceSpans":[]}'
        assert all(b"application/json" in head.lower() for head in server.heads)
    assert repr(exporter).startswith("<AutoExporter <LeanExporter http://127.0.0.1:")


@pytest.mark.parametrize("status", ["400 Bad", "401 Who", "404 Where", "405 No", "415 What", "500 Broken", "302 There"])
@looped
async def test_a_receiver_that_does_not_take_json_gets_protobuf(status: str) -> None:
    async with collector(response(b"", status=status.encode()), OK) as server, posting() as post:
        exporter = auto(server.url, post)
        exporter.add([span("early")])
        async with running(exporter):
            await exporter.flush()
            exporter.add([span("late")])
            await exporter.flush()
            assert server.protobuf_names() == ["early", "late"]
    assert repr(exporter).startswith("<AutoExporter <OfficialExporter http://127.0.0.1:")
    assert exporter.dropped() == 0


@looped
async def test_spans_wait_bounded_until_a_receiver_answers(caplog: pytest.LogCaptureFixture) -> None:
    async with collector(UNAVAILABLE, UNAVAILABLE, UNAVAILABLE, OK) as server, posting() as post:
        exporter = auto(server.url, post)
        exporter._most = 3
        exporter.add(spans(5))
        assert exporter.dropped() == 2
        async with running(exporter):
            await exporter.flush()
            assert server.names() == ["span 2", "span 3", "span 4"]
    assert troubles(caplog)[0] == ("the collector has not answered yet", 2)


@looped
async def test_a_receiver_that_never_comes_does_not_hold_up_the_close(caplog: pytest.LogCaptureFixture) -> None:
    async with posting() as post:
        exporter = auto(f"http://127.0.0.1:{closed_port()}/v1/traces", post)
        exporter._pause = 3600
        exporter.start()
        exporter.add(spans(4))
        await until(lambda: troubles(caplog))
        assert "unanswered waiting=4" in repr(exporter)
        await exporter.close(3600)
        exporter.add(spans(2))
    assert exporter.dropped() == 6
    assert troubles(caplog)[0] == ("no connection, or one that broke", 0)
    assert troubles(caplog)[1] == ("the gateway closed before the collector had answered", 4)


@looped
async def test_a_hanging_receiver_does_not_hold_up_the_close() -> None:
    async with collector(b"") as server, posting() as post:
        exporter = auto(server.url, post)
        exporter.start()
        exporter.add(spans(2))
        await server.arrived.wait()
        await exporter.close(0.05)
    assert exporter.dropped() == 2


@looped
async def test_a_close_right_after_the_start_still_delivers() -> None:
    async with collector() as server, posting() as post:
        exporter = auto(server.url, post)
        exporter.start()
        exporter.add(spans(2))
        await exporter.close(5)
        assert server.names() == ["span 0", "span 1"]


@looped
async def test_the_question_carries_the_headers_of_the_target() -> None:
    async with collector() as server, posting() as post:
        assert await asks(Target(server.url, {"x-api-key": "k"}), post)() == (True, "")
    assert b"x-api-key: k\r\n" in server.heads[0].lower()
