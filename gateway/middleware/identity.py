"""Who is calling: checks the key a request carries before anything else of it is read."""

import hmac
from functools import lru_cache
from hashlib import sha256
from ipaddress import ip_address

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway import exchange as exchanges
from gateway.config.secret import Secret
from gateway.errors import AuthenticationError
from gateway.middleware import headers
from gateway.wire.paths import OPEN_PATHS, below_root


class IdentityMiddleware:
    """Asks for the master key; without one configured, serves callers on the loopback interface only."""

    def __init__(self, app: ASGIApp, master_key: Secret | None) -> None:
        self.app = app
        self.digest = _digest(master_key.reveal()) if master_key else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not scope.get(exchanges.LOCAL_KEY) and below_root(scope) not in OPEN_PATHS:
            self._check(scope)
        await self.app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        if self.digest is None:
            if not _is_loopback(scope):
                raise AuthenticationError(
                    "This gateway has no master key and therefore serves only its own machine; "
                    "set general_settings.master_key to serve others."
                )
            return
        key = presented_key(scope)
        if key is None:
            raise AuthenticationError(
                "No API key was given; send it as 'Authorization: Bearer <key>', 'x-api-key' or 'api-key'."
            )
        if not hmac.compare_digest(_digest(key), self.digest):
            raise AuthenticationError("The API key is not valid; check it, or ask the operator for a new one.")
        exchanges.of(scope).key_alias = "master"


def presented_key(scope: Scope) -> str | None:
    """The key of a request, from `Authorization: Bearer`, `x-api-key` or `api-key`, in this order."""
    bearer = headers.first(scope, b"authorization")
    if bearer is not None:
        kind, _, token = bearer.partition(" ")
        if kind.lower() == "bearer" and token.strip():
            return token.strip()
    return headers.first(scope, b"x-api-key", b"api-key")


def _digest(key: str) -> bytes:
    """Keys are compared as digests: in constant time, whatever their lengths."""
    return sha256(key.encode("utf-8", "surrogateescape")).digest()


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
