"""Reading a request's headers and writing the gateway's own (contract §5)."""

import re
from typing import Any

from gateway.exchange import Exchange
from gateway.guards import verdict
from gateway.version import __version__

_UNSAFE = re.compile(rb"[^\x20-\x7e]")
_VERSION = (b"x-gateway-version", __version__.encode())


def first(scope: Any, *names: bytes) -> str | None:
    """The value of the first of these headers that the request has, stripped; None when it has none of them."""
    headers = scope["headers"]
    for wanted in names:
        for name, value in headers:
            if name == wanted:
                text = decoded(value).strip()
                if text:
                    return text
    return None


def decoded(value: bytes) -> str:
    """What clients send beyond ASCII is UTF-8 in practice; the standard's Latin-1 reads everything else."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def own(exchange: Exchange) -> list[tuple[bytes, bytes]]:
    """The gateway's headers for an answer, from what the exchange knows when the answer starts."""
    headers = [(b"x-request-id", exchange.id.encode()), _VERSION]
    if judged := exchange.judgements():
        headers.append((b"x-gateway-guardrails", safe(verdict.header(judged), 1024)))
    if exchange.deployment is None:
        return headers
    opening = exchange.opening
    served = (opening.model if opening else None) or exchange.served_model or ""
    headers += [
        (b"x-gateway-model", safe(served)),
        (b"x-gateway-provider", safe(exchange.provider or "")),
        (b"x-gateway-deployment", safe(exchange.deployment)),
        (b"x-gateway-attempts", b"%d" % exchange.attempts),
        (b"x-gateway-duration-ms", b"%.3f" % (exchange.duration() * 1000)),
        (b"x-gateway-overhead-ms", b"%.3f" % (exchange.overhead() * 1000)),
    ]
    if (usd := _cost(exchange)) is not None:
        headers.append((b"x-gateway-cost-usd", usd))
    if exchange.dropped:
        headers.append((b"x-gateway-dropped-params", safe(", ".join(exchange.dropped))))
    return headers


def _cost(exchange: Exchange) -> bytes | None:
    """The cost in USD as a plain number (`0.00000125`); None for one that is not known, in part or at all, and for a
    stream, which is not over yet."""
    cost, request = exchange.cost, exchange.request
    if cost is None or cost.total is None or cost.source == "unpriced" or (request is not None and request.stream):
        return None
    whole, _, fraction = f"{cost.total:f}".partition(".")
    fraction = fraction.rstrip("0")
    return f"{whole}.{fraction}".encode() if fraction else whole.encode()


def safe(text: str, most: int = 256) -> bytes:
    """`text` as a header value: printable ASCII, at most `most` bytes, anything else a question mark."""
    return _UNSAFE.sub(b"?", text.encode("ascii", "replace"))[:most]
