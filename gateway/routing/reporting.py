"""Telemetry's way out: the engine that calls providers carries spans to a collector too, on the same event loop."""

from collections.abc import Mapping

from gateway.errors import GatewayError, UpstreamConnectionError, UpstreamInvalidResponse, UpstreamTimeout
from gateway.routing.upstream import Timeouts, Upstream
from gateway.telemetry.export.port import Post, Reply
from gateway.types import HttpRequest

_CONNECT = 5.0
"""Seconds until a connection is there."""

_REASONS: Mapping[type[GatewayError], str] = {
    UpstreamConnectionError: "no connection, or one that broke",
    UpstreamInvalidResponse: "an answer that is not HTTP, or too long",
}


def poster(upstream: Upstream) -> Post:
    """A `Post` through `upstream`. What goes wrong is a reply with status 0; only a cancellation is raised."""

    async def post(url: str, headers: Mapping[str, str], body: bytes, seconds: float) -> Reply:
        request = HttpRequest("POST", url, headers, body)
        timeouts = Timeouts(connect=min(_CONNECT, seconds), read=seconds, total=seconds)
        try:
            response = await upstream.send(request, timeouts, stream=False)
            try:
                return Reply(response.status, await response.read(), response.headers.get("retry-after"))
            finally:
                await response.close()
        except UpstreamTimeout as error:
            return Reply(0, reason="no connection in time" if error.which == "connect" else "no answer in time")
        except GatewayError as error:
            return Reply(0, reason=_REASONS.get(type(error), error.message))

    return post
