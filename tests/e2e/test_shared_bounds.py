"""The `rpm` of a deployment over workers and replicas that share Redis, with clients that ask for far more."""

import asyncio
from collections import Counter
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path
from time import monotonic

import httpx
import pytest

from tests.e2e import kit
from tests.ledger import redis

pytestmark = pytest.mark.e2e

RPM, WORKERS, CLIENTS, EACH = 60, 4, 24, 40

CONFIG = """
model_list:
  - {{model_name: m, litellm_params: {{model: demo/demo, rpm: {rpm}}}}}
policies: []
general_settings: {{database_url: "sqlite:///{folder}/gateway.db", redis_url: "{redis}"}}
"""


async def pressed(urls: list[str]) -> Counter[int]:
    """What is answered to clients that each ask one request after the other, on connections of their own."""

    async def client(url: str) -> Counter[int]:
        found: Counter[int] = Counter()
        async with httpx.AsyncClient(timeout=kit.SECONDS) as own:
            for _ in range(EACH):
                answer = await own.post(f"{url}/v1/completions", json={"model": "m", "prompt": "Hi", "max_tokens": 1})
                found[answer.status_code] += 1
        return found

    turns = cycle(urls)
    counts = await asyncio.gather(*(client(next(turns)) for _ in range(CLIENTS)))
    return sum(counts, Counter())


@pytest.mark.parametrize("replicas", [1, 2])
def test_requests_per_minute_hold_over_all_processes(tmp_path: Path, replicas: int):
    if why := redis.missing():
        pytest.skip(why)
    with ExitStack() as running:
        server = running.enter_context(redis.server())
        folders = [tmp_path / f"replica-{number}" for number in range(replicas)]
        served = [
            running.enter_context(
                kit.gateway(folder, CONFIG.format(rpm=RPM, folder=folder, redis=server.url), "--workers", str(WORKERS))
            )
            for folder in folders
        ]
        began = monotonic()
        found = asyncio.run(pressed([each.url for each in served]))
        minutes = (monotonic() - began) / 60
    assert set(found) == {200, 429}
    assert found[200] >= RPM
    # Each process counting for itself would let through as many times the bound as there are processes; together they
    # exceed it by less than one request each, and by a share where one is kept from hearing of the others.
    assert found[200] < RPM * (1 + minutes) + RPM / 2
