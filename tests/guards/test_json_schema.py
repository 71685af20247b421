"""The guard `schema`: answers that must be JSON of a certain form."""

import asyncio
import socket

import pytest

from gateway.errors import ConfigError
from gateway.guards.base import Context, Finding, Text
from gateway.guards.load import build, loads
from gateway.guards.ports import Ports

SCHEMA = "{type: object, required: [name], properties: {name: {type: string, pattern: '^[a-z]+$'}, n: {type: integer}}}"
CONTEXT = Context("output")


def guard(schema=SCHEMA, more=""):
    text = f"policy: p\nversion: 1\nstages: [output]\nguards: [{{schema: {{json_schema: {schema}{more}}}}}]"
    return build(loads(text, environ={}), Ports())[0]


def rules(answer, schema=SCHEMA, path="choices[0].text"):
    return [each.rule for each in asyncio.run(guard(schema).check([Text(path, answer)], CONTEXT))]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ('{"name": "ann"}', []),
        (' {"name": "ann", "n": 5, "more": null}\n', []),
        ("{}", ["required"]),
        ('{"name": "Ann"}', ["pattern"]),
        ('{"name": "ann", "n": 5.5}', ["type"]),
        ("[]", ["type"]),
        ("", ["not-json"]),
        ('{"name": "ann"', ["not-json"]),
        ('Here you are: {"name": "ann"}', ["not-json"]),
        ('```json\n{"name": "ann"}\n```', ["not-json"]),
        ('{"name": NaN}', ["not-json"]),
        ("[" * 100_000, ["not-json"]),
    ],
)
def test_an_answer_must_be_json_that_fits(answer, expected):
    assert rules(answer) == expected


def test_a_finding_is_about_the_whole_answer_and_holds_none_of_it():
    found = asyncio.run(guard(more=", action: flag").check([Text("choices[1].text", '{"ponies": 1}')], CONTEXT))
    assert found == [Finding("schema", "required", "schema", "flag", "choices[1].text", 0, 0, 1.0)]


def test_every_answer_is_judged_and_what_is_beside_an_answer_is_not():
    texts = [Text(f"choices[{n}].text", "x") for n in range(3)] + [
        Text("choices[0].reasoning", "x"),
        Text("choices[0].message.provider", "x"),
    ]
    assert [each.path for each in asyncio.run(guard().check(texts, CONTEXT))] == [text.path for text in texts[:3]]


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ("{type: objekt}", "is not a JSON Schema that can be used"),
        ("{properties: {a: {pattern: '('}}}", "is not a JSON Schema that can be used"),
        ("{pattern: '(?=a)b'}", "is not a JSON Schema that can be used"),
        ("{$ref: 'https://example.com/x.json'}", "is not a JSON Schema that can be used"),
        ("{$ref: 'file:///etc/hostname'}", "is not a JSON Schema that can be used"),
        ("{$ref: '#/nowhere'}", "is not a JSON Schema that can be used"),
        ("{$schema: 'https://example.com/mine'}", "is not a JSON Schema that can be used"),
        ("5", "must be a mapping"),
    ],
)
def test_a_schema_that_cannot_be_used_is_a_fault_of_the_document(schema, message, monkeypatch):
    monkeypatch.setattr(socket, "socket", None)  # nothing is fetched, not even to find out
    with pytest.raises(ConfigError, match=message) as caught:
        guard(schema)
    (fault,) = caught.value.faults
    assert fault.startswith("policy:4: guards[0].schema.json_schema: ")


def test_references_inside_a_schema_and_formats_are_followed():
    schema = "{$defs: {m: {type: string, format: email}}, type: array, items: {$ref: '#/$defs/m'}}"
    assert rules('["ann@example.com"]', schema) == []
    assert rules('["ann"]', schema) == ["format"]


def test_a_hostile_answer_does_not_make_a_pattern_slow():
    assert rules('{"name": "' + "a" * 1_000_000 + '!"}', "{properties: {name: {pattern: '^(a+)+$'}}}") == ["pattern"]
