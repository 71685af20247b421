"""`x-gateway-timeout`: what a client says it waits is the longest that anything takes."""

import asyncio
from textwrap import dedent

import pytest

from gateway.errors import UpstreamTimeout
from gateway.exchange import SCOPE_KEY, Exchange
from gateway.middleware.deadline import GRACE, DeadlineMiddleware
from tests.routing.held_provider import world


def step(app, timeout, kind="http", sent=None):
    """Pass a request through the step."""
    exchange = Exchange("req", "POST", "/v1/completions")
    exchange.timeout = timeout
    scope = {"type": kind, SCOPE_KEY: exchange}

    async def send(message):
        if sent is not None:
            sent.append(message)

    return DeadlineMiddleware(app)(scope, None, send)


async def never(scope, receive, send):
    await asyncio.Event().wait()


def test_whatever_waits_too_long_is_ended():
    with pytest.raises(UpstreamTimeout) as late:
        asyncio.run(step(never, timeout=1e-9))
    assert (late.value.status, late.value.type, late.value.which) == (504, "timeout_error", "total")


def test_an_answer_that_has_begun_goes_on():
    sent = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start"})
        await asyncio.sleep(2 * GRACE)  # longer than the client waits for the first byte
        await send({"type": "http.response.body"})

    asyncio.run(step(app, timeout=1e-9, sent=sent))
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]


def test_a_timeout_of_somebody_else_is_not_taken_for_the_clients():
    async def app(scope, receive, send):
        raise TimeoutError

    with pytest.raises(TimeoutError):
        asyncio.run(step(app, timeout=600.0))


@pytest.mark.parametrize("kind", ["http", "lifespan"])
def test_a_request_without_a_deadline_passes_with_its_own_send(kind):
    seen = []

    async def app(scope, receive, send):
        seen.append(send)

    async def send(message):
        raise AssertionError

    exchange = Exchange("req", "POST", "/")
    asyncio.run(DeadlineMiddleware(app)({"type": kind, SCOPE_KEY: exchange}, None, send))
    assert seen == [send]


def test_a_provider_that_does_not_answer_in_time(tmp_path):
    async def run():
        async with world(tmp_path) as it:
            it.provider.hold = True
            reply = await it.ask(headers={"x-gateway-timeout": "0.05"})
            assert (reply.status, reply.error["type"], reply.error["code"]) == (
                504,
                "timeout_error",
                "upstream_timeout",
            )
            assert it.provider.running == 0

    asyncio.run(run())


def test_all_retries_and_the_waits_between_them_together(tmp_path):
    async def run():
        router = {"num_retries": 50}
        async with world(tmp_path, router_settings=router) as it:
            it.provider.status = 500
            reply = await it.ask(headers={"x-gateway-timeout": "0.05"})
            assert reply.status in (502, 504)
            assert len(it.provider.asked) < 50

    asyncio.run(run())


def test_a_stream_that_stops_is_ended_in_band(tmp_path):
    async def run():
        async with world(tmp_path) as it:
            it.provider.hold = True
            it.provider.let_go()
            reply = await it.ask(stream=True, headers={"x-gateway-timeout": "0.5"})
            assert reply.status == 200
            assert b"upstream_timeout" in reply.events[-2]
            assert reply.events[-1] == b"[DONE]"

    asyncio.run(run())


@pytest.mark.parametrize("stage", ["input", "output"])
def test_a_guard_that_waits(tmp_path, stage, monkeypatch):
    (tmp_path / "slow_guard.py").write_text(
        dedent("""
        import asyncio

        async def judge(text, context):
            await asyncio.sleep(600)
        """)
    )
    (tmp_path / "slow.yaml").write_text(
        dedent(f"""
        policy: slow
        version: 1
        stages: [{stage}]
        timeout_ms: 60000
        guards:
          - python: {{function: "slow_guard:judge"}}
        """)
    )
    monkeypatch.syspath_prepend(str(tmp_path))

    async def run():
        async with world(tmp_path, policies=[str(tmp_path / "slow.yaml")]) as it:
            reply = await it.ask(headers={"x-gateway-timeout": "0.2"})
            assert (reply.status, reply.error["type"]) == (504, "timeout_error")
            assert (len(it.provider.asked), it.provider.running) == (int(stage == "output"), 0)

    asyncio.run(run())
