"""Logs: one chain of processors for everything that is written, JSON lines for machines or colours for people.

structlog is imported here only. Tracebacks are written without the values of local variables, which may hold prompts,
and those of a request without messages too, which may quote them.
"""

import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal

import structlog

from gateway.exchange import Trace
from gateway.telemetry import conventions as names
from gateway.telemetry.export.values import plain, text
from gateway.wire import json

Logger = structlog.typing.FilteringBoundLogger

trace: ContextVar[Trace | None] = ContextVar("gateway.trace", default=None)
"""The trace of the request at work: set by the outermost step around it, so that whatever is logged below it, by this
gateway or by a library, says which request it is about."""

_QUIET = (
    "alembic", "asyncio", "botocore", "google", "httpcore", "httpx", "presidio-analyzer", "sqlalchemy", "urllib3",
    "uvicorn.access",
)  # fmt: skip
"""Libraries whose talk below WARNING is nobody's business at run time."""


def make(kind: Literal["json", "console", "library"]) -> Logger:
    """A logger: `log.info("event_name", key=value)`. Events are names, values are attributes, never content.

    `json` and `console` write to standard output. `library` hands events to the standard library's logger named
    `gateway`, for a host application to show or not; it is what calls in process use.
    """
    if kind == "library":
        bridge: list[Any] = [_correlate, _unquoted, structlog.stdlib.render_to_log_kwargs]
        host = structlog.wrap_logger(_Unread(logging.getLogger("gateway")), processors=bridge, wrapper_class=_BOUND)
        return host.bind()  # type: ignore[no-any-return]
    if kind == "json":
        chain: list[Any] = [_stamp, _correlate, _unquoted, _json]
        out: Any = _Unread(structlog.BytesLogger(sys.stdout.buffer))
    else:
        console = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        chain = [_stamp, _correlate, _unquoted, _in_lines, console]
        out = _Unread(structlog.WriteLogger(sys.stdout))
    return structlog.wrap_logger(out, processors=chain, wrapper_class=_BOUND).bind()  # type: ignore[no-any-return]


class _Unread:
    """An output that may have nobody who reads it: its pipe is broken, its disk is full, its file is closed. What is
    written to it then is lost, and counted; no request may fail of it."""

    lost = 0
    """Lines that this process could not write."""

    def __init__(self, out: Any) -> None:
        self._out = out

    def __getattr__(self, method: str) -> Any:
        write = getattr(self._out, method)

        def written(*values: Any, **named: Any) -> None:
            try:
                write(*values, **named)
            except (OSError, ValueError):
                _Unread.lost += 1

        setattr(self, method, written)  # the next line finds it without this search
        return written


def lost() -> int:
    """How many lines this process could not write."""
    return _Unread.lost


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


def _correlate(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """The trace and the span a line belongs to, unless it says so itself."""
    now = trace.get()
    if now is not None and names.TRACE_ID not in event:
        event[names.TRACE_ID], event[names.SPAN_ID] = now.trace_id, now.span_id
    return event


def _unquoted(logger: Any, method: str, event: dict[str, Any]) -> dict[str, Any]:
    """A traceback of a request as what was raised and where, without what the exceptions say."""
    if "exc_info" in event and trace.get() is not None:
        _TRACEBACK(logger, method, event)
        for raised in event.get("exception") or ():
            _hush(raised)
    return event


def _hush(raised: dict[str, Any]) -> None:
    raised.update(exc_value="", exc_notes=[], syntax_error=None)
    for group in raised.get("exceptions") or ():
        for inner in group:
            _hush(inner)


def _in_lines(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """What `_unquoted` made of a traceback as text, for people."""
    if isinstance(raised := event.get("exception"), list):
        event["exception"] = "\n".join(line for one in raised for line in _lines(one, ""))
    return event


def _lines(raised: dict[str, Any], indent: str) -> list[str]:
    frames = [f"{indent}  {frame['filename']}:{frame['lineno']} {frame['name']}" for frame in raised["frames"]]
    inner = [one for group in raised.get("exceptions") or () for one in group]
    return [f"{indent}{raised['exc_type']}", *frames, *(line for one in inner for line in _lines(one, f"{indent}    "))]


def _json(logger: Any, method: str, event: dict[str, Any]) -> bytes:
    if "exc_info" in event:
        _TRACEBACK(logger, method, event)
    try:
        return json.dumps(event)
    except TypeError:  # a number or a text that somebody else chose and JSON has no form for
        return json.dumps(_writable(event))


def _writable(value: Any) -> Any:
    if isinstance(value, dict):
        return {text(str(key)): _writable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_writable(each) for each in value]
    return value if value is None else plain(value)


class _Handler(logging.Handler):
    def __init__(self, log: Logger) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        level = max(record.levelno, logging.INFO)
        self._log.log(level, record.getMessage(), logger=record.name, exc_info=record.exc_info)
