"""`gateway serve`: uvicorn with uvloop and httptools, one worker or several, drained on SIGTERM."""

import socket
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

import uvicorn
from uvicorn.supervisors import Multiprocess

from gateway.config.load import Loaded
from gateway.errors import ConfigError
from gateway.serving.protocol import Protocol
from gateway.serving.worker import Worker

KEEP_ALIVE_SECONDS = 75
"""Idle connections are kept longer than the usual load balancer's 60 seconds, so that it closes first."""


class _Server(uvicorn.Server):
    """Tells when it accepts connections."""

    def __init__(self, config: uvicorn.Config, listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._listening = listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._listening()


def bind(found: Loaded, host: str, port: int) -> socket.socket:
    """A socket bound to `host` and `port` (0: any free one).

    Raises:
        ConfigError: the address cannot be had, or other machines would be served without a key.
    """
    if found.settings.general.master_key is None and not _is_loopback(host):
        raise ConfigError(
            [
                f"{found.source.name}: serving on {host} needs general_settings.master_key; "
                "without one the gateway serves its own machine only (--host 127.0.0.1)"
            ]
        )
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, proto)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(
            [f"cannot listen on {host} port {port}: {reason}; choose another --host or --port"]
        ) from error
    bound.set_inheritable(True)
    return bound


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def run(config: Path | None, found: Loaded, bound: socket.socket, workers: int, listening: Callable[[], None]) -> int:
    """Serve until SIGTERM or SIGINT, then let running requests finish within `shutdown_timeout`; the exit status.

    Args:
        config: the file every worker loads, or None for the built-in configuration.
        found: the same, loaded and found good.
        bound: the socket to listen on.
        workers: processes that serve.
        listening: called once connections are accepted.
    """
    settings = uvicorn.Config(
        Worker(config),
        workers=workers,
        loop="uvloop",
        http=Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=max(1, round(found.settings.general.shutdown_timeout)),
    )
    if workers > 1:
        supervisor = Multiprocess(settings, sockets=[bound])
        listening()
        supervisor.run()
        return 0
    server = _Server(settings, listening)
    try:
        server.run(sockets=[bound])
    except KeyboardInterrupt:
        return 0  # uvicorn has drained already and passes the interrupt on
    return 0 if server.started else 1
