"""`gateway serve`: uvicorn with uvloop and httptools, one worker or several, drained on SIGTERM."""

import os
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path
from types import FrameType

import uvicorn
from uvicorn.supervisors import Multiprocess

from gateway.config.load import Loaded
from gateway.errors import ConfigError
from gateway.serving.protocol import Protocol
from gateway.serving.worker import Worker
from gateway.telemetry.shared import directory

KEEP_ALIVE_SECONDS = 75
"""Idle connections are kept longer than the usual load balancer's 60 seconds, so that it closes first."""

BACKLOG = 2048
"""Connections that may wait to be accepted."""

_FAILED_TO_START = 3
"""The exit status of a uvicorn worker whose application did not start."""


class _Server(uvicorn.Server):
    """Tells when it accepts connections."""

    def __init__(self, config: uvicorn.Config, listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._listening = listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._listening()


class _Supervisor(Multiprocess):
    """Several workers. SIGHUP reloads them where they are, as it does a single one, rather than replacing them; and
    the port is closed before they drain, so that nobody connects to a gateway that is leaving."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket], listening: Callable[[], None]) -> None:
        super().__init__(config, sockets)
        self._listening = listening

    def init_processes(self) -> None:
        super().init_processes()
        self._listening()

    def handle_hup(self) -> None:
        for process in self.processes:
            if process.pid is not None and process.process.is_alive():
                os.kill(process.pid, signal.SIGHUP)

    def terminate_all(self) -> None:
        for sock in self.sockets:
            sock.close()
        super().terminate_all()

    def status(self) -> int:
        """The exit status once `run` is over."""
        return 1 if any(process.process.exitcode == _FAILED_TO_START for process in self.processes) else 0


def bind(found: Loaded, host: str, port: int) -> socket.socket:
    """A socket that listens on `host` and `port` (0: any free one); connections wait until a worker accepts them.

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
        bound.listen(BACKLOG)  # now, because binding alone does not show that another server has the port
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
    with ExitStack() as stack:
        try:
            numbers = stack.enter_context(directory()) if workers > 1 else None
        except OSError as error:
            raise ConfigError([f"workers cannot share their metrics: {error.strerror or error}"]) from error
        return _run(Worker(config, numbers), found, bound, workers, listening)


def _run(worker: Worker, found: Loaded, bound: socket.socket, workers: int, listening: Callable[[], None]) -> int:
    settings = uvicorn.Config(
        worker,
        workers=workers,
        loop="uvloop",
        http=Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=max(1, round(found.settings.general.shutdown_timeout)),
    )
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the application can reload, there is nothing to reload
    if workers > 1:
        supervisor = _Supervisor(settings, [bound], listening)
        supervisor.run()
        return supervisor.status()
    server = _Server(settings, listening)

    def leave(_signum: int, _frame: FrameType | None) -> None:
        if not server.started:
            raise SystemExit(0)
        # uvicorn has drained already, and raises the signal again for handlers that were there before its own

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    try:
        server.run(sockets=[bound])
    except SystemExit as ended:
        return 1 if ended.code else 0
    return 0 if server.started else 1
