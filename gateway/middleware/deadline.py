"""Nothing before the first byte of an answer lasts longer than its client waits (`x-gateway-timeout`)."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway import exchange as exchanges
from gateway.errors import UpstreamTimeout

GRACE = 0.1
"""Seconds for whoever waits with the same deadline, a provider's call or a line, to say better what took so long."""


class DeadlineMiddleware:
    """Ends a request whose client named a time that is over: limits, lines, guards, retries and waits between them.

    From the first byte of a stream on, the time-outs of the provider's call hold, which are no longer than what is left
    of the client's time either. A request without a deadline passes untouched.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        left = exchanges.of(scope).time_left() if scope["type"] == "http" else None
        if left is None:
            await self.app(scope, receive, send)
            return
        limit = asyncio.timeout(left + GRACE)

        async def send_begun(message: Message) -> None:
            if message["type"] == "http.response.start" and not limit.expired():
                limit.reschedule(None)
            await send(message)

        try:
            async with limit:
                await self.app(scope, receive, send_begun)
        except TimeoutError as error:
            if not limit.expired():
                raise
            late = UpstreamTimeout("The request was not answered within the time of its x-gateway-timeout.")
            late.which = "total"
            raise late from error
