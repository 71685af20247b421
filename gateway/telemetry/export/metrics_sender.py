"""Numbers sent to a collector every minute: each worker process sends its own, under its own `service.instance.id`."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

from gateway.config.otel_receiver import Otlp, shown
from gateway.telemetry.export import otlp_json
from gateway.telemetry.export.aside import aside
from gateway.telemetry.export.lean import Target
from gateway.telemetry.export.otlp_metrics import LeanMetrics, Send, Sent
from gateway.telemetry.export.port import Post
from gateway.telemetry.export.trouble import Trouble
from gateway.telemetry.logs import Logger
from gateway.telemetry.registry import Snapshot
from gateway.telemetry.span import Value

INTERVAL = 60.0
"""Seconds between two sendings; OTEL_METRIC_EXPORT_INTERVAL's default."""


class MetricsSender:
    """Sends what `read` gives, again and again. What is not taken is not kept: the next numbers include it.

    Args:
        read: this process's numbers (`gateway.telemetry.metrics.Metrics.own`).
        send: how they are sent.
        trouble: where it is told that they are not taken, once a minute at most.
        interval: seconds between two sendings.
    """

    def __init__(self, read: Callable[[], Snapshot], send: Send, trouble: Trouble, interval: float = INTERVAL) -> None:
        self._read, self._send, self._trouble, self._interval = read, send, trouble, interval
        self._closing = asyncio.Event()
        self._absent = False
        self._task: asyncio.Task[None] | None = None
        self.sent = 0
        self.failed = 0

    def __repr__(self) -> str:
        every = f"every {self._interval:g} s"
        return f"<MetricsSender {self._trouble.receiver} {every} sent={self.sent} failed={self.failed}>"

    def start(self) -> None:
        """Begin to send, on the event loop of the caller; the first time after one interval."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def flush(self) -> None:
        """Send now, once."""
        sent = await self._send(self._read())
        if sent.taken:
            self.sent += 1
        elif sent.absent:
            self._absent = True
            self._trouble.end(f"{sent.reason}: it takes no metrics; they are not sent, and stay on /metrics")
        else:
            self.failed += 1
            self._trouble.tell(sent.reason)

    async def close(self, seconds: float) -> None:
        """Send a last time, within so many seconds."""
        self._closing.set()
        if self._task is None:
            return
        await asyncio.wait({self._task}, timeout=seconds)
        if not self._task.done():
            self._task.cancel()
            self._trouble.tell("the gateway closed before the last numbers were taken", now=True)
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        closing = False
        while not closing and not self._absent:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval):
                    await self._closing.wait()
            closing = self._closing.is_set()
            await self.flush()


class Either:
    """Sends OTLP/JSON until a receiver says that it does not take it, and then by the official exporter: a `Send`.

    Args:
        lean: tried first.
        official: makes the other; it loads libraries, and is called in a thread.
    """

    def __init__(self, lean: Send, official: Callable[[], Send]) -> None:
        self._send = lean
        self._official: Callable[[], Send] | None = official

    async def __call__(self, snapshot: Snapshot) -> Sent:
        sent = await self._send(snapshot)
        if sent.never and not sent.absent and self._official is not None:
            self._send = await aside(self._official)
            self._official = None
            return await self._send(snapshot)
        return sent


def make(
    otlp: Otlp,
    read: Callable[[], Snapshot],
    resource: Mapping[str, Value],
    scope: tuple[str, str],
    post: Post,
    log: Logger,
    interval: float = INTERVAL,
) -> MetricsSender:
    """The sender for one receiver.

    Args:
        otlp: the receiver; over HTTP its URL is the whole one (`…/v1/metrics`).
        read: this process's numbers.
        resource, scope: what this process says of itself, and who counted.
        post: the HTTP client of the lean path.
        log: where trouble is told.
        interval: seconds between two sendings.

    Raises:
        OSError: a file of certificates cannot be read.
    """
    target = Target(otlp.url, otlp.headers, otlp.compression, otlp.timeout)
    lean = LeanMetrics(target, otlp_json.resource(resource), otlp_json.scope(*scope), post)

    def official() -> Send:
        from gateway.telemetry.export import official_metrics

        inner = official_metrics.rpc(otlp) if otlp.protocol == "grpc" else official_metrics.http(otlp)
        return official_metrics.OfficialMetrics(inner, resource, scope)

    sends: dict[str, Callable[[], Send]] = {"auto": lambda: Either(lean, official), "http/json": lambda: lean}
    send = sends.get(otlp.protocol, official)()
    return MetricsSender(read, send, Trouble(log, shown(otlp.url)), interval)
