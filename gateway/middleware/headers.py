"""Reading a request's headers and writing the gateway's own (contract §5)."""

import re
from functools import lru_cache
from math import ceil
from typing import Any

from gateway.exchange import Exchange, Rate
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


def own(exchange: Exchange, *, litellm: bool = False) -> list[tuple[bytes, bytes]]:
    """The gateway's headers for an answer, from what the exchange knows when the answer starts; with `litellm` also as
    LiteLLM's clients know them (`telemetry.compat`)."""
    headers = _own(exchange)
    return headers + _twins(exchange) if litellm else headers


def _own(exchange: Exchange) -> list[tuple[bytes, bytes]]:
    headers = [(b"x-request-id", exchange.id.encode()), _VERSION]
    if judged := exchange.judgements():
        headers.append((b"x-gateway-guardrails", safe(verdict.header(judged), 1024)))
    for rate in exchange.rates:
        headers += _rate(rate)
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
    if exchange.reused is not None:
        headers.append((b"x-gateway-cache", exchange.reused.encode()))
    if exchange.dropped:
        headers.append((b"x-gateway-dropped-params", safe(", ".join(exchange.dropped))))
    return headers


def _twins(exchange: Exchange) -> list[tuple[bytes, bytes]]:
    """Call id, guardrails that ran, deployment and cost (https://docs.litellm.ai/docs/proxy/response_headers)."""
    headers = [(b"x-litellm-call-id", exchange.id.encode())]
    if ran := dict.fromkeys([one.policy for one in exchange.judgements() if one.status != "skipped"]):
        headers.append((b"x-litellm-applied-guardrails", safe(",".join(ran), 1024)))
    if exchange.deployment is None:
        return headers
    headers.append((b"x-litellm-model-id", safe(exchange.deployment)))
    if (usd := _cost(exchange)) is not None:
        headers.append((b"x-litellm-response-cost", usd))
    return headers


_RATES = {
    "requests": (b"x-ratelimit-limit-requests", b"x-ratelimit-remaining-requests", b"x-ratelimit-reset-requests"),
    "tokens": (b"x-ratelimit-limit-tokens", b"x-ratelimit-remaining-tokens", b"x-ratelimit-reset-tokens"),
}


def _rate(rate: Rate) -> list[tuple[bytes, bytes]]:
    limit, remaining, reset = _RATES[rate.unit]
    told = [(limit, b"%d" % rate.limit), (remaining, b"%d" % rate.remaining)]
    if rate.reset is not None:
        told.append((reset, until(rate.reset)))
    return told


def until(seconds: float) -> bytes:
    """A length of time as OpenAI's headers have it: `20ms`, `1s`, `6m0s`, `24h0m0s`; rounded up, so that whoever waits
    so long has waited long enough."""
    return b"%dms" % ceil(max(seconds, 0) * 1000) if seconds < 1 else _clock(ceil(seconds))


@lru_cache(maxsize=1024)
def _clock(seconds: int) -> bytes:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return b"%dh%dm%ds" % (hours, minutes, rest)
    return b"%dm%ds" % (minutes, rest) if minutes else b"%ds" % rest


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
    if text.isascii() and text.isprintable():  # nearly always, and told in a fifth of the time
        return text.encode()[:most]
    return _UNSAFE.sub(b"?", text.encode("ascii", "replace"))[:most]
