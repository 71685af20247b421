"""A budget of one dollar and two hundred clients, over real HTTP: on one process, on four workers that share Redis, and
on two replicas that share Redis and PostgreSQL."""

import asyncio
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.wire import json
from tests.budget_kit import MOST_TOKENS, PRICES, Provider, crowd, holds, served
from tests.e2e import kit
from tests.ledger import postgres, redis

pytestmark = pytest.mark.e2e

BUDGET = 1_000_000_000_000
KEY = "master-key-of-the-tests"
MASTER = {"authorization": f"Bearer {KEY}"}

CONFIG = """
model_list:
  - model_name: m
    litellm_params:
      {{model: text-completion-openai/davinci-002, api_base: "{provider}", api_key: x,
        input_cost_per_token: {input}, output_cost_per_token: {output}}}
policies: []
router_settings: {{num_retries: 0, allowed_fails: 1000000}}
general_settings: {{master_key: {key}, database_url: "{database}"{redis}}}
limits: {{all: {{budget: {{max_usd: 1, period: 1mo}}}}}}
"""


def config(provider: str, database: str, redis_url: str = "") -> str:
    shared = f', redis_url: "{redis_url}"' if redis_url else ""
    prices = {"input": f"{PRICES['input_cost_per_token']:.7f}", "output": f"{PRICES['output_cost_per_token']:.7f}"}
    return CONFIG.format(provider=provider, database=database, redis=shared, key=KEY, **prices)


@contextmanager
def gateways(how: str, provider: str, folder: Path) -> Iterator[Sequence[kit.Process]]:
    with ExitStack() as running:
        redis_url, database = "", f"sqlite:///{folder}/gateway.db"
        if how != "one process":
            if why := redis.missing():
                pytest.skip(why)
            redis_url = running.enter_context(redis.server()).url
        if how == "two replicas":
            if why := postgres.missing():
                pytest.skip(why)
            database = running.enter_context(postgres.server())
        text = config(provider, database, redis_url)
        workers = ("--workers", "4") if how == "four workers" else ()
        names = ("a", "b") if how == "two replicas" else ("a",)
        yield [running.enter_context(kit.gateway(folder / name, text, *workers)) for name in names]


async def spend(urls: Sequence[str]) -> Counter[tuple[str, int]]:
    turns = cycle(urls)
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=200)
    async with httpx.AsyncClient(timeout=kit.SECONDS, limits=limits, headers=MASTER) as client:

        async def ask(body: dict[str, Any], leave: bool) -> int:
            async with client.stream("POST", f"{next(turns)}/v1/completions", json=body) as answer:
                if leave and answer.status_code == 200:
                    await anext(answer.aiter_bytes())
                else:
                    await answer.aread()
                return answer.status_code

        return await crowd(ask)


def used_share(url: str) -> float:
    """The share of the budget that is spent or reserved, as `/metrics` tells it."""
    text = httpx.get(f"{url}/metrics", headers=MASTER).text
    found = re.search(r'^gateway_budget_used_ratio\{gateway_budget_scope="all".*\} (\S+)$', text, re.MULTILINE)
    return float(found[1]) if found else -1.0


def recorded(url: str) -> tuple[int, float]:
    """Tokens and USD that the ledger has."""
    total = json.loads(httpx.get(f"{url}/admin/usage?by=model", headers=MASTER).content)["total"]
    return total["prompt_tokens"] + total["completion_tokens"], total["cost_usd"]


@pytest.mark.parametrize("how", ["one process", "four workers", "two replicas"])
def test_a_dollar_is_a_dollar(how: str, tmp_path: Path):
    provider = Provider()
    with served(provider) as base, gateways(how, base, tmp_path) as running:
        came = asyncio.run(spend([process.url for process in running]))
        told = []

        def settled() -> bool:
            told[:] = [recorded(running[0].url)]
            left = sum(count for (kind, status), count in came.items() if kind == "leave" and status == 200)
            return abs(told[0][0] - provider.tokens) <= left * MOST_TOKENS and told[0][0] > 0

        kit.until("the ledger has it all", settled)
        spent = round(told[0][1] * 1e12)
        holds(provider, spent, BUDGET, came, MOST_TOKENS)
        assert used_share(running[-1].url) == pytest.approx(spent / BUDGET, abs=0.01)
