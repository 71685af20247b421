"""What it costs a request to be known, held against limits and recorded: `python tests/benchmarks/accounting.py`.

Gateways in this process, asked by turns through all their steps, with an upstream that answers at once: without any of
it; recorded; with a virtual key too; with limits and budgets of key, end user, tag and all too. Each is the median of
the quietest of many rounds, and what it has more than the first. The databases are SQLite files in their own folder.

The target: at most 60 µs for all of it together.
"""

import argparse
import asyncio
import gc
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median, quantiles
from typing import Any

HERE = Path(__file__).parent
sys.path[0] = str(HERE.parent.parent)

from gateway.app import Gateway  # noqa: E402
from gateway.config.load import from_mapping  # noqa: E402
from gateway.exchange import LOCAL_KEY  # noqa: E402
from gateway.routing.engines.asgi_app import AsgiUpstream  # noqa: E402
from gateway.telemetry import logs  # noqa: E402
from gateway.wire import asgi, json  # noqa: E402

MASTER = "master-key-of-the-benchmark"
ROUND = 200
"""Requests of one gateway in a row."""

ANSWER = json.dumps(
    {
        "id": "c-1",
        "model": "gpt-x",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13},
    }
)
BODY = json.dumps({"model": "demo", "prompt": "Say this is a test", "max_tokens": 7, "user": "alice"})
LIMITS = {"rpm": 10**6, "tpm": 10**9, "max_parallel": 1000, "budget": {"max_usd": 10**6, "period": "1d"}}


async def instant(_scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
    """The upstream."""
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": ANSWER})


class Served:
    """One gateway, and the key it is asked with; None for none."""

    def __init__(self, name: str, folder: Path, sections: Mapping[str, Any]) -> None:
        self.name, self.key = name, None
        params = {
            "model": "openai/gpt-x",
            "api_key": "sk-1",
            "input_cost_per_token": 1e-6,
            "output_cost_per_token": 2e-6,
        }
        general = {"database_url": f"sqlite:///{folder}/{name}.db", **sections.get("general_settings", {})}
        found = from_mapping(
            {
                "model_list": [{"model_name": "demo", "litellm_params": params}],
                "policies": [],
                **sections,
                "general_settings": general,
            }
        )
        self.gateway = Gateway(found.settings, found.source, logs.make("library"), AsgiUpstream(instant))
        self.took: list[float] = []

    async def make_key(self) -> None:
        """Make the virtual key it is asked with from now on."""
        sent = [(b"authorization", f"Bearer {MASTER}".encode())]
        body = json.dumps({"alias": "team", "tags": ["prod"], "limits": {"rpm": 10**6}})
        answer = await asgi.request(self.gateway, "POST", "/admin/keys", sent, body)
        self.key = json.loads(await answer.read())["key"]

    async def ask(self, count: int) -> None:
        """Ask so many times, one after another."""
        headers = [(b"content-type", b"application/json")]
        if self.key:
            headers.append((b"authorization", f"Bearer {self.key}".encode()))
        status = 0

        async def receive() -> asgi.Message:
            return {"type": "http.request", "body": BODY, "more_body": False}

        async def send(message: asgi.Message) -> None:
            nonlocal status
            status = message.get("status", status)

        for _ in range(count):
            scope = {
                "type": "http",
                "asgi": {"version": "3.0"},
                "http_version": "1.1",
                "method": "POST",
                "scheme": "http",
                "path": "/v1/completions",
                "raw_path": b"/v1/completions",
                "query_string": b"",
                "root_path": "",
                "headers": headers,
                "client": None,
                "server": None,
                LOCAL_KEY: self.key is None,
            }
            began = time.perf_counter()
            await self.gateway(scope, receive, send)
            self.took.append((time.perf_counter() - began) * 1e6)
            assert status == 200, status


OFF = {"ledger": {"enabled": False}}
KEYED = {"general_settings": {"master_key": MASTER}}
BOUND = {
    "limits": {"all": LIMITS, "keys": LIMITS, "tags": {"prod": LIMITS}},
    "end_users": {"default_budget": LIMITS["budget"]},
}


async def measured(folder: Path, requests: int) -> list[Served]:
    """Every gateway, asked by turns."""
    gateways = [
        Served("nothing", folder, OFF),
        Served("ledger", folder, {}),
        Served("identity", folder, {**OFF, **KEYED}),
        Served("identity-ledger", folder, KEYED),
        Served("identity-limits", folder, {**OFF, **KEYED, **BOUND}),
        Served("identity-limits-ledger", folder, {**KEYED, **BOUND}),
    ]
    for one in gateways:
        if one.gateway.serving.settings.general.master_key is not None:
            await one.make_key()
        await one.ask(ROUND)
        one.took.clear()
    gc.collect()
    gc.freeze()
    for _ in range(max(1, requests // ROUND)):
        for one in gateways:
            await one.ask(ROUND)
            await asyncio.sleep(0.05)  # the thread that ships has its turn, as between requests from a network
    for one in gateways:
        await one.gateway.close()
    return gateways


def _quietest(times: list[float]) -> float:
    """The median of the round in which neighbours disturbed least."""
    return min(median(times[start : start + ROUND]) for start in range(0, len(times), ROUND))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=5_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        gateways = asyncio.run(measured(Path(name), given.requests))
    base = _quietest(gateways[0].took)
    for one in gateways:
        p99, middle = quantiles(one.took, n=100)[98], _quietest(one.took)
        print(f"{one.name:>24}: p50 {middle:6.1f} µs {middle - base:+7.1f}   p99 of all {p99:8.1f} µs")


if __name__ == "__main__":
    main()
