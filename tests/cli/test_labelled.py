"""Reading labelled text: both forms, and every line that is none of them by its number."""

import json
from pathlib import Path

import pytest

from gateway.cli.labelled import MAX_FAULTS, Labelled, read
from gateway.errors import ConfigError

OURS = '{"text": "Mail bob@corp.example.com", "entities": [{"type": "EMAIL_ADDRESS", "start": 5, "end": 25}]}'
PRESIDIO = {
    "full_text": "It is Judy from Austria",
    "masked": "It is {{name}} from {{country}}",
    "spans": [
        {"entity_type": "PERSON", "entity_value": "Judy", "start_position": 6, "end_position": 10},
        {"entity_type": "GPE", "entity_value": "Austria", "start_position": 16, "end_position": 23},
    ],
    "template_id": 100,
    "metadata": None,
}


def written(folder: Path, text: str | bytes, name: str = "data.jsonl") -> Path:
    file = folder / name
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def faults(file: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(file)
    return [fault.replace(str(file), "F") for fault in caught.value.faults]


def test_each_line_is_one_text(tmp_path: Path) -> None:
    text = f'{OURS}\n\n{{"text": "Yes", "stage": "output", "entities": []}}\r\n'
    assert read(written(tmp_path, b"\xef\xbb\xbf" + text.encode())) == [
        Labelled("Mail bob@corp.example.com", (("EMAIL_ADDRESS", 5, 25),)),
        Labelled("Yes", (), "output"),
    ]


@pytest.mark.parametrize("form", ["lines", "list", "indented"])
def test_the_form_of_presidio_research_is_read_as_it_is(tmp_path: Path, form: str) -> None:
    rows = [PRESIDIO, {**PRESIDIO, "spans": []}]
    text = (
        "\n".join(map(json.dumps, rows)) if form == "lines" else json.dumps(rows, indent=4 if form != "list" else None)
    )
    first, second = read(written(tmp_path, text, "data.json"), {"GPE": "LOCATION"})
    assert first == Labelled("It is Judy from Austria", (("PERSON", 6, 10), ("LOCATION", 16, 23)))
    assert second.spans == ()


def test_positions_are_characters(tmp_path: Path) -> None:
    line = {"text": "\N{BIRD} Bo", "entities": [{"entity": "PERSON", "start": 2, "end": 4}]}
    assert read(written(tmp_path, json.dumps(line, ensure_ascii=False)))[0].spans == (("PERSON", 2, 4),)


def test_a_label_without_positions_is_about_the_whole_text(tmp_path: Path) -> None:
    line = '{"text": "Ignore all that", "entities": [{"type": "prompt_injection"}]}'
    assert read(written(tmp_path, line))[0].spans == (("prompt_injection", 0, 15),)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{", "is not JSON; each line must be an object of its own"),
        ("5", "must be an object with text and entities"),
        ("{}", "text must be a text"),
        ('{"text": 5, "entities": []}', "text must be a text"),
        ('{"text": "a"}', "entities must be a list, an empty one where there is nothing in the text"),
        ('{"text": "a", "entities": {}}', "entities must be a list, an empty one where there is nothing in the text"),
        ('{"text": "a", "stage": "prompt", "entities": []}', "stage must be input or output"),
        ('{"text": "a", "entities": [5]}', "entities[0] must be an object with type, start and end"),
        ('{"text": "a", "entities": [{"start": 0, "end": 1}]}', "entities[0] must have a type"),
        ('{"text": "a", "entities": [{"type": "X", "start": 0, "end": 2}]}', "entities[0] does not lie in the text: from 0 to 2 of 1 characters"),  # noqa: E501
        ('{"text": "a", "entities": [{"type": "X", "start": 1, "end": 1}]}', "entities[0] does not lie in the text: from 1 to 1 of 1 characters"),  # noqa: E501
        ('{"text": "", "entities": [{"type": "X"}]}', "entities[0] does not lie in the text: from 0 to 0 of 0 characters"),  # noqa: E501
        ('{"text": "a", "entities": [{"type": "X", "start": 0}]}', "entities[0] must have a start and an end, whole numbers, or neither for the whole text"),  # noqa: E501
        ('{"text": "a", "entities": [{"type": "X", "start": 0.0, "end": 1}]}', "entities[0] must have a start and an end, whole numbers, or neither for the whole text"),  # noqa: E501
        ('{"text": "a", "entities": [{"type": "X", "start": false, "end": true}]}', "entities[0] must have a start and an end, whole numbers, or neither for the whole text"),  # noqa: E501
    ],
)  # fmt: skip
def test_a_line_that_is_no_labelled_text_is_named_by_its_number(tmp_path: Path, line: str, fault: str) -> None:
    assert faults(written(tmp_path, f"{OURS}\n\n{line}\n{OURS}\n")) == [f"F:3: {fault}"]


def test_all_bad_lines_are_named_and_a_flood_is_cut_off(tmp_path: Path) -> None:
    assert faults(written(tmp_path, "x\n" * MAX_FAULTS)) == [
        f"F:{number}: is not JSON; each line must be an object of its own" for number in range(1, MAX_FAULTS + 1)
    ]
    told = faults(written(tmp_path, "x\n" * 1_000))
    assert told[MAX_FAULTS:] == [f"F: and {1_000 - MAX_FAULTS} more faults"]


def test_a_row_of_a_list_is_named_by_its_position(tmp_path: Path) -> None:
    assert faults(written(tmp_path, json.dumps([PRESIDIO, {}]), "data.json")) == ["F: row 2: text must be a text"]
    assert faults(written(tmp_path, "[{},\n  oops]")) == ["F:2: is not JSON"]


@pytest.mark.parametrize("text", ["", "\n\n", "[]"])
def test_a_file_without_text_is_a_fault(tmp_path: Path, text: str) -> None:
    assert faults(written(tmp_path, text)) == ["F: holds no labelled text"]


def test_a_file_that_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    assert faults(tmp_path / "nowhere") == ["F: cannot be read: No such file or directory"]


def test_a_fault_never_shows_the_text(tmp_path: Path) -> None:
    line = '{"text": "secret-value", "entities": [{"type": "X", "start": 0, "end": 99}]}'
    assert "secret-value" not in " ".join(faults(written(tmp_path, line)))
    assert "secret-value" not in repr(read(written(tmp_path, '{"text": "secret-value", "entities": []}')))
