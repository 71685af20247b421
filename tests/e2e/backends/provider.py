"""A provider on loopback that says what the built-in model never does: what it cached and thought, and things it should
not say, in its answers and in its errors."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from gateway.wire import json

LEAK = "leaked-needle@corp.example.com"
USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 40,
    "total_tokens": 140,
    "prompt_tokens_details": {"cached_tokens": 60},
    "completion_tokens_details": {"reasoning_tokens": 30},
}
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "thinker-2026-01",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": f"Ask {LEAK} first"}, "finish_reason": "stop"}
    ],
    "usage": USAGE,
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if "fail" in asked["messages"][-1]["content"]:
            self._send(500, {"error": {"message": f"Cannot reach {LEAK}", "type": "server_error", "code": LEAK}})
        else:
            self._send(200, ANSWER)

    def _send(self, status: int, body: dict[str, Any]) -> None:
        sent = json.dumps(body)
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving() -> Iterator[str]:
    """Its base URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
