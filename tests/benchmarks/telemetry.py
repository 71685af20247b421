"""What spans cost: `python tests/benchmarks/telemetry.py [--gateway] [--seconds 3] [--rounds 3]`.

Two spans a request, of 12 and 20 attributes, go to a live sink: the lean path, and the official OTLP/HTTP exporter in
protobuf, beside the same application without spans. With `--gateway` the application is the gateway itself, with the
spans it makes; without, one that does nothing but answer, so that the figures are the spans' own. One core serves, the
other asks and takes the spans. The rows take turns, and the medians are compared: read ratios, not figures. `cpu` is
the server's processor time per request at 32 connections, all threads: on a machine with other work to do it says more
than the rate.

The target: the lean path takes at most 25 % of the throughput, and at most 0.5 ms of the p99 at one connection.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from subprocess import Popen

import uvicorn
import uvloop

HERE = Path(__file__).parent
sys.path[0] = str(HERE.parent.parent)  # `gateway` is the package, not the benchmark of that name beside this one
sys.path.append(str(HERE))

from instant import Result, ask  # noqa: E402

from gateway.config.otel import plan  # noqa: E402
from gateway.config.telemetry import TelemetrySettings  # noqa: E402
from gateway.routing.engines.pooled.pool import PooledUpstream  # noqa: E402
from gateway.routing.reporting import poster  # noqa: E402
from gateway.telemetry import logs  # noqa: E402
from gateway.telemetry.export import select  # noqa: E402
from gateway.telemetry.span import Kind, Span, new_span_id, new_trace_id  # noqa: E402
from tests.benchmarks.gateway import CONFIG, free_port, listening, request, started  # noqa: E402

MODES = ("off", "lean", "protobuf")
SAID = {"off": "no spans", "lean": "lean path, OTLP/JSON", "protobuf": "official exporter, protobuf"}
PROTOCOLS = {"lean": "http/json", "protobuf": "http/protobuf"}
ANSWER = b'{"id":"cmpl-1","object":"text_completion","choices":[{"text":"%s","index":0}]}' % (b"x" * 300)
SERVER = {
    "gateway.model": "gpt-3.5-turbo-instruct",
    "http.request.method": "POST",
    "http.route": "/v1/completions",
    "url.path": "/v1/completions",
    "url.scheme": "http",
    "http.response.status_code": 200,
    "server.address": "127.0.0.1",
    "server.port": 4000,
    "user_agent.original": "OpenAI/Python 1.55.0",
    "user.id": "user-4711",
    "gateway.request.id": "req_0f9c3a1b2c4d5e6f",
    "gateway.outcome": "allowed",
}
CLIENT = {
    "gen_ai.operation.name": "text_completion",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-3.5-turbo-instruct",
    "server.address": "api.openai.com",
    "server.port": 443,
    "gen_ai.request.max_tokens": 256,
    "gen_ai.request.temperature": 0.7,
    "gen_ai.request.top_p": 1.0,
    "gen_ai.request.stream": False,
    "gen_ai.response.id": "cmpl-0f9c3a1b2c4d5e6f",
    "gen_ai.response.model": "gpt-3.5-turbo-instruct",
    "gen_ai.response.finish_reasons": ("stop",),
    "gen_ai.usage.input_tokens": 312,
    "gen_ai.usage.output_tokens": 97,
    "gen_ai.usage.cost": 0.000662,
    "gateway.cost.input": 0.000468,
    "gateway.cost.output": 0.000194,
    "gateway.cost.source": "catalogue",
    "gateway.deployment": "openai-1",
    "gateway.attempt": 1,
}


def serve(mode: str, port: int, sink: str) -> None:
    """An application that answers and adds two spans: what `--gateway` is not needed for."""
    exporter = None
    length = [(b"content-length", b"%d" % len(ANSWER)), (b"content-type", b"application/json")]

    async def app(scope, receive, send):  # type: ignore[no-untyped-def]
        nonlocal exporter
        if scope["type"] == "lifespan":
            await receive()
            if mode != "off":
                settings = TelemetrySettings(otlp_endpoint=sink, otlp_protocol=PROTOCOLS[mode])
                exporter = select.make(plan(settings, {}), poster(PooledUpstream()), logs.make("json"))
                exporter.start()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            if exporter is not None:
                await exporter.close(2)
                print(repr(exporter), file=sys.stderr, flush=True)
            await send({"type": "lifespan.shutdown.complete"})
            return
        began = time.time_ns()
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": ANSWER})
        if exporter is not None:
            trace, parent, ended = new_trace_id(), new_span_id(), time.time_ns()
            exporter.add(
                (
                    Span(trace, new_span_id(), parent, "text_completion m", Kind.CLIENT, began, ended, dict(CLIENT)),
                    Span(trace, parent, "", "POST /v1/completions", Kind.SERVER, began, ended, dict(SERVER)),
                )
            )

    uvicorn.run(app, port=port, loop="uvloop", http="httptools", access_log=False, log_level="error")


class Sink(asyncio.Protocol):
    """A collector that takes everything and keeps nothing: the next core is the client's too."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.head, self.left = b"", 0

    def data_received(self, data: bytes) -> None:
        if not self.left:
            head, end, rest = (self.head + data).partition(b"\r\n\r\n")
            if not end:
                self.head = head
                return
            self.head = b""
            self.left = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            data = rest
        self.left -= len(data)
        if not self.left:
            self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")


async def take(port: int) -> None:
    """Serve the sink until the process is stopped."""
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", port)
    await server.serve_forever()


def spent(pid: int) -> float:
    """Processor seconds of a process and the processes it has started."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") + sum(spent(int(each)) for each in children)


def gateway(mode: str, port: int, sink: str, upstream: int, folder: Path) -> Popen[bytes]:
    """The gateway itself."""
    config = folder / f"{mode}.yaml"
    spans = "" if mode == "off" else f"telemetry: {{otlp_endpoint: '{sink}', otlp_protocol: {PROTOCOLS[mode]}}}\n"
    own = f"general_settings: {{database_url: 'sqlite:///{folder}/{mode}.db'}}\n"
    config.write_text(CONFIG.format(port=upstream) + own + spans)
    return started(0, "-m", "gateway", "serve", "--config", str(config), "--port", str(port))


@contextmanager
def running(whole: bool) -> Iterator[dict[str, tuple[int, int]]]:
    """Every row's server; gives their ports and process ids."""
    ports = {mode: free_port() for mode in MODES}
    sink, upstream = free_port(), free_port()
    address = f"http://127.0.0.1:{sink}"
    processes = [
        started(1, str(HERE / "instant.py"), "upstream", str(upstream)),
        started(1, str(HERE / "telemetry.py"), "--sink", str(sink)),
    ]
    with tempfile.TemporaryDirectory() as folder:
        for mode, port in ports.items():
            if whole:
                processes.append(gateway(mode, port, address, upstream, Path(folder)))
            else:
                processes.append(started(0, str(HERE / "telemetry.py"), "--serve", mode, str(port), address))
        try:
            for port in (sink, upstream, *ports.values()):
                listening(port)
            yield {mode: (port, processes[at].pid) for at, (mode, port) in enumerate(ports.items(), 2)}
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait()


@dataclass
class Row:
    """The figures of every round: at 32 connections, at one, and microseconds of processor time per request."""

    many: list[Result] = field(default_factory=list)
    one: list[Result] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def medians(self) -> tuple[float, float, float, float]:
        rate, cpu = median(each.rate for each in self.many), median(self.cpu)
        return rate, cpu, median(each.p50 for each in self.one), median(each.p99 for each in self.one)


async def measure(row: Row, port: int, pid: int, seconds: float) -> None:
    began = spent(pid)
    found = await ask(port, request(), 32, seconds)
    row.cpu.append((spent(pid) - began) / (found.rate * seconds) * 1e6)
    row.many.append(found)
    row.one.append(await ask(port, request(), 1, seconds))


async def main(whole: bool, seconds: float, rounds: int) -> None:
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[-1]})
    rows = {mode: Row() for mode in MODES}
    with running(whole) as servers:
        for port, _ in servers.values():
            await ask(port, request(), 8, 1.0)
        for _ in range(rounds):
            for mode, (port, pid) in servers.items():
                await measure(rows[mode], port, pid, seconds)
    title = f"{'the gateway' if whole else 'an app that only answers'}, 32 connections"
    print(f"{title:<40}{'req/s':>8}{'lost':>8}{'cpu us':>8}{'lost':>8}{'p50 ms':>9}{'p99 ms':>9}{'more':>9}  (at 1)")
    rate, cpu, _, p99 = rows["off"].medians()
    for mode, row in rows.items():
        r, c, half, most = row.medians()
        lost = f"{r:>8,.0f}{1 - r / rate:>8.1%}{c:>8.1f}{1 - cpu / c:>8.1%}"
        print(f"{SAID[mode]:<40}{lost}{half:>9.3f}{most:>9.3f}{most - p99:>+9.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--gateway", action="store_true", help="the gateway itself, rather than an app that answers")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each figure of each row")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", nargs=3, metavar=("MODE", "PORT", "SINK"), help=argparse.SUPPRESS)
    parser.add_argument("--sink", type=int, metavar="PORT", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.sink:
        uvloop.run(take(args.sink))
    elif args.serve:
        serve(args.serve[0], int(args.serve[1]), args.serve[2])
    else:
        uvloop.run(main(args.gateway, args.seconds, args.rounds))
