"""A real collector with the configuration that is shipped, on a loopback address of its own, and backends for it."""

import gzip
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import randrange
from typing import Any

import pytest

from gateway.telemetry.export import otlp_json
from gateway.telemetry.span import Event, Kind, Span, Value, new_span_id, new_trace_id
from gateway.wire import json

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CONFIG = ROOT / "otel-collector.yaml"
OVERLAYS = ("openinference", "langfuse", "mlflow")

BINARY = "GATEWAY_TEST_COLLECTOR"
"""Names a collector that is built already."""

SECONDS = 30.0
"""No step of a test waits longer."""

_BUILD_SECONDS = 25 * 60.0
_NO_MODULES = re.compile(
    r"dial tcp|no such host|Forbidden|not available|proxyconnect|i/o timeout|connection refused|GOPROXY=off"
)


def binary() -> str:
    """A collector made of deploy/collector/builder-config.yaml; skips, and says why, where none can be had."""
    named = os.environ.get(BINARY)
    if named:
        return named
    if shutil.which("go", path=f"{os.environ['PATH']}:/usr/local/go/bin") is None:
        pytest.skip(f"{BINARY} names no collector, and there is no Go to build one with")
    made = subprocess.run(  # noqa: S603
        [DEPLOY / "collector" / "build"], capture_output=True, text=True, timeout=_BUILD_SECONDS, check=False
    )
    if made.returncode and _NO_MODULES.search(made.stderr):
        pytest.skip(f"{BINARY} names no collector, and the modules of one cannot be had: {made.stderr.strip()[-300:]}")
    assert made.returncode == 0, made.stderr[-3000:]
    return made.stdout.strip()


def validate(program: str, overlays: Sequence[str] = (), **variables: str) -> "subprocess.CompletedProcess[str]":
    """What the collector says of the shipped configuration with these overlays and environment variables."""
    return subprocess.run(  # noqa: S603
        [program, "validate", *_configs(overlays)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        env={"PATH": os.environ["PATH"], **variables},
    )


def _configs(overlays: Sequence[str]) -> list[str]:
    files = [CONFIG, *(DEPLOY / "collector" / f"{name}.yaml" for name in overlays)]
    return [f"--config={file}" for file in files]


class Backend:
    """Takes OTLP/JSON on loopback, whatever the path, and keeps it by path; of protobuf it keeps the bytes."""

    def __init__(self, address: str = "127.0.0.1", port: int = 0) -> None:
        self._arrived = threading.Condition()
        self._spans: list[tuple[str, dict[str, Any]]] = []
        self._packed = b""
        self.headers: dict[str, Mapping[str, str]] = {}
        backend = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers["content-type"] == "application/json":
                    backend._take(self.path, dict(self.headers), json.loads(body))
                else:
                    backend._take_packed(gzip.decompress(body))
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer((address, port), Handler)
        self.url = f"http://{address}:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _take(self, path: str, headers: dict[str, str], body: dict[str, Any]) -> None:
        with self._arrived:
            self.headers[path] = {name.lower(): value for name, value in headers.items()}
            for resource in body["resourceSpans"]:
                about = plain(resource["resource"].get("attributes", []))
                for scope in resource["scopeSpans"]:
                    self._spans += [(path, {**each, "resource": about}) for each in scope["spans"]]
            self._arrived.notify_all()

    def _take_packed(self, body: bytes) -> None:
        with self._arrived:
            self._packed += body
            self._arrived.notify_all()

    def wait_packed(self, *trace_ids: str) -> None:
        """Return once each of these traces has come in protobuf and gzip."""
        with self._arrived:
            came = self._arrived.wait_for(lambda: all(bytes.fromhex(one) in self._packed for one in trace_ids), SECONDS)
        assert came

    def at(self, path: str) -> list[dict[str, Any]]:
        """Spans that have come to a path so far."""
        with self._arrived:
            return [span for where, span in self._spans if where.startswith(path)]

    def wait(self, path: str, *trace_ids: str) -> dict[str, dict[str, Any]]:
        """Spans by their name, once each of these traces has come to a path."""
        with self._arrived:
            came = self._arrived.wait_for(
                lambda: set(trace_ids) <= {span["traceId"] for where, span in self._spans if where.startswith(path)},
                SECONDS,
            )
            here = [span for where, span in self._spans if where.startswith(path) and span["traceId"] in trace_ids]
        assert came, f"{path} got {len(here)} spans of {len(trace_ids)} traces"
        return {span["name"]: span for span in here}


@contextmanager
def backend() -> Iterator[Backend]:
    made = Backend()
    try:
        yield made
    finally:
        made.close()


@dataclass
class Collector:
    """A running collector on an address of its own."""

    address: str
    log: Path
    program: "subprocess.Popen[bytes]" = field(repr=False)

    def send(self, *spans: Span, resource: Mapping[str, Value] | None = None) -> None:
        """Hand spans over as the gateway's own exporter does."""
        about = otlp_json.resource(resource or {"service.name": "guardrail-gateway", "service.instance.id": "one"})
        body = otlp_json.traces(about, otlp_json.scope("guardrail-gateway", "1"), map(otlp_json.span, spans))
        request = urllib.request.Request(
            f"http://{self.address}:4318/v1/traces", body, {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
            assert answer.status == 200

    def metrics(self, port: int, until: Callable[[str], bool]) -> str:
        """What a scrape of a port says, once it says what is waited for."""
        text = ""

        def said() -> bool:
            nonlocal text
            with urllib.request.urlopen(f"http://{self.address}:{port}/metrics", timeout=SECONDS) as answer:
                text = answer.read().decode()
            return until(text)

        assert soon(said), f"not told by port {port}: {text[-3000:]}"
        return text

    def stop(self) -> None:
        self.program.send_signal(signal.SIGTERM)
        try:
            assert self.program.wait(SECONDS) == 0, self.log.read_text()[-3000:]
        finally:
            self.program.kill()


@contextmanager
def collector(
    program: str, folder: Path, overlays: Sequence[str] = (), *, hurried: bool = True, **variables: str
) -> Iterator[Collector]:
    """Run the shipped configuration until the block ends.

    Args:
        folder: for its log and its queues; what waits in those of an earlier run is sent.
        hurried: decide and send at once, and in JSON; else as shipped.
        variables: its environment.
    """
    address = f"127.{randrange(1, 255)}.{randrange(256)}.{randrange(1, 255)}"  # noqa: S311
    told = [f"extensions::pprof::endpoint: {address}:1777", *(_HURRIED if hurried else ())]
    environ = {
        "PATH": os.environ["PATH"],
        "MY_POD_IP": address,
        "COLLECTOR_STORAGE": str(folder / "queues"),
        **variables,
    }
    log = folder / "collector.log"
    command = [program, *_configs(overlays), *(f"--config=yaml:{each}" for each in told)]
    with log.open("ab") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, cwd=folder, env=environ)  # noqa: S603
    running = Collector(address, log, process)
    try:
        assert soon(lambda: process.poll() is not None or _is_well(address)), log.read_text()[-3000:]
        assert process.poll() is None, log.read_text()[-3000:]
        yield running
        running.stop()
    finally:
        process.kill()
        process.wait()


_HURRIED = (
    "processors::tail_sampling::decision_wait: 1s",
    "processors::tail_sampling::decision_wait_after_root_received: 0s",
    "connectors::span_metrics::metrics_flush_interval: 1s",
    *(
        f"exporters::otlp_http/{name}::{said}"
        for name in ("phoenix", "langfuse", "mlflow", "tempo", "datadog")
        for said in ("encoding: json", "compression: none", "sending_queue::batch::flush_timeout: 50ms")
    ),
)


def _is_well(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}:13133/", timeout=SECONDS) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError):
        return False


def soon(holds: Callable[[], bool]) -> bool:
    """Whether something outside this process comes to hold; asks ten times a second."""
    end = time.monotonic() + SECONDS
    pause = threading.Event()
    while not holds():
        if time.monotonic() > end:
            return False
        pause.wait(0.1)
    return True


def closed_port() -> str:
    """The URL of a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


def plain(attributes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """OTLP/JSON's attributes as a mapping, each of its own type."""
    return {each["key"]: _value(each["value"]) for each in attributes}


def _value(said: Mapping[str, Any]) -> Any:
    ((kind, value),) = said.items()
    if kind == "intValue":
        return int(value)
    if kind == "doubleValue":
        return float(value)
    if kind == "arrayValue":
        return [_value(each) for each in value.get("values", [])]
    return value


def attributes(span: Mapping[str, Any]) -> dict[str, Any]:
    return plain(span["attributes"])


def call(name: str, told: Mapping[str, Value], **changes: Any) -> Span:
    """A call to a provider, alone in its trace."""
    now = time.time_ns()
    said: dict[str, Any] = {"kind": Kind.CLIENT, "start": now - 500_000_000, "end": now, **changes}
    return Span(new_trace_id(), new_span_id(), "", name, attributes=told, **said)


def event(name: str, told: Mapping[str, Value]) -> Event:
    return Event(name, time.time_ns(), told)
