"""What a policy document may say, what is filled in, and the JSON Schema that editors complete it by."""

import json
from pathlib import Path

import jsonschema_rs
import pytest
import yaml

from gateway.errors import ConfigError
from gateway.guards.document import Policy
from gateway.guards.document_schema import document_schema, text
from gateway.guards.load import loads
from gateway.guards.registry import GUARDS

SCHEMA_FILE = Path(__file__).parents[2] / "policies" / "schema.json"
GUARD = "guards: [{schema: {json_schema: {type: object}}}]\n"
HEAD = f"policy: p\nversion: 1\nstages: [output]\n{GUARD}"


def policy(more: str = "") -> Policy:
    return loads(HEAD + more, "p.yaml", environ={}).policy


def test_what_is_left_out_has_a_safe_default():
    read = policy()
    assert (read.mode, read.sample, read.timeout_ms, read.fail_mode, read.stream) == (
        "enforce",
        1.0,
        200,
        "block",
        "hold",
    )
    assert (read.match.models, read.match.end_users, read.match.keys, read.match.tags) == (("*",), ("*",), ("*",), ())
    assert (read.on_block.input, read.on_block.output) == ("error", "replace")
    assert read.on_block.message == "This answer was withheld by policy."
    assert (read.hold.max_chars, read.hold.max_ms, read.parallel, read.tests) == (400, 300, False, ())


@pytest.mark.parametrize(
    ("said", "follows"),
    [
        ("", "block"),
        ("mode: shadow", "allow"),
        ("mode: shadow\non_error: block", "block"),
        ("on_error: allow", "allow"),
    ],
)
def test_a_failing_guard_blocks_when_enforcing_and_allows_in_shadow_unless_the_policy_says(said, follows):
    assert policy(said).fail_mode == follows


def test_a_guard_may_stand_in_a_policy_twice():
    twice = loads("policy: p\nversion: 1\nstages: [output]\nguards:\n" + "  - schema: {json_schema: {}}\n" * 2)
    assert [entry.name for entry in twice.policy.guards] == ["schema", "schema"]


def test_a_policy_cannot_be_changed_and_a_secret_in_it_does_not_print():
    read = loads(
        "policy: p\nversion: 1\nguards: [{webhook: {url: 'https://x.example', secret: os.environ/S}}]",
        environ={"S": "a-secret-of-sixteen"},
    ).policy
    with pytest.raises(ValueError, match="frozen"):
        read.mode = "off"
    assert read.guards[0].config.secret.reveal() == "a-secret-of-sixteen"
    assert "a-secret-of-sixteen" not in repr(read) + str(read) + read.model_dump_json()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("mode: on", "mode: must be 'enforce', 'shadow' or 'off'"),
        ("sample: 1.5", "sample: must be at most 1"),
        ("sample: -0.1", "sample: must be at least 0"),
        ("sample: .nan", "sample: must be a finite number"),
        ("timeout_ms: 0", "timeout_ms: must be at least 1"),
        ("timeout_ms: '200'", "timeout_ms: must be a whole number, without quotes"),
        ("on_error: open", "on_error: must be 'block' or 'allow'"),
        ("on_block: {input: drop}", "on_block.input: must be 'error' or 'replace'"),
        ("on_block: {message: ''}", "on_block.message: must not be empty"),
        ("match: {models: gpt}", "match.models: must be a list"),
        ("match: {users: ['*']}", "match.users: unknown key"),
        ("match: {tags: ['']}", "match.tags: must not hold an empty text"),
        ("stream: drop", "stream: must be 'hold' or 'observe'"),
        ("hold: {max_chars: 0}", "hold.max_chars: must be at least 1"),
        ("parallel: true", "parallel: has no effect: all guards of this policy judge at once"),
        ("parallel: 1", "parallel: must be true or false, without quotes"),
        ("tests: [{output: x, expect: deny}]", "tests[0].expect: must be 'allow', 'flag', 'hash', 'mask', "),
        ("tests: [{expect: allow}]", "tests[0]: must have either input or output"),
        ("tests: [{input: a, output: b, expect: allow}]", "tests[0]: must have either input or output"),
        ("tests: [{input: a, expect: allow}]", "tests[0].input: is a stage this policy does not look at"),
        ("tests: [{output: a, expect: block, becomes: b}]", "tests[0].becomes: only stands with expect: hash, "),
        ("tests: [{output: a, becomes: b}]", "tests[0].expect: is required"),
    ],
)
def test_a_wrong_value_is_refused_with_its_place(line, message):
    with pytest.raises(ConfigError) as caught:
        policy(line)
    (fault,) = caught.value.faults
    assert fault.startswith(f"p.yaml:5: {message}")


def test_judging_beside_the_call_needs_an_input_to_judge():
    text = "policy: p\nversion: 1\nstages: [output]\nparallel: true\nguards: [{moderation: {api_key: k}}]"
    with pytest.raises(ConfigError) as caught:
        loads(text)
    assert caught.value.faults == ("policy:4: parallel: has no effect: this policy does not look at the input",)


@pytest.mark.parametrize("name", ["Pii", "-a", "a b", "a,b", "a=b", "é", "", "x" * 65, "a\\nb"])
def test_a_name_that_could_not_stand_in_a_header_is_refused(name):
    with pytest.raises(ConfigError, match="lower-case letters"):
        loads(HEAD.replace("policy: p", f'policy: "{name}"'))


def test_the_shipped_schema_is_the_one_the_models_make():
    assert json.loads(SCHEMA_FILE.read_text()) == document_schema(), (
        "run: python -m gateway.guards.document_schema > policies/schema.json"
    )
    assert json.loads(text()) == document_schema()


def test_the_schema_knows_every_guard_and_refuses_others():
    schema = document_schema()
    assert set(schema["properties"]["guards"]["items"]["properties"]) == set(GUARDS)
    fits = jsonschema_rs.validator_for(schema).is_valid
    good = yaml.safe_load(HEAD)
    assert fits(good)
    assert fits(good | {"tests": [{"output": "x", "expect": "block"}], "when": "request.stream"})
    assert not fits(good | {"guards": []})
    assert not fits(good | {"guards": [{"scheme": {}}]})
    assert not fits(good | {"guards": [{"schema": None}]})
    assert not fits(good | {"guards": [{"schema": {"json_schema": {}}, "webhook": {}}]})
    assert not fits(good | {"mood": "enforce"})
    assert not fits(good | {"tests": [{"output": "x", "input": "y", "expect": "block"}]})


def test_a_secret_is_text_in_the_schema():
    assert document_schema()["$defs"]["WebhookConfig"]["properties"]["secret"]["type"] == "string"
