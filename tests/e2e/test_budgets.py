"""A budget of one dollar and two hundred clients, over real HTTP: on one process, on four workers that share Redis, and
on two replicas that share Redis and PostgreSQL. What the ledger has is what the provider billed: each request once, to
the token and to the picodollar, whether it was answered, streamed, left, broken or refused."""

import asyncio
import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, aclosing, contextmanager
from decimal import Decimal
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.wire import json
from tests.budget_kit import PRICES, Asked, Bill, Provider, accounts, crowd, holds, read_words, served, unless_left
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


async def spend(urls: Sequence[str], provider: Provider) -> Mapping[str, Asked]:
    turns = cycle(urls)
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=200)
    async with httpx.AsyncClient(timeout=kit.SECONDS, limits=limits, headers=MASTER) as client:

        async def answered(name: str, body: dict[str, Any], one: Asked) -> int:
            path, own = f"{next(turns)}/v1/completions", {"x-request-id": name}
            async with client.stream("POST", path, json=body, headers=own) as answer:
                if one.kind == "leave" and answer.status_code == 200:
                    async with aclosing(answer.aiter_bytes()) as chunks:
                        await read_words(chunks, one.words)
                else:
                    await answer.aread()
                return answer.status_code

        async def ask(name: str, body: dict[str, Any], one: Asked) -> int:
            answer = answered(name, body, one)
            return await (unless_left(provider, one.prompt, answer) if one.kind == "hang" else answer)

        return await crowd(ask)


def used_share(url: str) -> float:
    """The share of the budget that is spent or reserved, as `/metrics` tells it."""
    text = httpx.get(f"{url}/metrics", headers=MASTER).text
    found = re.search(r'^gateway_budget_used_ratio\{gateway_budget_scope="all".*\} (\S+)$', text, re.MULTILINE)
    return float(found[1]) if found else -1.0


def picodollars(amount: object) -> int:
    """An amount of USD as it is told, which is exact."""
    whole = Decimal(str(amount)).scaleb(12)
    assert whole == int(whole), amount
    return int(whole)


def summed(url: str) -> tuple[int, Bill]:
    """How many requests the ledger has, and their sums."""
    told = httpx.get(f"{url}/admin/usage?by=model&format=csv", headers=MASTER).text
    rows = [
        (int(row["requests"]), int(row["prompt_tokens"]), int(row["completion_tokens"]), picodollars(row["cost_usd"]))
        for row in csv.DictReader(told.splitlines())
    ]
    requests, *bill = (sum(column) for column in zip((0, 0, 0, 0), *rows, strict=True))
    return requests, Bill(*bill)


def rows(url: str) -> Iterator[tuple[str, Bill]]:
    """Each row of the ledger: the request's id, and what it used."""
    cursor: str | None = ""
    while cursor is not None:
        told = httpx.get(f"{url}/admin/usage/records?limit=1000&cursor={cursor}", headers=MASTER).content
        page = json.loads(told)
        for row in page["data"]:
            bill = Bill(row["input_tokens"] or 0, row["output_tokens"], picodollars(row["cost"] or 0))
            yield row["request_id"], bill
        cursor = page["cursor"]


@pytest.mark.parametrize("how", ["one process", "four workers", "two replicas"])
def test_a_dollar_is_a_dollar(how: str, tmp_path: Path):
    provider = Provider()
    with served(provider) as base, gateways(how, base, tmp_path) as running:
        asked = asyncio.run(spend([process.url for process in running], provider))
        url = running[-1].url
        kit.until("the ledger has it all", lambda: summed(url)[0] >= len(asked))
        assert summed(url) == (len(asked), provider.total)
        accounts(provider, rows(url), asked)

        def settled() -> bool:
            return used_share(url) == pytest.approx(provider.total.amount / BUDGET, rel=1e-12)

        kit.until("the counters have what the ledger has", settled)
        holds(provider, round(used_share(url) * BUDGET), BUDGET, asked)
