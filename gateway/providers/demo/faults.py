"""The demo's switches: how late it answers, in what pieces, and which provider's misbehaviour it plays.

They arrive as private request headers (`x-demo-…`), so that the demo run on its own is a fault-injecting upstream.
What is sent follows what providers really send: OpenAI's error bodies, a proxy's HTML pages, broken connections.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from gateway.errors import InvalidValue
from gateway.wire import json

PREFIX = "x-demo-"

OPTIONS = ("demo_delay_ms", "demo_chunk_delay_ms", "demo_chunk_tokens", "demo_fault", "demo_fault_at")
"""The switches as settings of a deployment; each is sent under its header's name."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer other than 2xx, as a provider sends it."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def _error(status: int, message: str, kind: str, code: str | None, **headers: str) -> Refusal:
    error = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Refusal(status, {"content-type": "application/json", **names}, json.dumps(error))


def _page(status: int, title: str) -> Refusal:
    heading = f"{status} {title}"
    html = f"<html>\r\n<head><title>{heading}</title></head>\r\n<body>\r\n<center><h1>{heading}</h1></center>\r\n"
    tail = "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    return Refusal(status, {"content-type": "text/html"}, (html + tail).encode())


REFUSALS: Mapping[str, Refusal] = MappingProxyType(
    {
        "status_400": _error(400, "Invalid value for 'stop'.", "invalid_request_error", None),
        "context_length": _error(
            400,
            "This model's maximum context length is 4097 tokens, however you requested 5000 tokens. "
            "Please reduce your prompt; or completion length.",
            "invalid_request_error",
            "context_length_exceeded",
        ),
        "status_401": _error(401, "Incorrect API key provided: sk-demo.", "invalid_request_error", "invalid_api_key"),
        "status_403": _error(403, "You are not allowed to sample from this model", "invalid_request_error", None),
        "status_404": _error(
            404,
            "The model `demo` does not exist or you do not have access to it.",
            "invalid_request_error",
            "model_not_found",
        ),
        "status_422": _error(422, "The request was well-formed but cannot be followed.", "invalid_request_error", None),
        "status_429": _error(
            429,
            "Rate limit reached for demo on requests per min (RPM): Limit 3, Used 3, Requested 1. "
            "Please try again in 2s.",
            "requests",
            "rate_limit_exceeded",
            retry_after="2",
            x_ratelimit_limit_requests="3",
            x_ratelimit_remaining_requests="0",
            x_ratelimit_reset_requests="2s",
        ),
        "insufficient_quota": _error(
            429,
            "You exceeded your current quota, please check your plan and billing details.",
            "insufficient_quota",
            "insufficient_quota",
        ),
        "status_500": _error(
            500, "The server had an error while processing your request. Sorry about that!", "server_error", None
        ),
        "status_502": _page(502, "Bad Gateway"),
        "status_503": _error(
            503,
            "That model is currently overloaded with other requests. You can retry your request.",
            "server_error",
            "overloaded",
        ),
        "status_504": _page(504, "Gateway Time-out"),
        "html": Refusal(
            200,
            {"content-type": "text/html; charset=utf-8"},
            b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Please sign in.</body></html>\n",
        ),
        "empty_body": Refusal(200, {"content-type": "application/json"}, b""),
    }
)
"""Faults that are an answer of their own, whatever was asked."""

FAULTS: Mapping[str, str] = MappingProxyType(
    {
        **{name: f"HTTP {refusal.status} without an answer" for name, refusal in REFUSALS.items()},
        "truncated_json": "the JSON of the answer, or of one event, ends in its middle; the body ends properly",
        "end_early": "the stream ends properly, but without finish reasons, usage or [DONE]",
        "cut_stream": "the connection breaks in the middle of the body",
        "error_event": "an error in a 200: inside the stream, or as the body",
        "stall": "nothing more is sent, the connection stays open; not even headers when not streamed",
        "endless": "the stream, or the body, never ends",
        "no_done": "the stream lacks its [DONE]",
        "no_usage": "no usage is told",
        "content_filter": "the answer ends early with the finish reason content_filter",
    }
)
"""Every fault and what it does. Those of a stream strike after `demo_fault_at` events (tokens for content_filter)."""

STREAM_ERROR: Mapping[str, Any] = MappingProxyType(
    {
        "error": {
            "message": "The server had an error while processing your request. Sorry about that!",
            "type": "server_error",
            "param": None,
            "code": None,
        }
    }
)
"""What `error_event` sends."""


@dataclass(frozen=True, slots=True)
class Switches:
    """How to answer: `delay` before the first byte and `chunk_delay` before each later event, in seconds;
    `chunk_tokens` tokens per event; `fault` (None for none) after `fault_at` events."""

    delay: float = 0.0
    chunk_delay: float = 0.0
    chunk_tokens: int = 1
    fault: str | None = None
    fault_at: int = 2


def from_headers(headers: Iterable[tuple[bytes, bytes]]) -> Switches:
    """The switches in a request's headers.

    Raises:
        InvalidValue: a value out of range, or a fault nobody knows.
    """
    given = {
        name.decode("latin-1"): value.decode("latin-1") for name, value in headers if name.startswith(PREFIX.encode())
    }
    fault = given.get("x-demo-fault") or None
    if fault is not None and fault not in FAULTS:
        raise InvalidValue(f"There is no fault {fault!r}; use one of {', '.join(FAULTS)}.", param="x-demo-fault")
    return Switches(
        _number(given, "x-demo-delay-ms", 0) / 1000,
        _number(given, "x-demo-chunk-delay-ms", 0) / 1000,
        _number(given, "x-demo-chunk-tokens", 1, low=1),
        fault,
        _number(given, "x-demo-fault-at", 2),
    )


def header_name(option: str) -> str:
    """`demo_fault_at` as `x-demo-fault-at`."""
    return f"x-{option.replace('_', '-')}"


def _number(given: Mapping[str, str], name: str, default: int, low: int = 0) -> int:
    value = given.get(name, "")
    if not value:
        return default
    if not (value.isascii() and value.isdigit() and len(value) < 8 and int(value) >= low):
        raise InvalidValue(f"{name} must be a whole number from {low} to 9,999,999.", param=name)
    return int(value)
