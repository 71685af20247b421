"""The gateway's steps in front of an ASGI app of your own: the whole stack with `protect`, or guardrails alone.

    app = protect(app, config="config.yaml")
    app.add_middleware(GuardrailMiddleware, policies=["pii", "secrets"])

Both judge what completions are asked and answered (`/v1/completions`, `/v1/chat/completions` and the paths that end
like them) and leave every other path alone, unless `guard_all` is set.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from gateway.app import default_upstream
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
from gateway.middleware.foreign_scope import ForeignScopeMiddleware
from gateway.middleware.identity import IdentityMiddleware
from gateway.middleware.scope import ScopeMiddleware
from gateway.routing import guarding
from gateway.routing.deployments import Catalogue
from gateway.routing.upstream import Upstream
from gateway.telemetry import logs
from gateway.wire.asgi import App, Receive, Scope, Send

Config = str | Path | Mapping[str, Any] | Settings | None


class _Guards:
    """Policies that run, and what they run with: a pool of threads, and connections to remote guards."""

    def __init__(
        self, loaded: documents.Policies, settings: Settings | None = None, source: Source | None = None
    ) -> None:
        self._upstream: Upstream = default_upstream()
        self._pool = Pool()
        if settings is not None and settings.deployments:
            ports = guarding.ports(self._upstream, Catalogue(settings, source or Source()), self._pool)
        else:  # without models there is none to ask: a document that needs one is told so
            ports = replace(guarding.ports(self._upstream, Catalogue(Settings(), Source()), self._pool), ask=None)
        self.policies: tuple[Policy, ...] = assemble.every(loaded.policies, ports)

    async def close(self) -> None:
        """Close connections, and take no more work for guards that block."""
        self._pool.close()
        await self._upstream.close()


class _Front:
    """An app behind some steps. At the end of the app's lifespan, what the guards hold open is closed."""

    def __init__(self, app: App, stack: App, guards: _Guards) -> None:
        self.app = app
        self._stack = stack
        self._guards = guards

    @property
    def policies(self) -> tuple[Policy, ...]:
        """The policies in force."""
        return self._guards.policies

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {', '.join(policy.name for policy in self.policies)}>"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._stack(scope, receive, send)
            return
        try:
            await self.app(scope, receive, send)
        finally:
            await self._guards.close()


class Protected(_Front):
    """What `protect` makes: an ASGI app."""


class GuardrailMiddleware(_Front):
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
            app, guards.policies, guard_all=guard_all, unreadable=unreadable, max_bytes=max_request_bytes
        )
        super().__init__(app, ForeignScopeMiddleware(step), guards)


def protect(
    app: App,
    config: Config = None,
    *,
    policies: Sequence[str | Path] | None = None,
    guard_all: bool = False,
    unreadable: Unreadable = "refuse",
) -> Protected:
    """An ASGI app: the gateway's whole stack in front of `app`.

    Every request gets an id, a log line and the gateway's headers; completions are guarded on their way in and out.
    With a `master_key` configured every request needs it, but for health checks and `/openapi.json`. Without one `app`
    goes on authenticating its own callers: nobody is asked for a key.

    Args:
        app: any ASGI app.
        config: a path, a mapping of the same form, settings, or None for a gateway without models of its own. Of a
            configuration, `policies`, `general_settings` and, for guards that ask a model, `model_list` are read.
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
    step: App = ForeignGuardMiddleware(
        app,
        guards.policies,
        guard_all=guard_all,
        unreadable=unreadable,
        max_bytes=general.max_request_bytes,
        read_timeout=general.request_read_timeout,
    )
    if general.master_key is not None:
        step = IdentityMiddleware(step, general.master_key)
    return Protected(app, ScopeMiddleware(ErrorMiddleware(step, log), log), guards)


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
