"""What a gateway tells of itself, put together: spans, numbers, and who they are sent to."""

import asyncio
from contextlib import suppress
from pathlib import Path

from gateway.config.otel import Plan
from gateway.errors import ConfigError
from gateway.routing import reporting
from gateway.routing.upstream import Upstream
from gateway.telemetry import conventions as names
from gateway.telemetry import logs
from gateway.telemetry.export import metrics_sender, select
from gateway.telemetry.export.metrics_sender import MetricsSender
from gateway.telemetry.instruments import table
from gateway.telemetry.logs import Logger
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.options import Options
from gateway.telemetry.registry import Store
from gateway.telemetry.telemetry import Exporters, Telemetry

CLOSING_SECONDS = 5.0
"""How long a gateway that closes waits for its last spans and numbers to be taken."""


class Observing:
    """The telemetry of one gateway.

    Args:
        plan: what is wanted; it stays until the process ends.
        options: how much is told under the first configuration.
        upstream: how receivers are reached.
        log: where requests and trouble are told.
        folder: where the workers of one server keep their numbers together; None for a process alone.

    Raises:
        ConfigError: the folder is not to be written in.
    """

    def __init__(
        self, plan: Plan, options: Options, upstream: Upstream, log: Logger, folder: Path | None = None
    ) -> None:
        self.plan = plan
        self.metrics = Metrics(_shared(folder, plan, log) if folder else None, latest=plan.newest_names)
        post = reporting.poster(upstream)
        exporters = Exporters(lambda: select.make(plan, post, log))
        self.telemetry = Telemetry(options, log, exporters, self.metrics)
        self.metrics.watch(names.TELEMETRY_DROPPED, lambda: _dropped(exporters))
        self._log, self._post = log, post
        self._shares = folder is not None
        self._sender: MetricsSender | None = None
        self._refreshing: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Observing {self.telemetry!r} {self._sender or 'no numbers sent'}>"

    def start(self) -> None:
        """Begin what goes on beside requests, on the running event loop. Who does not call it, as calls in process do
        not, has exporters of spans made by the first request, and sends no numbers.

        Raises:
            ConfigError: a file of certificates cannot be read.
        """
        self.telemetry.start()
        if self.plan.metrics is not None:
            resource = select.resource(self.plan)
            try:
                self._sender = metrics_sender.make(
                    self.plan.metrics,
                    self.metrics.own,
                    resource,
                    select.SCOPE,
                    self._post,
                    self._log,
                    self.plan.metrics_interval,
                )
            except OSError as error:
                raise ConfigError([f"{error.filename}: cannot be read: {error.strerror}"]) from error
            self._sender.start()
        if self._shares:
            self._refreshing = asyncio.create_task(self.metrics.keep_fresh())

    async def close(self) -> None:
        """Send what is left, within `CLOSING_SECONDS`."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            with suppress(asyncio.CancelledError):
                await self._refreshing
        closing = [self.telemetry.close(CLOSING_SECONDS)]
        if self._sender is not None:
            closing.append(self._sender.close(CLOSING_SECONDS))
        await asyncio.gather(*closing)


def _dropped(exporters: Exporters) -> dict[tuple[str, ...], float]:
    return {("spans",): float(exporters.dropped()), ("logs",): float(logs.lost())}


def _shared(folder: Path, plan: Plan, log: Logger) -> Store:
    from gateway.telemetry.shared import Shared  # what it is made of, only POSIX systems have

    try:
        return Shared(folder, table(plan.newest_names), log)
    except OSError as error:
        raise ConfigError([f"the metrics of several workers: {folder}: {error.strerror or error}"]) from error
