"""`gateway serve` as an operator meets it: start-up, keys, workers, what it costs, and what it logs."""

import asyncio
import json
import os
import re
import signal
import socket
import time
from pathlib import Path

import httpx
import pytest

from gateway.version import __version__
from tests.e2e import kit
from tests.routing import servers
from tests.timing import lowest

pytestmark = pytest.mark.e2e

DEMO = """
model_list:
  - {model_name: demo, litellm_params: {model: demo/demo}}
  - {model_name: slow, litellm_params: {model: demo/demo, demo_chunk_delay_ms: 20}}
"""
KEYED = DEMO + "general_settings: {master_key: sk-very-secret}\n"
ASK = {"model": "demo", "prompt": "Say this is a test", "max_tokens": 7}


def test_the_banners_curl_line_works_as_it_is_printed(tmp_path: Path):
    with kit.gateway(tmp_path) as process:
        line = next(line.strip() for line in process.err.splitlines() if line.strip().startswith("curl "))
        answer = json.loads(kit.shell(line))
        assert answer["choices"][0]["text"]
        assert answer["model"] == "demo"
        assert f"guardrail-gateway {__version__}" in process.err
        assert "no master key: this machine only" in process.err


def test_the_banners_line_can_be_pasted_whatever_the_models_name_is(tmp_path: Path):
    alias = 'it\'s "a" :smile: [bold]name[/bold] é'
    config = f"model_list: [{{model_name: {json.dumps(alias)}, litellm_params: {{model: demo/demo}}}}]"
    with kit.gateway(tmp_path, config) as process:
        line = next(line.strip() for line in process.err.splitlines() if line.strip().startswith("curl "))
        assert json.loads(kit.shell(line))["model"] == alias


def test_the_banner_names_the_policies_in_force(tmp_path: Path):
    with kit.gateway(tmp_path) as process:
        assert re.search(r"^  policies +default$", process.err, re.MULTILINE)
        assert not process.lines("no_policies")
        status, body = kit.fetch(f"{process.url}/v1/completions", {**ASK, "prompt": f"Keep AKI{'AZ7QJ3MX5LT2WN4RB'}"})
        assert (status, body["error"]["code"]) == (400, "policy_blocked")


def test_a_gateway_without_policies_says_so_at_its_start(tmp_path: Path):
    with kit.gateway(tmp_path, DEMO + "policies: []\n") as process:
        assert re.search(r"^  policies +none: prompts and answers pass unjudged$", process.err, re.MULTILINE)
        (line,) = process.lines("no_policies")
        assert "unjudged" in line["serving"]


def test_the_bare_command_serves(tmp_path: Path):
    with kit.started(tmp_path, kit.command("--port", "0"), kit.environment()) as process:
        kit.until("the banner", lambda: "curl http://127.0.0.1:" in process.err)


def test_a_port_in_use_is_one_clear_line(tmp_path: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = kit.run(tmp_path, "serve", "--port", str(port))
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"cannot listen on 127.0.0.1 port {port}: Address already in use; choose another --host or --port"
    ]


def test_other_machines_are_not_served_without_a_master_key(tmp_path: Path):
    done = kit.run(tmp_path, "serve", "--host", "0.0.0.0", "--port", "0")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "serving on 0.0.0.0 needs general_settings.master_key" in done.stderr


def test_with_a_master_key_other_addresses_are_listened_on(tmp_path: Path):
    with kit.gateway(tmp_path, KEYED, "--host", "0.0.0.0") as process:
        assert "http://0.0.0.0:" in process.url
        assert "the master key is asked for" in process.err


def test_the_master_key_is_taken_from_each_header_and_no_other_key_is(tmp_path: Path):
    with kit.gateway(tmp_path, KEYED) as process:
        url = f"{process.url}/v1/completions"
        for headers in (
            {"authorization": "Bearer sk-very-secret"},
            {"x-api-key": "sk-very-secret"},
            {"api-key": "sk-very-secret"},
        ):
            assert kit.fetch(url, ASK, headers)[0] == 200
        for headers in ({}, {"authorization": "Bearer sk-wrong"}, {"x-api-key": ""}, {"authorization": "Basic abc"}):
            status, body = kit.fetch(url, ASK, headers)
            assert status == 401
            assert set(body["error"]) == {"message", "type", "param", "code"}
            assert body["error"]["type"] == "authentication_error"
            assert body["error"]["code"] == "invalid_api_key"
            assert body["error"]["param"] is None
        assert kit.status(f"{process.url}/v1/models") == 401
        assert kit.status(f"{process.url}/health/live") == 200
    assert "sk-very-secret" not in process.out + process.err
    assert "sk-wrong" not in process.out + process.err


def test_several_workers_serve_and_end_together(tmp_path: Path):
    with kit.gateway(tmp_path, DEMO, "--workers", "2") as process:
        kit.until("both workers", lambda: process.out.count("Application startup complete.") == 2)
        assert all(kit.fetch(f"{process.url}/v1/completions", ASK)[0] == 200 for _ in range(20))
        assert process.stop() == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(process.url, trust_env=False)


def test_a_worker_that_dies_is_replaced(tmp_path: Path):
    with kit.gateway(tmp_path, DEMO, "--workers", "2") as process:
        kit.until("both workers", lambda: process.out.count("Application startup complete.") == 2)
        victim = kit.children(process.pid)[0]
        os.kill(victim, signal.SIGKILL)
        kit.until("a third start", lambda: process.out.count("Application startup complete.") == 3)
        assert kit.fetch(f"{process.url}/v1/completions", ASK)[0] == 200


def test_the_first_answer_is_there_three_seconds_after_the_start(tmp_path: Path):
    def taken() -> float:
        began = time.monotonic()
        with kit.started(tmp_path, kit.command("serve", "--port", "0"), kit.environment()) as process:
            url = kit.until("the banner", lambda: kit.address(process, process.err))
            assert kit.fetch(f"{url}/v1/completions", ASK)[0] == 200
            return time.monotonic() - began

    assert lowest(taken, 3.0) <= 3.0


def test_at_rest_it_stays_within_150_mb(tmp_path: Path):
    with kit.gateway(tmp_path) as process:
        assert kit.fetch(f"{process.url}/v1/completions", ASK)[0] == 200
        assert kit.resident_mb(process.pid) <= 150


@pytest.mark.parametrize(("ledger", "written"), [("false", set()), ("true", {"gateway.db-ledger"})])
def test_serving_writes_no_file_but_the_ledgers(ledger: str, written: set[str], tmp_path: Path):
    with kit.gateway(tmp_path, f"{DEMO}\nledger: {{enabled: {ledger}}}\n") as process:
        assert kit.fetch(f"{process.url}/v1/completions", ASK)[0] == 200
        found = {path.name for path in tmp_path.iterdir()}
        database = {"gateway.db", "gateway.db-wal", "gateway.db-shm"}  # made by a thread, a moment later
        assert found - database == {"config.yaml", "out", "err"} | written


def test_a_request_is_one_json_line_without_its_content(tmp_path: Path):
    prompt, user = "the xylophone code is 4711", "someone"
    with kit.gateway(tmp_path, DEMO) as process:
        url = f"{process.url}/v1/completions"
        status, body = kit.fetch(url, {**ASK, "prompt": prompt, "user": user}, {"x-request-id": "mine-1"})
        assert status == 200
        assert kit.fetch(url, {**ASK, "model": "nobody"})[0] == 404
        kit.until("both lines", lambda: [x for x in process.lines("request") if x["url.path"] == "/v1/completions"][1:])
        first, second = [x for x in process.lines("request") if x["url.path"] == "/v1/completions"]
        assert first["gateway.request.id"] == "mine-1"
        assert first["http.response.status_code"] == 200
        assert first["user.id"] == user
        assert first["gen_ai.usage.output_tokens"] == body["usage"]["completion_tokens"]
        assert (second["http.response.status_code"], second["error.type"]) == (404, "model_not_found")
    everything = process.out + process.err
    assert "xylophone" not in everything
    assert "4711" not in everything
    assert body["choices"][0]["text"] not in everything


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
def test_a_client_that_leaves_ends_the_call_to_the_provider(tmp_path: Path, stream: bool):
    begun = [b'data: {"choices": [{"index": 0, "delta": {"content": "Hi "}}]}\n\n'] if stream else []

    async def leave() -> None:
        handler = (
            servers.says_and_waits(servers.CHUNKED, *map(servers.chunk, begun)) if stream else servers.says_and_waits()
        )
        async with servers.serve(handler) as provider:
            config = (
                "model_list: [{model_name: far, litellm_params: "
                f"{{model: openai/far, api_base: {provider.url}/v1, api_key: any}}}}]"
            )
            with kit.gateway(tmp_path, config) as process:
                ask = {"model": "far", "prompt": "Hello", "stream": stream}
                async with httpx.AsyncClient(trust_env=False, timeout=kit.SECONDS) as client:
                    calling = asyncio.ensure_future(first_bytes(client, f"{process.url}/v1/completions", ask))
                    await asyncio.wait_for(provider.arrived.wait(), kit.SECONDS)
                    if stream:
                        assert b"Hi" in await calling
                    else:
                        calling.cancel()
                await asyncio.wait_for(provider.requests[0].gone.wait(), 5)
                found = kit.until(
                    "its line", lambda: [x for x in process.lines("request") if x["url.path"] == "/v1/completions"]
                )
                assert found[0]["error.type"] == "client_disconnected"

    async def first_bytes(client: httpx.AsyncClient, url: str, ask: dict[str, object]) -> bytes:
        async with client.stream("POST", url, json=ask) as response:
            return await anext(response.aiter_bytes())

    asyncio.run(leave())
