"""Limits that several gateways share through a real Redis, and what becomes of requests while it is away."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.ledger import redis
from tests.middleware.admission_kit import Bounded, bounded

pytestmark = pytest.mark.e2e


@pytest.fixture
def server() -> Iterator[redis.Server]:
    if why := redis.missing():
        pytest.skip(why)
    with redis.server() as running:
        yield running


def sharing(folder: Path, server: redis.Server, running: ExitStack, **config: Any) -> Bounded:
    """One of several gateways, each with a database of its own."""
    folder.mkdir(exist_ok=True)
    return running.enter_context(bounded(folder, general_settings={"redis_url": server.url}, **config))


def asked(gateway: Bounded, **fields: Any) -> Any:
    """A completion, asked again while the counters are too slow for a busy machine."""
    for _ in range(200):
        reply = gateway.complete(**fields)
        if reply.status != 503:
            return reply
        gateway.inner.run(asyncio.sleep(0.05))
    raise AssertionError(reply.body)


def test_two_gateways_count_together(server: redis.Server, tmp_path: Path):
    config = {"limits": {"all": {"rpm": 3}}, "end_users": {"default_budget": {"max_tokens": 25}}}
    with ExitStack() as running:
        one, two = (sharing(tmp_path / name, server, running, **config) for name in "ab")
        assert [asked(each, user="bob").status for each in (one, two)] == [200, 200]
        assert asked(one, user="bob").error["code"] == "budget_exceeded"
        assert asked(two).headers["x-ratelimit-remaining-requests"] == "0"
        assert asked(one).error["code"] == "rate_limit_exceeded"


def test_a_budgets_end_is_told_by_one_of_them(server: redis.Server, tmp_path: Path, caplog):
    config = {"limits": {"all": {"budget": {"max_tokens": 26}}}}
    with ExitStack() as running, caplog.at_level("INFO", logger="gateway"):
        gateways = [sharing(tmp_path / name, server, running, **config) for name in "ab"]
        for gateway in gateways:
            assert asked(gateway).status == 200
        for gateway in gateways:
            assert asked(gateway).status == 429
    told = [vars(record)["percent"] for record in caplog.records if record.getMessage() == "budget_reached"]
    assert sorted(told) == [80, 100]


@pytest.mark.parametrize(("chosen", "status"), [("refuse", 503), ("go_on", 200)])
def test_while_redis_is_away_requests_that_are_bound_are_refused_or_go_on_as_configured(
    chosen: str, status: int, server: redis.Server, tmp_path: Path
):
    config = {"limits": {"models": {"demo": {"rpm": 100}}, "when_counters_fail": chosen}}
    with ExitStack() as running:
        gateway = sharing(tmp_path, server, running, **config)
        assert asked(gateway).status == 200
        server.kill()
        reply = gateway.complete()
        assert reply.status == status
        if status == 503:
            assert reply.error["code"] == "counters_unavailable"
            assert reply.headers["retry-after"] == "1"
        assert gateway.complete(model="other").status == 200, "nothing binds it"
        ready = gateway.ask(None, "/health/ready", method="GET")
        assert ready.status == 200
        assert ready.json["counters"] != "ok"
        server.start()
        for _ in range(200):
            reply = gateway.complete()
            if "x-ratelimit-limit-requests" in reply.headers:
                break
            gateway.inner.run(asyncio.sleep(0.05))
        assert reply.headers["x-ratelimit-limit-requests"] == "100", "it counts again"
