"""The official path for numbers: OpenTelemetry's own exporters, OTLP over HTTP in protobuf and over gRPC, given the
gateway's numbers as its SDK would give them. They work in a thread, once a minute.
"""

import re
from collections.abc import Mapping

from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetricExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetricExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from gateway.config.otel_receiver import Otlp
from gateway.telemetry.export.aside import aside
from gateway.telemetry.export.official_terms import over_grpc, over_http
from gateway.telemetry.export.otlp_metrics import Sent, told
from gateway.telemetry.export.overheard import Overheard
from gateway.telemetry.instruments import Kind
from gateway.telemetry.registry import Points, Snapshot
from gateway.telemetry.span import Value

_CUMULATIVE = AggregationTemporality.CUMULATIVE

_NO_SUCH_SERVICE = re.compile(r"\bStatusCode\.UNIMPLEMENTED\b|\bcode: (?:404|405)\b")
"""What the exporters say of a receiver that is for traces only, over gRPC and over HTTP."""


class OfficialMetrics:
    """Hands numbers to an exporter of the OpenTelemetry SDK: a `gateway.telemetry.export.otlp_metrics.Send`.

    Args:
        inner: the exporter; it retries by itself, within its own timeout.
        resource, scope: what this process says of itself, and who counted.
    """

    def __init__(self, inner: MetricExporter, resource: Mapping[str, Value], scope: tuple[str, str]) -> None:
        self._inner = inner
        self._resource = Resource(dict(resource))
        self._scope = InstrumentationScope(*scope)
        self._overheard = Overheard()

    async def __call__(self, snapshot: Snapshot) -> Sent:
        return await aside(lambda: self._sent(snapshot))

    def _sent(self, snapshot: Snapshot) -> Sent:
        """In a thread: what became of it, which the exporter tells its log alone."""
        overheard = self._overheard
        overheard.listen()
        try:
            with overheard:
                result = self._inner.export(self.data(snapshot))
        finally:
            overheard.leave()
        if result is MetricExportResult.SUCCESS:
            return Sent(taken=True)
        reason = overheard.reason or "the exporter failed"
        return Sent(taken=False, reason=reason, absent=_NO_SUCH_SERVICE.search(reason) is not None)

    def data(self, snapshot: Snapshot) -> MetricsData:
        """The SDK's form of a snapshot."""
        found = [
            Metric(each.instrument.name, each.instrument.description, each.instrument.unit, _data(each, snapshot))
            for each in snapshot.points
        ]
        scoped = ScopeMetrics(self._scope, found, self._scope.schema_url or "")
        return MetricsData([ResourceMetrics(self._resource, [scoped], self._resource.schema_url)])


def _data(points: Points, snapshot: Snapshot) -> Sum | Gauge | Histogram:
    kind = points.instrument.kind
    if kind is Kind.HISTOGRAM:
        return Histogram(_histograms(points, snapshot), _CUMULATIVE)
    numbers = [
        NumberDataPoint(
            told(points.instrument, labels),
            snapshot.start,
            snapshot.time,
            int(values[0]) if values[0].is_integer() else values[0],
        )
        for labels, values in points.series.items()
    ]
    return Gauge(numbers) if kind is Kind.GAUGE else Sum(numbers, _CUMULATIVE, kind is Kind.COUNTER)


def _histograms(points: Points, snapshot: Snapshot) -> list[HistogramDataPoint]:
    found = []
    for labels, values in points.series.items():
        counts = [int(value) for value in values[:-1]]
        found.append(
            HistogramDataPoint(
                told(points.instrument, labels),
                snapshot.start,
                snapshot.time,
                sum(counts),
                values[-1],
                counts,
                points.instrument.bounds,
                None,  # type: ignore[arg-type] # least and greatest are optional in OTLP, and not kept here
                None,  # type: ignore[arg-type]
            )
        )
    return found


def http(otlp: Otlp) -> MetricExporter:
    """The exporter for OTLP over HTTP, in protobuf."""
    return HttpMetricExporter(**over_http(otlp))


def rpc(otlp: Otlp) -> MetricExporter:
    """The exporter for OTLP over gRPC.

    Raises:
        OSError: a file of certificates cannot be read.
    """
    return GrpcMetricExporter(**over_grpc(otlp))
