"""A real `gateway serve` process on a free loopback port, and raw bytes to talk to it with."""

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.wire import json

SECONDS = 20.0
"""No step of a test waits longer."""

_ROOT = Path(__file__).parents[2]
_LISTENS = re.compile(rb"listens on http://127\.0\.0\.1:(\d+)")


@dataclass(frozen=True, slots=True)
class Served:
    """A running gateway: its port, and the file its log lines go to."""

    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS)

    def raw(self, *pieces: bytes) -> bytes:
        """What the gateway sends until it closes the connection, after these bytes have been written to it."""
        with self.connect() as sock:
            try:
                for piece in pieces:
                    sock.sendall(piece)
            except (BrokenPipeError, ConnectionResetError):
                pass  # refused before all of it was sent: what was said about it may still be there to read
            return read_to_end(sock)

    def post(self, body: bytes, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
        """One text completion: status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        try:
            connection.request("POST", "/v1/completions", body, {"content-type": "application/json", **(headers or {})})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def complete(self, **params: Any) -> tuple[int, bytes]:
        return self.post(json.dumps({"model": "demo", "prompt": "Say hello", "max_tokens": 5, **params}))

    def is_well(self) -> bool:
        """Whether liveness and a normal completion are answered."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        connection.request("GET", "/health/live")
        alive = connection.getresponse().status == 200
        connection.close()
        status, body = self.complete()
        return alive and status == 200 and json.loads(body)["choices"][0]["text"] == "Hello."

    def lines(self) -> list[dict[str, Any]]:
        """The log so far."""
        whole, _, _ = self.log.read_bytes().rpartition(b"\n")  # the last line may still be on its way
        return [json.loads(line) for line in whole.splitlines()]


def read_to_end(sock: socket.socket) -> bytes:
    parts: list[bytes] = []
    try:
        while part := sock.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


_HURRIED = """
from gateway.cli.main import main
from gateway.serving.protocol import Protocol
Protocol.head_seconds = {}
main()
"""


@contextmanager
def serving(folder: Path, config: str | None = None, patience: float | None = None) -> Iterator[Served]:
    """Run `gateway serve` until the block ends; the log must then hold no fault of the gateway itself.

    Args:
        folder: where it runs, and where its log goes.
        config: the text of its configuration; None for the built-in one.
        patience: seconds it waits for the head of a request, where that is not to be the usual time.
    """
    program = ["-m", "gateway"] if patience is None else ["-c", _HURRIED.format(patience)]
    command = [sys.executable, *program, "serve", "--port", "0"]
    if config is not None:
        file = folder / "config.yaml"
        file.write_text(config)
        command += ["--config", str(file)]
    log = folder / "log.jsonl"
    environ = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    environ["PYTHONPATH"] = str(_ROOT)
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.PIPE, cwd=folder, env=environ)  # noqa: S603
    reader = threading.Thread(target=lambda: _read_away(process), daemon=True)
    try:
        served = Served(_port(process), log)
        reader.start()
        yield served
        assert process.poll() is None, "the gateway has died"
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(SECONDS)
        finally:
            process.kill()
            if reader.ident is not None:
                reader.join(SECONDS)
    faults = [line for line in served.lines() if line["event"] == "internal_error" or "exception" in line]
    assert not faults, faults


def _port(process: "subprocess.Popen[bytes]") -> int:
    """The port of the banner."""
    assert process.stderr is not None
    said = b""
    while not (found := _LISTENS.search(said)):
        line = process.stderr.readline()
        assert line, f"the gateway did not start: {said.decode()}"
        said += line
    return int(found[1])


def _read_away(process: "subprocess.Popen[bytes]") -> None:
    """Read the rest of standard error, so that nobody waits for room in the pipe."""
    assert process.stderr is not None
    with process.stderr:
        process.stderr.read()
