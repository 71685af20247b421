"""A real PostgreSQL for tests: its own cluster in a folder of its own, on loopback, gone at the end."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from glob import glob
from pathlib import Path

PASSWORD = "only-on-loopback"
_USERS = ("postgres", "nobody")
"""Whom the server runs as where the tests run as root, as whom it refuses to run."""


def program(name: str) -> str | None:
    """Where one of PostgreSQL's programs is, if it is installed."""
    newest = sorted(glob(f"/usr/lib/postgresql/*/bin/{name}"))
    return shutil.which(name) or (newest[-1] if newest else None)


def missing() -> str | None:
    """Why no server can be started here; None where one can."""
    absent = [name for name in ("initdb", "postgres") if program(name) is None]
    return f"PostgreSQL is not installed: there is no {', no '.join(absent)}" if absent else None


@contextmanager
def server() -> Iterator[str]:
    """The URL of a database that nobody else uses."""
    user = _other_user()
    folder = Path(tempfile.mkdtemp(prefix="gateway-postgres-"))
    try:
        password = folder / "password"
        password.write_text(PASSWORD)
        if user:
            shutil.chown(folder, user)
            shutil.chown(password, user)
        data = folder / "data"
        create = [program("initdb"), "-D", data, "-U", "gateway", "-A", "scram-sha-256", f"--pwfile={password}"]
        _run([*create, "--encoding=UTF8", "--locale=C", "--no-sync"], folder, user)
        port = _free_port()
        options = [f"-p{port}", "-h127.0.0.1", "-k", folder, "-cfsync=off"]
        with (folder / "log").open("wb") as log:
            running = subprocess.Popen(  # noqa: S603 - programs found above
                [program("postgres"), "-D", data, *options], stdout=log, stderr=log, user=user, cwd=folder
            )
        try:
            _wait(running, data, folder / "log")
            yield f"postgresql://gateway:{PASSWORD}@127.0.0.1:{port}/postgres"
        finally:
            running.terminate()
            running.wait(30)
    finally:
        shutil.rmtree(folder)


def _other_user() -> str | None:
    if os.getuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in _USERS if name in known)


def _run(command: list[object], folder: Path, user: str | None) -> None:
    done = subprocess.run(  # noqa: S603 - programs found above
        list(map(str, command)), cwd=folder, user=user, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(running: "subprocess.Popen[bytes]", data: Path, log: Path) -> None:
    """The server says `ready` in its file; only then is anybody let in."""
    path = data / "postmaster.pid"
    while not (path.exists() and path.read_text().rstrip().endswith("ready")):
        try:
            running.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError(log.read_text())
