"""`GET /metrics`: everything that is counted, for Prometheus. Whoever may read it has been asked for a key before."""

import asyncio
from collections.abc import Mapping

from starlette.types import Receive, Scope, Send

from gateway.middleware import headers
from gateway.telemetry import prometheus
from gateway.telemetry.metrics import Metrics


class Scrape:
    """Answers with the numbers of all workers of this server, in the format the client asks for.

    Args:
        metrics: where they are counted.
        resource: what the service says of itself (`service.name`, `service.version`).
    """

    def __init__(self, metrics: Metrics, resource: Mapping[str, str]) -> None:
        self.metrics = metrics
        self.resource = resource

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = prometheus.content_type(headers.first(scope, b"accept"))
        pieces = []
        for piece in prometheus.render(self.metrics.everyone(), self.resource, kind):
            pieces.append(piece.encode())
            await asyncio.sleep(0)  # thousands of series take milliseconds, and others wait for the loop
        body = b"".join(pieces)
        own = [
            (b"content-type", kind.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": own})
        await send({"type": "http.response.body", "body": body})
