"""The tests that a document carries: run one by one, told by line, without their texts."""

import asyncio

import pytest

from gateway.errors import ConfigError
from gateway.guards.assemble import assembled, example_judge
from gateway.guards.base import Context
from gateway.guards.examples import Judged, run_tests
from gateway.guards.load import loads
from gateway.guards.ports import Ports
from gateway.guards.vault import Form

TEXT = """\
policy: p
version: 2
stages: [output]
when: 'request.model == "gpt-4"'
mode: shadow
timeout_ms: 1500
on_block: {output: error, message: "No."}
match: {tags: [eu]}
guards: [{schema: {json_schema: {type: object}}}]
tests:
  - {output: "{}", expect: allow}
  - {output: "ponies", expect: block}
  - {output: "ponies", expect: allow}
  - {output: "{}", expect: mask, becomes: "<P_1>"}
"""


def results(judge):
    return asyncio.run(run_tests(loads(TEXT, "p.yaml", environ={}), judge))


def test_each_test_is_judged_by_its_policy_whatever_the_policy_is_for():
    loaded = loads(TEXT, "p.yaml", environ={})
    found = asyncio.run(run_tests(loaded, example_judge(loaded, Ports())))
    assert [each.passed for each in found] == [True, True, False, False]
    assert [each.fault for each in found[2:]] == [
        "p.yaml:13: tests[2]: expected allow, got block",
        "p.yaml:14: tests[3]: expected mask, got allow",
    ]
    assert [each.decided for each in found] == ["allow", "block", "block", "allow"]
    assert "ponies" not in repr(found)


@pytest.mark.parametrize(
    ("became", "said"),
    [
        ("<P_1>", ""),
        ("<P_2>", "p.yaml:14: tests[3]: the text becomes another one from character 4 on"),
        ("<P_1> ", "p.yaml:14: tests[3]: the text becomes another one from character 6 on"),
        (None, "p.yaml:14: tests[3]: the text becomes another one: none"),
    ],
)
def test_a_text_must_become_what_the_document_says(became, said):
    async def judge(stage, text):
        return Judged("mask", became)

    assert results(judge)[3].fault == said


def test_a_guard_that_fails_fails_the_test_even_where_a_block_was_expected():
    async def judge(stage, text):
        return Judged("block", None, failed=True)

    assert [each.fault.rpartition(": ")[2] for each in results(judge)] == ["a guard failed"] * 4


def test_a_document_becomes_a_policy_that_runs():
    policy = assembled(loads(TEXT, environ={}), Ports())
    assert (policy.name, policy.version, policy.mode, policy.stages, policy.timeout) == (
        "p",
        2,
        "shadow",
        frozenset({"output"}),
        1.5,
    )
    assert (policy.on_block.input, policy.on_block.output, policy.on_block.message) == ("error", "error", "No.")
    assert policy.fail_mode == "allow"
    assert [guard.name for guard in policy.guards] == ["schema"]
    assert policy.form("schema") == Form()
    assert policy.matches(Context("output", "gpt-4", tags=("eu",)))
    assert not policy.matches(Context("output", "gpt-4", tags=("us",)))
    assert not policy.matches(Context("output", "gpt-5", tags=("eu",)))


def test_a_guard_that_cannot_be_had_is_told_when_the_policy_is_assembled():
    loaded = loads("policy: p\nversion: 1\nguards: [{judge: {model: m, instructions: x}}]", "p.yaml", environ={})
    for make in (assembled, example_judge):
        with pytest.raises(ConfigError, match=r"p\.yaml:3: guards\[0\]\.judge: needs a way to ask a model"):
            make(loaded, Ports())
