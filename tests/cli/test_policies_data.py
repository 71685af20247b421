"""`gateway policies test --data`: what people and programs are told of a policy on labelled text."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import kit
from tests.e2e.test_command_line import at_a_terminal

pytestmark = pytest.mark.e2e

LINES = [
    {
        "text": "Mail bob@corp.example.com or call Ann",
        "entities": [
            {"type": "EMAIL_ADDRESS", "start": 5, "end": 25},
            {"type": "PERSON", "start": 34, "end": 37},
        ],
    },
    {"text": "See bob@corp.example.com", "entities": [{"type": "EMAIL_ADDRESS", "start": 0, "end": 6}]},
    {"text": "A card: 4111 1111 1111 1111", "entities": []},
    {"text": "Nothing here", "stage": "output", "entities": [{"type": "EMAIL_ADDRESS", "start": 0, "end": 7}]},
]
POLICY = """policy: mine
version: 2
stages: [input]
match: {models: [another]}
mode: "off"
guards:
  - pii: {entities: {EMAIL_ADDRESS: block, CREDIT_CARD: mask, URL: allow}}
tests:
  - {input: "Hello", expect: allow}
"""
REMOTE = """policy: remote
version: 1
timeout_ms: 2000
guards:
  - webhook: {url: "http://127.0.0.1:1/", secret: a-secret-for-tests}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, LINES)))
    (tmp_path / "mine.yaml").write_text(POLICY)
    (tmp_path / "remote.yaml").write_text(REMOTE)
    return tmp_path


def measured(folder: Path, *more: str) -> dict[str, Any]:
    done = kit.run(folder, "policies", "test", "./mine.yaml", "--data", "data.jsonl", *more)
    assert (done.returncode, done.stderr) == (0, "")
    (row,) = json.loads(done.stdout)["data"]
    assert (row["policy"], row["tests"], row["passed"], row["faults"]) == ("mine", 1, 1, [])
    said: dict[str, Any] = row["measured"]
    return said


def of(said: dict[str, Any], entity: str) -> tuple[object, ...]:
    (row,) = [row for row in said["entities"] if row["entity"] == entity]
    return tuple(row[name] for name in ("labelled", "found", "hit", "right", "precision", "recall", "f2"))


def test_a_program_gets_counts_shares_and_latency(folder: Path) -> None:
    said = measured(folder)
    assert (said["matching"], said["texts"], said["left_out"], said["failures"]) == ("overlap", 3, 1, {})
    assert said["characters"] == sum(len(str(line["text"])) for line in LINES[:3])
    assert of(said, "EMAIL_ADDRESS") == (2, 2, 2, 2, 1.0, 1.0, 1.0)
    assert of(said, "PERSON") == (1, 0, 0, 0, None, 0.0, 0.0)
    assert of(said, "CREDIT_CARD") == (0, 1, 0, 0, 0.0, None, None)
    assert said["total"]["labelled"] == 3
    assert said["total"]["recall"] == pytest.approx(2 / 3, abs=1e-4)
    assert 0 < said["latency_us"]["p50"] <= said["latency_us"]["p95"] <= said["latency_us"]["p99"]


def test_positions_may_be_asked_to_be_exact(folder: Path) -> None:
    said = measured(folder, "--exact")
    assert said["matching"] == "exact"
    assert of(said, "EMAIL_ADDRESS") == (2, 2, 1, 1, 0.5, 0.5, 0.5)


def test_a_label_may_have_another_name(folder: Path) -> None:
    assert of(measured(folder, "--rename", "PERSON=CREDIT_CARD"), "CREDIT_CARD")[:2] == (1, 1)
    done = kit.run(folder, "policies", "test", "./mine.yaml", "--data", "data.jsonl", "--rename", "PERSON")
    assert done.returncode == 2
    assert "LABEL=ENTITY" in done.stderr


def test_people_get_a_table(folder: Path) -> None:
    status, seen = at_a_terminal(folder, "policies", "test", "./mine.yaml", "--data", "data.jsonl")
    assert status == 0
    lines = [line.split() for line in seen.splitlines()]
    assert ["EMAIL_ADDRESS", "2", "2", "1.000", "1.000", "1.000"] in lines
    assert ["PERSON", "1", "0", "-", "0.000", "0.000"] in lines
    assert ["CREDIT_CARD", "0", "1", "0.000", "-", "-"] in lines
    assert "1 of another stage left out" in seen
    status, seen = at_a_terminal(folder, "policies", "test", "./mine.yaml", "--data", "data.jsonl", "--format", "json")
    assert '"matching":"overlap"' in seen
    done = kit.run(folder, "policies", "test", "./mine.yaml", "--data", "data.jsonl", "--format", "table")
    assert "EMAIL_ADDRESS" in done.stdout
    assert "{" not in done.stdout


def test_bad_lines_are_named_and_nothing_is_judged(folder: Path) -> None:
    (folder / "data.jsonl").write_text('{"text": "fine", "entities": []}\nnonsense\n{"text": 5}\n')
    done = kit.run(folder, "policies", "test", "./mine.yaml", "--data", "data.jsonl")
    assert (done.returncode, done.stdout) == (1, "")
    assert [line.split(": ")[0] for line in done.stderr.splitlines()] == ["data.jsonl:2", "data.jsonl:3"]


def test_texts_that_could_not_be_judged_are_a_fault(folder: Path) -> None:
    done = kit.run(folder, "policies", "test", "./remote.yaml", "--data", "data.jsonl")
    assert done.returncode == 1
    assert done.stderr.startswith("remote.yaml: 4 texts not judged: webhook: ")
    (row,) = json.loads(done.stdout)["data"]
    assert sum(row["measured"]["failures"].values()) == 4


def test_data_of_a_stage_the_policy_does_not_look_at_is_a_fault(folder: Path) -> None:
    (folder / "data.jsonl").write_text('{"text": "fine", "stage": "output", "entities": []}\n')
    done = kit.run(folder, "policies", "test", "./mine.yaml", "--data", "data.jsonl")
    assert done.returncode == 1
    assert done.stderr == "mine.yaml: no text of the data is of a stage that this policy looks at\n"


def test_what_one_guard_blocks_the_others_judge_too(folder: Path) -> None:
    (folder / "mine.yaml").write_text(
        "policy: mine\nversion: 1\nguards:\n  - pii: {entities: {EMAIL_ADDRESS: block}}\n  - limits: {characters: 5}\n"
    )
    line = {"text": "bob@corp.example.com", "entities": [{"type": "EMAIL_ADDRESS", "start": 0, "end": 20}]}
    (folder / "data.jsonl").write_text(json.dumps({**line, "entities": [*line["entities"], {"type": "size"}]}))
    done = kit.run(folder, "policies", "test", "./mine.yaml", "--data", "data.jsonl")
    said = json.loads(done.stdout)["data"][0]["measured"]
    assert len([row for row in said["entities"] if row["found"]]) == 2, said


def test_the_help_shows_the_form_of_the_data(folder: Path) -> None:
    done = kit.run(folder, "policies", "test", "--help")
    example = next(line for line in done.stdout.splitlines() if line.strip().startswith('{"text"'))
    (folder / "data.jsonl").write_text(example)
    assert of(measured(folder), "EMAIL_ADDRESS")[:3] == (1, 1, 1)
