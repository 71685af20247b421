"""A budget holds, however many spend it at a time and whatever becomes of their requests."""

import asyncio
from pathlib import Path
from typing import Any

from gateway.app import Gateway
from gateway.config.load import from_mapping
from gateway.exchange import LOCAL_KEY
from gateway.ledger import tokens
from gateway.routing.engines.asgi_app import AsgiUpstream
from gateway.telemetry import logs
from gateway.wire import asgi, json
from tests.budget_kit import MOST_TOKENS, PRICES, Asked, Provider, crowd, holds, read_words, said, unless_left

BUDGET = 1_000_000_000_000
"""A dollar."""


def config(folder: Path) -> dict[str, Any]:
    params = {"model": "text-completion-openai/davinci-002", "api_base": "http://provider", "api_key": "x", **PRICES}
    return {
        "model_list": [{"model_name": "m", "litellm_params": params}],
        "policies": [],
        "router_settings": {"num_retries": 0, "allowed_fails": 1_000_000},
        "general_settings": {"database_url": f"sqlite:///{folder}/gateway.db"},
        "ledger": {"enabled": False},
        "limits": {"all": {"budget": {"max_usd": 1, "period": "1mo"}}},
    }


def test_a_word_of_the_kit_is_a_token():
    assert tokens.count(" " + " ".join(said(MOST_TOKENS)), "cl100k_base") == MOST_TOKENS


def test_two_hundred_clients_at_a_time_spend_no_more_than_there_is(tmp_path: Path):
    provider = Provider()

    async def run() -> None:
        found = from_mapping(config(tmp_path))
        gateway = Gateway(found.settings, found.source, logs.make("library"), AsgiUpstream(provider))

        async def ask(name: str, body: dict[str, Any], one: Asked) -> int:
            path, own = "/v1/completions", [(b"x-request-id", name.encode())]

            async def answered() -> int:
                answer = await asgi.request(gateway, "POST", path, own, json.dumps(body), extras={LOCAL_KEY: True})
                if one.kind == "leave" and answer.status == 200:
                    await read_words(answer.chunks(), one.words)
                    await answer.close()
                else:
                    await answer.read()
                return answer.status

            return await (unless_left(provider, one.prompt, answered()) if one.kind == "hang" else answered())

        asked = await crowd(ask)
        for _ in range(1_000):
            await asyncio.sleep(0)
        assert "open=0" in repr(gateway.admitting)
        (standing,) = gateway.admitting._allowances.budgets()
        holds(provider, BUDGET - standing.left, BUDGET, asked)
        await gateway.close()

    asyncio.run(run())
