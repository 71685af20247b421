"""Workers that are killed with reservations open in Redis: what they held is free again when its lease is over."""

import os
import signal
import socket
from contextlib import closing
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gateway.wire import json
from tests.e2e import kit
from tests.ledger import redis

pytestmark = pytest.mark.e2e

KEY = "master-key-of-the-tests"
MASTER = {"authorization": f"Bearer {KEY}"}

SHORT = """
from gateway.ledger import counting
from gateway.ledger.allowances_redis import RedisAllowances

counting.RENEW_SECONDS = 0.5
RedisAllowances.__init__.__kwdefaults__["lease"] = 3.0
"""
"""What each process does as it starts: leases of three seconds in place of a quarter of an hour."""

CONFIG = """
model_list:
  - {{model_name: m, litellm_params: {{model: demo/demo, tokenizer: cl100k_base}}}}
  - model_name: held
    litellm_params:
      {{model: demo/demo, tokenizer: cl100k_base, demo_fault: stall, demo_fault_at: 2,
        timeout: 3600, stream_timeout: 3600}}
policies: []
general_settings:
  {{master_key: {key}, database_url: "sqlite:///{folder}/gateway.db", redis_url: "{redis}"}}
limits: {{all: {{budget: {{max_tokens: 100, period: 1mo}}}}}}
"""


def ask(url: str) -> tuple[int, str | None]:
    """A request that reserves the larger half of the budget: status and error code, 0 while nobody answers."""
    body = {"model": "m", "prompt": "Say hello", "max_tokens": 50}
    status, told = kit.fetch(f"{url}/v1/completions", body, MASTER)
    return status, told.get("error", {}).get("code")


def hold(url: str) -> socket.socket | None:
    """A stream that has begun, reserves the larger half of the budget, and does not go on; None when it is refused."""
    body = json.dumps({"model": "held", "prompt": "Tell a story", "max_tokens": 50, "stream": True})
    link = socket.create_connection(("127.0.0.1", urlsplit(url).port or 0), kit.SECONDS)
    head = f"POST /v1/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: {len(body)}\r\n"
    link.sendall(head.encode() + b"content-type: application/json\r\n\r\n" + body)
    if link.recv(65_536).startswith(b"HTTP/1.1 200"):
        return link
    link.close()
    return None


def is_free(url: str, came: set[tuple[int, str | None]]) -> bool:
    """Whether the larger half of the budget can be had; what is answered is added to what `came`."""
    came.add(found := ask(url))
    return found == (200, None)


def test_what_killed_workers_had_reserved_is_free_when_its_lease_is_over(tmp_path: Path):
    if why := redis.missing():
        pytest.skip(why)
    (tmp_path / "sitecustomize.py").write_text(SHORT)
    with redis.server() as server:
        text = CONFIG.format(key=KEY, folder=tmp_path, redis=server.url)
        with kit.gateway(tmp_path, text, "--workers", "2", PYTHONPATH=f"{tmp_path}:{kit.ROOT}") as served:
            for _ in range(3):
                # What the last request had reserved is settled beside the next one.
                with closing(kit.until("a stream begins", lambda: hold(served.url))):
                    assert ask(served.url) == (429, "budget_exceeded"), "the stream holds the larger half"
                    for worker in kit.children(served.pid):
                        os.kill(worker, signal.SIGKILL)
                came: set[tuple[int, str | None]] = set()
                kit.until("it is free", partial(is_free, served.url, came))
                assert came <= {(0, None), (429, "budget_exceeded"), (503, "counters_unavailable"), (200, None)}
