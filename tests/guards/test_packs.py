"""The policies that come with the gateway: each loads, carries its tests, and passes them."""

import asyncio
from functools import cache

import jsonschema_rs
import pytest

from gateway.config.document import parse
from gateway.guards import packs, registry
from gateway.guards.assemble import example_judge
from gateway.guards.document_schema import document_schema
from gateway.guards.examples import run_tests
from gateway.guards.load import LoadedPolicy, load
from gateway.guards.ports import Ports

PACKS = ("default", "limits", "output-safety", "pii", "prompt-injection", "secrets", "strict", "topics")


@cache
def raw(name):
    return parse(packs.pack(name).read_text("utf-8")).value


@cache
def loaded(name) -> LoadedPolicy:
    """The pack; the test is skipped while a guard that it uses is not registered."""
    missing = {guard for entry in raw(name)["guards"] for guard in entry if registry.find(guard) is None}
    if missing:
        pytest.skip(f"not registered: {', '.join(sorted(missing))}")
    (policy,) = load([name], environ={}).policies
    return policy


def test_the_packs_are_those_that_are_documented():
    assert packs.names() == sorted(PACKS)


@pytest.mark.parametrize("name", PACKS)
def test_a_pack_is_called_what_its_file_is_called_and_says_what_it_is_for(name):
    assert raw(name)["policy"] == name
    assert len(raw(name)["description"].split()) > 4
    assert packs.pack(name).read_text("utf-8").isascii()


@pytest.mark.parametrize("name", PACKS)
def test_a_pack_carries_at_least_ten_tests_and_half_are_near_misses_that_must_pass(name):
    tests = raw(name)["tests"]
    assert len(tests) >= 10
    assert sum(test["expect"] == "allow" for test in tests) * 2 >= len(tests)
    assert any(test["expect"] != "allow" for test in tests)


@pytest.mark.parametrize("name", PACKS)
def test_a_pack_loads_and_fits_the_schema_editors_use(name):
    assert loaded(name).policy.policy == name
    errors = jsonschema_rs.validator_for(document_schema()).iter_errors(raw(name))
    assert [(list(error.instance_path), error.message) for error in errors] == []


@pytest.mark.parametrize("name", PACKS)
def test_a_pack_passes_its_own_tests(name):
    policy = loaded(name)
    results = asyncio.run(run_tests(policy, example_judge(policy, Ports())))
    assert [result.fault for result in results if not result.passed] == []


def test_all_packs_can_stand_in_one_configuration():
    for name in PACKS:
        loaded(name)
    assert len(load(PACKS, environ={}).policies) == len(PACKS)
