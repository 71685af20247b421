"""Which request paths are what: the one table of the completion endpoint's names (contract §1)."""

import re
from urllib.parse import unquote

COMPLETION_PATHS = (
    "/v1/completions",
    "/completions",
    "/engines/{model:path}/completions",
    "/v1/engines/{model:path}/completions",
    "/openai/deployments/{model:path}/completions",
)
"""Every path that takes a text completion, in Starlette's notation."""

OPEN_PATHS = frozenset({"/health/live", "/health/liveliness", "/health/ready", "/health/readiness", "/openapi.json"})
"""Paths that answer without a key."""

_PLAIN = frozenset({"/v1/completions", "/completions"})
_WITH_MODEL = re.compile(r"(?:/v1)?/(?:engines|openai/deployments)/(?P<model>.+)/completions")


def is_completion(path: str) -> bool:
    """Whether `path` takes text completions."""
    return path in _PLAIN or (path.endswith("/completions") and _WITH_MODEL.fullmatch(path) is not None)


def model_in(path: str) -> str | None:
    """The model that a completion path names, or None."""
    if path in _PLAIN:
        return None
    match = _WITH_MODEL.fullmatch(path)
    return unquote(match["model"]) if match else None
