"""The gateway's steps in front of an ASGI app of your own: the whole stack with `protect`, or one step alone.

    app = protect(app, config="config.yaml")
    app.add_middleware(GuardrailMiddleware, policies=["pii", "secrets"])
    app.add_middleware(TelemetryMiddleware, service_name="mine", otlp_endpoint="http://localhost:4318")
    app.add_middleware(EndUserMiddleware, database_url="sqlite:///usage.db")

They read what completions are asked and answered (`/v1/completions`, `/v1/chat/completions` and the paths that end like
them) and leave every other path alone; guards judge those too where `guard_all` is set. Steps that are added one by one
know of each other, in either order.
"""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

from gateway.app import default_upstream
from gateway.assembly.front import Front, InTurn, telling_behind
from gateway.assembly.protecting import Guards, Protecting, Wanted, unseen
from gateway.assembly.telling import Accounts, Tells
from gateway.config.load import Loaded, from_mapping, load
from gateway.config.model import Settings
from gateway.config.source import Source
from gateway.errors import ConfigError
from gateway.guards import load as documents
from gateway.guards.packs import names as packs
from gateway.middleware.foreign.guard import ForeignGuardMiddleware, Unreadable
from gateway.middleware.foreign.observation import Watched
from gateway.middleware.foreign.prices import Prices, given
from gateway.middleware.foreign.scope import ForeignScopeMiddleware
from gateway.middleware.foreign.socket import ForeignSocketMiddleware
from gateway.middleware.foreign.telling import TellingMiddleware
from gateway.telemetry import logs
from gateway.telemetry.logs import Logger
from gateway.wire.asgi import App

Config = str | Path | Mapping[str, Any] | Settings | None


class Protected(Front):
    """What `protect` makes: an ASGI app.

    Args:
        app: the app that was protected.
        protecting: what stands in front of it.
        read: reads its configuration.
        log: where a reload is told.
    """

    def __init__(self, app: App, protecting: Protecting, read: Callable[[], Loaded], log: Logger) -> None:
        held, start = InTurn(protecting.entering, protecting), protecting.entering.start
        super().__init__(app, protecting, held, protecting.tells, protecting.policies, start)
        self._protecting, self._read, self._log = protecting, read, log
        self._reloading = asyncio.Lock()

    def state(self) -> dict[str, tuple[bool, str]]:
        """How the gateway's own parts are, by their names: whether requests are served, and one line that names nobody
        and holds no secret. `protect(…, health=…)` serves it."""
        return {name: check() for name, check in self._protecting.checks().items()}

    async def reload(self) -> bool:
        """Read the configuration and the documents of its policies again, from where they were, and serve by them from
        the next request on; False where they have faults, which the log names, and the previous ones go on.

        Requests under way finish as they began, and what is counted stays counted. What waits for the next start is
        named in the log: the database, the ledger, Redis, where telemetry is sent.
        """
        async with self._reloading:
            try:
                found = await asyncio.to_thread(self._read)
                self._protecting.use(found.settings, found.source)
            except ConfigError as error:
                self._protecting.stale = True
                self._log.error("config_refused", faults=list(error.faults), serving="the previous configuration")
                return False
        self.policies = self._protecting.policies
        self._log.info("config_reloaded", policies=[policy.name for policy in self.policies])
        return True


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
        guards = Guards(documents.load(names).policies, default_upstream())
        step = ForeignGuardMiddleware(
            Watched(app), guards.policies, guard_all=guard_all, unreadable=unreadable, max_bytes=max_request_bytes
        )
        hidden = unseen(guards.policies, unreadable)
        stack: App = ForeignScopeMiddleware(step)
        stack = ForeignSocketMiddleware(stack, completions=hidden, everything=hidden and guard_all)
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
    health: str | None = None,
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
        health: a path, in front of the app, that tells without a key how the gateway's own parts are, as a gateway's
            `/health/ready` does: 200, or 503 where requests are refused. None for nowhere: probes are the app's own.

    Raises:
        ConfigError: everything that is wrong with the configuration or the policies.
    """
    _check(unreadable)
    if health is not None and not health.startswith("/"):
        raise ConfigError([f"health: must be a path such as /gateway/ready, not {health!r}"])
    log, wanted = logs.make("library"), None if policies is None else _names(policies)
    read = partial(_loaded, config)
    found = read()
    asked = Wanted(wanted, guard_all, unreadable, health)
    protecting = Protecting(app, found.settings, found.source, asked, default_upstream(), log)
    return Protected(app, protecting, read, log)


def _loaded(config: Config) -> Loaded:
    if config is None or isinstance(config, Settings):
        return Loaded(config or Settings(), Source())
    return from_mapping(config) if isinstance(config, Mapping) else load(config)


def _names(policies: Sequence[str | Path]) -> tuple[str, ...]:
    """The names as the loader takes them: a path without a slash gets one."""
    if isinstance(policies, str | os.PathLike):
        raise ConfigError([f"policies: must be a list, as in [{os.fspath(policies)!r}]"])
    return tuple(str(Path(name).absolute()) if isinstance(name, os.PathLike) else name for name in policies)


def _check(unreadable: str) -> None:
    if unreadable not in get_args(Unreadable):
        raise ConfigError([f"unreadable: must be refuse or allow, not {unreadable!r}"])
