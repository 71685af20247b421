"""What `protect` puts in front of an app: the steps of one configuration after another, and what outlives them all."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.assembly.entering import Entering
from gateway.assembly.telling import Tells, priced
from gateway.config import otel
from gateway.config.model import Settings
from gateway.config.source import Source
from gateway.endpoints.health import Check, Ready
from gateway.guards import assemble, load
from gateway.guards.policy import Policy
from gateway.guards.ports import Pool
from gateway.identity.tokens import Caller
from gateway.middleware.errors import ErrorMiddleware
from gateway.middleware.foreign.guard import ForeignGuardMiddleware, Unreadable
from gateway.middleware.foreign.observation import Watched
from gateway.middleware.foreign.prices import Prices
from gateway.middleware.foreign.scope import ForeignScopeMiddleware, LeavingMiddleware
from gateway.middleware.foreign.socket import ForeignSocketMiddleware
from gateway.middleware.foreign.telling import TellingMiddleware
from gateway.routing import call, guarding
from gateway.routing.deployments import Catalogue
from gateway.routing.upstream import Upstream
from gateway.telemetry.logs import Logger
from gateway.telemetry.options import changed_exporting
from gateway.wire.asgi import App, Receive, Scope, Send
from gateway.wire.paths import below_root

_PROVIDER = "openai"
"""Who is taken to be behind an app where nobody says: the language it speaks is OpenAI's."""

_PROBES = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """What `protect` was asked for beside a configuration; see there."""

    policies: tuple[str, ...] | None
    guard_all: bool
    unreadable: Unreadable
    health: str | None


class Protecting:
    """An app behind the steps of a configuration, which `use` replaces by those of another.

    Args:
        app: the app.
        settings: the first configuration. Where telemetry is sent, where usage is recorded, and where keys and counters
            are stays with it.
        source: where its settings stand, for faults.
        wanted: what was asked for beside it.
        upstream: how collectors, webhooks, remote guards and models that judge are reached.
        log: where trouble is told.

    Raises:
        ConfigError: everything that is wrong with the configuration or the policies.
    """

    def __init__(
        self, app: App, settings: Settings, source: Source, wanted: Wanted, upstream: Upstream, log: Logger
    ) -> None:
        self._app, self._wanted, self._upstream, self._log = app, wanted, upstream, log
        self._first, self._plan = settings, otel.of(settings)
        self._pool = Pool()
        judged = self._judged(settings, source)  # its faults are told before anything is opened
        costs = priced(settings)
        self.tells = Tells(settings, Prices(_PROVIDER, costs), upstream, costs, log)
        self.entering = Entering(settings, upstream, self.tells.metrics, self.tells.books.spent, log)
        self.stale = False
        self._use(settings, source, judged)

    def __repr__(self) -> str:
        return f"<Protecting {', '.join(policy.name for policy in self.policies)} {self.entering!r}>"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = scope["type"] == "http" and scope["method"] in _PROBES and below_root(scope) == self._wanted.health
        await (Ready(self.checks()) if asked else self.stack)(scope, receive, send)

    def use(self, settings: Settings, source: Source) -> None:
        """Put the steps of another configuration in front from the next request on; requests under way finish behind
        theirs. The log names what waits for the next start.

        Raises:
            ConfigError: the new one cannot be used, and the old one goes on.
        """
        plan = otel.of(settings)
        self._use(settings, source, self._judged(settings, source))
        waits = {
            "general_settings.database_url": settings.general.database_url != self._first.general.database_url,
            "ledger": settings.ledger != self._first.ledger,
            "telemetry.otlp_*, service_name, resource_attributes": changed_exporting(self._plan, plan),
        }
        for name in (name for name, changed in waits.items() if changed):
            self._log.warning("setting_waits_for_restart", setting=name)
        self.stale = False

    def checks(self) -> dict[str, Check]:
        """How the gateway's own parts are, each for one line of a probe; those of the app are its own to tell."""
        checks = {"configuration": self._configuration, "ledger": lambda: self.tells.books.state}
        return {**checks, **self.entering.checks()}

    async def close(self) -> None:
        """Close connections, and take no more work for guards that block."""
        self._pool.close()
        await self._upstream.close()

    def _configuration(self) -> tuple[bool, str]:
        return True, "an older one is in force: the newest has faults, which the log names" if self.stale else "ok"

    def _judged(self, settings: Settings, source: Source) -> "_Judged":
        catalogue = Catalogue(settings, source)
        ports = guarding.ports(call.make(catalogue, settings, self._upstream), self._pool)
        if not settings.deployments:  # without models there is none to ask: a document that needs one is told so
            ports = replace(ports, ask=None)
        names = self._wanted.policies
        found = guarding.documents(settings, source) if names is None else load.load(names)
        return _Judged(assemble.every(found.policies, ports), catalogue, ports.call)

    def _use(self, settings: Settings, source: Source, judged: "_Judged") -> None:
        wanted, general, costs, policies = self._wanted, settings.general, priced(settings), judged.policies
        prices = Prices(_PROVIDER, costs)
        folder = source.files[0].parent if source.files else Path()
        entry = self.entering.using(settings, folder, judged.call, judged.catalogue, prices)
        telling = self.tells.using(settings, prices, costs)
        step: App = ForeignGuardMiddleware(
            Watched(self._app),
            policies,
            guard_all=wanted.guard_all,
            unreadable=wanted.unreadable,
            max_bytes=general.max_request_bytes,
            read_timeout=general.request_read_timeout,
            end_user_sources=settings.end_users.sources,
        )
        step = ErrorMiddleware(LeavingMiddleware(entry.around(step)), self._log)
        step = ForeignScopeMiddleware(step, every=True, litellm="litellm" in settings.telemetry.compat)
        step = TellingMiddleware(step, telling, every=True)
        hidden = unseen(policies, wanted.unreadable)
        closed = {"completions": hidden or entry.concerned, "everything": hidden and wanted.guard_all}
        self.stack = ForeignSocketMiddleware(step, entry.callers, **closed)
        self.policies = policies


@dataclass(frozen=True, slots=True)
class _Judged:
    """What one configuration judges by: its policies, its models, and how remote guards and issuers are called."""

    policies: tuple[Policy, ...]
    catalogue: Catalogue
    call: Caller | None


class Guards:
    """Policies that run without a configuration, and what they run with: threads, and connections to remote guards.

    Raises:
        ConfigError: guards that cannot be had here; one that asks a model is told that there is none.
    """

    def __init__(self, documents: Sequence[load.LoadedPolicy], upstream: Upstream) -> None:
        self._upstream, self._pool, settings = upstream, Pool(), Settings()
        ports = guarding.ports(call.make(Catalogue(settings, Source()), settings, upstream), self._pool)
        self.policies: tuple[Policy, ...] = assemble.every(documents, replace(ports, ask=None))

    async def close(self) -> None:
        """Close connections, and take no more work for guards that block."""
        self._pool.close()
        await self._upstream.close()


def unseen(policies: Sequence[Policy], unreadable: Unreadable) -> bool:
    """Whether what no policy can read is refused."""
    return unreadable == "refuse" and any(policy.enforced for policy in policies)
