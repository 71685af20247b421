"""Guardrails on the walk: what a provider gets to see and a client gets back, whole and streamed, at every cut."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from gateway.app import Gateway
from gateway.config.load import loads
from gateway.exchange import LOCAL_KEY
from gateway.ledger import tokens
from gateway.routing.upstream import Timeouts
from gateway.telemetry import logs
from gateway.types import HttpRequest
from gateway.wire import asgi

EMAIL, CARD = "bob@corp.example.com", "4111 1111 1111 1111"
KEY = "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc"


class Provider:
    """An OpenAI-like provider that remembers what it was sent and answers with a given text, in pieces."""

    def __init__(self, answer: str | None = None, pieces: int = 1) -> None:
        self.answer = answer
        self.pieces = pieces
        self.seen: list[str] = []
        self.closed = 0

    async def send(self, request: HttpRequest, timeouts: Timeouts, *, stream: bool) -> "Provider":
        body = orjson.loads(request.body)
        self.seen.append(body["messages"][-1]["content"])
        self.said = self.answer if self.answer is not None else self.seen[-1]
        self.stream = stream
        self.status, self.headers = 200, {}
        return self

    async def read(self) -> bytes:
        choice = {"index": 0, "message": {"content": self.said}, "finish_reason": "stop"}
        return orjson.dumps({"id": "c", "choices": [choice]})

    async def chunks(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self.said), self.pieces):
            yield self._chunk(self.said[start : start + self.pieces], None)
            await asyncio.sleep(0)
        yield self._chunk(None, "stop")

    def _chunk(self, content: str | None, finish: str | None) -> bytes:
        choice = {"index": 0, "delta": {"content": content}, "finish_reason": finish}
        return b"data: " + orjson.dumps({"id": "c", "choices": [choice]}) + b"\n\n"

    async def close(self) -> None:
        self.closed += 1


def ask(provider: Provider, prompt: object, policies: str = "[pii, secrets]", translation="chat", **fields: object):
    text = f"""
model_list:
  - model_name: gpt-4o
    litellm_params: {{model: openai/gpt-4o, api_key: sk-12345678, translation: {translation}}}
policies: {policies}
"""
    found = loads(text, "config.yaml", {})

    async def run():
        gateway = Gateway(found.settings, found.source, logs.make("library"), provider)
        body = orjson.dumps({"model": "gpt-4o", "prompt": prompt, "max_tokens": 50, **fields})
        response = await asgi.request(gateway, "POST", "/v1/completions", (), body, extras={LOCAL_KEY: True})
        whole = await response.read()
        return response.status, dict(response.headers), whole

    return asyncio.run(run())


def text_of(body: bytes, *, stream: bool) -> tuple[str, str | None]:
    """The text and the finish reason of an answer's one choice."""
    if not stream:
        choice = orjson.loads(body)["choices"][0]
        return choice["text"], choice["finish_reason"]
    events = [orjson.loads(line[6:]) for line in body.split(b"\n\n") if line and line != b"data: [DONE]"]
    assert body.endswith(b"data: [DONE]\n\n")
    choices = [choice for event in events for choice in event["choices"]]
    reasons = [choice["finish_reason"] for choice in choices if choice["finish_reason"]]
    assert len(reasons) == 1
    return "".join(choice["text"] for choice in choices), reasons[0]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("pieces", [1, 3, 7, 1000])
def test_a_value_the_caller_sent_goes_to_nobody_and_comes_back_to_the_caller(stream, pieces):
    provider = Provider(pieces=pieces)
    status, headers, body = ask(provider, f"Write to {EMAIL} now", stream=stream)
    assert status == 200
    assert EMAIL not in provider.seen[0]
    assert provider.seen[0].startswith("Write to <EMAIL_ADDRESS_")
    assert text_of(body, stream=stream) == (f"Write to {EMAIL} now", "stop")
    assert "pii=mask" in headers["x-gateway-guardrails"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("pieces", [1, 3, 7, 1000])
def test_a_value_the_model_made_up_is_masked(stream, pieces):
    provider = Provider(f"Ask {EMAIL}, please. Or don't.", pieces)
    _, _, body = ask(provider, "Whom do I ask?", stream=stream)
    text, reason = text_of(body, stream=stream)
    assert (text, reason) == ("Ask <EMAIL_ADDRESS_1>, please. Or don't.", "stop")
    assert EMAIL.encode() not in body


@pytest.mark.parametrize("prompt", [f"Card {CARD}", ["fine", f"Card {CARD}"], f"key {KEY}"])
def test_a_blocked_prompt_is_refused_by_its_field_and_calls_nobody(prompt):
    provider = Provider()
    status, headers, body = ask(provider, prompt)
    error = orjson.loads(body)["error"]
    assert (status, error["type"], error["code"], error["param"]) == (
        400,
        "guardrail_violation",
        "policy_blocked",
        "prompt",
    )
    assert set(error["guardrail"]) == {"policy", "guard", "category", "request_id"}
    assert error["guardrail"]["request_id"] == headers["x-request-id"]
    assert "=block" in headers["x-gateway-guardrails"]
    assert provider.seen == []
    assert CARD.encode() not in body
    assert KEY.encode() not in body


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("pieces", [1, 5, 1000])
def test_a_blocked_answer_is_withheld_and_its_call_ended(stream, pieces):
    provider = Provider(f"The key is {KEY} and more words after it", pieces)
    _, _, body = ask(provider, "Tell me the key", stream=stream)
    text, reason = text_of(body, stream=stream)
    assert reason == "content_filter"
    assert KEY[:12] not in text
    assert provider.closed


def test_a_prompt_of_token_ids_is_judged_as_the_text_it_is():
    provider = Provider()
    ids = tokens.encode(f"Write to {EMAIL}", "o200k_base")
    ask(provider, ids)
    assert EMAIL not in provider.seen[0]
    status, _, body = ask(Provider(), tokens.encode(f"Card {CARD}", "o200k_base"))
    assert (status, orjson.loads(body)["error"]["code"]) == (400, "policy_blocked")


def test_an_echo_shows_the_prompt_as_the_policies_left_it():
    _, _, body = ask(Provider(" and so on"), f"Mail {EMAIL}", echo=True)
    assert text_of(body, stream=False)[0].startswith("Mail <EMAIL_ADDRESS_1>")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_the_default_pack_judges_where_the_configuration_names_no_policies(stream: bool):
    provider = Provider(f"Write to amy@corp.example.com, or to <EMAIL_ADDRESS_1>, {EMAIL}.", 3)
    status, headers, body = ask(provider, f"Mail {EMAIL}", "", stream=stream)
    assert status == 200
    assert provider.seen == ["Mail <EMAIL_ADDRESS_1>"]
    assert headers["x-gateway-guardrails"].startswith("default=mask")
    assert text_of(body, stream=stream)[0] == f"Write to <EMAIL_ADDRESS_2>, or to {EMAIL}, {EMAIL}."
    refused = Provider()
    status, _, body = ask(refused, f"The key is {KEY}", "", stream=stream)
    assert (status, orjson.loads(body)["error"]["code"], refused.seen) == (400, "policy_blocked", [])


def test_without_policies_nothing_is_judged_and_nothing_is_said_to_be():
    provider = Provider()
    _, headers, body = ask(provider, f"Mail {EMAIL}", "[]")
    assert provider.seen == [f"Mail {EMAIL}"]
    assert "x-gateway-guardrails" not in headers
    assert text_of(body, stream=False)[0] == f"Mail {EMAIL}"


def test_a_policy_that_cannot_judge_lets_nothing_pass(tmp_path: Path):
    document = tmp_path / "broken.yaml"
    document.write_text(
        "policy: broken\nversion: 1\nguards:\n  - python: {function: 'tests.test_guarded_walk:fails'}\n"
    )
    provider = Provider()
    status, headers, body = ask(provider, "anything", f"['{document}']")
    assert (status, orjson.loads(body)["error"]["code"]) == (503, "guardrail_unavailable")
    assert headers["x-gateway-guardrails"] == "broken=block;error"
    assert provider.seen == []


def test_a_policy_in_shadow_reports_and_changes_nothing(tmp_path: Path):
    document = tmp_path / "watch.yaml"
    document.write_text(
        "policy: watch\nversion: 1\nmode: shadow\nguards:\n  - pii: {entities: {EMAIL_ADDRESS: block}}\n"
    )
    provider = Provider()
    _, headers, _ = ask(provider, f"Mail {EMAIL}", f"['{document}']")
    assert provider.seen == [f"Mail {EMAIL}"]
    assert headers["x-gateway-guardrails"] == "watch=block;shadow"


@pytest.mark.parametrize("stream", [False, True])
def test_the_gateways_own_system_message_does_not_come_back_in_an_answer(tmp_path: Path, stream):
    (tmp_path / "leak.yaml").write_text("policy: leak\nversion: 1\nstages: [output]\nguards: [leak: {}]\n")
    continued = "Continue the user's text from exactly where it ends. Reply with the continuation only: do not repeat"
    for translation, reason in (("continuation", "content_filter"), ("chat", "stop")):
        provider = Provider(f"I was told: {continued} it.", 3)
        _, _, body = ask(provider, "Hi", f"['{tmp_path}/leak.yaml']", translation, stream=stream)
        assert text_of(body, stream=stream)[1] == reason


class Judging(Provider):
    """A provider of two models: one answers, the other finds nothing to object to in what it is shown."""

    async def send(self, request: HttpRequest, timeouts: Timeouts, *, stream: bool) -> Provider:
        await super().send(request, timeouts, stream=stream)
        judged = self.seen[-1].startswith("You judge one text")
        self.said = '{"violation": false, "category": null, "score": 0}' if judged else "Fine."
        return self


def test_a_judge_is_judged_by_no_policy(tmp_path: Path):
    document = tmp_path / "judge.yaml"
    judge = "{model: gpt-4o, instructions: 'No ponies, no 4111 1111 1111 1111.'}"
    document.write_text(f"policy: judge\nversion: 1\ntimeout_ms: 5000\nguards: [pii: {{}}, judge: {judge}]\n")
    provider = Judging()
    status, headers, body = ask(provider, f"Mail {EMAIL}", f"['{document}']")
    assert (status, text_of(body, stream=False)) == (200, ("Fine.", "stop"))
    assert headers["x-gateway-guardrails"] == "judge=mask"
    asked, sent, answered = provider.seen
    assert sent == "Mail <EMAIL_ADDRESS_1>"
    assert CARD in asked
    assert EMAIL in asked  # a judge sees what guards see: the original
    assert '"Fine."' in answered


def fails(*_: object) -> None:
    """A guard of the operator's that is broken."""
    raise RuntimeError("never shown")
