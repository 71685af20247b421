"""The lean path: spans become OTLP/JSON as soon as they are known, on the event loop, and one task sends them.

No thread fights the event loop for the interpreter, and nobody waits (`batches`).
"""

import asyncio
import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from time import time
from typing import Any, Literal

from gateway.telemetry.export import otlp_json
from gateway.telemetry.export.batches import Batches, Limits, Outcome
from gateway.telemetry.export.port import Post
from gateway.telemetry.export.trouble import Trouble
from gateway.telemetry.logs import Logger
from gateway.telemetry.span import Span
from gateway.wire import json

RETRIED = frozenset({429, 502, 503, 504})
"""What may go better later; no other status may be tried again (OTLP 1.9, "Retryable response codes")."""

_SMALL = 64 * 1024
"""A body of so many bytes is compressed on the spot; a larger one in a thread, which frees the interpreter."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where spans go. `url` is the whole one (`…/v1/traces`); `headers` may hold keys; `timeout` is in seconds."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    compression: Literal["none", "gzip"] = "none"
    timeout: float = 10.0


class LeanExporter:
    """Sends spans to one collector.

    Args:
        target: where to.
        resource: what this process says of itself, encoded by `otlp_json.resource`.
        scope: encoded by `otlp_json.scope`.
        post: the HTTP client.
        log: where trouble is told.
        limits: how much waits and how long.
    """

    def __init__(
        self, target: Target, resource: bytes, scope: bytes, post: Post, log: Logger, limits: Limits | None = None
    ) -> None:
        self._target, self._post = target, post
        self._resource, self._scope = resource, scope
        self._headers = {**target.headers, "content-type": "application/json"}
        if target.compression == "gzip":
            self._headers["content-encoding"] = "gzip"
        self._batches = Batches(self._send, Trouble(log, target.url), limits or Limits())

    def __repr__(self) -> str:
        return f"<LeanExporter {self._batches!r}>"

    def start(self) -> None:
        """See `Exporter`."""
        self._batches.start()

    def add(self, spans: Sequence[Span]) -> None:
        """Encode spans now; they are sent soon."""
        self._batches.put([otlp_json.span(one) for one in spans])

    async def flush(self) -> None:
        """See `Exporter`."""
        await self._batches.flush()

    async def close(self, seconds: float) -> None:
        """See `Exporter`."""
        await self._batches.close(seconds)

    def dropped(self) -> int:
        """See `Exporter`."""
        return self._batches.dropped

    async def _send(self, batch: list[bytes]) -> Outcome:
        body = otlp_json.traces(self._resource, self._scope, batch)
        if self._target.compression == "gzip":
            body = gzip.compress(body, 1) if len(body) <= _SMALL else await asyncio.to_thread(gzip.compress, body, 1)
        reply = await self._post(self._target.url, self._headers, body, self._target.timeout)
        if 200 <= reply.status < 300:
            return _partial(reply.body, len(batch))
        if not reply.status:
            return Outcome(again=True, reason=reply.reason)
        if reply.status in RETRIED:
            return Outcome(again=True, reason=f"status {reply.status}", after=_retry_after(reply.retry_after))
        return Outcome(len(batch), f"the collector refuses them with status {reply.status}")


def _partial(body: bytes, count: int) -> Outcome:
    """What a collector says it did not take (`partial_success`); it is not to be sent again."""
    if b"artial" not in body:
        return Outcome()
    try:
        partial: Any = json.loads(body)["partialSuccess"]
        rejected = int(partial.get("rejectedSpans", 0))
    except (json.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
        return Outcome()  # it took them, and its words about it are its own affair
    return Outcome(min(rejected, count), "the collector rejected a part of them") if rejected > 0 else Outcome()


def _retry_after(value: str | None) -> float | None:
    """Seconds to wait, from a number of seconds or a date (RFC 9110 §10.2.3)."""
    if not value:
        return None
    try:
        seconds = float(value) if value.strip().isdigit() else parsedate_to_datetime(value).timestamp() - time()
    except (ValueError, OverflowError):
        return None
    return max(seconds, 0.0)
