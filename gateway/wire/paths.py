"""Which request paths are what: the one table of the completion endpoint's names (contract §1)."""

import re
from collections.abc import Mapping
from typing import Any, Literal

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

Language = Literal["completions", "chat"]
"""What a body of OpenAI's API is: a text completion, or a chat completion."""

_PLAIN = frozenset({"/v1/completions", "/completions"})
_WITH_MODEL = re.compile(r"(?:/v1)?/(?:engines|openai/deployments)/(?P<model>.+)(?<!/chat)/completions")


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


_CHAT_MODEL = re.compile(r"/(?:engines|openai/deployments)/(?P<model>.+?)(?:/chat)?/completions")


def language_of(path: str) -> Language | None:
    """What a foreign app takes at `path`; None for anything else.

    Whatever stands before `/chat/completions` or `/v1/completions` is the app's own prefix, and a doubled slash, one at
    the end or another case hides nothing: a path that an app's router might take for a completion is one.
    """
    plain = re.sub("/{2,}", "/", path).rstrip("/").lower()
    if plain.endswith("/chat/completions"):
        return "chat"
    return "completions" if plain.endswith("/v1/completions") or is_completion(plain) else None


def foreign_model_in(path: str) -> str | None:
    """The model that a foreign app's path of either language names, or None."""
    match = _CHAT_MODEL.search(path)
    return match["model"] if match else None
