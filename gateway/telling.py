"""The telemetry of an app that is not the gateway's own: who is told of its requests, and what its models cost."""

from collections.abc import Iterable

from gateway.config import environment, otel
from gateway.config.model import PRICES, Settings
from gateway.errors import ConfigError
from gateway.ledger import prices as ledger
from gateway.ledger.cost import Price
from gateway.middleware.foreign_observation import Telling
from gateway.middleware.foreign_prices import Prices
from gateway.observing import Observing
from gateway.routing.upstream import Upstream
from gateway.telemetry.export import ambient
from gateway.telemetry.logs import Logger
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.options import options


class Tells:
    """What is told of requests to an app, and whom: begun when the app has begun, or by the first request."""

    def __init__(
        self, settings: Settings, prices: Prices, upstream: Upstream, names: Iterable[str], log: Logger
    ) -> None:
        plan = otel.plan(settings.telemetry, {**environment.snapshot(), **settings.environment_variables})
        self._observing = Observing(plan, options(settings, plan), upstream, log)
        self._observing.metrics.know(names, names)
        self._plan, self._log = plan, log
        self._begun = self._hosted = False
        if plan.warnings:
            log.warning("telemetry_warnings", warnings=list(plan.warnings))
        ledger.preload()
        self.telling = Telling(
            self._observing.telemetry, prices, settings.end_users.sources, self.start, lambda: self._hosted
        )

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
        try:
            self._observing.start()
        except ConfigError as error:
            self._log.error("telemetry_not_sent", faults=list(error.faults))

    async def close(self) -> None:
        """Send what is left, for some seconds at most."""
        await self._observing.close()


def priced(settings: Settings) -> dict[str, Price]:
    """What the models of a configuration cost, by their aliases and by their own names; of equal ones the first."""
    found: dict[str, Price] = {}
    for one in settings.deployments:
        own = {name: value for name in PRICES if (value := getattr(one, name)) is not None}
        price = ledger.resolve(one.provider, one.model, base_model=one.base_model, api_base=one.api_base, settings=own)
        if price is not None:
            found = {one.alias: price, one.model: price, **found}
    return found
