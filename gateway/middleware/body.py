"""Reads a completion request: its body, bounded in time, and who it is for."""

import asyncio
import math
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway import exchange as exchanges
from gateway.errors import (
    ClientDisconnected,
    InvalidValue,
    MethodNotAllowed,
    MissingParameter,
    RequestTimeout,
    RequestTooLarge,
)
from gateway.middleware import headers
from gateway.principal import Principal, clean_name
from gateway.types import CompletionRequest
from gateway.wire import completions, paths


class BodyMiddleware:
    """Parses the body of a text completion into the Exchange; every other request passes untouched.

    Args:
        app: the next step.
        max_bytes: bound of the body once decompressed; a compressed one cannot outgrow it.
        read_timeout: seconds a client has to send its body.
        end_user_sources: where the end user's name is read, first found first.
        require_end_user: refuse requests that name none.
    """

    def __init__(
        self,
        app: ASGIApp,
        max_bytes: int,
        read_timeout: float,
        end_user_sources: tuple[str, ...] = ("header", "user", "metadata.user_id", "safety_identifier"),
        require_end_user: bool = False,
    ) -> None:
        self.app = app
        self.max_bytes = max_bytes
        self.read_timeout = read_timeout
        self.end_user_sources = end_user_sources
        self.require_end_user = require_end_user

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and paths.is_completion(paths.below_root(scope)):
            if scope["method"] != "POST":
                raise MethodNotAllowed("Text completions are asked for with POST.", headers={"allow": "POST"})
            await self._read(scope, receive)
        await self.app(scope, receive, send)

    async def _read(self, scope: Scope, receive: Receive) -> None:
        exchange = exchanges.of(scope)
        try:
            async with asyncio.timeout(self.read_timeout):
                body = await whole(receive)
        except TimeoutError:
            raise RequestTimeout(
                f"The body did not arrive within {self.read_timeout:g} seconds; send the request again.",
                headers={"connection": "close"},
            ) from None
        encoding = headers.first(scope, b"content-encoding")
        if encoding is not None:
            body = decompress(body, encoding, self.max_bytes)
        request = completions.parse(body, paths.model_in(paths.below_root(scope)))
        exchange.request = request
        exchange.timeout = _timeout(scope)
        exchange.session = clean_name(headers.first(scope, b"x-gateway-session"))
        given = headers.first(scope, b"x-gateway-tags") or ""
        principal = exchange.principal
        own = principal.tags if principal else ()
        exchange.tags = tuple(dict.fromkeys([*own, *_names(given.split(",")), *_names(request.tags)]))
        exchange.end_user = self._end_user(scope, request, principal)
        if self.require_end_user and exchange.end_user is None:
            raise nobody_named()

    def _end_user(self, scope: Scope, request: CompletionRequest, principal: Principal | None) -> str | None:
        """Whom a request is for: the one its key is bound to, the first it names, the one its key has for others."""
        if principal is not None and principal.end_user is not None:
            return principal.end_user
        for source in self.end_user_sources:
            name = clean_name(_SOURCES[source](scope, request))
            if name:
                return name
        return principal.default_end_user if principal else None


def nobody_named() -> MissingParameter:
    """The error of a request that names no end user where it has to (`end_users.require`)."""
    return MissingParameter(
        "This gateway serves only requests that name their end user; send user, or x-gateway-end-user.", param="user"
    )


def _metadata_user(_scope: Scope, request: CompletionRequest) -> str | None:
    metadata: Mapping[str, Any] = request.metadata or {}
    user = metadata.get("user_id")
    return user if isinstance(user, str) else None


_SOURCES: Mapping[str, Callable[[Scope, CompletionRequest], str | None]] = {
    "header": lambda scope, _: headers.first(
        scope, b"x-gateway-end-user", b"x-litellm-end-user-id", b"x-litellm-customer-id"
    ),
    "user": lambda _, request: request.user,
    "metadata.user_id": _metadata_user,
    "safety_identifier": lambda _, request: request.safety_identifier,
}


async def whole(receive: Receive) -> bytes:
    """The request's body; raises ClientDisconnected when the client leaves before its end."""
    message = await receive()
    body: bytes = message.get("body", b"")
    if message["type"] == "http.request" and not message.get("more_body"):
        return body
    pieces = [body]
    while message["type"] == "http.request" and message.get("more_body"):
        message = await receive()
        pieces.append(message.get("body", b""))
    if message["type"] == "http.disconnect":
        raise ClientDisconnected("The client left before its request was complete.")
    return b"".join(pieces)


def decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """A body sent with `content-encoding: gzip` or `deflate`, as long as it stays within `limit` bytes.

    Raises:
        InvalidValue: another encoding, or bytes that are not of the one named.
        RequestTooLarge: the body would be larger than `limit`.
    """
    if encoding.lower() == "identity":
        return body
    if encoding.lower() not in ("gzip", "x-gzip", "deflate"):
        raise InvalidValue("The content-encoding must be gzip, deflate or identity.", param="content-encoding")
    decoder = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # reads both gzip and zlib headers
    try:
        plain = decoder.decompress(body, limit + 1)
    except zlib.error:
        raise InvalidValue(f"The body is not valid {encoding.lower()[:16]}.", param="content-encoding") from None
    if len(plain) > limit:
        raise RequestTooLarge(f"The request is larger than {limit} bytes once decompressed; send a smaller one.")
    if not decoder.eof or decoder.unused_data:
        raise InvalidValue("The compressed body is cut short, or something follows it.", param="content-encoding")
    return plain


def _timeout(scope: Scope) -> float | None:
    given = headers.first(scope, b"x-gateway-timeout")
    if given is None:
        return None
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise InvalidValue("x-gateway-timeout must be a positive number of seconds.", param="x-gateway-timeout")
    return seconds


def _names(texts: list[str] | tuple[str, ...]) -> list[str]:
    return [name for text in texts if (name := clean_name(text.strip()))]
