"""`POST /v1/guardrails/check`: one text judged, nobody called, and nothing of what was matched told."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.app import Gateway
from gateway.config.load import load
from gateway.exchange import LOCAL_KEY
from gateway.routing.upstream import Timeouts, UpstreamResponse
from gateway.telemetry import logs
from gateway.types import HttpRequest
from gateway.wire import asgi, json
from tests.e2e import process
from tests.inprocess import Reply

PATH = "/v1/guardrails/check"
EMAIL, CARD = "bob@corp.example.com", "4111 1111 1111 1111"
KEY = "master-key-of-the-tests"
POLICIES = {
    "mail": "guards: [{pii: {entities: {EMAIL_ADDRESS: mask}, restore: true}}]",
    "cards": "guards: [{pii: {entities: {CREDIT_CARD: block}}}]",
    "watch": "mode: shadow\nguards: [{phrases: {rules: [{name: animals, words: [zebra]}]}}]",
    "small": "match: {models: ['small-*']}\nguards: [{limits: {characters: 10}}]",
    "answers": "stages: [output]\nguards: [{phrases: {rules: [{name: animals, words: [okapi]}]}}]",
    "broken": "match: {models: [broken]}\nguards: [{python: {function: 'tests.endpoints.broken_guard:check'}}]",
}
CONFIG = """
model_list:
  - {model_name: gpt, litellm_params: {model: openai/gpt-4o, api_key: sk-12345678}}
general_settings: {max_request_bytes: 4000000, request_read_timeout: 0.2}
policies: [%s]
"""


class Nobody:
    """An upstream that no check may reach."""

    def __init__(self) -> None:
        self.calls = 0

    async def send(self, request: HttpRequest, timeouts: Timeouts, *, stream: bool) -> UpstreamResponse:
        self.calls += 1
        raise AssertionError(f"a check has called {request.url}")

    async def close(self) -> None:
        assert not self.calls


def configured(folder: Path, names: tuple[str, ...] = tuple(POLICIES), more: str = "") -> Path:
    for name in names:
        (folder / f"{name}.yaml").write_text(f"policy: {name}\nversion: 3\n{POLICIES[name]}\n")
    file = folder / "config.yaml"
    file.write_text(CONFIG % ", ".join(f"./{name}.yaml" for name in names) + more)
    return file


class Checks:
    """A gateway in process, asked for checks."""

    def __init__(self, file: Path) -> None:
        found = load(file, {})
        self.gateway = Gateway(found.settings, found.source, logs.make("library"), Nobody())

    def ask(self, body: object, path: str = PATH, method: str = "POST", **scope: Any) -> Reply:
        headers = scope.pop("headers", ())
        sent = body if isinstance(body, bytes) else json.dumps(body)

        async def run() -> Reply:
            got = await asgi.request(self.gateway, method, path, headers, sent, extras={LOCAL_KEY: True, **scope})
            return Reply(got.status, got.headers, await got.read())

        return asyncio.run(run())

    def said(self, text: str, **fields: Any) -> dict[str, Any]:
        reply = self.ask({"text": text, **fields})
        assert reply.status == 200, reply.body
        found: dict[str, Any] = reply.json
        return found


@pytest.fixture
def checks(tmp_path: Path) -> Checks:
    return Checks(configured(tmp_path))


def status_of(said: Mapping[str, Any]) -> dict[str, str]:
    return {verdict["policy"]: verdict["decision"] for verdict in said["verdicts"]}


def test_a_text_is_answered_with_what_became_of_it_and_where(checks: Checks) -> None:
    said = checks.said(f"Write to {EMAIL} today")
    took = said.pop("duration_us")
    assert type(took) is float
    assert took > 0
    assert said == {
        "decision": "mask",
        "text": "Write to <EMAIL_ADDRESS_1> today",
        "findings": [
            {
                "policy": "mail",
                "guard": "pii",
                "rule": "EMAIL_ADDRESS",
                "category": "pii",
                "action": "mask",
                "start": 9,
                "end": 9 + len(EMAIL),
                "score": 1.0,
            }
        ],
        "verdicts": [
            {"policy": "mail", "version": 3, "decision": "mask", "enforced": True, "status": "ok"},
            {"policy": "cards", "version": 3, "decision": "allow", "enforced": True, "status": "ok"},
            {"policy": "watch", "version": 3, "decision": "allow", "enforced": False, "status": "ok"},
        ],
    }


def test_a_blocked_text_is_null_and_its_findings_say_where(checks: Checks) -> None:
    said = checks.said(f"{EMAIL} pays with {CARD}")
    assert (said["decision"], said["text"]) == ("block", None)
    assert {one["rule"] for one in said["findings"]} == {"EMAIL_ADDRESS", "CREDIT_CARD"}


def test_nothing_that_was_matched_is_in_the_answer(checks: Checks) -> None:
    body = checks.ask({"text": f"{EMAIL}, {CARD}, zebra"}).body
    for matched in (EMAIL, CARD, "zebra"):
        assert matched.encode() not in body


def test_a_policy_in_shadow_reports_and_changes_nothing(checks: Checks) -> None:
    said = checks.said("A zebra crosses")
    assert (said["decision"], said["text"]) == ("allow", "A zebra crosses")
    assert status_of(said)["watch"] == "block"
    assert [one["policy"] for one in said["findings"]] == ["watch"]


def test_an_answer_is_judged_by_the_policies_for_answers(checks: Checks) -> None:
    assert "answers" not in status_of(checks.said("An okapi"))
    said = checks.said("An okapi", stage="output")
    assert (said["decision"], said["text"], status_of(said)["answers"]) == ("block", None, "block")


@pytest.mark.parametrize(("fields", "decision"), [({}, "allow"), ({"model": "gpt"}, "allow")])
def test_a_policy_for_other_models_does_not_judge(checks: Checks, fields: dict[str, str], decision: str) -> None:
    said = checks.said("More than ten characters", **fields)
    assert said["decision"] == decision
    assert "small" not in status_of(said)


def test_a_policy_for_a_model_judges_what_is_meant_for_it(checks: Checks) -> None:
    said = checks.said("More than ten characters", model="small-1")
    assert (said["decision"], status_of(said)["small"]) == ("block", "block")
    (finding,) = said["findings"]
    assert (finding["start"], finding["end"]) == (0, 0), "it is about the whole text"


def test_policies_are_chosen_by_name(checks: Checks) -> None:
    said = checks.said(f"{EMAIL} pays with {CARD}", policies=["mail", "mail"])
    assert status_of(said) == {"mail": "mask"}
    assert said["text"] == f"<EMAIL_ADDRESS_1> pays with {CARD}"
    assert checks.said(CARD, policies=[])["verdicts"] == []


def test_an_unknown_policy_is_refused_with_the_names_of_those_there_are(checks: Checks) -> None:
    reply = checks.ask({"text": "hello", "policies": ["mail", "post"]})
    assert (reply.status, reply.error["param"]) == (400, "policies")
    said = f"There is no policy 'post'; those loaded here are {', '.join(POLICIES)}."
    assert reply.error["message"] == said


def test_where_no_policy_is_loaded_a_name_is_refused_and_a_text_passes(tmp_path: Path) -> None:
    checks = Checks(configured(tmp_path, ()))
    said = checks.said(CARD)
    assert (said["decision"], said["text"], said["verdicts"]) == ("allow", CARD, [])
    reply = checks.ask({"text": "hello", "policies": ["mail"]})
    assert reply.error["message"] == "There is no policy 'mail'; none is loaded here."


def test_a_guard_that_fails_blocks_and_is_no_fault_of_the_gateway(checks: Checks) -> None:
    said = checks.said("hello", model="broken")
    assert (said["decision"], said["text"], said["findings"]) == ("block", None, [])
    verdict = said["verdicts"][-1]
    assert (verdict["policy"], verdict["status"]) == ("broken", "error")


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b"", "invalid_json", None),
        (b"{", "invalid_json", None),
        (b"[]", "invalid_json", None),
        (b'"text"', "invalid_json", None),
        (b'{"text": "\xff"}', "invalid_json", None),
        ({}, "missing_required_parameter", "text"),
        ({"text": None}, "missing_required_parameter", "text"),
        ({"text": 5}, "invalid_type", "text"),
        ({"text": ["a"]}, "invalid_type", "text"),
        ({"text": "a", "stage": "prompt"}, "invalid_value", "stage"),
        ({"text": "a", "stage": None}, "invalid_type", "stage"),
        ({"text": "a", "stage": 1}, "invalid_type", "stage"),
        ({"text": "a", "model": 1}, "invalid_type", "model"),
        ({"text": "a", "policies": "mail"}, "invalid_type", "policies"),
        ({"text": "a", "policies": [1]}, "invalid_type", "policies"),
        ({"text": "a", "prompt": "b"}, "invalid_value", "prompt"),
    ],
)
def test_a_body_that_is_no_check_is_refused_by_its_field(
    checks: Checks, body: object, code: str, param: str | None
) -> None:
    reply = checks.ask(body)
    assert reply.status == 400
    assert (reply.error["type"], reply.error["code"], reply.error["param"]) == ("invalid_request_error", code, param)


def test_an_empty_text_passes(checks: Checks) -> None:
    said = checks.said("")
    assert (said["decision"], said["text"]) == ("allow", "")


def test_another_method_is_refused(checks: Checks) -> None:
    assert checks.ask(b"", method="GET").status == 405


def test_a_text_of_megabytes_is_judged_whole_and_one_over_the_limit_refused(checks: Checks) -> None:
    text = "A word and another. " * 100_000
    said = checks.said(text + EMAIL)
    assert said["decision"] == "mask"
    assert said["text"] == text + "<EMAIL_ADDRESS_1>"
    assert said["findings"][0]["start"] == len(text)
    reply = checks.ask({"text": "x" * 4_000_000})
    assert (reply.status, reply.error["code"]) == (413, "request_too_large")


def test_positions_are_characters_and_not_bytes(checks: Checks) -> None:
    (finding,) = checks.said(f"\N{BIRD}\u00e9 {EMAIL}")["findings"]
    assert (finding["start"], finding["end"]) == (3, 3 + len(EMAIL))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ((), 401),
        (((b"authorization", b"Bearer another"),), 401),
        (((b"authorization", f"Bearer {KEY}".encode()),), 200),
        (((b"x-api-key", KEY.encode()),), 200),
    ],
)
def test_with_a_master_key_a_check_needs_it(tmp_path: Path, headers: tuple[Any, ...], status: int) -> None:
    file = configured(tmp_path)
    file.write_text(file.read_text().replace("{max_request", f"{{master_key: {KEY}, max_request"))
    reply = Checks(file).ask({"text": "hello"}, headers=headers, **{LOCAL_KEY: False})
    assert reply.status == status
    if status == 401:
        assert reply.error["code"] == "invalid_api_key"


@pytest.mark.e2e
def test_over_a_socket_the_body_may_come_in_pieces_and_must_come_in_time(tmp_path: Path) -> None:
    configured(tmp_path)
    body = json.dumps({"text": f"Write to {EMAIL}"})
    head = (
        f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        "connection: close\r\n\r\n"
    ).encode()
    with process.serving(tmp_path, (tmp_path / "config.yaml").read_text()) as served:
        answer = served.raw(head, body[:7], body[7:])
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["text"] == "Write to <EMAIL_ADDRESS_1>"
        late = served.raw(head, body[:7])
        assert late.startswith(b"HTTP/1.1 408 ")
        assert json.loads(late.partition(b"\r\n\r\n")[2])["error"]["code"] == "request_timeout"
        assert EMAIL.encode() not in served.log.read_bytes()
