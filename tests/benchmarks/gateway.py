"""How fast the whole gateway is on this machine: `python tests/benchmarks/gateway.py [seconds per row]`.

The gateway runs on one core; the client and the upstream share another. The first row is the same server with an
application that does nothing but answer, so that the machine's own speed is in the table: read ratios, not figures.
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import orjson
import uvloop
from instant import ANSWER, Result, ask

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
CONFIG = """
model_list:
  - model_name: m
    litellm_params: {{model: openai/m, api_base: "http://127.0.0.1:{port}/v1", api_key: sk-benchmark}}
policies: []
"""
BARE = """
import sys, uvicorn
BODY = sys.stdin.buffer.read()
async def app(scope, receive, send):
    if scope["type"] == "http":
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(BODY))]})
        await send({"type": "http.response.body", "body": BODY})
quiet = {"lifespan": "off", "access_log": False, "log_level": "error"}
uvicorn.run(app, port=int(sys.argv[1]), loop="uvloop", http="httptools", **quiet)
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def started(core: int, *command: str, stdin: bytes | None = None) -> subprocess.Popen[bytes]:
    cores = sorted(os.sched_getaffinity(0))
    pinned = {cores[core % len(cores)]}
    process = subprocess.Popen(  # noqa: S603 - our own commands
        [sys.executable, *command],
        cwd=ROOT,
        stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, pinned),
    )
    if stdin is not None and process.stdin:
        process.stdin.write(stdin)
        process.stdin.close()
    return process


def listening(port: int, deadline: float = 15.0) -> None:
    until = time.monotonic() + deadline
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"nothing listens on port {port}")


def request(**fields: object) -> bytes:
    body = orjson.dumps({"model": "m", "prompt": "Say this is a test", "max_tokens": 7, **fields})
    head = b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % len(body) + body


def row(name: str, many: Result, one: Result, base: float) -> None:
    print(f"{name:<34}{many.rate:>9,.0f}{many.rate / base:>9.2f}{one.p50:>10.2f}{one.p99:>10.2f}", flush=True)


async def main(seconds: float) -> None:
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[-1]})
    bare, up, gate = free_port(), free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.yaml"
        own = f"general_settings: {{database_url: 'sqlite:///{folder}/gateway.db'}}\n"
        config.write_text(CONFIG.format(port=up) + own)
        processes = [
            started(0, "-c", BARE, str(bare), stdin=ANSWER.partition(b"\r\n\r\n")[2]),
            started(1, str(HERE / "instant.py"), "upstream", str(up)),
            started(0, "-m", "gateway", "serve", "--config", str(config), "--port", str(gate)),
        ]
        try:
            for port in (bare, up, gate):
                listening(port)
            await ask(gate, request(), 8, 1.0)
            print(f"{'one core, 32 connections':<34}{'req/s':>9}{'ratio':>9}{'p50 ms':>10}{'p99 ms':>10}  (at 1)")
            base = await ask(bare, request(), 32, seconds)
            row("server alone, no upstream", base, await ask(bare, request(), 1, seconds / 2), base.rate)
            whole = await ask(gate, request(), 32, seconds)
            row("gateway, text to chat", whole, await ask(gate, request(), 1, seconds / 2), base.rate)
            asked = request(stream=True)
            streamed = await ask(gate, asked, 32, seconds, b"0\r\n\r\n")
            row(
                "gateway, stream of 16 chunks",
                streamed,
                await ask(gate, asked, 1, seconds / 2, b"0\r\n\r\n"),
                base.rate,
            )
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait()


if __name__ == "__main__":
    uvloop.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 5.0))
