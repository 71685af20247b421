"""How a gateway ends: what is running finishes, what takes too long is told so, and nobody new is let in."""

import json
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.e2e import kit

pytestmark = pytest.mark.e2e

CONFIG = """
model_list:
  - {model_name: slow, litellm_params: {model: demo/demo, demo_chunk_delay_ms: 50}}
  - {model_name: hanging, litellm_params: {model: demo/demo, demo_fault: stall}}
general_settings: {shutdown_timeout: %g}
"""
ASK = {"model": "slow", "prompt": "Write a long story about the sea", "max_tokens": 40, "stream": True}

WORKERS = pytest.mark.parametrize("workers", ["1", "2"])


def events(response: httpx.Response) -> Iterator[str]:
    """The data of each server-sent event, as it arrives."""
    return (line.removeprefix("data: ") for line in response.iter_lines() if line)


def refused(url: str) -> bool:
    """Whether a new connection is turned away."""
    try:
        httpx.get(f"{url}/health/live", trust_env=False, timeout=1)
    except httpx.ConnectError:
        return True
    except httpx.HTTPError:
        return False
    return False


def streaming(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, trust_env=False, timeout=kit.SECONDS)


@WORKERS
def test_a_stream_finishes_while_new_connections_are_refused(tmp_path: Path, workers: str):
    with kit.gateway(tmp_path, CONFIG % 20, "--workers", workers) as process:
        with streaming(process.url) as client, client.stream("POST", "/v1/completions", json=ASK) as response:
            data = events(response)
            next(data)
            process.signal(signal.SIGTERM)
            kit.until("new connections are refused", lambda: refused(process.url), 3)
            rest = list(data)
        assert rest[-1] == "[DONE]"
        assert json.loads(rest[-2])["choices"][0]["finish_reason"] in ("stop", "length")
        assert process.stop() == 0


@WORKERS
def test_a_stream_that_outlives_the_shutdown_timeout_is_ended_in_band(tmp_path: Path, workers: str):
    with kit.gateway(tmp_path, CONFIG % 1, "--workers", workers) as process:
        ask = {**ASK, "max_tokens": 400, "n": 16}
        with streaming(process.url) as client, client.stream("POST", "/v1/completions", json=ask) as response:
            data = events(response)
            next(data)
            began = time.monotonic()
            process.signal(signal.SIGTERM)
            rest = list(data)
        assert rest[-1] == "[DONE]"
        error = json.loads(rest[-2])["error"]
        assert error["type"] == "service_unavailable"
        assert error["code"] == "overloaded"
        assert process.stop() == 0
        assert time.monotonic() - began < 20
        assert "ASGI" not in process.out


def test_an_answer_that_outlives_the_shutdown_timeout_is_refused(tmp_path: Path):
    with kit.gateway(tmp_path, CONFIG % 1) as process:
        host, port = urlsplit(process.url).hostname, urlsplit(process.url).port
        body = json.dumps({"model": "hanging", "prompt": "Hello"}).encode()
        head = b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
        with socket.create_connection((host, port), kit.SECONDS) as connection:
            connection.sendall(head + body)
            kit.until("a live gateway", lambda: kit.status(f"{process.url}/health/live") == 200)
            process.signal(signal.SIGTERM)
            said = b"".join(iter(lambda: connection.recv(65536), b""))
        assert said.startswith(b"HTTP/1.1 503")
        assert json.loads(said.partition(b"\r\n\r\n")[2])["error"]["code"] == "overloaded"
        assert process.stop() == 0
        (line,) = [line for line in process.lines("request") if line["url.path"] == "/v1/completions"]
        assert (line["http.response.status_code"], line["error.type"]) == (503, "overloaded")
        assert "ASGI" not in process.out  # that is how the server reports a fault
        assert process.err.count("Traceback") == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@WORKERS
def test_an_idle_gateway_ends_at_once_and_well(tmp_path: Path, workers: str, number: signal.Signals):
    with kit.gateway(tmp_path, CONFIG % 20, "--workers", workers) as process:
        kit.until("all workers", lambda: process.out.count("Application startup complete.") == int(workers))
        with streaming(process.url) as client:  # a connection kept alive is no reason to wait
            assert client.get("/health/live").status_code == 200
            process.signal(number)
            assert process.popen.wait(5) == 0
        assert "Traceback" not in process.err


def test_an_early_sigterm_ends_it_well(tmp_path: Path):
    with kit.started(tmp_path, kit.command("serve", "--port", "0"), kit.environment()) as process:
        kit.until("the banner", lambda: kit.address(process, process.err))
        assert process.stop() == 0
