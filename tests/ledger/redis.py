"""A real Redis for tests: a server of its own on a free port of the loopback, which can be killed and started again."""

import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def program() -> str | None:
    """Where Redis, or Valkey, is if it is installed."""
    return shutil.which("redis-server") or shutil.which("valkey-server")


def missing() -> str | None:
    """Why no server can be started here; None where one can."""
    return None if program() else "Redis is not installed: there is no redis-server"


class Server:
    """One server, which keeps nothing on disk. `url` stays the same when it is started again."""

    def __init__(self, folder: Path, options: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.options = options
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it takes questions."""
        plain = ("--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
        with (self.folder / "log").open("wb") as log:
            self._running = subprocess.Popen(  # noqa: S603 - a program found above
                [str(program()), *plain, *self.options], stdout=log, stderr=log, cwd=self.folder
            )
        while not self._answers():
            try:
                self._running.wait(0.02)
            except subprocess.TimeoutExpired:
                continue
            raise AssertionError((self.folder / "log").read_text())

    def kill(self) -> None:
        """End it without a word (SIGKILL): what it knew is gone."""
        self._signal(signal.SIGKILL)
        assert self._running
        self._running.wait(30)

    def freeze(self) -> None:
        """Let it hang: connections are taken, nothing is answered."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def ask(self, line: str) -> bytes:
        """What it answers to one line, on a connection of its own."""
        with socket.create_connection(("127.0.0.1", self.port), 30) as link:
            link.sendall(line.encode() + b"\r\n")
            return link.recv(65_536)

    def _answers(self) -> bool:
        try:
            return self.ask("PING")[:1] in b"+-"
        except OSError:
            return False

    def _signal(self, number: int) -> None:
        assert self._running
        self._running.send_signal(number)


def free_port() -> int:
    """A port nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def server(*options: str) -> Iterator[Server]:
    """A running server that nobody else uses; gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix="gateway-redis-"))
    made = Server(folder, options)
    try:
        made.start()
        yield made
    finally:
        if made._running is not None and made._running.poll() is None:
            made.kill()
        shutil.rmtree(folder)
