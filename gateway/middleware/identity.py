"""Who is calling: checks the key a request carries before anything else of it is read."""

import re
from functools import lru_cache
from ipaddress import ip_address

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway import exchange as exchanges
from gateway.config.secret import Secret
from gateway.errors import AuthenticationError
from gateway.identity.callers import Callers, digest
from gateway.middleware import headers
from gateway.principal import Principal
from gateway.telemetry.routes import METRICS_PATH
from gateway.wire.paths import OPEN_PATHS, below_root

ADMIN_PATH = "/admin"


class IdentityMiddleware:
    """Asks for a key; on a gateway where none is configured, serves callers on the loopback interface only.

    Args:
        app: the next step.
        master_key: the only key there is, where `callers` is not given.
        callers: who may call.
    """

    def __init__(self, app: ASGIApp, master_key: Secret | None = None, callers: Callers | None = None) -> None:
        self.app = app
        self.callers = callers or Callers(digest(master_key.reveal()) if master_key else None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not scope.get(exchanges.LOCAL_KEY):
            path = below_root(scope)
            if path not in OPEN_PATHS:
                await self._check(scope, path)
        await self.app(scope, receive, send)

    async def _check(self, scope: Scope, path: str) -> None:
        if not self.callers.asks:
            if not _is_loopback(scope):
                raise AuthenticationError(
                    "This gateway has no master key and therefore serves only its own machine; "
                    "set general_settings.master_key to serve others."
                )
            return
        principal = await self.callers.principal(presented_key(scope))
        exchange = exchanges.of(scope)
        exchange.principal, exchange.key_alias = principal, principal.alias
        check_path(principal, path)


def check_path(principal: Principal, path: str) -> None:
    """Refuse a key that is good, but not for this path.

    However a path is spelt that some router might take for one of these (slashes doubled, another case, a way up from
    below it): it counts as one. The routes themselves are exact, and the endpoints behind them ask again.
    """
    if principal.is_master:
        return
    plain = path.lower()
    if "//" in plain:
        plain = re.sub("/{2,}", "/", plain)
    if plain == ADMIN_PATH or plain.startswith(f"{ADMIN_PATH}/"):
        raise AuthenticationError("The admin routes need the master key.")
    scope = "metrics" if plain.rstrip("/") == METRICS_PATH else "completions"
    if scope not in principal.scopes:
        raise AuthenticationError(f"This key does not have the scope {scope}, which this path needs.")


def presented_key(scope: Scope) -> str | None:
    """The key of a request, from `Authorization: Bearer`, `x-api-key` or `api-key`, in this order."""
    bearer = headers.first(scope, b"authorization")
    if bearer is not None:
        kind, _, token = bearer.partition(" ")
        if kind.lower() == "bearer" and token.strip():
            return token.strip()
    return headers.first(scope, b"x-api-key", b"api-key")


def _is_loopback(scope: Scope) -> bool:
    """Whether the peer is this machine; a server on a Unix socket, or a call in process, names no address."""
    client = scope.get("client")
    return not client or _is_loopback_host(client[0])


@lru_cache(maxsize=256)
def _is_loopback_host(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host in ("localhost", "testclient")
