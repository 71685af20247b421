"""Receivers of spans that behave as they are told: well, slow, hanging, not there, and back again at the same port."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as messages
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as service

Mode = Literal["well", "slow", "hanging", "refused"]

SLOW = 0.5
"""Seconds that a slow receiver takes for each request."""


class Receiver:
    """What a receiver has been sent, and how it behaves. A request that is not answered well is not kept."""

    def __init__(self) -> None:
        self.mode: Mode = "well"
        self.port = 0
        self._changed = threading.Event()
        self._taken: list[bytes] = []

    def take(self, body: bytes) -> bool:
        """Whether a request is answered, once it is; it is kept then."""
        mode, changed = self.mode, self._changed
        if mode in ("slow", "hanging"):
            changed.wait(SLOW if mode == "slow" else None)
        if mode in ("well", "slow"):
            self._taken.append(body)
            return True
        return False

    def has(self, text: str) -> bool:
        """Whether this was in anything that was taken; strings are themselves in JSON and in protobuf."""
        return any(text.encode() in body for body in list(self._taken))

    def turn(self, mode: Mode) -> None:
        """Behave in another way from now on; whoever hangs is let go without an answer."""
        self.mode = mode
        self._changed.set()
        self._changed = threading.Event()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if not self.server.receiver.take(body):
            self.close_connection = True
            return
        kind = self.headers["content-type"]
        answer = b"{}" if "json" in kind else b""
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as above
        pass


class Http(Receiver):
    """OTLP over HTTP, JSON or protobuf."""

    def __init__(self) -> None:
        super().__init__()
        self._server: ThreadingHTTPServer | None = None
        self.open()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def open(self) -> None:
        """Listen, at the same port as before."""
        server = ThreadingHTTPServer(("127.0.0.1", self.port), _Handler)
        server.receiver = self  # type: ignore[attr-defined]
        server.daemon_threads, server.block_on_close = True, False
        self._server, self.port = server, server.server_address[1]
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def shut(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class Grpc(Receiver, service.TraceServiceServicer):  # type: ignore[misc]
    """OTLP over gRPC."""

    def __init__(self) -> None:
        super().__init__()
        self._server: Any = None
        self.open()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the service's own name
        if not self.take(request.SerializeToString()):
            context.abort(grpc.StatusCode.UNAVAILABLE, "no")
        return messages.ExportTraceServiceResponse()

    def open(self) -> None:
        """Listen, at the same port as before."""
        self._server = grpc.server(ThreadPoolExecutor(4))
        service.add_TraceServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        self._server.start()

    def shut(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.stop(0).wait()
            self._server = None


@contextmanager
def receiver(protocol: str) -> Iterator["Http | Grpc"]:
    """A receiver for a protocol of `telemetry.otlp_protocol`."""
    made = Grpc() if protocol == "grpc" else Http()
    try:
        yield made
    finally:
        made.turn("refused")
        made.shut()


def become(made: "Http | Grpc", mode: Mode) -> None:
    """Have a receiver behave in another way; one that refuses is not there."""
    was = made.mode
    made.turn(mode)
    if mode == "refused" != was:
        made.shut()
        _gone(made.port)
    elif was == "refused" != mode:
        made.open()


def _gone(port: int) -> None:
    """Nobody listens there any more, or the test is about something else."""
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
