"""The gateway's steps in front of an ASGI app of your own: the whole stack with `protect`, or one step alone.

    app = protect(app, config="config.yaml")
    app.add_middleware(GuardrailMiddleware, policies=["pii", "secrets"])
    app.add_middleware(TelemetryMiddleware, service_name="mine", otlp_endpoint="http://localhost:4318")
    app.add_middleware(EndUserMiddleware, database_url="sqlite:///usage.db")

They read what completions are asked and answered (`/v1/completions`, `/v1/chat/completions` and the paths that end like
them) and leave every other path alone; guards judge those too where `guard_all` is set. Steps that are added one by one
know of each other, in either order.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from gateway.app import default_upstream
from gateway.assembly.entering import Entering
from gateway.assembly.front import Front, InTurn, telling_behind
from gateway.assembly.telling import Accounts, Tells, priced
from gateway.config.load import Loaded, from_mapping, load
from gateway.config.model import Settings
from gateway.config.source import Source
from gateway.errors import ConfigError
from gateway.guards import assemble
from gateway.guards import load as documents
from gateway.guards.packs import names as packs
from gateway.guards.policy import Policy
from gateway.guards.ports import Pool
from gateway.middleware.errors import ErrorMiddleware
from gateway.middleware.foreign import ForeignGuardMiddleware, Unreadable
from gateway.middleware.foreign_observation import Watched
from gateway.middleware.foreign_prices import Prices, given
from gateway.middleware.foreign_scope import ForeignScopeMiddleware, LeavingMiddleware
from gateway.middleware.foreign_socket import ForeignSocketMiddleware
from gateway.middleware.foreign_telling import TellingMiddleware
from gateway.routing import call, guarding
from gateway.routing.deployments import Catalogue
from gateway.routing.upstream import Upstream
from gateway.telemetry import logs
from gateway.wire.asgi import App

Config = str | Path | Mapping[str, Any] | Settings | None


_PROVIDER = "openai"
"""Who is taken to be behind an app where nobody says: the language it speaks is OpenAI's."""


class _Guards:
    """Policies that run, and what they run with: a pool of threads, and connections to remote guards."""

    def __init__(
        self, loaded: documents.Policies, settings: Settings | None = None, source: Source | None = None
    ) -> None:
        self.upstream: Upstream = default_upstream()
        self._pool = Pool()
        known = settings or Settings()
        self.catalogue = Catalogue(known, source or Source())
        ports = guarding.ports(call.make(self.catalogue, known, self.upstream), self._pool)
        self.call = ports.call
        if not known.deployments:  # without models there is none to ask: a document that needs one is told so
            ports = replace(ports, ask=None)
        self.policies: tuple[Policy, ...] = assemble.every(loaded.policies, ports)

    async def close(self) -> None:
        """Close connections, and take no more work for guards that block."""
        self._pool.close()
        await self.upstream.close()


class Protected(Front):
    """What `protect` makes: an ASGI app."""


class GuardrailMiddleware(Front):
    """Guardrails alone, without a configuration file: `app.add_middleware(GuardrailMiddleware, policies=["pii"])`.

    Args:
        app: any ASGI app; Starlette and FastAPI give it themselves.
        policies: names of shipped packs, or paths of documents, relative to the working directory.
        guard_all: judge JSON and text bodies of every other path too, streamed ones event by event.
        unreadable: what is done about a part of a request or an answer that no policy can read (pictures, sound, files,
            token ids) while one is enforced: `refuse` answers 400 and names it, `allow` lets it pass and says `skipped`
            in `x-gateway-guardrails`.
        max_request_bytes: bound of a body that is judged.

    Raises:
        ConfigError: no policy, one that nobody knows, or everything that is wrong with the documents.
    """

    def __init__(
        self,
        app: App,
        policies: Sequence[str | Path] = (),
        *,
        guard_all: bool = False,
        unreadable: Unreadable = "refuse",
        max_request_bytes: int = 8_388_608,
    ) -> None:
        names = _names(policies)
        if not names:
            raise ConfigError([f"policies: name at least one; the shipped ones are {', '.join(packs())}"])
        _check(unreadable)
        guards = _Guards(documents.load(names))
        step = ForeignGuardMiddleware(
            Watched(app), guards.policies, guard_all=guard_all, unreadable=unreadable, max_bytes=max_request_bytes
        )
        unseen = _unseen(guards.policies, unreadable)
        stack: App = ForeignScopeMiddleware(step)
        stack = ForeignSocketMiddleware(stack, completions=unseen, everything=unseen and guard_all)
        behind = telling_behind(app)  # it is told of what is refused here, too
        super().__init__(
            app, stack if behind is None else TellingMiddleware(stack, behind), guards, policies=guards.policies
        )


class TelemetryMiddleware(Front):
    """Telemetry alone: `app.add_middleware(TelemetryMiddleware, service_name="mine", otlp_endpoint="http://…:4318")`.

    For every completion a server span and a span of the call with its tokens and cost, numbers, and a line of the log
    (`logging.getLogger("gateway")`). What the app is sent and what it answers passes at once and unchanged. Where the
    application has configured a TracerProvider of its own, and no `otlp_endpoint` is given here, spans go there.

    Args:
        app: any ASGI app; Starlette and FastAPI give it themselves.
        service_name, otlp_endpoint: as in the configuration's `telemetry`; the standard's variables when left out.
        provider: who is behind the app, by the names of configurations (`openai`, `azure`, `hosted_vllm`, …): for
            `gen_ai.provider.name`, and for the catalogue's prices.
        prices: USD per token by the name of a model, `*` for any, as `{"mine": {"input_cost_per_token": 1e-6,
            "output_cost_per_token": 2e-6}}`; before the catalogue's.
        models: further names of models that clients may ask for, told apart in the labels of metrics.
        end_users: as in the configuration: `sources` and `pseudonymize`.
        telemetry: any other key of the configuration's `telemetry`. `capture_content="guarded"` keeps the texts of
            requests that a `GuardrailMiddleware` judges, and no others.

    Raises:
        ConfigError: everything that is wrong with these, or with the standard's variables.
    """

    def __init__(
        self,
        app: App,
        *,
        service_name: str | None = None,
        otlp_endpoint: str | None = None,
        provider: str = "openai",
        prices: Mapping[str, Mapping[str, float]] | None = None,
        models: Sequence[str] = (),
        end_users: Mapping[str, Any] | None = None,
        **telemetry: Any,
    ) -> None:
        said = {"service_name": service_name, "otlp_endpoint": otlp_endpoint, **telemetry}
        section = {name: value for name, value in said.items() if value is not None}
        settings = from_mapping({"telemetry": section, "end_users": dict(end_users or {})}).settings
        own = Prices(provider, given(provider, prices or {}))
        upstream = default_upstream()
        tells = Tells(settings, own, upstream, {*own.names(), *models}, logs.make("library"))
        super().__init__(app, TellingMiddleware(Watched(app), tells.telling), upstream, tells)

    def __repr__(self) -> str:
        return f"<TelemetryMiddleware {self.tells!r}>"


class EndUserMiddleware(Front):
    """Accounting alone: `app.add_middleware(EndUserMiddleware, database_url="sqlite:///usage.db")`.

    Every completion leaves one record in the ledger, before the last byte of its answer leaves: for which end user,
    with which tags, by which model, how many tokens, what it cost. `gateway usage` and `GET /admin/usage` of a gateway
    on the same database read them. What the app is sent and what it answers passes at once and unchanged; a line of
    the log (`logging.getLogger("gateway")`) says the same. Beside a `TelemetryMiddleware`, or behind `protect`, one
    record is made, which both use. What a step further out refuses does not come this far: put this one outermost.

    Args:
        app: any ASGI app; Starlette and FastAPI give it themselves.
        database_url: SQLite or PostgreSQL, as `general_settings.database_url`.
        end_users: as in the configuration: `sources`, `pseudonymize` and `pseudonym_key`.
        ledger: any key of the configuration's `ledger`.
        provider, prices: as for `TelemetryMiddleware`.

    Raises:
        ConfigError: everything that is wrong with these.
    """

    def __init__(
        self,
        app: App,
        *,
        database_url: str = "sqlite:///gateway.db",
        end_users: Mapping[str, Any] | None = None,
        ledger: Mapping[str, Any] | None = None,
        provider: str = "openai",
        prices: Mapping[str, Mapping[str, float]] | None = None,
    ) -> None:
        sections = {"general_settings": {"database_url": database_url}, "ledger": dict(ledger or {})}
        settings = from_mapping({**sections, "end_users": dict(end_users or {})}).settings
        accounts = Accounts(settings, Prices(provider, given(provider, prices or {})), logs.make("library"))
        telling, behind = accounts.telling, telling_behind(app)
        if behind is not None:
            telling = replace(behind, recording=accounts.recording, sources=telling.sources)
        super().__init__(app, TellingMiddleware(Watched(app), telling), tells=accounts)

    def __repr__(self) -> str:
        return f"<EndUserMiddleware {self.tells!r}>"


def protect(
    app: App,
    config: Config = None,
    *,
    policies: Sequence[str | Path] | None = None,
    guard_all: bool = False,
    unreadable: Unreadable = "refuse",
) -> Protected:
    """An ASGI app: the gateway's whole stack in front of `app`.

    Every request gets an id, a log line, a span and the gateway's headers; completions are guarded on their way in and
    out, and their tokens and cost are told (see `TelemetryMiddleware`), and recorded where the configuration names a
    `database_url` or a key of `ledger` (see `EndUserMiddleware`).
    With a `master_key` or a `jwt` configured every HTTP request needs a key, but for health checks and `/openapi.json`:
    the master key, a virtual key of the database or a signed token. Without either `app` goes on authenticating its own
    callers: nobody is asked for a key. Completions and chat completions are held against what their key may use and
    name, blocked end users, limits and budgets, as the gateway's own are; a body that cannot be read is refused then.
    Reserved for a budget is the prompt and the request's `max_tokens` (4,096 for a chat without), settled to what the
    answer tells, or to an estimate.

    Args:
        app: any ASGI app.
        config: a path, a mapping of the same form, settings, or None for a gateway without models of its own. What
            counts of it: `policies`, `general_settings` (keys, database, Redis, bounds of a body), `limits`,
            `end_users`, `ledger`, `telemetry`; `model_list` for prices and guards that ask a model. What is about
            calling providers does not: routing, retries, caches, concurrency, deadlines.
        policies: names of packs or paths of documents, in place of the configuration's. Without either, the pack
            `default` is in force; an empty list asks for none.
        guard_all: see `GuardrailMiddleware`.
        unreadable: see `GuardrailMiddleware`.

    Raises:
        ConfigError: everything that is wrong with the configuration or the policies.
    """
    _check(unreadable)
    loaded = _loaded(config)
    settings, source = loaded.settings, loaded.source
    found = guarding.documents(settings, source) if policies is None else documents.load(_names(policies))
    guards = _Guards(found, settings, source)
    log = logs.make("library")
    general = settings.general
    costs = priced(settings)
    prices = Prices(_PROVIDER, costs)
    tells = Tells(settings, prices, guards.upstream, costs, log)
    folder = source.files[0].parent if source.files else Path()
    known = (guards.call, guards.catalogue, guards.upstream, tells.metrics, tells.books.spent)
    entering = Entering(settings, folder, *known, prices, log)
    step: App = ForeignGuardMiddleware(
        Watched(app),
        guards.policies,
        guard_all=guard_all,
        unreadable=unreadable,
        max_bytes=general.max_request_bytes,
        read_timeout=general.request_read_timeout,
        end_user_sources=settings.end_users.sources,
    )
    step = ErrorMiddleware(LeavingMiddleware(entering.around(step)), log)
    step = ForeignScopeMiddleware(step, every=True, litellm="litellm" in settings.telemetry.compat)
    step = TellingMiddleware(step, tells.telling, every=True)
    unseen = _unseen(guards.policies, unreadable)
    closed = unseen or entering.concerned
    step = ForeignSocketMiddleware(step, entering.callers, completions=closed, everything=unseen and guard_all)
    return Protected(app, step, InTurn(entering, guards), tells, guards.policies, entering.start)


def _loaded(config: Config) -> Loaded:
    if config is None or isinstance(config, Settings):
        return Loaded(config or Settings(), Source())
    return from_mapping(config) if isinstance(config, Mapping) else load(config)


def _names(policies: Sequence[str | Path]) -> tuple[str, ...]:
    """The names as the loader takes them: a path without a slash gets one."""
    if isinstance(policies, str | os.PathLike):
        raise ConfigError([f"policies: must be a list, as in [{os.fspath(policies)!r}]"])
    return tuple(str(Path(name).absolute()) if isinstance(name, os.PathLike) else name for name in policies)


def _unseen(policies: Sequence[Policy], unreadable: Unreadable) -> bool:
    """Whether what no policy can read is refused."""
    return unreadable == "refuse" and any(policy.enforced for policy in policies)


def _check(unreadable: str) -> None:
    if unreadable not in get_args(Unreadable):
        raise ConfigError([f"unreadable: must be refuse or allow, not {unreadable!r}"])
