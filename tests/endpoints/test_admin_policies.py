"""`GET /admin/policies`: what is loaded and how often each policy decided what, for the holder of the master key."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.wire import json
from tests.e2e import process
from tests.e2e.kit import fetch
from tests.inprocess import InProcess

pytestmark = pytest.mark.e2e

KEY = "master-key-of-the-tests"
KEYED = {"authorization": f"Bearer {KEY}"}
MAIL = """policy: mail
version: 7
guards:
  - pii: {entities: {EMAIL_ADDRESS: mask, CREDIT_CARD: block}}
"""
WATCH = """policy: watch
version: 1
mode: shadow
stages: [output]
guards:
  - phrases: {rules: [{name: animals, words: [zebra], action: block}]}
  - secrets: {}
"""
CONFIG = f"""
model_list:
  - {{model_name: demo, litellm_params: {{model: demo/demo}}}}
general_settings: {{master_key: {KEY}}}
policies: [./mail.yaml, ./watch.yaml]
"""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[process.Served]:
    (tmp_path / "mail.yaml").write_text(MAIL)
    (tmp_path / "watch.yaml").write_text(WATCH)
    with process.serving(tmp_path, CONFIG) as running:
        yield running


def policies(served: process.Served) -> dict[str, Any]:
    status, body = fetch(f"{served.url}/admin/policies", headers=KEYED)
    assert status == 200
    return {row["policy"]: row for row in body["data"]}


def decisions(served: process.Served) -> dict[str, Mapping[str, int]]:
    return {name: row["decisions"] for name, row in policies(served).items()}


def complete(served: process.Served, prompt: object, **fields: object) -> int:
    body = json.dumps({"model": "demo", "prompt": prompt, "max_tokens": 8, **fields})
    return served.post(body, KEYED)[0]


def test_what_is_loaded_is_listed(served: process.Served) -> None:
    assert list(policies(served).values()) == [
        {
            "policy": "mail",
            "version": 7,
            "mode": "enforce",
            "stages": ["input", "output"],
            "guards": ["pii"],
            "decisions": {},
            "statuses": {},
        },
        {
            "policy": "watch",
            "version": 1,
            "mode": "shadow",
            "stages": ["output"],
            "guards": ["phrases", "secrets"],
            "decisions": {},
            "statuses": {},
        },
    ]


def test_decisions_are_counted_for_each_stage_of_each_request(served: process.Served) -> None:
    assert complete(served, "Say hello") == 200
    assert decisions(served) == {"mail": {"allow": 2}, "watch": {"allow": 1}}
    assert complete(served, "Write to bob@corp.example.com") == 200
    assert decisions(served)["mail"]["mask"] >= 1
    assert complete(served, "Pay with 4111 1111 1111 1111") == 400
    assert decisions(served)["mail"]["block"] == 1
    before = decisions(served)["watch"].get("block", 0)
    assert complete(served, "Say: a zebra.", stream=True) == 200
    assert decisions(served)["watch"].get("block", 0) == before + 1, "what a policy in shadow decides is counted too"


def test_a_check_counts_and_a_refused_one_does_not(served: process.Served) -> None:
    url = f"{served.url}/v1/guardrails/check"
    assert fetch(url, {"text": "hello", "policies": ["mail"]}, KEYED)[0] == 200
    assert decisions(served) == {"mail": {"allow": 1}, "watch": {}}
    assert fetch(url, {"text": "hello", "policies": ["nobody"]}, KEYED)[0] == 400
    assert fetch(url, {"text": "hello"})[0] == 401
    assert decisions(served) == {"mail": {"allow": 1}, "watch": {}}


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer another"}, {"x-api-key": "another"}])
def test_nobody_else_sees_them(served: process.Served, headers: dict[str, str]) -> None:
    status, body = fetch(f"{served.url}/admin/policies", headers=headers)
    assert (status, body["error"]["type"], body["error"]["code"]) == (401, "authentication_error", "invalid_api_key")


def test_it_is_only_read(served: process.Served) -> None:
    status, body = fetch(f"{served.url}/admin/policies", {"policies": []}, KEYED)
    assert (status, body["error"]["code"]) == (405, "method_not_allowed")


def test_without_a_master_key_it_says_what_to_configure(tmp_path: Path) -> None:
    with process.serving(tmp_path, CONFIG.replace(f"{{master_key: {KEY}}}", "{}").partition("policies:")[0]) as served:
        status, body = fetch(f"{served.url}/admin/policies", headers=KEYED)
    assert status == 401
    assert "general_settings.master_key" in body["error"]["message"]


def test_in_process_no_key_is_asked_for() -> None:
    config = {"model_list": [{"model_name": "demo", "litellm_params": {"model": "demo/demo"}}], "policies": ["pii"]}
    gateway = InProcess(config)
    try:
        reply = gateway.ask(path="/admin/policies", method="GET")
        assert [row["policy"] for row in reply.json["data"]] == ["pii"]
    finally:
        gateway.close()
