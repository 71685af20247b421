"""The official exporters, fed by the gateway: OTLP over HTTP in protobuf, and over gRPC, to real servers."""

import logging
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import grpc
import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as messages
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as service

from gateway.config.otel_receiver import Certificates, Otlp
from gateway.telemetry.export.official import OfficialExporter, Queue, http, rpc
from gateway.telemetry.span import Span
from tests.routing.servers import closed_port, looped, response
from tests.telemetry.export.kit import LOG, OK, collector, running, span, spans, troubles, until

HANGS = b""
SOON = Queue(delay=0.01)


def over_http(url: str, queue: Queue = SOON, **otlp: object) -> OfficialExporter:
    made = http(Otlp(url, "http/protobuf", **{"timeout": 0.5, **otlp}))  # type: ignore[arg-type]
    return OfficialExporter(made, url, {"service.name": "test"}, ("gateway", "1"), LOG, queue)


@pytest.mark.parametrize("compression", ["none", "gzip"])
@looped
async def test_spans_arrive_over_http_in_protobuf(compression: str) -> None:
    async with collector() as server:
        exporter = over_http(server.url, headers={"x-api-key": "k"}, compression=compression)
        async with running(exporter):
            exporter.add([span("a"), span("\ud800", odd=2**70)])
            await exporter.flush()
            assert server.protobuf_names() == ["a", "\ufffd"]
    head = server.heads[0].lower()
    assert b"content-type: application/x-protobuf\r\n" in head
    assert b"x-api-key: k\r\n" in head
    assert (b"content-encoding: gzip" in head) is (compression == "gzip")
    request = messages.ExportTraceServiceRequest.FromString(server.decoded()[0])
    [resource] = request.resource_spans
    assert [(each.key, each.value.string_value) for each in resource.resource.attributes] == [("service.name", "test")]
    assert (resource.scope_spans[0].scope.name, resource.scope_spans[0].scope.version) == ("gateway", "1")
    assert "sent=2 dropped=0" in repr(exporter)


@looped
async def test_a_close_sends_what_waits() -> None:
    async with collector() as server:
        exporter = over_http(server.url, Queue(delay=3600))
        exporter.add(spans(3))
        await exporter.close(5)
        assert len(server.protobuf_names()) == 3
        await exporter.close(5)
        exporter.add(spans(2))
        await exporter.flush()
    assert exporter.dropped() == 2


@looped
async def test_a_collector_that_refuses_is_told_once_and_what_it_refused_is_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with collector(response(b"", status=b"400 Bad Request")) as server:
        exporter = over_http(server.url)
        async with running(exporter):
            for _ in range(3):
                exporter.add(spans(2))
                await exporter.flush()
        assert len(server.bodies) == 3
    assert exporter.dropped() == 6
    [(reason, dropped), (_, rest)] = troubles(caplog)
    assert "400" in reason
    assert (dropped, rest) == (2, 4)
    assert {record.name for record in caplog.records} == {"gateway"}


@looped
async def test_nobody_there_is_told_with_a_reason(caplog: pytest.LogCaptureFixture) -> None:
    exporter = over_http(f"http://127.0.0.1:{closed_port()}/v1/traces")
    async with running(exporter):
        exporter.add(spans(2))
        await exporter.flush()
    assert exporter.dropped() == 2
    assert "Failed to export" in troubles(caplog)[0][0]


@looped
async def test_other_exporters_of_this_process_go_on_talking(caplog: pytest.LogCaptureFixture) -> None:
    async with collector(response(b"", status=b"400 Bad Request")) as server:
        exporter = over_http(server.url)
        async with running(exporter):
            log = logging.getLogger(OTLPSpanExporter.__module__)
            log.error("someone else's")
            exporter.add(spans(1))
            await exporter.flush()
    assert "someone else's" in caplog.text
    assert log.filters == []


@looped
async def test_a_hanging_collector_lets_nobody_wait_and_every_loss_is_counted() -> None:
    async with collector(HANGS) as server:
        exporter = over_http(server.url, Queue(spans=20, batch=10, delay=0.01), timeout=60)
        exporter.add(spans(10))
        await server.arrived.wait()
        for _ in range(50):
            exporter.add(spans(2))  # returns at once: it is no coroutine
        assert exporter.dropped() == 80
        await exporter.close(0.1)
        assert exporter.dropped() == 110
        assert exporter._added - exporter._counted.handed <= 20


@looped
async def test_a_collector_that_comes_back_gets_the_next_spans() -> None:
    async with collector(response(b"", status=b"500 Broken"), OK) as server:
        exporter = over_http(server.url)
        async with running(exporter):
            exporter.add([span("lost")])
            await exporter.flush()
            exporter.add([span("arrives")])
            await exporter.flush()
        assert server.protobuf_names() == ["lost", "arrives"]
    assert exporter.dropped() == 1


@dataclass
class Receiver(service.TraceServiceServicer):
    """A gRPC collector."""

    fails: int = 0
    requests: list[messages.ExportTraceServiceRequest] = field(default_factory=list)
    metadata: list[Mapping[str, str]] = field(default_factory=list)
    release: threading.Event | None = None

    def Export(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802 - the service's own name
        if self.release:
            self.release.wait(5)
        self.metadata.append(dict(context.invocation_metadata()))
        if self.fails:
            self.fails -= 1
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no")
        self.requests.append(request)
        return messages.ExportTraceServiceResponse()

    def names(self) -> list[str]:
        return [
            each.name
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for each in scope.spans
        ]


@contextmanager
def grpc_server(receiver: Receiver) -> Iterator[str]:
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        service.add_TraceServiceServicer_to_server(receiver, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.stop(0).wait()


def over_grpc(url: str, **otlp: object) -> OfficialExporter:
    made = rpc(Otlp(url, "grpc", **{"timeout": 2.0, **otlp}))  # type: ignore[arg-type]
    return OfficialExporter(made, url, {"service.name": "test"}, ("gateway", "1"), LOG, SOON)


@pytest.mark.parametrize("compression", ["none", "gzip"])
@looped
async def test_spans_arrive_over_grpc(compression: str) -> None:
    receiver = Receiver()
    with grpc_server(receiver) as url:
        exporter = over_grpc(url, headers={"X-Api-Key": "k"}, compression=compression)
        async with running(exporter):
            exporter.add(spans(3))
            await until(lambda: len(receiver.names()) == 3)
    assert receiver.names() == ["span 0", "span 1", "span 2"]
    assert receiver.metadata[0]["x-api-key"] == "k"


@looped
async def test_a_grpc_collector_that_refuses_is_told_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    receiver = Receiver(fails=1)
    with grpc_server(receiver) as url:
        exporter = over_grpc(url)
        async with running(exporter):
            exporter.add([span("lost")])
            await exporter.flush()
            exporter.add([span("arrives")])
            await exporter.flush()
    assert receiver.names() == ["arrives"]
    assert exporter.dropped() == 1
    assert "INVALID_ARGUMENT" in troubles(caplog)[0][0]


@looped
async def test_a_close_does_not_wait_for_a_hanging_grpc_collector() -> None:
    receiver = Receiver(release=threading.Event())
    with grpc_server(receiver) as url:
        exporter = over_grpc(url, timeout=60)
        exporter.add(spans(2))
        await exporter.close(0.1)
        assert receiver.release is not None
        receiver.release.set()
    assert exporter.dropped() == 2


def test_files_of_certificates_are_read_for_an_encrypted_connection(tmp_path: Path) -> None:
    otlp = Otlp("https://127.0.0.1:4317", "grpc", certificates=Certificates(str(tmp_path / "absent.pem")))
    with pytest.raises(FileNotFoundError):
        rpc(otlp)
    rpc(replace(otlp, certificates=Certificates())).shutdown()


def test_a_span_keeps_its_parent_and_its_state() -> None:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    from gateway.telemetry.export.readable import readable

    one: Span = replace(span(parent="00f067aa0ba902b7"), state="vendor=1", parent_remote=True, error="no")
    made = readable(one, Resource({}), InstrumentationScope("gateway"))
    assert made.parent is not None
    assert made.context is not None
    assert (made.parent.is_remote, made.parent.span_id) == (True, 0x00F067AA0BA902B7)
    assert made.parent.trace_id == made.context.trace_id
    assert made.context.trace_state.get("vendor") == "1"
    assert made.status.description == "no"
