"""The client's request: what is taken, what is refused, and with which words."""

import orjson
import pytest

from gateway.errors import GatewayError, InvalidJson, InvalidType, InvalidValue, MissingParameter
from gateway.wire.completions import MAX_CHOICES, parse, with_defaults


def request(**fields: object):
    return parse(orjson.dumps({"model": "m", "prompt": "p", **fields}))


def test_the_defaults_are_openais():
    found = request()
    assert (found.max_tokens, found.n, found.echo, found.stream, found.best_of) == (16, 1, False, False, None)
    assert (found.temperature, found.stop, found.logprobs, found.extra) == (None, (), None, {})


@pytest.mark.parametrize(
    ("prompt", "prompts"),
    [
        ("a", ("a",)),
        ("", ("",)),
        (["a", "b"], ("a", "b")),
        ([1, 2], ((1, 2),)),
        ([[1], [2, 3]], ((1,), (2, 3))),
    ],
)
def test_every_form_of_prompt_is_read(prompt, prompts):
    assert request(prompt=prompt).prompts == prompts


@pytest.mark.parametrize(
    ("prompt", "error"),
    [
        ([], InvalidValue), ([[]], InvalidValue), ([-1], InvalidValue), ([2**40], InvalidValue),
        (["a", 1], InvalidType), ([1, "a"], InvalidType), ([[1], "a"], InvalidType), ([["a"]], InvalidType),
        ([1.5], InvalidType), ([True], InvalidType), ([None], InvalidType), ({}, InvalidType), (5, InvalidType),
    ],
)  # fmt: skip
def test_a_prompt_of_another_form_is_refused_by_name(prompt, error):
    with pytest.raises(error) as refused:
        request(prompt=prompt)
    assert refused.value.param == "prompt"
    assert refused.value.status == 400


@pytest.mark.parametrize("missing", ["model", "prompt"])
@pytest.mark.parametrize("null", [True, False])
def test_what_is_required_is_asked_for(missing, null):
    body = {"model": "m", "prompt": "p"}
    body = {**body, missing: None} if null else {k: v for k, v in body.items() if k != missing}
    with pytest.raises(MissingParameter) as refused:
        parse(orjson.dumps(body))
    assert refused.value.param == missing


WRONG = [
    ("max_tokens", -1), ("max_tokens", "7"), ("max_tokens", 7.5), ("max_tokens", True), ("max_tokens", 2**31),
    ("n", 0), ("n", 129), ("best_of", 0), ("best_of", 21), ("echo", "true"), ("echo", 1), ("logprobs", 6),
    ("logprobs", -1), ("logprobs", True), ("temperature", 2.1), ("temperature", -0.1), ("temperature", "hot"),
    ("top_p", 1.1), ("presence_penalty", -2.1), ("frequency_penalty", 2.1), ("seed", 2**63), ("seed", "x"),
    ("stop", 5), ("stop", ["a"] * 5), ("stop", [1]), ("stop", ""), ("stop", ["a", ""]), ("logit_bias", []),
    ("logit_bias", {"x": 1}), ("logit_bias", {"1": 101}), ("logit_bias", {"1": "1"}), ("logit_bias", {"-1": 1}),
    ("user", 5), ("stream", "yes"), ("stream_options", {}), ("stream_options", {"include_usage": True}),
    ("metadata", "x"), ("tags", [1]), ("safety_identifier", 1), ("suffix", 1), ("model", 5), ("model", " "),
    ("model", "m" * 513), ("max_tokens", 0),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_value_out_of_range_is_refused_by_name(name, value):
    with pytest.raises((InvalidType, InvalidValue)) as refused:
        request(**{name: value})
    assert refused.value.param == name
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"best_of": 1, "n": 2}, "best_of"),
        ({"best_of": 2, "stream": True}, "best_of"),
        ({"stream": True, "stream_options": {"include_usage": 1}}, "stream_options"),
        ({"stream": True, "stream_options": {"other": 1}}, "stream_options"),
        ({"stream": True, "stream_options": {"include_obfuscation": True}}, "stream_options"),
        ({"prompt": ["p"] * (MAX_CHOICES // 128 + 1), "n": 128}, "prompt"),
    ],
)
def test_parameters_that_contradict_each_other_are_refused(fields, param):
    with pytest.raises((InvalidType, InvalidValue)) as refused:
        request(**fields)
    assert refused.value.param == param


@pytest.mark.parametrize("name", ["suffix", "n", "stop", "logprobs", "stream", "stream_options", "user", "top_k"])
def test_null_is_an_absent_parameter(name):
    assert request(**{name: None}) == request()


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"x"', b"\xff", b"NaN", b'{"a": 1e400}', b'{"a": NaN}', b"[" * 5000, b'{"a": "\\ud800"}'],
)
def test_a_body_that_is_not_a_json_object_is_invalid_json(body):
    with pytest.raises(InvalidJson):
        parse(body)


def test_of_duplicate_keys_the_last_one_counts():
    assert parse(b'{"model": "a", "prompt": "p", "model": "b"}').model == "b"


def test_what_openai_does_not_know_is_kept_for_the_provider_to_judge():
    assert request(top_k=5, guided_json={"a": 1}).extra == {"top_k": 5, "guided_json": {"a": 1}}


def test_an_integer_written_as_a_float_is_an_integer():
    assert request(max_tokens=5.0).max_tokens == 5


def test_the_model_in_the_path_wins():
    assert parse(b'{"prompt": "p", "model": "other"}', "mine").model == "mine"
    assert parse(b'{"prompt": "p"}', "mine").model == "mine"


def test_no_message_repeats_what_was_sent():
    for name, value in WRONG:
        with pytest.raises(GatewayError) as refused:
            request(**{name: value})
        assert "Traceback" not in refused.value.message
        assert repr(value) not in refused.value.message or isinstance(value, int | float)


def test_the_operators_defaults_fill_what_the_client_left_out():
    found = with_defaults(request(temperature=0.5), {"temperature": 1, "max_tokens": 99, "stop": "x"})
    assert (found.temperature, found.max_tokens, found.stop) == (0.5, 99, ("x",))


def test_a_default_that_contradicts_the_client_is_refused():
    with pytest.raises(InvalidValue):
        with_defaults(request(n=3), {"best_of": 2})
