"""What a foreign app is about to read, made readable: body, encoding and headers of one request."""

import asyncio
import zlib
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Receive, Scope

from gateway.errors import GatewayError, InvalidJson, InvalidValue, RequestTimeout
from gateway.middleware import body as bodies
from gateway.wire import json, walk

_ABOUT_BODY = frozenset({b"content-length", b"content-encoding", b"transfer-encoding"})
_EXTENSIONS = ("http.response.pathsend", "http.response.zerocopysend")
"""Ways to answer with a file that no step could read."""

PLAIN_TYPES = ("text/", "application/xml", "application/javascript", "application/x-www-form-urlencoded")
"""Content types of text that is no JSON."""

ENCODINGS = ("gzip", "x-gzip", "deflate")
"""The compressions of an answer that can be read."""


@dataclass(slots=True)
class Body:
    """A request's body: as it came, and decoded. `fault` says why nobody can read it; `value` is None then. `plain`:
    it is no JSON but a text.

    `repeated` says that some object has a key twice, so that another parser could read what nobody judged.
    """

    raw: bytes = field(repr=False)
    value: Any = field(default=None, repr=False)
    fault: GatewayError | None = None
    repeated: bool = False
    plain: bool = False


async def read(receive: Receive, seconds: float) -> bytes:
    """The whole body.

    Raises:
        RequestTimeout: it did not come in time.
        ClientDisconnected: the client left.
    """
    try:
        async with asyncio.timeout(seconds):
            return await bodies.whole(receive)
    except TimeoutError:
        raise RequestTimeout(
            f"The body did not arrive within {seconds:g} seconds; send the request again.",
            headers={"connection": "close"},
        ) from None


def opened(raw: bytes, scope: Scope, limit: int, *, text: bool) -> Body:
    """A body, decompressed and decoded; `text`: one that is no JSON but plain text is read as a text.

    Raises:
        RequestTooLarge: it would be larger than `limit` once decompressed.
    """
    encodings = values(scope, b"content-encoding")
    try:
        plain = bodies.decompress(raw, ", ".join(encodings), limit) if encodings else raw
    except InvalidValue as error:
        return Body(raw, fault=error)
    try:
        value = json.loads(plain)
    except json.JSONDecodeError:
        if text and content_type(scope["headers"]).startswith(PLAIN_TYPES):
            try:
                return Body(raw, plain.decode(), plain=True)
            except UnicodeDecodeError:
                pass
        return Body(
            raw, fault=InvalidJson("The body is not valid JSON, so policies cannot read it; send JSON in UTF-8.")
        )
    return Body(raw, value, repeated=walk.repeats(plain, value))


def values(scope: Scope, name: bytes) -> list[str]:
    """Every value of a header."""
    return [value.decode("latin-1").strip() for key, value in scope["headers"] if key == name]


def content_type(headers: Any) -> str:
    """The media type of a message, without its parameters, in small letters."""
    for name, value in headers:
        if name.lower() == b"content-type":
            kind: str = value.decode("latin-1").partition(";")[0].strip().lower()
            return kind
    return ""


def forwarded(scope: Scope, body: bytes | None) -> dict[str, Any]:
    """What of `scope` is another for the app: no compressed answers, no files, and the headers of a rewritten body."""
    kept = [pair for pair in scope["headers"] if pair[0] != b"accept-encoding"]
    if body is not None:
        kept = [pair for pair in kept if pair[0] not in _ABOUT_BODY]
        kept.append((b"content-length", b"%d" % len(body)))
    changed: dict[str, Any] = {"headers": kept}
    extensions = scope.get("extensions")
    if extensions:
        changed["extensions"] = {name: given for name, given in extensions.items() if name not in _EXTENSIONS}
    return changed


class Inflater:
    """Reads an answer as it was before the app compressed it; without a `limit` it was not.

    Args:
        limit: bytes that one piece may become.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit or 0
        self._stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32) if limit else None

    def plain(self, body: bytes, *, final: bool) -> bytes:
        """A piece, decompressed.

        Raises:
            zlib.error: it is not what its header says, is cut short, or becomes too large.
        """
        if self._stream is None:
            return body
        plain = self._stream.decompress(body, self._limit)
        if self._stream.unconsumed_tail or self._stream.unused_data or (final and not self._stream.eof):
            raise zlib.error("not one compressed answer")
        return plain
