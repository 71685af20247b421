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
    """Tells when it listens, and at which port."""

    def __init__(self, config: uvicorn.Config, listening: Callable[[int], None]) -> None:
        super().__init__(config)
        self._listening = listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._listening(self.servers[0].sockets[0].getsockname()[1])


def check_host(found: Loaded, host: str) -> None:
    """Refuse to serve other machines without a key.

    Raises:
        ConfigError: no master key, and `host` is not a loopback address.
    """
    if found.settings.general.master_key is None and not _is_loopback(host):
        raise ConfigError(
            [
                f"{found.source.name}: serving on {host} needs general_settings.master_key; without one the gateway "
                "serves 127.0.0.1 only"
            ]
        )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def run(
    config: Path | None, found: Loaded, host: str, port: int, workers: int, listening: Callable[[int], None]
) -> int:
    """Serve until a signal; the exit status.

    Args:
        config: the file every worker loads, or None for the built-in configuration.
        found: the same, loaded and found good.
        host: address to bind to.
        port: port to bind to; 0 for any free one.
        workers: processes that serve.
        listening: called with the port once connections are accepted.
    """
    settings = uvicorn.Config(
        Worker(config),
        host=host,
        port=port,
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
    if workers == 1:
        server = _Server(settings, listening)
        try:
            server.run()
        except KeyboardInterrupt:
            return 0  # uvicorn has drained and raises the signal again
        return 0 if server.started else 1
    bound = settings.bind_socket()
    supervisor = Multiprocess(settings, sockets=[bound])
    listening(bound.getsockname()[1])
    supervisor.run()
    return 0
