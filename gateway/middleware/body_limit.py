"""Bounds what a client may send: headers and body, before anything reads them."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import HeadersTooLarge, InvalidValue, RequestTooLarge

MAX_HEADER_BYTES = 32 * 1024
"""All names and values of a request's headers together."""


class BodyLimitMiddleware:
    """Refuses a body over `max_bytes` by its declared length, else at the byte that goes over."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        size = 0
        for name, value in scope["headers"]:
            size += len(name) + len(value)
            if name == b"content-length":
                self._check(_length(value))
        if size > MAX_HEADER_BYTES:
            raise HeadersTooLarge(f"The headers are larger than {MAX_HEADER_BYTES} bytes; send fewer or shorter ones.")
        received = 0

        async def receive_bounded() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                self._check(received)
            return message

        await self.app(scope, receive_bounded, send)

    def _check(self, length: int) -> None:
        if length > self.max_bytes:
            raise RequestTooLarge(f"The request is larger than {self.max_bytes} bytes; send a smaller one.")


def _length(value: bytes) -> int:
    if not value.isdigit() or len(value) > 18:
        raise InvalidValue("The content-length header must be a number of bytes.", param="content-length")
    return int(value)
