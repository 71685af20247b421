"""A request's head as bytes: where its URL leads, and headers that cannot be broken out of."""

import re
from base64 import b64encode
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, unquote, urlsplit

from gateway.routing.engines.pooled.inflate import ACCEPT_ENCODING
from gateway.types import HttpRequest
from gateway.version import __version__

_DEFAULTS = {
    "accept": "*/*",
    "accept-encoding": ACCEPT_ENCODING,
    "user-agent": f"guardrail-gateway/{__version__}",
}
_PORTS = {"http": 80, "https": 443}
_OF_THE_CONNECTION = frozenset({b"host", b"connection", b"keep-alive", b"proxy-connection", b"te", b"upgrade"})
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TARGET = re.compile(r"/[!-~]*")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a URL leads. `authority` is host and port as a `host` header has them, `target` path and query,
    `credentials` the URL's user and password as basic authentication has them, or empty."""

    origin: tuple[str, str, int]
    authority: str
    target: str
    credentials: str


@lru_cache(maxsize=1024)
def address_of(url: str) -> Address:
    """
    Raises:
        ValueError: no absolute http or https URL.
    """
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("not an absolute http or https URL")
    host = parts.hostname if parts.hostname.isascii() else parts.hostname.encode("idna").decode("ascii")
    port = parts.port or _PORTS[parts.scheme]
    authority = f"[{host}]" if ":" in host else host
    if port != _PORTS[parts.scheme]:
        authority += f":{port}"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not _TARGET.fullmatch(target):
        target = quote(target, safe="%/?:@!$&'()*+,;=-._~[]")
    user = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else ""
    return Address((parts.scheme, host, port), authority, target, b64encode(user.encode()).decode("ascii"))


@lru_cache(maxsize=256)
def _token(name: str) -> str:
    """A header's name in lower case, or a method checked by the same rule (RFC 9110 §5.6.2)."""
    if not _TOKEN.fullmatch(name):
        raise ValueError("not a token")
    return name.lower()


def head_of(request: HttpRequest, address: Address, proxy: Address | None = None) -> bytes:
    """Request line and headers.

    Args:
        proxy: the proxy that is sent this request, when it is one for it to pass on (plain http).

    Raises:
        ValueError: something in it cannot be put on the wire; no message quotes it.
    """
    _token(request.method)
    sent = {"host": address.authority, **_DEFAULTS}
    if address.credentials:
        sent["authorization"] = f"Basic {address.credentials}"
    for name, value in request.headers.items():
        sent[_token(name)] = value
    if request.body or request.method not in ("GET", "DELETE"):
        sent["content-length"] = str(len(request.body))
    target = address.target
    if proxy is not None:
        target = f"http://{address.authority}{target}"
        if proxy.credentials:
            sent["proxy-authorization"] = f"Basic {proxy.credentials}"
    lines = [f"{name}: {value}\r\n" for name, value in sent.items()]
    head = f"{request.method} {target} HTTP/1.1\r\n{''.join(lines)}\r\n"
    ends = len(lines) + 2
    if head.count("\r") != ends or head.count("\n") != ends or "\0" in head or "transfer-encoding" in sent:
        raise ValueError("a header that would end early")
    return head.encode("latin-1")


def fields_of(head: bytes, scheme: str) -> list[tuple[bytes, bytes]]:
    """What `head_of` gives as HTTP/2 has it: with pseudo-headers, and none about the connection
    (RFC 9113 §8.2.2, §8.3.1)."""
    request_line, *lines = head[:-4].split(b"\r\n")
    method, target, _ = request_line.split(b" ")
    fields = [(name, value) for name, _, value in (line.partition(b": ") for line in lines)]
    authority = next(value for name, value in fields if name == b"host")
    return [
        (b":method", method),
        (b":scheme", scheme.encode("ascii")),
        (b":authority", authority),
        (b":path", target),
        *((name, value) for name, value in fields if name not in _OF_THE_CONNECTION),
    ]
