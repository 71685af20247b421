"""Which route a request's path belongs to, as metrics and spans name it: a closed list, whatever a client asks for."""

from functools import lru_cache

from gateway.telemetry import conventions as names
from gateway.wire.paths import COMPLETION_PATHS, OPEN_PATHS, language_of, model_in

METRICS_PATH = "/metrics"

CHAT_ROUTE = "/v1/chat/completions"
"""Chat completions: only apps that others have written answer them."""

OTHER_ROUTE = "_other"
"""Every path that is none of ours."""

QUIET_ROUTES = OPEN_PATHS | {METRICS_PATH}
"""Probes and scrapes: they come all the time, and counting them would hide what people ask for."""

_PLAIN = frozenset(
    {
        "/v1/completions",
        "/completions",
        CHAT_ROUTE,
        "/v1/models",
        "/models",
        "/v1/guardrails/check",
        "/admin/keys",
        "/admin/end-users",
        "/admin/usage",
        "/admin/usage/records",
        "/admin/policies",
        *QUIET_ROUTES,
    }
)

END_USERS_PATH = "/admin/end-users/"
"""What follows is the name of a person."""

_BELOW = ("/v1/models/", "/admin/keys/", END_USERS_PATH)
"""Routes with one name at their end."""

_WITH_MODEL = {path.partition("{")[0]: path.replace(":path", "") for path in COMPLETION_PATHS if "{" in path}


def route_of(path: str) -> str:
    """The route that takes `path`, as in `/admin/keys/{id}`; `OTHER_ROUTE` where none does.

    A completion of either language below somebody's prefix, as where the gateway is mounted or stands in front of
    another app, is `/v1/completions` or `/v1/chat/completions`.
    """
    return path if path in _PLAIN else _looked_up(path)


@lru_cache(maxsize=512)
def _looked_up(path: str) -> str:
    language = language_of(path)
    if language == "chat":
        return CHAT_ROUTE
    if model_in(path) is not None:
        return next(route for start, route in _WITH_MODEL.items() if path.startswith(start))
    below = next((start for start in _BELOW if path.startswith(start)), None)
    if below is not None:
        return below + "{id}"
    return OTHER_ROUTE if language is None else "/v1/completions"


def operation_of(path: str) -> str:
    """`gen_ai.operation.name` of a completion at `path`."""
    return names.CHAT if route_of(path) == CHAT_ROUTE else names.TEXT_COMPLETION
