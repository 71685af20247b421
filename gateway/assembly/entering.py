"""Who may enter an app that is not the gateway's own: the keys, end users, limits and budgets of a configuration."""

from dataclasses import replace
from pathlib import Path

from gateway.assembly.admitting import Admitting
from gateway.config.model import Settings
from gateway.identity.callers import Identity
from gateway.identity.tokens import Caller
from gateway.ledger import tokens
from gateway.ledger.admission import Admission
from gateway.ledger.allowances import Amount, Spent
from gateway.ledger.keys import Database, SqlEndUsers, SqlKeys
from gateway.ledger.rules import bounds
from gateway.middleware.foreign_admission import ForeignAdmissionMiddleware
from gateway.middleware.foreign_prices import Prices
from gateway.middleware.identity import IdentityMiddleware
from gateway.routing import estimating
from gateway.routing.deployments import Catalogue
from gateway.routing.upstream import Upstream
from gateway.telemetry.logs import Logger
from gateway.telemetry.metrics import Metrics
from gateway.types import CompletionRequest
from gateway.wire.asgi import App


class Entering:
    """The steps that check callers, and what they hold open: a database, counters, an issuer's keys.

    Keys are asked for where the configuration has a `master_key` or a `jwt`. What is laid down for end users is read
    where it has a `master_key` or names a `database_url`; a database that is not there yet is not made.

    Args:
        settings: the configuration.
        folder: what relative paths in it start from.
        call: how the issuer of tokens is asked for its keys.
        catalogue: the configuration's models.
        upstream: how a webhook is reached.
        metrics: counts budgets that end.
        spent: what the ledger knows of budgets.
        prices: what the app's models cost.
        log: where trouble is told.

    Raises:
        ConfigError: tokens are to be taken, or Redis is wanted, and its library is not installed.
    """

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        call: Caller | None,
        catalogue: Catalogue,
        upstream: Upstream,
        metrics: Metrics,
        spent: Spent,
        prices: Prices,
        log: Logger,
    ) -> None:
        general, laid_down = settings.general, bounds(settings)
        self._settings = settings
        self._database = Database(general.database_url)
        self._identity = Identity(SqlKeys(self._database), SqlEndUsers(self._database))
        callers = self._identity.using(settings, folder, call)
        self._reads = general.master_key is not None or "database_url" in general.model_fields_set
        self.callers = callers if self._reads else replace(callers, end_users=None)
        binds = bool(laid_down.named()) or laid_down.binds_end_users
        self._admitting: Admitting | None = None
        self._admission: Admission | None = None
        if binds or self._reads or callers.asks:
            self._admitting = Admitting(settings, upstream, metrics, log, spent=spent)
            admission = self._admitting.using(settings, catalogue)
            self._admission = replace(admission, estimate=estimator(prices))
        self._concerned = self._admission is not None or settings.end_users.require

    def __repr__(self) -> str:
        return f"<Entering {self._identity!r} {self._admitting!r}>"

    @property
    def concerned(self) -> bool:
        """Whether completions are held against what their callers may do."""
        return self._concerned

    def around(self, app: App) -> App:
        """`app` behind what checks its callers; `app` itself where nothing is to be checked."""
        general, end_users = self._settings.general, self._settings.end_users
        if self._concerned:
            app = ForeignAdmissionMiddleware(
                app,
                self.callers,
                self._admission,
                max_bytes=general.max_request_bytes,
                read_timeout=general.request_read_timeout,
                end_user_sources=end_users.sources,
                require_end_user=end_users.require,
            )
        return IdentityMiddleware(app, callers=self.callers) if self.callers.asks else app

    def start(self) -> None:
        """Begin to read keys and end users, on the running event loop, so that the first request need not wait."""
        if self._reads:
            self._identity.start()

    async def close(self) -> None:
        """Settle what is left, and close the database."""
        if self._admitting is not None:
            await self._admitting.close()
        self._identity.close()
        await self._database.close()


def estimator(prices: Prices) -> estimating.Estimate:
    """What estimates requests to an app whose models cost so much; see `gateway.middleware.foreign_weight`."""

    async def estimate(request: CompletionRequest) -> Amount:
        return await estimating.together(request, prices.of(request.model), tokens.encoding_for(request.model))

    return estimate
