"""Logs: one chain of processors for everything that is written, JSON lines for machines or colours for people.

structlog is imported here only. Tracebacks are written without the values of local variables, which may hold prompts.
"""

import logging
import sys
from datetime import UTC, datetime
from typing import Any, Literal

import structlog

from gateway.exchange import Exchange
from gateway.wire import json

Logger = structlog.typing.FilteringBoundLogger

_QUIET = ("httpx", "httpcore", "urllib3", "presidio-analyzer", "asyncio", "botocore", "google", "uvicorn.access")
"""Libraries whose talk below WARNING is nobody's business at run time."""


def make(kind: Literal["json", "console", "library"]) -> Logger:
    """A logger: `log.info("event_name", key=value)`. Events are names, values are attributes, never content.

    `json` and `console` write to standard output. `library` hands events to the standard library's logger named
    `gateway`, for a host application to show or not; it is what calls in process use.
    """
    if kind == "library":
        bridge: list[Any] = [structlog.stdlib.render_to_log_kwargs]
        host = structlog.wrap_logger(logging.getLogger("gateway"), processors=bridge, wrapper_class=_BOUND)
        return host.bind()  # type: ignore[no-any-return]
    if kind == "json":
        chain: list[Any] = [_stamp, _json]
        out: Any = structlog.BytesLogger(sys.stdout.buffer)
    else:
        chain = [_stamp, structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        out = structlog.WriteLogger(sys.stdout)
    return structlog.wrap_logger(out, processors=chain, wrapper_class=_BOUND).bind()  # type: ignore[no-any-return]


def take_over(log: Logger) -> None:
    """Send what this process's libraries log through `log`, so that there is one form of line. For a server only."""
    root = logging.getLogger()
    root.handlers = [_Handler(log)]
    root.setLevel(logging.INFO)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


_BOUND = structlog.make_filtering_bound_logger(logging.INFO)
_TRACEBACK = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))


def _stamp(_logger: Any, method: str, event: dict[str, Any]) -> dict[str, Any]:
    """OpenTelemetry's names for when and how grave."""
    event["timestamp"] = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    event["severity_text"] = _SEVERITIES.get(method) or method.upper()
    return event


_SEVERITIES = {"warning": "WARN", "exception": "ERROR", "critical": "FATAL"}
"""Where structlog's method and the short names of OpenTelemetry's log data model differ."""


def _json(logger: Any, method: str, event: dict[str, Any]) -> bytes:
    if "exc_info" in event:
        _TRACEBACK(logger, method, event)
    return json.dumps(event)


class _Handler(logging.Handler):
    def __init__(self, log: Logger) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        level = max(record.levelno, logging.INFO)
        self._log.log(level, record.getMessage(), logger=record.name, exc_info=record.exc_info)


def request_line(exchange: Exchange) -> dict[str, Any]:
    """The attributes of the one line that is logged per request: the exchange's summary, without any content."""
    line: dict[str, Any] = {
        "gateway.request.id": exchange.id,
        "http.request.method": exchange.method,
        "url.path": exchange.path,
        "http.response.status_code": exchange.status,
        "duration_ms": round(exchange.duration() * 1000, 3),
    }
    if exchange.error is not None:
        line["error.type"] = exchange.error.code or exchange.error.type
    request = exchange.request
    if request is not None:
        line["gateway.model"] = request.model
        line["gen_ai.request.stream"] = request.stream
    if exchange.deployment is not None:
        line["gen_ai.provider.name"] = exchange.provider
        line["gen_ai.request.model"] = exchange.served_model
        line["gateway.deployment"] = exchange.deployment
        line["gateway.attempts"] = exchange.attempts
        line["overhead_ms"] = round(exchange.overhead() * 1000, 3)
    if exchange.usage is not None:
        line["gen_ai.usage.input_tokens"] = exchange.usage.input_tokens
        line["gen_ai.usage.output_tokens"] = exchange.usage.output_tokens
        line["gateway.usage.estimated"] = exchange.usage.estimated
    if exchange.cost is not None:
        total = exchange.cost.total
        line["gen_ai.usage.cost"] = None if total is None else float(total)
        line["gateway.cost.source"] = exchange.cost.source
        line["gateway.cost.price_version"] = exchange.cost.version
    if exchange.finish_reasons:
        line["gen_ai.response.finish_reasons"] = [exchange.finish_reasons[i] for i in sorted(exchange.finish_reasons)]
    if exchange.first_chunk is not None:
        line["gen_ai.response.time_to_first_chunk"] = round(exchange.first_chunk, 6)
    optional = {
        "user.id": exchange.end_user,
        "session.id": exchange.session,
        "gateway.key.alias": exchange.key_alias,
        "gateway.tags": list(exchange.tags),
        "gateway.dropped_params": list(exchange.dropped),
    }
    line.update({name: value for name, value in optional.items() if value})
    return line
