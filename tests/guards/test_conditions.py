"""CEL over a request: names and types are checked when it is compiled, and what goes wrong later is an error."""

import subprocess
import sys

import pytest

from gateway.guards.base import Context
from gateway.guards.conditions import VARIABLES, ConditionError, ConditionFault, compiled, request_values
from gateway.guards.load import loads

CONTEXT = Context("input", "gpt-4", "ann", "team-a", ("beta", "eu"), "r1")
NOBODY = Context("output")


def holds(source, context=CONTEXT):
    return compiled(source).holds(request_values(context))


def fault(source):
    with pytest.raises(ConditionFault) as caught:
        compiled(source)
    return str(caught.value)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('request.model != "internal-llm" && size(request.tags) > 0', True),
        ('request.tags.exists(t, t == "eu")', True),
        ('"eu" in request.tags', True),
        ('request.tags.all(t, t.startsWith("e"))', False),
        ('request.end_user == "ann" && request.key == "team-a"', True),
        ('request.stage == "output"', False),
        ("request.stream", False),
        ("request.max_tokens > 100", False),
        ('request.model.matches("^gpt-[0-9]+$")', True),
        ('request.model in ["gpt-4", "gpt-5"] ? request.max_tokens == 16 : false', True),
        ("true", True),
    ],
)
def test_an_expression_reads_the_request(source, expected):
    assert holds(source) is expected


def test_what_a_request_does_not_have_is_an_empty_text():
    assert holds('request.end_user == "" && request.key == "" && request.tags.size() == 0', NOBODY)


def test_the_stream_and_the_bound_of_tokens_are_the_request_s():
    assert holds("request.stream && request.max_tokens == 4096", Context("input", stream=True, max_tokens=4096))


def test_every_name_that_is_offered_has_a_value():
    assert set(request_values(NOBODY)) == set(VARIABLES)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ('request.modl == "x"', 'unknown name "request.modl"; did you mean "request.model"? (character 8)'),
        ("request.tag.size() > 0", 'unknown name "request.tag"; did you mean "request.tags"? (character 8)'),
        ('user == "x"', 'unknown name "user" (character 1)'),
        ('request["model"] == "x"', 'unknown name "request"; did you mean "request.key"? (character 1)'),
        ('upper(request.model) == "X"', 'unknown name "upper" (character 6)'),
        ('request.model == "x" &&\nrequest.tagz.size() > 0', 'unknown name "request.tagz"; did you mean '
         '"request.tags"? (line 2 of the expression)'),
        ("request.model == 1", "== does not take (string, int) (character 15)"),
        ("request.model + 1 == 2", "+ does not take (string, int) (character 15)"),
        ("request.max_tokens && true", "&& does not take (int, bool) (character 20)"),
        ("size(request.stream) == 1", "size does not take (bool) (character 5)"),
        ("request.end_user == null", "== does not take (string, null_type) (character 18)"),
        ("request.model", "must be true or false, not string"),
        ("request.max_tokens + 1", "must be true or false, not int"),
        ("request.tags", "must be true or false, not list<string>"),
        ("1 +", "is not a CEL expression (character 4)"),
        ("request.model = 'x'", "is not a CEL expression (character 15)"),
        ("", "is not a CEL expression (character 1)"),
    ],
)  # fmt: skip
def test_an_expression_that_does_not_fit_together_is_refused_with_its_place(source, message):
    assert fault(source) == message


@pytest.mark.parametrize(
    "source",
    ["request.max_tokens / 0 == 1", 'request.tags[7] == "x"', 'request.model.matches("(")', "int(request.model) == 1"],
)
def test_an_expression_without_a_value_is_an_error_and_not_false(source):
    with pytest.raises(ConditionError):
        holds(source)


def test_an_expression_cannot_run_for_ever():
    many = Context("input", tags=tuple(map(str, range(2_000))))
    with pytest.raises(ConditionError):
        holds("request.tags.all(a, request.tags.all(b, request.tags.all(c, a + b != c)))", many)


def test_a_value_out_of_range_is_an_error():
    with pytest.raises(ConditionError):
        holds("request.max_tokens > 1", Context("input", max_tokens=2**70))


def test_the_document_keeps_the_compiled_condition():
    text = 'policy: p\nversion: 1\nstages: [output]\nguards: [{schema: {json_schema: {}}}]\nwhen: "request.stream"'
    condition = loads(text, environ={}).condition
    assert condition is not None
    assert condition.holds(request_values(Context("output", stream=True)))
    assert not condition.holds(request_values(NOBODY))
    assert loads(text.rpartition("\n")[0], environ={}).condition is None


def test_the_library_is_not_loaded_until_a_policy_has_a_condition():
    said = subprocess.run(
        [sys.executable, "-c", "import sys, gateway.guards.load; print('cel_expr_python' in sys.modules)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert said.stdout.strip() == "False"
