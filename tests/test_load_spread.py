"""How the load of one alias spreads over its deployments, through the whole gateway."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from gateway.app import Gateway
from gateway.config.load import from_mapping
from gateway.exchange import LOCAL_KEY
from gateway.routing.engines.asgi_app import AsgiUpstream
from gateway.telemetry import logs
from gateway.wire import asgi, json
from tests.faults import faults
from tests.faults.answers import honest
from tests.faults.gateway import deployment
from tests.faults.plans import always
from tests.faults.upstream import serving
from tests.routing.servers import looped

CALLS = 20_000
AT_ONCE = 32
BODY = json.dumps({"model": "it", "prompt": "x", "max_tokens": 1})
LOCAL = {LOCAL_KEY: True}


async def provider(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
    reply = honest(scope["path"], json.loads((await receive())["body"]), "answer", 1)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": reply.body})


def gateway(models: list[Any], upstream: AsgiUpstream | None = None, **router: Any) -> Gateway:
    found = from_mapping({"model_list": models, "policies": [], "router_settings": router})
    return Gateway(found.settings, found.source, logs.make("library"), upstream)


async def served(running: Gateway, calls: int, at_once: int = AT_ONCE) -> Counter[str]:
    """How many requests each deployment answered."""
    found: Counter[str] = Counter()
    left = iter(range(calls))

    async def client() -> None:
        for _ in left:
            answer = await asgi.request(running, "POST", "/v1/completions", [], BODY, extras=LOCAL)
            await answer.read()
            assert answer.status == 200
            found[answer.headers["x-gateway-deployment"]] += 1

    await asyncio.gather(*(client() for _ in range(at_once)))
    await running.close()
    return found


def model(name: str, **params: Any) -> dict[str, Any]:
    base = {"model": "text-completion-openai/it", "api_base": f"http://provider.test/{name}/v1", "api_key": "sk-test"}
    return {"model_name": "it", "litellm_params": {**base, **params}, "model_info": {"id": name}}


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["weight", "rpm", "tpm"])
def test_load_spreads_by_weight_within_two_percent_over_twenty_thousand_calls(setting: str) -> None:
    # A bound of calls a minute is a weight too, and far from being reached.
    scale = 1 if setting == "weight" else 10**7
    weights = {"five": 5, "three": 3, "two": 2}
    models = [model(name, **{setting: weight * scale}) for name, weight in weights.items()]
    found = asyncio.run(served(gateway(models, AsgiUpstream(provider)), CALLS))
    assert found.total() == CALLS
    for name, weight in weights.items():
        assert abs(found[name] / CALLS - weight / 10) <= 0.02, found


@pytest.mark.parametrize("strategy", ["least-busy", "latency-based-routing"])
@looped
async def test_a_slow_deployment_gets_less_where_the_strategy_looks_at_load(strategy: str) -> None:
    """Counted in calls, by chance half of them; `tests/benchmarks/routing_live.py` has the milliseconds."""
    quick, slow = always(faults.slow(faults.constant(0.001))), always(faults.slow(faults.constant(0.25)))
    async with serving(quick, name="quick") as one, serving(slow, name="slow") as two:
        running = gateway([deployment(one), deployment(two)], routing_strategy=strategy, num_retries=0)
        found = await served(running, 200, 8)
    assert 0 < found["slow"] < 50, found
