"""The official path: OpenTelemetry's own exporters, OTLP over HTTP in protobuf and over gRPC, behind its
BatchSpanProcessor. They run in a thread of theirs.

Imported, and made, in the process that uses it: a thread does not survive a fork. The variables of the standard are
not read here but given (`gateway.config.otel`).
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpanExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from gateway.config.otel_receiver import Otlp
from gateway.telemetry.export.aside import aside
from gateway.telemetry.export.official_terms import over_grpc, over_http
from gateway.telemetry.export.overheard import Overheard
from gateway.telemetry.export.readable import readable
from gateway.telemetry.export.trouble import Trouble
from gateway.telemetry.logs import Logger
from gateway.telemetry.span import Span, Value


@dataclass(frozen=True, slots=True)
class Queue:
    """What waits at most, what is sent at one time, in spans, and after how many seconds."""

    spans: int = 8192
    batch: int = 512
    delay: float = 1.0


class OfficialExporter:
    """Hands spans to an exporter of the OpenTelemetry SDK, through its batch processor.

    Args:
        inner: the exporter.
        receiver: its address, for the log.
        resource, scope: what this process says of itself, and who made the spans.
        log: where trouble is told.
        queue: how much waits.
    """

    def __init__(
        self,
        inner: SpanExporter,
        receiver: str,
        resource: Mapping[str, Value],
        scope: tuple[str, str],
        log: Logger,
        queue: Queue | None = None,
    ) -> None:
        self._trouble = Trouble(log, receiver)
        self._resource = Resource(dict(resource))
        self._scope = InstrumentationScope(*scope)
        self._queue = queue or Queue()
        self._counted = _Counted(inner, self._trouble)
        # The processor's own bound is out of reach, so that it never drops what is not counted.
        self._processor = BatchSpanProcessor(
            self._counted,
            max_queue_size=self._queue.spans + self._queue.batch,
            schedule_delay_millis=self._queue.delay * 1000,
            max_export_batch_size=self._queue.batch,
        )
        self._added = 0
        self._refused = 0
        self._left = 0
        self._closed = False

    def __repr__(self) -> str:
        counted = self._counted
        return (
            f"<OfficialExporter {self._trouble.receiver} waiting={self._added - counted.handed}"
            f" sent={counted.sent} dropped={self.dropped()}>"
        )

    def start(self) -> None:
        """Its thread runs since it was made."""

    def add(self, spans: Sequence[Span]) -> None:
        """Hand spans over; those that find the queue full are dropped."""
        free = 0 if self._closed else self._queue.spans - (self._added - self._counted.handed)
        taken = spans[: max(free, 0)]
        self._added += len(taken)
        for one in taken:
            self._processor.on_end(readable(one, self._resource, self._scope))
        if over := len(spans) - len(taken):
            self._refused += over
            self._trouble.tell(
                "the gateway is closed" if self._closed else "spans come faster than they are sent", over
            )

    async def flush(self) -> None:
        """See `Exporter`; it takes no longer than the exporter's own timeout for each batch."""
        if not self._closed:
            await aside(self._processor.force_flush)

    async def close(self, seconds: float) -> None:
        """See `Exporter`. An export that hangs is left to its thread, which does not keep the process alive."""
        if self._closed:
            return
        self._closed = True
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await aside(self._processor.shutdown)
        self._counted.shutdown()
        self._left = self._counted.abandon(self._added)
        if self._left:
            self._trouble.tell("the gateway closed before they were sent", self._left, now=True)
        self._trouble.last()

    def dropped(self) -> int:
        """See `Exporter`."""
        return self._refused + self._counted.failed + self._left


class _Counted(SpanExporter):
    """An exporter that counts, and that says why it fails once a minute instead of with each attempt."""

    def __init__(self, inner: SpanExporter, trouble: Trouble) -> None:
        self._inner, self._trouble = inner, trouble
        self._overheard = Overheard()
        self._lock = Lock()
        self._down = False
        self._abandoned = False
        self.handed = self.sent = self.failed = 0
        self._overheard.listen()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with self._lock:
            self.handed += len(spans)
        with self._overheard:
            result = self._inner.export(spans)
        with self._lock:
            if self._abandoned:
                return result  # they were counted as lost when the gateway closed
            if result is SpanExportResult.SUCCESS:
                self.sent += len(spans)
                return result
            self.failed += len(spans)
        self._trouble.tell(self._overheard.reason or "the exporter failed", len(spans))
        return result

    def abandon(self, added: int) -> int:
        """Count no more, and say how many of `added` spans are neither sent nor failed."""
        with self._lock:
            self._abandoned = True
            return added - self.sent - self.failed

    def shutdown(self) -> None:
        with self._lock:
            if self._down:
                return
            self._down = True
        self._inner.shutdown()
        self._overheard.leave()


def http(otlp: Otlp) -> SpanExporter:
    """The exporter for OTLP over HTTP, in protobuf."""
    return HttpSpanExporter(**over_http(otlp))


def rpc(otlp: Otlp) -> SpanExporter:
    """The exporter for OTLP over gRPC.

    Raises:
        OSError: a file of certificates cannot be read.
    """
    return GrpcSpanExporter(**over_grpc(otlp))
