"""Who may enter an app that is not the gateway's own: the keys, end users, limits and budgets of a configuration."""

from dataclasses import dataclass, replace
from pathlib import Path

from gateway.assembly.admitting import Admitting
from gateway.config.model import Settings
from gateway.endpoints.health import Check
from gateway.identity.callers import Callers, Identity
from gateway.identity.tokens import Caller
from gateway.ledger import tokens
from gateway.ledger.admission import Admission
from gateway.ledger.allowances import Amount, Spent
from gateway.ledger.keys import Database, SqlEndUsers, SqlKeys
from gateway.ledger.rules import bounds
from gateway.middleware.foreign.admission import ForeignAdmissionMiddleware
from gateway.middleware.foreign.prices import Prices
from gateway.middleware.identity import IdentityMiddleware
from gateway.routing import estimating
from gateway.routing.deployments import Catalogue
from gateway.routing.upstream import Upstream
from gateway.telemetry.logs import Logger
from gateway.telemetry.metrics import Metrics
from gateway.types import CompletionRequest
from gateway.wire.asgi import App


@dataclass(frozen=True, slots=True)
class Entry:
    """What one configuration checks of callers."""

    settings: Settings
    callers: Callers
    admission: Admission | None

    @property
    def concerned(self) -> bool:
        """Whether completions are held against what their callers may do."""
        return self.admission is not None or self.settings.end_users.require

    def around(self, app: App) -> App:
        """`app` behind what checks its callers; `app` itself where nothing is to be checked."""
        general, end_users = self.settings.general, self.settings.end_users
        if self.concerned:
            app = ForeignAdmissionMiddleware(
                app,
                self.callers,
                self.admission,
                max_bytes=general.max_request_bytes,
                read_timeout=general.request_read_timeout,
                end_user_sources=end_users.sources,
                require_end_user=end_users.require,
            )
        return IdentityMiddleware(app, callers=self.callers) if self.callers.asks else app


class Entering:
    """What the steps that check callers hold open, whatever the configuration: a database, counters, an issuer's keys.

    Keys are asked for where a configuration has a `master_key` or a `jwt`. What is laid down for end users is read
    where it has a `master_key` or names a `database_url`; a database that is not there yet is not made.

    Args:
        settings: the first configuration. Where the database is stays with it.
        upstream: how a webhook is reached.
        metrics: counts budgets that end.
        spent: what the ledger knows of budgets.
        log: where trouble is told.
    """

    def __init__(self, settings: Settings, upstream: Upstream, metrics: Metrics, spent: Spent, log: Logger) -> None:
        self._database = Database(settings.general.database_url)
        self._identity = Identity(SqlKeys(self._database), SqlEndUsers(self._database))
        self._upstream, self._metrics, self._spent, self._log = upstream, metrics, spent, log
        self._admitting: Admitting | None = None
        self._reads = self._asks = False

    def __repr__(self) -> str:
        return f"<Entering {self._identity!r} {self._admitting!r}>"

    def using(
        self, settings: Settings, folder: Path, call: Caller | None, catalogue: Catalogue, prices: Prices
    ) -> Entry:
        """What a configuration checks.

        Args:
            settings: the configuration.
            folder: what relative paths in it start from.
            call: how the issuer of tokens is asked for its keys.
            catalogue: the configuration's models.
            prices: what the app's models cost.

        Raises:
            ConfigError: tokens are to be taken, or Redis is wanted, and its library is not installed.
        """
        general, laid_down = settings.general, bounds(settings)
        reads = general.master_key is not None or "database_url" in general.model_fields_set
        binds = bool(laid_down.named()) or laid_down.binds_end_users
        callers = self._identity.using(settings, folder, call)
        admission = None
        if binds or reads or callers.asks:
            if self._admitting is None:
                self._admitting = Admitting(settings, self._upstream, self._metrics, self._log, spent=self._spent)
            admission = replace(self._admitting.using(settings, catalogue), estimate=estimator(prices))
        self._reads, self._asks = reads, callers.asks
        return Entry(settings, callers if reads else replace(callers, end_users=None), admission)

    def start(self) -> None:
        """Begin to read keys and end users, on the running event loop, so that the first request need not wait."""
        if self._reads:
            self._identity.start()

    def checks(self) -> dict[str, Check]:
        """How they are, each for one line of a probe."""
        checks: dict[str, Check] = {}
        if self._reads or self._asks:
            checks["keys"] = lambda: self._identity.state
        admitting = self._admitting
        if admitting is not None:
            checks["counters"] = lambda: admitting.state
        return checks

    async def close(self) -> None:
        """Settle what is left, and close the database."""
        if self._admitting is not None:
            await self._admitting.close()
        self._identity.close()
        await self._database.close()


def estimator(prices: Prices) -> estimating.Estimate:
    """What estimates requests to an app whose models cost so much; see `gateway.middleware.foreign.weight`."""

    async def estimate(request: CompletionRequest) -> Amount:
        return await estimating.together(request, prices.of(request.model), tokens.encoding_for(request.model))

    return estimate
