"""Everything that is told of a request, tied together: its trace when it comes in; its usage record, its numbers and
its spans when it is over.

Telemetry never fails a request. What goes wrong in here is counted, and logged the first time it happens.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from time import perf_counter
from typing import Protocol
from weakref import WeakKeyDictionary

from gateway.exchange import Exchange
from gateway.telemetry import spans, usage
from gateway.telemetry import trace as traces
from gateway.telemetry.content import Content
from gateway.telemetry.export.port import Exporter
from gateway.telemetry.logs import Logger
from gateway.telemetry.options import Options
from gateway.telemetry.routes import QUIET_ROUTES

MakeExporter = Callable[[], Exporter | None]
"""Makes an exporter for the running event loop; None where spans have nowhere to go."""

Headers = tuple[str | None, str | None]
"""A caller's `traceparent` and `tracestate`."""


class Meter(Protocol):
    """Counts requests; `gateway.telemetry.metrics.Metrics` is one."""

    def begin(self, exchange: Exchange) -> None:
        """A request has come in."""
        ...

    def end(self, exchange: Exchange) -> None:
        """A request that `begin` was called for is over."""
        ...

    def observe(self, exchange: Exchange) -> None:
        """Count a finished request, once."""
        ...


class Exporters:
    """The exporters of this process, one for each event loop, made when the first request comes on it: an exporter
    sends on the loop it was made on, and a process may have several (calls in process)."""

    def __init__(self, make: MakeExporter) -> None:
        self._make = make
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, Exporter | None] = WeakKeyDictionary()
        self._gone = 0

    def __repr__(self) -> str:
        made = [repr(each) for each in list(self._loops.values()) if each is not None]
        return f"<Exporters {' '.join(made) or 'none'}>"

    def here(self) -> Exporter | None:
        """The exporter of the running loop; it has been started."""
        loop = asyncio.get_running_loop()
        try:
            return self._loops[loop]
        except KeyError:
            self._loops[loop] = None  # what cannot be made now is not tried again for each request
            made = self._loops[loop] = self._make()
            if made is not None:
                Context().run(made.start)  # its tasks outlive this request, and are not about it
            return made

    def dropped(self) -> int:
        """Spans that will never arrive, so far."""
        return self._gone + sum(each.dropped() for each in list(self._loops.values()) if each is not None)

    async def flush(self) -> None:
        """Wait until the running loop's spans are sent or dropped."""
        exporter = self._loops.get(asyncio.get_running_loop())
        if exporter is not None:
            await exporter.flush()

    async def close(self, seconds: float) -> None:
        """Send what waits, on whichever loop that still runs, within so many seconds. A later request begins anew."""
        here = asyncio.get_running_loop()
        closing: list[asyncio.Future[None]] = []
        for loop, exporter in list(self._loops.items()):
            if exporter is None:
                continue
            if loop is here:
                closing.append(asyncio.ensure_future(exporter.close(seconds)))
            elif loop.is_running():
                there = asyncio.run_coroutine_threadsafe(exporter.close(seconds), loop)
                closing.append(asyncio.wrap_future(there))
        if closing:
            await asyncio.wait(closing, timeout=seconds + _GRACE)
        self._gone = self.dropped()
        self._loops.clear()


_GRACE = 1.0
"""Seconds that an exporter's own bound may be exceeded before it is left behind."""


class Faults:
    """What went wrong in telemetry itself."""

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._told: set[tuple[str, type[Exception]]] = set()
        self.count = 0

    def __repr__(self) -> str:
        return f"<Faults {self.count}>"

    def note(self, step: str, error: Exception) -> None:
        """Count a fault, and log its kind once. Its message is not told: it may hold what the fault is about."""
        self.count += 1
        kind = (step, type(error))
        if kind not in self._told:
            self._told.add(kind)
            places = _places(error)
            with suppress(Exception):  # the log may be what is broken; the count says so
                self._log.error("telemetry_fault", step=step, error=type(error).__name__, at=places)


def _places(error: Exception) -> list[str]:
    """Where an exception was raised, the outermost place first: functions and lines, no values."""
    places: list[str] = []
    step = error.__traceback__
    while step is not None:
        places.append(f"{step.tb_frame.f_code.co_qualname}:{step.tb_lineno}")
        step = step.tb_next
    return places


class Telemetry:
    """What is told of requests, under one configuration; `using` another, what sends and counts stays the same.

    Args:
        options: how much is told.
        log: where usage records are written, and faults.
        exporters: where spans go; None for nowhere.
        metrics: what counts requests; None for nothing.
        faults: counts what goes wrong in here; None for a new one.
    """

    __slots__ = ("_exporters", "_log", "_metrics", "faults", "options")

    def __init__(
        self,
        options: Options,
        log: Logger,
        exporters: Exporters | None = None,
        metrics: Meter | None = None,
        faults: Faults | None = None,
    ) -> None:
        self.options = options
        self._log = log
        self._exporters = exporters
        self._metrics = metrics
        self.faults = faults or Faults(log)

    def __repr__(self) -> str:
        return f"<Telemetry {self._exporters!r} {self.faults!r}>"

    def using(self, options: Options) -> "Telemetry":
        """The same under another configuration."""
        return Telemetry(options, self._log, self._exporters, self._metrics, self.faults)

    def begin(self, exchange: Exchange, headers: Headers = (None, None), *, remote: bool = True) -> None:
        """A request has come in: it gets its trace, and a place for its content where that may be kept.

        Args:
            headers: who called.
            remote: whether that is another process.
        """
        options = self.options
        exchange.trace = traces.begin(*headers, options.sample_ratio, follow=options.follow_caller, remote=remote)
        if options.content:
            exchange.capture = Content(options.content_characters)
        if self._metrics is not None:
            self._try("metrics", self._metrics.begin, exchange)

    def finished(self, exchange: Exchange) -> None:
        """A request is over, however it went: write it down. Called once; raises nothing.

        A probe or a scrape that finds all well leaves neither a line nor a span.
        """
        exchange.ended = perf_counter()
        metrics = self._metrics
        if metrics is not None:
            self._try("metrics", metrics.end, exchange)
            self._try("metrics", metrics.observe, exchange)
        if exchange.status == 200 and exchange.path in QUIET_ROUTES:
            return
        self._try("usage", self._tell, exchange)
        if self._exporters is not None and exchange.trace is not None and exchange.trace.sampled:
            self._try("spans", self._export, exchange)

    def start(self) -> None:
        """Make this loop's exporter now, so that it need not wait for the first request."""
        if self._exporters is not None:
            self._exporters.here()

    async def flush(self) -> None:
        """Wait until the spans of this loop are sent or dropped."""
        if self._exporters is not None:
            await self._exporters.flush()

    async def close(self, seconds: float) -> None:
        """Send what waits, within so many seconds."""
        if self._exporters is not None:
            await self._exporters.close(seconds)

    def dropped(self) -> int:
        """Spans that will never arrive, so far."""
        return 0 if self._exporters is None else self._exporters.dropped()

    def _try(self, step: str, work: Callable[[Exchange], None], exchange: Exchange) -> None:
        try:
            work(exchange)
        except Exception as error:  # the request is over and well; `Faults` tells what is not
            self.faults.note(step, error)

    def _tell(self, exchange: Exchange) -> None:
        options = self.options
        record = exchange.record or usage.record(exchange, options)  # the ledger's own: the two say the same
        self._log.info("request", **usage.line(record, options))

    def _export(self, exchange: Exchange) -> None:
        assert self._exporters is not None  # noqa: S101 - `finished` has looked
        exporter = self._exporters.here()
        if exporter is not None:
            exporter.add(spans.of(exchange, self.options))
