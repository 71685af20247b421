"""Numbers on their way to a collector: what arrives is what was counted, in every form, and nobody waits for it."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import grpc
import pytest
from google.protobuf import json_format
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as messages
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as service
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter

from gateway.config.otel_receiver import Certificates, Otlp
from gateway.telemetry.export import official_metrics, otlp_json, otlp_metrics
from gateway.telemetry.export.metrics_sender import MetricsSender, make
from gateway.telemetry.export.official_metrics import OfficialMetrics
from gateway.telemetry.registry import Snapshot
from gateway.types import Usage
from tests.routing.servers import closed_port, looped, response
from tests.telemetry.export.kit import LOG, OK, collector, posting, troubles, until
from tests.telemetry.metrics_kit import called, judged, metrics, request, verdict

RESOURCE = {"service.name": "test", "service.instance.id": "i"}
SCOPE = ("gateway", "1")
SOON = 0.01
REFUSES = response(b"", status=b"415 Unsupported Media Type")


def snapshot(latest: bool = False) -> Snapshot:
    """Every kind of instrument, with whole numbers and others."""
    counted = metrics(latest=latest)
    counted.begin(request())
    done = judged(request(), verdict("pii", "mask", categories=["pii"]))
    called(done, served="a-model", usage=Usage(100, 20, cached_tokens=5), first_chunk=0.03)
    counted.observe(done)
    counted.watch("gateway.deployment.state", lambda: {("openai-1", "healthy"): 1.0})
    counted.watch("gateway.queue.depth", lambda: {("spans",): 2.5})
    return counted.own()


def parsed(body: bytes) -> messages.ExportMetricsServiceRequest:
    found = messages.ExportMetricsServiceRequest()
    json_format.Parse(body, found)
    return found


def encoded(taken: Snapshot) -> bytes:
    return otlp_metrics.metrics(otlp_json.resource(RESOURCE), otlp_json.scope(*SCOPE), taken)


@pytest.mark.parametrize("latest", [False, True])
def test_the_json_is_what_the_official_encoder_makes_of_the_same_numbers(latest):
    taken = snapshot(latest)
    official = encode_metrics(OfficialMetrics(ConsoleMetricExporter(), RESOURCE, SCOPE).data(taken))
    assert json_format.MessageToDict(parsed(encoded(taken))) == json_format.MessageToDict(official)


def test_sums_are_cumulative_from_the_start_of_the_process():
    taken = snapshot()
    (resource,) = parsed(encoded(taken)).resource_metrics
    found = {metric.name: metric for metric in resource.scope_metrics[0].metrics}
    requests = found["gateway.requests"].sum
    assert (requests.is_monotonic, requests.aggregation_temporality) == (True, 2)
    assert requests.data_points[0].as_int == 1
    assert requests.data_points[0].start_time_unix_nano == taken.start < requests.data_points[0].time_unix_nano
    flying = found["gateway.requests.in_flight"].sum
    assert (flying.is_monotonic, flying.data_points[0].as_int) == (False, 1)
    assert found["gateway.queue.depth"].gauge.data_points[0].as_double == 2.5
    durations = found["gen_ai.client.operation.duration"].histogram.data_points[0]
    assert (durations.count, sum(durations.bucket_counts), durations.sum) == (1, 1, pytest.approx(0.5))
    assert len(durations.bucket_counts) == len(durations.explicit_bounds) + 1


def test_a_label_that_a_series_does_not_have_is_no_attribute():
    (resource,) = parsed(encoded(snapshot())).resource_metrics
    found = {metric.name: metric for metric in resource.scope_metrics[0].metrics}
    (point,) = found["gateway.requests"].sum.data_points
    assert [each.key for each in point.attributes] == ["http.route", "gateway.model", "gateway.status_class"]


def sender(url, post, protocol="http/json", interval=SOON, **otlp) -> MetricsSender:
    made = Otlp(url, protocol, **{"timeout": 2.0, **otlp})
    return make(made, snapshot, RESOURCE, SCOPE, post, LOG, interval)


def arrived(server) -> list[messages.ExportMetricsServiceRequest]:
    """Every body that is not the empty one, whichever form it came in."""
    return [
        parsed(body) if body[:1] == b"{" else messages.ExportMetricsServiceRequest.FromString(body)
        for body in server.decoded()
    ]


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("protocol", ["http/json", "http/protobuf", "auto"])
@looped
async def test_numbers_arrive_again_and_again(protocol, compression):
    async with collector() as server, posting() as post:
        made = sender(server.url, post, protocol, headers={"x-api-key": "k"}, compression=compression)
        made.start()
        await until(lambda: len(server.bodies) >= 3)
        await made.close(5)
    assert {metric.name for metric in arrived(server)[-1].resource_metrics[0].scope_metrics[0].metrics} >= {
        "gateway.requests",
        "gen_ai.client.token.usage",
    }
    assert b"x-api-key: k\r\n" in server.heads[0].lower()
    assert made.sent == len(server.bodies)
    assert made.failed == 0


@looped
async def test_a_close_sends_the_last_numbers():
    async with collector() as server, posting() as post:
        made = sender(server.url, post, interval=3600)
        made.start()
        await made.close(5)
    assert len(server.bodies) == 1
    assert "every 3600 s sent=1 failed=0" in repr(made)


@looped
async def test_a_sender_that_was_never_started_closes_without_a_word():
    async with collector() as server, posting() as post:
        await sender(server.url, post).close(5)
    assert server.bodies == []


@looped
async def test_a_close_does_not_wait_for_a_collector_that_hangs(caplog):
    async with collector(b"") as server, posting() as post:
        made = sender(server.url, post, timeout=60)
        made.start()
        await asyncio.wait_for(server.arrived.wait(), 5)
        await made.close(0.05)
    assert [reason for reason, _ in troubles(caplog)] == ["the gateway closed before the last numbers were taken"]


@looped
async def test_a_collector_that_is_not_there_is_told_once_and_gets_everything_when_it_comes(caplog):
    async with posting() as post:
        made = sender(f"http://127.0.0.1:{closed_port()}/v1/metrics", post)
        for _ in range(3):
            await made.flush()
        assert (made.sent, made.failed, len(troubles(caplog))) == (0, 3, 1)


@looped
async def test_a_collector_that_refuses_for_now_is_asked_again_with_later_numbers():
    async with collector(response(b"", status=b"503 Service Unavailable"), OK) as server, posting() as post:
        made = sender(server.url, post, "auto")
        await made.flush()
        await made.flush()
    assert (made.sent, made.failed) == (1, 1)
    assert all(body[:1] == b"{" for body in server.decoded())


@looped
async def test_auto_goes_the_official_way_once_a_collector_says_that_it_takes_no_json():
    async with collector(REFUSES, OK) as server, posting() as post:
        made = sender(server.url, post, "auto")
        await made.flush()
        await made.flush()
    assert [b"application/json" in head.lower() for head in server.heads] == [True, False, False]
    assert (made.sent, made.failed) == (2, 0)
    assert arrived(server)[-1].resource_metrics[0].scope_metrics[0].scope.name == "gateway"


@looped
@pytest.mark.parametrize("status", [b"404 Not Found", b"405 Method Not Allowed"])
@pytest.mark.parametrize("protocol", ["auto", "http/json", "http/protobuf"])
async def test_a_backend_for_traces_only_is_asked_once_and_that_is_no_trouble(caplog, protocol, status):
    caplog.set_level("INFO")
    async with collector(response(b"", status=status), OK) as server, posting() as post:
        one = sender(server.url, post, protocol)
        one.start()
        await one._task
        await one.close(5)
    assert len(server.bodies) == 1
    assert [record.levelname for record in caplog.records] == ["INFO"]


@looped
async def test_a_collector_that_refuses_every_form_is_told_once(caplog):
    async with collector(REFUSES) as server, posting() as post:
        made = sender(server.url, post, "auto")
        await made.flush()
        await made.flush()
    assert (made.sent, made.failed) == (0, 2)
    ((reason, _),) = troubles(caplog)
    assert "415" in reason
    assert len(caplog.records) == 1, "the exporter's own lines are not let through"


@dataclass
class Receiver(service.MetricsServiceServicer):
    """A gRPC collector."""

    requests: list[messages.ExportMetricsServiceRequest] = field(default_factory=list)
    metadata: list[dict[str, str]] = field(default_factory=list)
    came: threading.Event = field(default_factory=threading.Event)

    def Export(self, request, context):  # noqa: N802 - the service's own name
        self.metadata.append(dict(context.invocation_metadata()))
        self.requests.append(request)
        self.came.set()
        return messages.ExportMetricsServiceResponse()


@contextmanager
def grpc_server(receiver: Receiver | None) -> Iterator[str]:
    """A server; without a receiver it has no service for metrics."""
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        if receiver is not None:
            service.add_MetricsServiceServicer_to_server(receiver, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.stop(0).wait()


@pytest.mark.parametrize("compression", ["none", "gzip"])
@looped
async def test_numbers_arrive_over_grpc(compression):
    receiver = Receiver()
    with grpc_server(receiver) as url:
        async with posting() as post:
            made = sender(url, post, "grpc", headers={"X-Api-Key": "k"}, compression=compression)
            await made.flush()
    assert (made.sent, receiver.metadata[0]["x-api-key"]) == (1, "k")
    (resource,) = receiver.requests[0].resource_metrics
    assert "gateway.requests" in [metric.name for metric in resource.scope_metrics[0].metrics]


@looped
async def test_a_backend_for_traces_only_is_asked_once_over_grpc_too(caplog):
    caplog.set_level("INFO")
    with grpc_server(None) as url:
        async with posting() as post:
            made = sender(url, post, "grpc")
            made.start()
            await made._task
            await made.close(5)
    assert (made.sent, made.failed) == (0, 0)
    ((level, reason),) = [(record.levelname, vars(record)["reason"]) for record in caplog.records]
    assert level == "INFO"
    assert "UNIMPLEMENTED" in reason


@looped
async def test_a_grpc_receiver_that_is_not_there_is_told_once_however_often_it_is_asked(caplog):
    async with posting() as post:
        made = sender(f"http://127.0.0.1:{closed_port()}", post, "grpc", timeout=0.2)
        for _ in range(3):
            await made.flush()
    assert (made.sent, made.failed) == (0, 3)
    assert [record.message for record in caplog.records] == ["telemetry_trouble"]


def test_files_of_certificates_are_read_for_an_encrypted_connection(tmp_path):
    otlp = Otlp("https://127.0.0.1:4317", "grpc", certificates=Certificates(str(tmp_path / "absent.pem")))
    with pytest.raises(FileNotFoundError):
        official_metrics.rpc(otlp)
    official_metrics.rpc(replace(otlp, certificates=Certificates())).shutdown()
