"""`gateway bench`: what the gateway costs on this machine, with its policies and without.

The gateway runs as a child process, as `gateway serve` would, over an upstream that answers at once; all of it stays on
the loopback interface. Or another server that runs already is given the same load.
"""

import asyncio
import os
import re
import signal
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gateway.app import default_upstream
from gateway.cli.instant import ANSWER, CHUNKS
from gateway.cli.load import PROSE, ROUNDS, Generator, Load, Tally, Target, chat, completions, measured
from gateway.config import environment
from gateway.config.load import Loaded
from gateway.errors import ConfigError
from gateway.guards import registry
from gateway.routing import guarding
from gateway.routing.engines.pooled.pool import PooledUpstream
from gateway.version import __version__
from gateway.wire import json

STRAIGHT, BARE, GUARDED = "upstream", "gateway, bare", "gateway, policies"
"""Straight to the upstream; through a gateway without policies; through one with them."""

_START_SECONDS = 60.0
_STOP_SECONDS = 10.0
_ADDRESS = re.compile(rb"listens on (http://\S+)")


@dataclass(frozen=True, slots=True)
class Plan:
    """How much load, for how long. `model` is the alias that is asked for, and that policies see."""

    seconds: float
    connections: int
    model: str

    def loads(self) -> list[Load]:
        """Whole answers and streamed ones, one at a time and many."""
        counts = dict.fromkeys((1, self.connections))
        return [Load(stream, count) for stream in (False, True) for count in counts]

    def turns(self, found: Loaded, *, alone: bool) -> int:
        """How many steps it takes, with the policies of `found` or with a server alone."""
        targets = 1 if alone else 2 + bool(policies(found))
        return ROUNDS * targets * len(self.loads())


def policies(found: Loaded) -> list[str]:
    """The policies of a configuration, by names and paths that hold in any folder."""
    folder = found.source.files[0].parent if found.source.files else Path()
    names = guarding.named(found.settings)
    return [
        str((folder / name).resolve()) if "/" in name or name.endswith((".yaml", ".yml")) else name for name in names
    ]


def asked_elsewhere(found: Loaded) -> list[str]:
    """Guards of the policies that ask somebody else, whose answers take as long as they take."""
    documents = guarding.documents(found.settings, found.source).policies
    entries = [(each.policy.policy, entry.name) for each in documents for entry in each.policy.guards]
    rows = [(f"{policy}: {name}", registry.find(name)) for policy, name in entries]
    return [said for said, row in rows if row is not None and row.kind in ("remote", "model")]


def here(found: Loaded, plan: Plan, done: Callable[[], None]) -> dict[str, Any]:
    """The overhead of this installation, with the policies of `found`; see `report`.

    Raises:
        ConfigError: a server that does not start or does not answer.
        KeyboardInterrupt: Ctrl-C; the children have ended by then, as after every other end.
    """
    named = policies(found)

    async def run() -> dict[str, Any]:
        async with AsyncExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            port = await stack.enter_async_context(_instant())
            targets = [chat(STRAIGHT, f"http://127.0.0.1:{port}/v1/chat/completions")]
            for name, chosen in ((BARE, []), (GUARDED, named)):
                if name == BARE or chosen:
                    file = folder / f"{len(targets)}.yaml"
                    file.write_bytes(json.dumps(_config(port, plan.model, chosen, folder)))
                    url = await stack.enter_async_context(_gateway(name, file))
                    targets.append(completions(name, f"{url}/v1/completions", plan.model, None))
            upstream = PooledUpstream()
            stack.push_async_callback(upstream.close)
            tallies = await measured(Generator(upstream), targets, plan.loads(), plan.seconds, done)
            return {**report(tallies, plan, targets), "policies": named, "asked_elsewhere": asked_elsewhere(found)}

    return _run(run)


def against(url: str, key: str | None, plan: Plan, done: Callable[[], None]) -> dict[str, Any]:
    """The same load on a server that runs already; see `report`.

    Args:
        url: its base, with or without `/v1`, or the whole address of its text completions.

    Raises:
        ConfigError: it does not answer, or the URL is none.
        KeyboardInterrupt: Ctrl-C.
    """
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise ConfigError(["--against must be a URL that starts with http:// or https:// and names a host"])
    base = url.rstrip("/")
    if not base.endswith("/completions"):
        base += "/completions" if base.endswith("/v1") else "/v1/completions"

    async def run() -> dict[str, Any]:
        upstream = default_upstream()
        try:
            targets = [completions(url, base, plan.model, key)]
            tallies = await measured(Generator(upstream), targets, plan.loads(), plan.seconds, done)
            return report(tallies, plan, targets)
        finally:
            await upstream.close()

    return _run(run)


def report(tallies: Mapping[tuple[str, Load], Tally], plan: Plan, targets: Sequence[Target]) -> dict[str, Any]:
    """What was measured, in rows: for each form of answer, for each server.

    `p50_ms`, `p99_ms` and `first_ms` (median to the first byte) are of one request at a time, `added_ms` is how much
    the median is above that of the upstream; `requests_per_s` is of all connections together, `ratio` its share of what
    the upstream does. Null is what could not be measured.
    """
    rows = []
    for stream in (False, True):
        alone, many = Load(stream, 1), Load(stream, plan.connections)
        straight, straight_many = tallies.get((STRAIGHT, alone)), tallies.get((STRAIGHT, many))
        for target in targets:
            one, all_ = tallies[target.name, alone], tallies[target.name, many]
            middle = one.milliseconds(0.5)
            below = straight.milliseconds(0.5) if straight else None
            rows.append(
                {
                    "path": target.name,
                    "stream": stream,
                    "p50_ms": _rounded(middle),
                    "p99_ms": _rounded(one.milliseconds(0.99)),
                    "first_ms": _rounded(one.first_milliseconds()),
                    "added_ms": _rounded(middle - below) if middle is not None and below is not None else None,
                    "requests_per_s": round(all_.rate(), 1),
                    "ratio": _rounded(all_.rate() / straight_many.rate())
                    if straight_many and straight_many.rate()
                    else None,
                    "errors": one.errors + (all_.errors if all_ is not one else 0),
                }
            )
    return {
        "version": __version__,
        "cores": os.cpu_count(),
        "seconds": plan.seconds,
        "connections": plan.connections,
        "prompt_characters": len(PROSE),
        "answer_characters": len(ANSWER),
        "answer_chunks": CHUNKS,
        "rows": rows,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _run(work: Callable[[], Any]) -> dict[str, Any]:
    """Run to the end, or until a signal: the children are stopped in either case."""

    async def until_told() -> dict[str, Any]:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in a task
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, task.cancel)
        result: dict[str, Any] = await work()
        return result

    try:
        return asyncio.run(until_told())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def _config(port: int, model: str, named: Sequence[str], folder: Path) -> dict[str, Any]:
    """The configuration of a gateway whose only model is the upstream of this benchmark."""
    params = {"model": "openai/bench", "api_base": f"http://127.0.0.1:{port}/v1", "api_key": "no-key-is-needed"}
    return {
        "model_list": [{"model_name": model, "litellm_params": params}],
        "general_settings": {"database_url": f"sqlite:///{folder}/gateway.db"},
        "policies": list(named),
    }


@asynccontextmanager
async def _instant() -> AsyncIterator[int]:
    """The upstream, in a process of its own; its port."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway.cli.instant", stdin=PIPE, stdout=PIPE, stderr=DEVNULL
    )
    try:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        line = await asyncio.wait_for(process.stdout.readline(), _START_SECONDS)
        if not line:
            raise ConfigError(["the benchmark's upstream does not start; another limit of this machine is in its way"])
        yield int(line)
    finally:
        await _stopped(process)


@asynccontextmanager
async def _gateway(name: str, config: Path) -> AsyncIterator[str]:
    """A gateway that serves `config`, in a process of its own; its URL."""
    direct = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "serve", "--config", str(config), "--port", "0"),
        stdin=DEVNULL,
        stdout=DEVNULL,
        stderr=PIPE,
        env={**environment.snapshot(), **direct},
    )
    reading: asyncio.Task[bytes] | None = None
    try:
        url = await _announced(name, process)
        assert process.stderr is not None  # noqa: S101 - it is a pipe
        reading = asyncio.create_task(process.stderr.read())  # so that it never waits for room in the pipe
        yield url
    finally:
        await _stopped(process)
        if reading is not None:
            await reading


async def _announced(name: str, process: Process) -> str:
    """The URL in what a gateway says once it listens."""
    assert process.stderr is not None  # noqa: S101 - it is a pipe
    said = b""
    try:
        async with asyncio.timeout(_START_SECONDS):
            while not (found := _ADDRESS.search(said)):
                line = await process.stderr.readline()
                if not line:
                    raise ConfigError([f"{name}: does not start", *said.decode(errors="replace").splitlines()])
                said += line
    except TimeoutError:
        raise ConfigError([f"{name}: does not start within {_START_SECONDS:g} seconds"]) from None
    return found[1].decode()


async def _stopped(process: Process) -> None:
    """End a child: asked first, and made to when it does not."""
    if process.returncode is None:
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _STOP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
