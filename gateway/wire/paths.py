"""Which request paths are what: the one table of the completion endpoint's names (contract §1)."""

import re
from collections.abc import Mapping
from typing import Any

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


def below_root(scope: Mapping[str, Any]) -> str:
    """A request's path below the place the app is mounted at (ASGI's `root_path`): the part that routes are read in."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    below = path.removeprefix(root) if root else path
    return below if not below or below.startswith("/") else path


def is_completion(path: str) -> bool:
    """Whether `path` takes text completions."""
    return path in _PLAIN or (path.endswith("/completions") and _WITH_MODEL.fullmatch(path) is not None)


def model_in(path: str) -> str | None:
    """The model that a completion path, decoded as ASGI has it, names, or None."""
    if path in _PLAIN:
        return None
    match = _WITH_MODEL.fullmatch(path)
    return match["model"] if match else None
