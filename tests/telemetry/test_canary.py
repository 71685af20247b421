"""The promise on content: what policies mask or block is in nothing that telemetry lets out, whatever happens."""

import asyncio
from pathlib import Path

import pytest

from gateway.wire import asgi
from tests.telemetry.kit import BLOCKED, FALLS, HOWS, KEPT, KEY, MASKED, MENDS, Told, telling

NEEDLE = b"zanzibar"
"""In both values, and in nothing else that these tests say."""

PROMPTS = (
    f"Mail {MASKED} now please",
    f"Bring a {BLOCKED} please",
    f"Both {MASKED} and a {BLOCKED}",
    "Say hello there",
)


async def sweep(told: Told, *, stream: bool) -> None:
    """Every behaviour of the provider with every prompt, and clients that leave."""
    for how in (*HOWS, FALLS, MENDS, KEPT):
        for prompt in PROMPTS:
            status, body = await told.ask(how, prompt, stream=stream, echo=how == "ok")
            assert BLOCKED.encode() not in body
            if status >= 400 or b'"error"' in body:
                _, _, error = body.partition(b'"error"')
                assert NEEDLE not in error, (how, prompt)
    await told.ask(KEPT, PROMPTS[0], stream=stream)
    await told.ask("ok", PROMPTS[0], n=3, best_of=None)
    await told.ask("ok", list(PROMPTS[::3]))
    await told.ask("ok", PROMPTS[0], key="sk-wrong-key-1")
    await told.ask("ok", PROMPTS[0], temperature=9)
    status, body = await told.ask("ok", PROMPTS[2], user="somebody", stream=stream)
    assert (status, b"budget_exceeded" in body) == (429, True)
    await told.ask("ok", PROMPTS[0], body=f'{{"model": "ok", "prompt": "{MASKED} {BLOCKED}'.encode())
    await told.leave("stall", PROMPTS[0], stream=stream)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("content", ["none", "guarded"])
def test_no_masked_or_blocked_value_is_in_anything_that_is_told(content: str, stream: bool, tmp_path: Path) -> None:
    async def run() -> tuple[bytes, list[str]]:
        tools = ["openinference", "langfuse", "mlflow", "litellm"]
        async with telling(tmp_path, capture_content=content, compat=tools) as told:
            await sweep(told, stream=stream)
            spans = await told.spans()
            assert len([span for span in spans if span["kind"] == 2]) == len(told.lines())
            outcomes = {span["attributes"].get("gateway.outcome") for span in spans if span["kind"] == 2}
            return await told.everything(), sorted(outcomes)

    everything, outcomes = asyncio.run(run())
    assert outcomes == ["allowed", "blocked", "cancelled", "error", "masked"]
    assert NEEDLE not in everything
    assert (b"<EMAIL_ADDRESS_1>" in everything) is (content == "guarded")
    assert (b"hello there" in everything) is (content == "guarded")


def test_calls_that_are_made_again_tell_no_more_than_the_first(tmp_path: Path) -> None:
    async def run() -> tuple[bytes, set[object]]:
        async with telling(tmp_path, capture_content="guarded", retries=1) as told:
            for prompt in PROMPTS:
                for how in (FALLS, MENDS):
                    for stream in (False, True):
                        await told.ask(how, prompt, stream=stream)
            reasons = {span["attributes"].get("gateway.call.reason") for span in await told.spans()}
            return await told.everything(), reasons

    everything, reasons = asyncio.run(run())
    assert {"retry", "fallback"} <= reasons
    assert NEEDLE not in everything


@pytest.mark.parametrize("content", ["none", "guarded"])
def test_a_fault_of_the_gateway_is_told_without_what_it_is_about(content: str, tmp_path: Path) -> None:
    async def faulty(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        raise RuntimeError(f"cannot go on with {MASKED} and {BLOCKED}")

    async def run() -> tuple[int, bytes, bytes]:
        async with telling(tmp_path, capture_content=content) as told:
            told.gateway.serving.routes[0].app = faulty  # a fault that no code of ours is known to have
            status, body = await told.ask("ok", PROMPTS[0])
            return status, body, await told.everything()

    status, body, everything = asyncio.run(run())
    assert status == 500
    assert NEEDLE not in body
    assert NEEDLE not in everything
    assert b"RuntimeError" in everything
    assert b"faulty" in everything


def test_a_check_of_a_text_tells_nothing_of_it(tmp_path: Path) -> None:
    async def run() -> tuple[list[str], bytes]:
        async with telling(tmp_path, capture_content="guarded") as told:
            for text in PROMPTS:
                response = await asgi.request(
                    told.gateway,
                    "POST",
                    "/v1/guardrails/check",
                    [(b"authorization", f"Bearer {KEY}".encode())],
                    b'{"text": "%b"}' % text.encode(),
                )
                await response.read()
            return [span["name"] for span in await told.spans()], await told.everything()

    names, everything = asyncio.run(run())
    assert names.count("POST /v1/guardrails/check") == len(PROMPTS)
    assert names.count("apply_guardrail pii") == len(PROMPTS)
    assert NEEDLE not in everything
