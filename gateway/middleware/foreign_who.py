"""For whom a request to a foreign app is, as its headers and its body say."""

from collections.abc import Callable, Mapping
from typing import Any

from starlette.types import Scope

from gateway.exchange import Exchange
from gateway.middleware import headers
from gateway.middleware.foreign_body import name
from gateway.types import CompletionRequest

SOURCES = ("header", "user", "metadata.user_id", "safety_identifier")
"""Where the end user's name is read, first found first (`end_users.sources`)."""


def tell(
    exchange: Exchange, scope: Scope, request: CompletionRequest | None, sources: tuple[str, ...] = SOURCES
) -> None:
    """Note end user, session and tags; what a step in front has noted already stays.

    Args:
        request: the request's body; None where it was not read.
    """
    if exchange.end_user is None:
        candidates = (_READERS[source](scope, request) for source in sources)
        exchange.end_user = next((found for text in candidates if (found := name(text))), None)
    exchange.session = exchange.session or name(headers.first(scope, b"x-gateway-session"))
    tags = (headers.first(scope, b"x-gateway-tags") or "").split(",")
    exchange.tags = tuple(dict.fromkeys((*exchange.tags, *(tag for text in tags if (tag := name(text.strip()))))))


def _metadata_user(_: Scope, request: CompletionRequest | None) -> str | None:
    metadata: Mapping[str, Any] = (request.metadata if request else None) or {}
    user = metadata.get("user_id")
    return user if isinstance(user, str) else None


_READERS: Mapping[str, Callable[[Scope, CompletionRequest | None], str | None]] = {
    "header": lambda scope, _: headers.first(
        scope, b"x-gateway-end-user", b"x-litellm-end-user-id", b"x-litellm-customer-id"
    ),
    "user": lambda _, request: request.user if request else None,
    "metadata.user_id": _metadata_user,
    "safety_identifier": lambda _, request: request.safety_identifier if request else None,
}
