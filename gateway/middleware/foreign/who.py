"""For whom a request to a foreign app is, as its headers and its body say."""

from collections.abc import Callable, Mapping
from typing import Any

from starlette.types import Scope

from gateway.exchange import Exchange
from gateway.middleware import headers
from gateway.principal import clean_name
from gateway.types import CompletionRequest

SOURCES = ("header", "user", "metadata.user_id", "safety_identifier")
"""Where the end user's name is read, first found first (`end_users.sources`)."""


def tell(
    exchange: Exchange, scope: Scope, request: CompletionRequest | None, sources: tuple[str, ...] = SOURCES
) -> None:
    """Note end user, session and tags; what a step in front has noted already stays.

    A key that is bound to an end user wins over whatever a request or a step in front says, and one that has a name for
    requests without any gives it. Its own tags come first.

    Args:
        request: the request's body; None where it was not read.
    """
    principal = exchange.principal
    if principal is not None and principal.end_user is not None:
        exchange.end_user = principal.end_user
    elif exchange.end_user is None:
        candidates = (_READERS[source](scope, request) for source in sources)
        exchange.end_user = next((found for text in candidates if (found := clean_name(text))), None)
        if exchange.end_user is None and principal is not None:
            exchange.end_user = principal.default_end_user
    exchange.session = exchange.session or clean_name(headers.first(scope, b"x-gateway-session"))
    own = principal.tags if principal is not None else ()
    given = (headers.first(scope, b"x-gateway-tags") or "").split(",")
    named = (tag for text in given if (tag := clean_name(text.strip())))
    exchange.tags = tuple(dict.fromkeys((*own, *exchange.tags, *named)))


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
