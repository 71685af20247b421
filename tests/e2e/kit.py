"""Real processes for the tests end to end: the gateway and a real model server, on free ports of this machine."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
MODEL_SERVER = ROOT.parent / "shared" / "upstream" / "llm_server.py"
MODEL_PYTHON = "GATEWAY_TEST_LLM_PYTHON"
"""The environment variable that names the interpreter the model server's two wheels are installed for."""

SECONDS = 60.0
"""No test waits longer for anything."""

_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
_ADDRESS = re.compile(r"http://[0-9a-z.\[\]:]+:\d+")


@dataclass(slots=True)
class Process:
    """A server under test. Its output goes to files, so that no pipe can fill up."""

    popen: "subprocess.Popen[bytes]"
    folder: Path
    url: str = ""

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def out(self) -> str:
        """The lines that it has written to standard output."""
        return written(self.folder / "out")

    @property
    def err(self) -> str:
        """The lines that it has written to standard error."""
        return written(self.folder / "err")

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The log lines of one event, parsed; a line that is not JSON fails the test."""
        return [line for line in map(json.loads, self.out.splitlines()) if line["event"] == event]

    def signal(self, number: signal.Signals) -> None:
        self.popen.send_signal(number)

    def stop(self) -> int:
        """Ask it to end, and its exit status; a server that does not end is killed and fails the test."""
        if self.popen.poll() is None:
            self.popen.terminate()
        try:
            return self.popen.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            raise


def written(file: Path) -> str:
    """The whole lines of a file that another process writes: the last one may still be on its way."""
    whole, newline, _ = file.read_bytes().rpartition(b"\n")
    return (whole + newline).decode()


def until(what: str, found: Callable[[], Any], seconds: float = SECONDS) -> Any:
    """Ask `found` again and again until it says something true, and return that; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, f"not within {seconds:g} seconds: {what}"
        time.sleep(0.02)
    return value


def environment(**extra: str) -> dict[str, str]:
    """The environment of a process under test: no provider's key, no proxy, no setting of this machine."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", "COLUMNS": "80", **extra}


def command(*args: str) -> list[str]:
    """The gateway's command line."""
    return [sys.executable, "-m", "gateway", *args]


def run(folder: Path, *args: str, **extra: str) -> "subprocess.CompletedProcess[str]":
    """One command of the gateway, run to its end; its output is a pipe."""
    return subprocess.run(  # noqa: S603
        command(*args), cwd=folder, env=environment(**extra), capture_output=True, text=True, timeout=SECONDS
    )


def shell(line: str) -> bytes:
    """What a line prints when it is pasted into a shell; one that fails fails the test."""
    argv = ["/bin/bash", "-c", line]
    return subprocess.run(argv, env=environment(), capture_output=True, check=True, timeout=SECONDS).stdout  # noqa: S603


@contextmanager
def started(folder: Path, argv: list[str], env: Mapping[str, str]) -> Iterator[Process]:
    """A process with its output in `folder`; stopped at the end of the block, however that ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        popen = subprocess.Popen(  # noqa: S603
            argv, cwd=folder, env=env, stdout=out, stderr=err, stdin=subprocess.DEVNULL
        )
    process = Process(popen, folder)
    try:
        yield process
    finally:
        process.stop()


@contextmanager
def gateway(folder: Path, config: str | None = None, *args: str, **extra: str) -> Iterator[Process]:
    """A gateway that is ready; `config` is YAML text, written to `config.yaml` in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    if config is not None:
        (folder / "config.yaml").write_text(config)
        args = ("--config", "config.yaml", *args)
    with started(folder, command("serve", "--port", "0", *args), environment(**extra)) as process:
        process.url = until("the banner's address", lambda: address(process, process.err))
        until("/health/ready", lambda: status(f"{process.url}/health/ready") == 200)
        yield process


@contextmanager
def model(folder: Path, python: str) -> Iterator[str]:
    """The real model's server, ready; yields its base URL, which ends with `/v1`."""
    with started(folder, [python, str(MODEL_SERVER), "0"], environment()) as process:
        url = until("the model server's address", lambda: address(process, process.out))
        until("the model", lambda: status(f"{url}/health") == 200)
        yield f"{url}/v1"


def address(process: Process, said: str) -> str | None:
    """The address in what a process has said so far; fails when it has ended."""
    assert process.popen.poll() is None, f"it ended with {process.popen.returncode}: {process.err}"
    found = _ADDRESS.search(said)
    return found[0] if found else None


def status(url: str) -> int:
    """The status of a GET, 0 while nobody answers."""
    return fetch(url)[0]


def fetch(
    url: str, body: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, dict[str, Any]]:
    """Status and JSON of one request; status 0 while nobody answers."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json", **(headers or {})})  # noqa: S310
    try:
        with _DIRECT.open(request, timeout=SECONDS) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())
    except (OSError, ValueError):
        return 0, {}


_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def resident_mb(pid: int) -> float:
    """Resident memory of a process, in MB (10^6 bytes)."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024 / 1e6


def children(pid: int) -> list[int]:
    """The workers of a process: its children that serve, in order."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            serves = b"spawn_main" in (folder / "cmdline").read_bytes()
        except OSError:
            continue  # it has ended meanwhile
        if serves and parent == str(pid):
            found.append(int(folder.name))
    return sorted(found)
