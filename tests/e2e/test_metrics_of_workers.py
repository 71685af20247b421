"""Several workers count as one server, and a worker that is killed takes no number with it."""

import os
import signal
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e import kit

pytestmark = pytest.mark.e2e

CONFIG = "model_list:\n  - {model_name: one, litellm_params: {model: demo/demo}}\npolicies: []\n"


def served(url: str) -> int:
    """Completions that the server has counted, by any worker's account."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=kit.SECONDS) as answer:  # noqa: S310 - loopback
        families = text_string_to_metric_families(answer.read().decode())
        samples = [sample for family in families if family.name == "gateway_requests" for sample in family.samples]
    return int(sum(each.value for each in samples if each.labels.get("http_route") == "/v1/completions"))


def ask(url: str, times: int) -> None:
    for _ in range(times):
        assert kit.fetch(f"{url}/v1/completions", {"model": "one", "prompt": "Hi"})[0] == 200


def test_every_worker_tells_the_sum_also_after_one_was_killed(tmp_path: Path):
    with kit.gateway(tmp_path, CONFIG, "--workers", "2") as process:
        kit.until("all workers", lambda: process.out.count("Application startup complete.") == 2)
        ask(process.url, 12)
        assert {served(process.url) for _ in range(8)} == {12}
        first, second = kit.children(process.pid)
        os.kill(first, signal.SIGKILL)
        kit.until("another worker", lambda: len(set(kit.children(process.pid)) - {first, second}) == 1)
        kit.until("its start", lambda: process.out.count("Application startup complete.") == 3)
        ask(process.url, 5)
        assert {served(process.url) for _ in range(8)} == {17}
