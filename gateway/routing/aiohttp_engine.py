"""The engine for providers over the network: aiohttp, the fastest maintained client whose cancellation is real.

A pool belongs to an event loop and is opened by the first request inside it, so after any fork. HTTP/1.1 only; no
cookies, no redirects. Proxies are those of `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` as the standard
library reads them, looked up once per origin.
"""

import asyncio
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import aiohttp

from gateway.routing.upstream import Bounds
from gateway.version import __version__

_IDLE_SECONDS = 55.0  # load balancers commonly close at 60: be first
_MAX_FIELD_BYTES = 64 * 1024
_USER_AGENT = f"guardrail-gateway/{__version__}"


@dataclass(slots=True)
class _Pool:
    """What one event loop has: its session, and the proxy of each origin it has called."""

    session: aiohttp.ClientSession
    proxies: dict[str, str | None] = field(default_factory=dict)


class AiohttpUpstream:
    """Pooled HTTP/1.1 with TLS, proxies, and gzip and deflate (brotli and zstd where their libraries are installed)."""

    __slots__ = ("_bounds", "_closed", "_in_flight", "_pools", "_tls")

    def __init__(self, *, ca_bundle: bytes | None = None, bounds: Bounds | None = None) -> None:
        """Open nothing yet.

        Args:
            ca_bundle: PEM certificates to trust beside the system's own.

        Raises:
            ConfigError: the bundle holds no certificate, or a broken one.
        """
        self._tls = _tls(ca_bundle)
        self._bounds = bounds or Bounds()
        self._pools: WeakKeyDictionary[asyncio.AbstractEventLoop, _Pool] = WeakKeyDictionary()
        self._in_flight = 0
        self._closed = False

    def __repr__(self) -> str:
        kept = sum(len(pool.session.connector or ()) for pool in self._pools.values())
        state = "closed" if self._closed else f"{self._in_flight} in flight, {kept} connections"
        return f"<AiohttpUpstream {state}>"
