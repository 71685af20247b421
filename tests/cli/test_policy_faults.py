"""Faults of policies are told like those of the configuration, before anybody is served; and what explain says."""

import json
from pathlib import Path

import pytest

from tests.e2e import kit

pytestmark = pytest.mark.e2e

CONFIG = """model_list:
  - {model_name: demo, litellm_params: {model: demo/demo}}
policies: [./one.yaml, ./two.yaml]
"""
GOOD = "policy: %s\nversion: 1\nguards:\n  - pii: {entities: {EMAIL_ADDRESS: mask}}\n"
UNKNOWN = "policy: %s\nversion: 1\nguards:\n  - secrts: {}\n"
NOT_HERE = "policy: %s\nversion: 1\nguards:\n  - python: {function: 'no_such_module:check'}\n"
REMOTE = """policy: %s
version: 1
guards:
  - pii: {entities: {EMAIL_ADDRESS: mask}}
  - webhook: {url: "http://127.0.0.1:1/", secret: a-secret-for-tests}
"""
ANSWERS = """policy: %s
version: 1
stages: [output]
guards:
  - phrases: {rules: [{name: animals, words: [zebra]}]}
"""


def write(folder: Path, one: str, two: str = GOOD, config: str = CONFIG) -> None:
    (folder / "config.yaml").write_text(config)
    (folder / "one.yaml").write_text(one % "one")
    (folder / "two.yaml").write_text(two % "two")


COMMANDS = [
    ["serve", "--port", "0"],
    ["serve", "--port", "0", "--workers", "2"],
    ["check"],
    ["explain", "-m", "demo", "x"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_faults_of_policies_and_models_are_listed_together(tmp_path: Path, command: list[str]) -> None:
    write(tmp_path, UNKNOWN, UNKNOWN, CONFIG.replace("demo/demo", "nobody/knows"))
    done = kit.run(tmp_path, *command, "--config", "config.yaml")
    assert done.returncode == 1
    assert [line.split(": ")[0] for line in done.stderr.splitlines()] == ["config.yaml:2", "one.yaml:4", "two.yaml:4"]
    assert "listens on" not in done.stderr


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_guard_that_cannot_be_had_here_is_listed(tmp_path: Path, command: list[str]) -> None:
    write(tmp_path, NOT_HERE, NOT_HERE)
    done = kit.run(tmp_path, *command, "--config", "config.yaml")
    assert done.returncode == 1
    said = "guards[0].python: the module no_such_module cannot be imported (ModuleNotFoundError)"
    assert done.stderr.splitlines() == [f"one.yaml:4: {said}", f"two.yaml:4: {said}"]


def explained(folder: Path, *args: str) -> dict[str, object]:
    done = kit.run(folder, "explain", "-m", "demo", *args, "--config", "config.yaml")
    assert (done.returncode, done.stderr) == (0, "")
    said: dict[str, object] = json.loads(done.stdout)
    return said


def test_explain_judges_an_answer_by_the_policies_for_answers(tmp_path: Path) -> None:
    write(tmp_path, GOOD, ANSWERS)
    said = explained(tmp_path, "--stage", "output", "A zebra wrote bob@corp.example.com")
    assert (said["decision"], said["text"]) == ("block", None)
    said = explained(tmp_path, "--stage", "output", "Write to bob@corp.example.com")
    assert (said["decision"], said["text"]) == ("mask", "Write to <EMAIL_ADDRESS_1>")
    assert "calls" not in said, "an answer has been called for already"
    prompt = explained(tmp_path, "A zebra wrote bob@corp.example.com")
    assert prompt["calls"]


def test_explain_knows_two_stages(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    done = kit.run(tmp_path, "explain", "-m", "demo", "--stage", "both", "x", "--config", "config.yaml")
    assert done.returncode == 2
    assert "must be input or output" in done.stderr


def test_explain_asks_nobody_and_says_which_guards_it_left_out(tmp_path: Path) -> None:
    write(tmp_path, REMOTE)
    said = explained(tmp_path, "--stage", "output", "Write to bob@corp.example.com")
    assert said["not_asked"] == [{"policy": "one", "guard": "webhook"}]
    assert said["verdicts"] == [
        {"policy": "one", "version": 1, "decision": "mask", "enforced": True, "status": "skipped"},
        {"policy": "two", "version": 1, "decision": "mask", "enforced": True, "status": "ok"},
    ]


def test_the_built_in_configuration_is_checked_too(tmp_path: Path) -> None:
    done = kit.run(tmp_path, "check", "./nowhere.yaml")
    assert done.returncode == 1
    assert json.loads(done.stdout)["config"] == "built-in"
