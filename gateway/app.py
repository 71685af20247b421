"""The gateway as one ASGI application: configuration in, the onion around the endpoints out."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import time

from starlette.exceptions import HTTPException
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.assembly.admitting import Admitting
from gateway.assembly.dispatching import Dispatching
from gateway.assembly.observing import Observing
from gateway.config import environment, otel
from gateway.config.model import Settings
from gateway.config.source import Source
from gateway.endpoints import health, openapi, usage
from gateway.endpoints.completions import Completions
from gateway.endpoints.end_users import AllEndUsers, OneEndUser
from gateway.endpoints.guardrails import GuardrailCheck, Policies
from gateway.endpoints.keys import Key, Keys
from gateway.endpoints.metrics import Scrape
from gateway.endpoints.models import Models
from gateway.errors import ConfigError, MethodNotAllowed, RequestError, RouteNotFound
from gateway.guards.policy import Policy
from gateway.guards.ports import Pool
from gateway.identity.callers import Callers, Identity
from gateway.ledger.books import Books
from gateway.ledger.keys import Database, SqlEndUsers, SqlKeys
from gateway.middleware import stack
from gateway.middleware.guard_input import Counts
from gateway.providers.demo.app import app as demo_app
from gateway.routing import call, guarding
from gateway.routing.deployments import Catalogue
from gateway.routing.engines.asgi_app import AsgiUpstream
from gateway.routing.engines.pooled.pool import PooledUpstream
from gateway.routing.protection import Protection
from gateway.routing.upstream import Switch, Upstream
from gateway.telemetry import conventions as names
from gateway.telemetry.logs import Logger
from gateway.telemetry.options import changed_exporting, options
from gateway.telemetry.routes import METRICS_PATH
from gateway.version import __version__
from gateway.wire.paths import COMPLETION_PATHS


def default_upstream(http2: bool = False) -> Upstream:
    """The pooled HTTP engine, with the demo model served in process beside it.

    Args:
        http2: `general_settings.http2`.

    Raises:
        ConfigError: the file of certificate authorities that the environment names cannot be read, or has none in it.
    """
    try:
        ca_bundle = environment.ca_bundle()
    except OSError as error:
        reason = error.strerror or "unknown reason"
        raise ConfigError([f"the file of certificate authorities {error.filename} cannot be read: {reason}"]) from error
    engine = PooledUpstream(ca_bundle=ca_bundle, proxies=environment.proxies(), http2=http2)
    return Switch(engine, {"asgi://demo": AsgiUpstream(demo_app)})


@dataclass(frozen=True, slots=True)
class Serving:
    """One configuration being served: replaced whole, never changed, so that a request sees one configuration only."""

    settings: Settings
    catalogue: Catalogue
    policies: tuple[Policy, ...]
    files: tuple[Path, ...]
    """The files a change of which is a change of the configuration."""
    routes: tuple[Route, ...]
    app: ASGIApp


class Gateway:
    """The ASGI application. Mount it, serve it, or call it in process.

    Args:
        settings: the configuration.
        source: where its settings stand, for faults.
        log: where requests and faults are written.
        upstream: how providers are reached; None for the default engine. It is closed with the gateway.
        metrics_folder: where the workers of one server count together; None for a process alone.

    Raises:
        ConfigError: a deployment that cannot be served, or variables of telemetry that are wrong.
    """

    def __init__(
        self,
        settings: Settings,
        source: Source,
        log: Logger,
        upstream: Upstream | None = None,
        metrics_folder: Path | None = None,
    ) -> None:
        self.log = log
        self.plan = otel.of(settings)
        self.http2 = settings.general.http2
        self.upstream = upstream or default_upstream(self.http2)
        self.pool = Pool()
        self.database_url = settings.general.database_url
        self.database = Database(self.database_url)
        self.books = Books(settings, log)
        self.identity = Identity(SqlKeys(self.database), SqlEndUsers(self.database))
        self.observing = Observing(self.plan, options(settings, self.plan), self.upstream, log, metrics_folder)
        several, spent = metrics_folder is not None, self.books.spent
        self.admitting = Admitting(settings, self.upstream, self.observing.metrics, log, several=several, spent=spent)
        self.protection = Protection(self.admitting.remote)
        self.observing.metrics.watch(names.QUEUE_DEPTH, self.protection.depths)
        self.observing.metrics.watch(names.LEDGER_LOST, self.books.losses.told)
        self.dispatching = Dispatching(self.observing.metrics, log, self.admitting.remote)
        if self.plan.warnings:
            log.warning("telemetry_warnings", warnings=list(self.plan.warnings))
        self.stale = False
        self.serving = self._build(settings, source, self.plan)

    def __repr__(self) -> str:
        return f"<Gateway {self.serving.catalogue!r} upstream={self.upstream!r}>"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.serving.app(scope, receive, send)

    def use(self, settings: Settings, source: Source) -> None:
        """Serve another configuration from the next request on; requests under way finish on theirs.

        The connections to providers stay, and what was chosen at the start stays with them: while
        `general_settings.http2`, or where telemetry is sent, is another than then, every reload says in the log that it
        waits for the next start.

        Raises:
            ConfigError: the new one cannot be served, and the old one goes on.
        """
        plan = otel.of(settings)
        self.serving = self._build(settings, source, plan)
        if settings.general.http2 != self.http2:
            self.log.warning("setting_waits_for_restart", setting="general_settings.http2")
        if settings.general.database_url != self.database_url:
            self.log.warning("setting_waits_for_restart", setting="general_settings.database_url")
        if settings.ledger != self.books.settings:
            self.log.warning("setting_waits_for_restart", setting="ledger")
        if changed_exporting(self.plan, plan):
            self.log.warning("setting_waits_for_restart", setting="telemetry.otlp_*, service_name, resource_attributes")
        self.stale = False

    def keep(self) -> None:
        """Say in `/health/ready` that a newer configuration was refused and an older one is being served."""
        self.stale = True

    def start(self) -> None:
        """Begin what goes on beside requests, on the running event loop: a server calls it once.

        Raises:
            ConfigError: see `Observing.start` and `Books.start`.
        """
        self.observing.start()
        self.identity.start()
        self.dispatching.start()
        self.books.start()

    async def close(self) -> None:
        """Settle and send what is left, close the connections to providers, and take no more work for guards that
        block."""
        self.pool.close()
        await self.dispatching.close()
        await self.admitting.close()
        await self.observing.close()
        await self.books.close()
        self.identity.close()
        await self.database.close()
        await self.upstream.close()

    def _build(self, settings: Settings, source: Source, plan: otel.Plan) -> Serving:
        catalogue = Catalogue(settings, source)
        protection = self.protection
        caller = call.make(catalogue, settings, self.upstream, self.dispatching.book, protection.gates)
        ports = guarding.ports(caller, self.pool, self._note)
        policies, files = guarding.policies(settings, source, ports)
        self.observing.metrics.know(catalogue.names(), {deployment.model for deployment in settings.deployments})
        self.dispatching.use(caller, settings.router.health_check_interval)
        counts: Counts = defaultdict(Counter)
        completions = Completions(catalogue, caller, self.log, protection.reuse)
        models = Models(catalogue, int(time()))
        callers = self.identity.using(settings, source.files[0].parent if source.files else Path(), ports.call)
        checks = {"configuration": self._configuration, "models": lambda: self.dispatching.state}
        checks["counters"], checks["protection"] = lambda: self.admitting.state, protection.ready
        ready = health.Ready({**checks, "keys": lambda: self.identity.state, "ledger": lambda: self.books.state})
        routes = (
            *(Route(path, completions, methods=["POST"]) for path in COMPLETION_PATHS),
            *(Route(path, models, methods=["GET"]) for path in ("/v1/models", "/models", "/v1/models/{model:path}")),
            *(Route(path, health.Live(), methods=["GET"]) for path in ("/health/live", "/health/liveliness")),
            *(Route(path, ready, methods=["GET"]) for path in ("/health/ready", "/health/readiness")),
            Route(
                "/v1/guardrails/check",
                GuardrailCheck(policies, settings.general.request_read_timeout),
                methods=["POST"],
            ),
            Route("/admin/policies", Policies(policies, counts), methods=["GET"]),
            *_administration(self.identity, callers, self.books, settings.general.request_read_timeout),
            Route(
                METRICS_PATH,
                Scrape(self.observing.metrics, {names.SERVICE_VERSION: __version__, **plan.resource}),
                methods=["GET"],
            ),
            Route("/openapi.json", openapi.OpenApi(), methods=["GET"]),
        )
        app: ASGIApp = _Routes(routes)
        telemetry = self.observing.telemetry.using(options(settings, plan))
        decode = guarding.decoder(catalogue)
        known = (callers, self.books, self.admitting.using(settings, catalogue), protection.gates.completions)
        for step in reversed(stack(settings, self.log, policies, decode, counts, telemetry, *known)):
            app = step.cls(app, *step.args, **step.kwargs)
        protection.use(settings)
        return Serving(settings, catalogue, policies, (*source.files, *files), routes, app)

    def _note(self, event: str, attributes: Mapping[str, str | int | float]) -> None:
        self.log.info(event, **attributes)

    def _configuration(self) -> tuple[bool, str]:
        if self.stale:
            return True, "an older one is served: the newest has faults, which the log names"
        return True, "ok"


def _administration(identity: Identity, callers: Callers, books: Books, seconds: float) -> tuple[Route, ...]:
    """The routes of keys, end users and usage; a client has so many seconds to send its body."""
    one = OneEndUser(identity.end_users, callers.naming, seconds, partial(usage.forgetting, books))
    everybody = AllEndUsers(identity.end_users, partial(usage.spending, books))
    return (
        Route("/admin/keys", Keys(identity.keyring, callers.hashes, seconds), methods=["GET", "POST"]),
        Route("/admin/keys/{id}", Key(identity.keyring, seconds), methods=["PATCH", "DELETE"]),
        Route("/admin/end-users", everybody, methods=["GET"]),
        Route("/admin/end-users/{id:path}", one, methods=["PATCH", "DELETE"]),
        Route("/admin/usage", usage.Usage(books), methods=["GET"]),
        Route("/admin/usage/records", usage.Records(books, callers.naming), methods=["GET"]),
    )


class _Routes:
    """The router, its own 404 and 405 told as this gateway tells every error."""

    def __init__(self, routes: tuple[Route, ...]) -> None:
        self.router = Router(routes, redirect_slashes=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = self  # with an application in the scope, the router raises instead of answering in plain text
        try:
            await self.router(scope, receive, send)
        except HTTPException as error:
            raise _ours(error, scope) from error


def _ours(error: HTTPException, scope: Scope) -> RequestError:
    path = scope["path"][:120]
    if error.status_code == 405:
        return MethodNotAllowed(f"{path} does not take {scope['method'][:16]}.", headers=error.headers)
    return RouteNotFound(f"There is no endpoint at {path}; text completions are asked for with POST /v1/completions.")
