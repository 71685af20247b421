"""WebSockets to somebody else's app: they need a key where requests do, and are no way around what requests pass.

What is said over one is read by nobody here: no policy judges it, no limit counts it. A path that takes completions is
therefore refused to a WebSocket while a policy is enforced or callers are checked; every other path is the app's own.
"""

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.errors import GatewayError, MethodNotAllowed
from gateway.identity.callers import Callers
from gateway.middleware.foreign.scope import said
from gateway.middleware.identity import check_path, presented_key
from gateway.wire.paths import OPEN_PATHS, below_root, language_of

_RESPONSE = "websocket.http.response"
"""ASGI's extension for an answer in place of a handshake ("Websocket Denial Response")."""

_POLICY_VIOLATION = 1008
"""RFC 6455, 7.4.1. Before a handshake the client gets 403 from its server, which cannot tell it this number."""


class ForeignSocketMiddleware:
    """Refuses WebSockets before they are opened; everything else passes untouched.

    A refusal is the answer that an HTTP request would have got, from servers that can send one, else a bare 403.

    Args:
        app: the next step.
        callers: who may call; None where nobody is asked.
        completions: refuse those to paths that take completions.
        everything: refuse all of them.
    """

    def __init__(
        self, app: ASGIApp, callers: Callers | None = None, *, completions: bool = False, everything: bool = False
    ) -> None:
        self.app = app
        self.callers = callers
        self.completions = completions
        self.everything = everything

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            try:
                await self._check(scope)
            except GatewayError as error:
                await _refuse(error, scope, receive, send)
                return
        await self.app(scope, receive, send)

    async def _check(self, scope: Scope) -> None:
        path = below_root(scope)
        if self.callers is not None and self.callers.asks and path not in OPEN_PATHS:
            check_path(await self.callers.principal(presented_key(scope)), path)
        if self.everything or (self.completions and language_of(path) is not None):
            raise MethodNotAllowed(
                f"{path[:120]} does not take WebSockets, which no policy and no limit can see into; send it a POST.",
                headers={"allow": "POST"},
            )


async def _refuse(error: GatewayError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a handshake with an error."""
    message = await receive()
    if message["type"] != "websocket.connect":
        return  # the client has left
    if _RESPONSE not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": error.code or error.type})
        return
    await said(error, send, _RESPONSE)
