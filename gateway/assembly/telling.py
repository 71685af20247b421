"""The telemetry of an app that is not the gateway's own: who is told of its requests, and what its models cost."""

import asyncio
from collections.abc import Iterable

from gateway.assembly.observing import Observing
from gateway.config import otel
from gateway.config.model import PRICES, Settings
from gateway.errors import ConfigError
from gateway.ledger import prices as ledger
from gateway.ledger.books import Books
from gateway.ledger.cost import Price
from gateway.middleware.accounting import Recording
from gateway.middleware.foreign.observation import Telling
from gateway.middleware.foreign.prices import Prices
from gateway.routing.upstream import Upstream
from gateway.telemetry import conventions
from gateway.telemetry.export import ambient
from gateway.telemetry.logs import Logger
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.options import options
from gateway.telemetry.telemetry import Telemetry


class Accounts:
    """What is recorded of requests to an app; told is a line of the log of each.

    Args:
        settings: where they are recorded, and how end users are called.
        prices: what the app's models cost.
        log: where they are told, and faults.
    """

    def __init__(self, settings: Settings, prices: Prices, log: Logger) -> None:
        self.books = Books(settings, log)
        telemetry = Telemetry(options(settings, otel.plan(settings.telemetry, {})), log)
        self.recording = Recording(self.books, telemetry.options)
        ledger.preload()
        self.telling = Telling(
            telemetry, prices, settings.end_users.sources, lambda: None, lambda: False, self.recording
        )

    def __repr__(self) -> str:
        return repr(self.books)

    def start(self) -> None:
        """Begin to record; where that cannot be, the log says so, and no app fails over it."""
        self.books.begin()

    async def close(self) -> None:
        """Ship what is left, for some seconds at most."""
        await self.books.close()


class Tells:
    """What is told of requests to an app, and whom, and recorded where the configuration says where: begun when the app
    has begun, or by the first request."""

    def __init__(
        self, settings: Settings, prices: Prices, upstream: Upstream, names: Iterable[str], log: Logger
    ) -> None:
        plan = otel.of(settings)
        self._observing = Observing(plan, options(settings, plan), upstream, log)
        self._plan, self._log = plan, log
        self._begun = self._hosted = False
        if plan.warnings:
            log.warning("telemetry_warnings", warnings=list(plan.warnings))
        ledger.preload()
        self.books = Books(settings, log)
        self.metrics.watch(conventions.LEDGER_LOST, self.books.losses.told)
        self.telling = self.using(settings, prices, names)

    def using(self, settings: Settings, prices: Prices, names: Iterable[str]) -> Telling:
        """How requests are told of under a configuration; where that is sent and recorded stays with the first.

        Args:
            settings: the configuration.
            prices: what the app's models cost.
            names: those that are told apart in the labels of metrics.

        Raises:
            ConfigError: variables of telemetry that are wrong.
        """
        telemetry = self._observing.telemetry.using(options(settings, otel.of(settings)))
        self._observing.metrics.know(names, names)
        recording = Recording(self.books, telemetry.options) if self.books.keeps else None
        sources = settings.end_users.sources
        self.telling = Telling(telemetry, prices, sources, self.start, lambda: self._hosted, recording)
        return self.telling

    def __repr__(self) -> str:
        return repr(self._observing)

    @property
    def metrics(self) -> Metrics:
        """What is counted."""
        return self._observing.metrics

    def start(self) -> None:
        """Begin to send, on the running event loop; once, whatever comes of it. No request fails over it."""
        if self._begun:
            return
        self._begun = True
        self._hosted = ambient.hosted(self._plan)
        self.books.begin()
        try:
            self._observing.start()
        except ConfigError as error:
            self._log.error("telemetry_not_sent", faults=list(error.faults))

    async def close(self) -> None:
        """Send and ship what is left, for some seconds at most."""
        await asyncio.gather(self._observing.close(), self.books.close())


def priced(settings: Settings) -> dict[str, Price]:
    """What the models of a configuration cost, by their aliases and by their own names; of equal ones the first."""
    found: dict[str, Price] = {}
    for one in settings.deployments:
        own = {name: value for name in PRICES if (value := getattr(one, name)) is not None}
        price = ledger.resolve(one.provider, one.model, base_model=one.base_model, api_base=one.api_base, settings=own)
        if price is not None:
            found = {one.alias: price, one.model: price, **found}
    return found
