"""guardrail-gateway: guardrails, logging and accounting in front of LLM completions.

Ways in, all first class: `gateway serve`, `from gateway import text_completion, atext_completion`, the ASGI application
`Gateway` mounted in your own, and in front of it `protect(app)`, `GuardrailMiddleware`, `TelemetryMiddleware` and
`EndUserMiddleware`. Heavy parts are imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gateway.version import __version__

if TYPE_CHECKING:
    from gateway.app import Gateway
    from gateway.embed import EndUserMiddleware, GuardrailMiddleware, TelemetryMiddleware, protect
    from gateway.sdk import Client, atext_completion, text_completion

__all__ = [
    "Client",
    "EndUserMiddleware",
    "Gateway",
    "GuardrailMiddleware",
    "TelemetryMiddleware",
    "__version__",
    "atext_completion",
    "protect",
    "text_completion",
]

_HOMES = {
    "Client": "gateway.sdk",
    "EndUserMiddleware": "gateway.embed",
    "Gateway": "gateway.app",
    "GuardrailMiddleware": "gateway.embed",
    "TelemetryMiddleware": "gateway.embed",
    "atext_completion": "gateway.sdk",
    "protect": "gateway.embed",
    "text_completion": "gateway.sdk",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'gateway' has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
