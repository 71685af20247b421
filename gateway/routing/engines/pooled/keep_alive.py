"""How long a connection may be silent, and what keeps it from being forgotten on the way."""

import asyncio
import socket

IDLE_SECONDS = 55.0
"""Load balancers commonly close an idle connection after 60 seconds: be first."""

_OPTIONS = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
if hasattr(socket, "TCP_KEEPIDLE"):  # macOS and Windows name it otherwise; their defaults stay
    _OPTIONS.append((socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60))
    _OPTIONS.append((socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15))


def probe(transport: asyncio.BaseTransport) -> None:
    """Let the system send probes: they keep an answer that takes minutes from being forgotten by a NAT on the way
    (commonly after 350 seconds)."""
    if sock := transport.get_extra_info("socket"):
        for level, option, value in _OPTIONS:
            sock.setsockopt(level, option, value)
