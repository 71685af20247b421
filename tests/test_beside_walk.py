"""`parallel: true` on the walk: the provider is called while guards judge, and is left at once when one blocks."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.app import Gateway
from gateway.config.load import loads
from gateway.exchange import LOCAL_KEY
from gateway.guards.base import Context, Text
from gateway.routing.upstream import Timeouts
from gateway.telemetry import logs
from gateway.types import HttpRequest
from gateway.wire import asgi
from tests.routing.servers import looped
from tests.test_guarded_walk import EMAIL, text_of


class Response:
    """One answer of a provider; it may hang in the middle."""

    headers: Mapping[str, str] = {}

    def __init__(self, provider: "Provider") -> None:
        self.provider = provider
        self.status = 400 if provider.hangs == "refuses" else 200
        self.over = False

    async def _rest(self) -> None:
        Seen.called.set()
        if self.provider.hangs == "answer":
            await asyncio.Event().wait()
        self.over = True

    async def read(self) -> bytes:
        await self._rest()
        if self.status == 400:
            return b'{"error": {"message": "No."}}'
        return orjson.dumps({"choices": [{"index": 0, "message": {"content": "Fine."}, "finish_reason": "stop"}]})

    async def chunks(self) -> AsyncIterator[bytes]:
        Seen.called.set()
        yield self._chunk({"content": "Fine."}, None)
        await self._rest()
        yield self._chunk({}, "stop")

    def _chunk(self, delta: Mapping[str, str], reason: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return b"data: " + orjson.dumps({"choices": [choice]}) + b"\n\n"

    async def close(self) -> None:
        self.provider.left += not self.over


class Provider:
    """A provider that may hang before its status, or in the middle of its answer; `left` counts the calls cut short."""

    def __init__(self, hangs: str = "") -> None:
        self.hangs = hangs
        self.seen: list[str] = []
        self.left = 0

    async def send(self, request: HttpRequest, timeouts: Timeouts, *, stream: bool) -> Response:
        self.seen.append(orjson.loads(request.body)["messages"][-1]["content"])
        if self.hangs == "status":
            Seen.called.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.left += 1
        return Response(self)

    async def close(self) -> None: ...


class Seen:
    """What happens in one test: `called` when the provider has come as far as it goes, `asked` when the guard has."""

    called: asyncio.Event
    asked: asyncio.Event


async def ponies(texts: Sequence[Text], context: Context) -> list[Mapping[str, Any]]:
    """A guard of the operator's that judges only once the provider has been called."""
    Seen.asked.set()
    await Seen.called.wait()
    rows = []
    for text in texts:
        if (at := text.value.find("ponies")) >= 0:
            action = "mask" if "mask" in text.value else "flag" if "flag" in text.value else "block"
            rows.append({"rule": "ponies", "path": text.path, "start": at, "end": at + 6, "action": action})
        if "fail" in text.value:
            raise RuntimeError
    return rows


POLICY = """
policy: beside
version: 1
stages: [input]
parallel: true
timeout_ms: 5000
on_error: %s
on_block: {input: %s, message: Withheld.}
guards:
  - python: {function: "tests.test_beside_walk:ponies"}
"""


async def ask(tmp_path: Path, provider: Provider, prompt: object, on_error="block", on_block="error", **fields: object):
    Seen.called, Seen.asked = asyncio.Event(), asyncio.Event()
    document = tmp_path / "beside.yaml"
    document.write_text(POLICY % (on_error, on_block))
    found = loads(
        f"""
model_list:
  - model_name: gpt-4o
    litellm_params: {{model: openai/gpt-4o, api_key: sk-12345678}}
policies: [pii, {document}]
""",
        "config.yaml",
        {},
    )
    gateway = Gateway(found.settings, found.source, logs.make("library"), provider)
    body = orjson.dumps({"model": "gpt-4o", "prompt": prompt, "max_tokens": 50, **fields})
    response = await asgi.request(gateway, "POST", "/v1/completions", (), body, extras={LOCAL_KEY: True})
    return response.status, dict(response.headers), await response.read()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("hangs", ["status", "answer"])
@pytest.mark.parametrize("prompt", ["I like ponies", ["fine", "ponies"], "mask ponies"])
@looped
async def test_a_block_leaves_the_provider_at_once_and_is_a_refusal_with_a_status(tmp_path, stream, hangs, prompt):
    provider = Provider(hangs)
    status, headers, body = await ask(tmp_path, provider, prompt, stream=stream)
    error = orjson.loads(body)["error"]
    assert (status, error["code"], error["param"]) == (400, "policy_blocked", "prompt")
    assert error["guardrail"]["policy"] == "beside"
    assert headers["x-gateway-guardrails"] == "pii=allow, beside=block"
    assert provider.left == len(provider.seen) == (1 if isinstance(prompt, str) else 2)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fields", [{}, {"n": 3}])
@looped
async def test_an_answer_that_is_ready_is_not_shown_before_the_verdict(tmp_path, stream, fields):
    status, _, body = await ask(tmp_path, Provider(), "ponies", stream=stream, **fields)
    assert (status, orjson.loads(body)["error"]["code"]) == (400, "policy_blocked")


@pytest.mark.parametrize("stream", [False, True])
@looped
async def test_what_passes_is_answered_as_ever_and_was_rewritten_before_it_was_sent(tmp_path, stream):
    provider = Provider()
    status, headers, body = await ask(tmp_path, provider, f"flag ponies to {EMAIL}", stream=stream)
    assert status == 200
    assert provider.seen == ["flag ponies to <EMAIL_ADDRESS_1>"]
    assert text_of(body, stream=stream) == ("Fine.", "stop")
    assert headers["x-gateway-guardrails"] == "pii=mask, beside=flag"


@pytest.mark.parametrize("stream", [False, True])
@looped
async def test_a_block_may_be_answered_with_a_message(tmp_path, stream):
    provider = Provider("answer")
    status, headers, body = await ask(tmp_path, provider, "ponies", on_block="replace", stream=stream)
    assert status == 200
    assert text_of(body, stream=stream) == ("Withheld.", "content_filter")
    assert (headers["x-gateway-guardrails"], provider.left) == ("pii=allow, beside=block", 1)


@pytest.mark.parametrize(("on_error", "status"), [("block", 503), ("allow", 200)])
@looped
async def test_a_guard_that_fails_beside_the_call_is_what_its_policy_says(tmp_path, on_error, status):
    got, headers, _ = await ask(tmp_path, Provider(), "fail", on_error=on_error)
    decision = "block" if on_error == "block" else "allow"
    assert (got, headers["x-gateway-guardrails"]) == (status, f"pii=allow, beside={decision};error")


@pytest.mark.parametrize(("prompt", "code"), [("ponies", "policy_blocked"), ("fine", "upstream_rejected")])
@looped
async def test_a_providers_refusal_waits_for_the_verdict_too(tmp_path, prompt, code):
    status, _, body = await ask(tmp_path, Provider("refuses"), prompt)
    assert (status, orjson.loads(body)["error"]["code"]) == (400, code)


@pytest.mark.parametrize("fields", [{}, {"max_tokens": 0}])
@looped
async def test_a_prompt_that_is_echoed_is_judged_before_anything_is_called(tmp_path, fields):
    provider = Provider()
    asking = asyncio.create_task(ask(tmp_path, provider, "ponies", echo=True, **fields))
    await asyncio.sleep(0)
    await Seen.asked.wait()
    Seen.called.set()
    status, _, body = await asking
    assert (status, orjson.loads(body)["error"]["code"], provider.seen) == (400, "policy_blocked", [])


@looped
async def test_a_request_that_cannot_be_translated_is_refused_without_waiting(tmp_path):
    status, headers, body = await ask(tmp_path, Provider(), "fine", suffix="x")
    assert (status, orjson.loads(body)["error"]["param"]) == (400, "suffix")
    assert headers["x-gateway-guardrails"] == "pii=allow, beside=allow;skipped"
