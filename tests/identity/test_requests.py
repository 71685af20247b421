"""What an administrator may lay down: every field strict and bounded, every refusal with its field and no value."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import RequestError
from gateway.identity.requests import EndUserChange, KeyChange, KeyRequest, made, read, seconds, time_text
from gateway.principal import Budget, Limits, clean_name
from gateway.wire import json


def refused(model: Any, value: Any) -> tuple[str | None, str | None, str]:
    with pytest.raises(RequestError) as error:
        made(model, value).fields()
    return error.value.param, error.value.code, error.value.message


def said(model: Any, value: Any) -> str:
    """What a request of this body is refused with; empty where it is taken. Anything else that is raised is a fault."""
    try:
        read(model, json.dumps(value)).fields()
    except RequestError as error:
        return error.message
    return ""


FAULTS = [
    ({}, "alias", "missing_required_parameter"),
    ({"alias": None}, "alias", "invalid_type"),
    ({"alias": ""}, "alias", "invalid_value"),
    ({"alias": 7}, "alias", "invalid_type"),
    ({"alias": "x" * 257}, "alias", "invalid_value"),
    ({"alias": "a\r\nx-admin: 1"}, "alias", "invalid_value"),
    ({"alias": "a\0"}, "alias", "invalid_value"),
    ({"alias": " a"}, "alias", "invalid_value"),
    ({"alias": "e\u0301"}, "alias", "invalid_value"),
    ({"alias": "master"}, "alias", "invalid_value"),
    ({"alias": "MASTER"}, "alias", "invalid_value"),
    ({"alias": "jwt"}, "alias", "invalid_value"),
    ({"alias": "jwt:payments"}, "alias", "invalid_value"),
    ({"alias": "a", "is_admin": True}, "is_admin", "invalid_value"),
    ({"alias": "a", "id": "key_1"}, "id", "invalid_value"),
    ({"alias": "a", "digest": "00"}, "digest", "invalid_value"),
    ({"alias": "a", "models": "demo"}, "models", "invalid_type"),
    ({"alias": "a", "models": [7]}, "models.0", "invalid_type"),
    ({"alias": "a", "models": ["x"] * 257}, "models", "invalid_value"),
    ({"alias": "a", "scopes": ["admin"]}, "scopes.0", "invalid_value"),
    ({"alias": "a", "scopes": []}, "scopes", "invalid_value"),
    ({"alias": "a", "tags": [""]}, "tags.0", "invalid_value"),
    ({"alias": "a", "end_user": "b\u200bob"}, "end_user", "invalid_value"),
    ({"alias": "a", "expires_at": 1}, "expires_at", "invalid_type"),
    ({"alias": "a", "expires_at": "tomorrow"}, "expires_at", "invalid_value"),
    ({"alias": "a", "expires_at": "2030-01-01T00:00:00"}, "expires_at", "invalid_value"),
    ({"alias": "a", "budget": 5}, "budget", "invalid_type"),
    ({"alias": "a", "budget": {"max_usd": -1}}, "budget.max_usd", "invalid_value"),
    ({"alias": "a", "budget": {"max_usd": "5"}}, "budget.max_usd", "invalid_type"),
    ({"alias": "a", "budget": {"period": "1y"}}, "budget.period", "invalid_value"),
    ({"alias": "a", "budget": {"spent": 0}}, "budget.spent", "invalid_value"),
    ({"alias": "a", "limits": {"rpm": 0}}, "limits.rpm", "invalid_value"),
    ({"alias": "a", "limits": {"rpm": True}}, "limits.rpm", "invalid_type"),
    ({"alias": "a", "metadata": {"x" * 65: 1}}, "metadata", "invalid_value"),
    ({"alias": "a", "metadata": {str(n): n for n in range(33)}}, "metadata", "invalid_value"),
    ({"alias": "a", "metadata": []}, "metadata", "invalid_type"),
]


@pytest.mark.parametrize(("value", "param", "code"), FAULTS)
def test_a_fault_is_named_by_its_field(value, param, code):
    found = refused(KeyRequest, value)
    assert found[:2] == (param, code)
    assert found[2].endswith(".")
    assert "\n" not in found[2]


def test_no_message_holds_a_value():
    canary = "canary-7f3a"
    for name in ("alias", "models", "scopes", "tags", "end_user", "expires_at", "budget", "limits", "metadata"):
        for value in (canary + "\n", [canary + "\n"], {"x": [canary]}):
            assert canary not in said(KeyRequest, {"alias": "a", name: value})


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"7", b"{", b'"x"', b"\xff", b'{"alias": "\\ud800"}'])
def test_a_body_that_is_no_object_is_no_request(body):
    with pytest.raises(RequestError) as error:
        read(KeyRequest, body)
    assert error.value.code == "invalid_json"


def test_what_is_given_is_given_on_in_the_records_kinds_of_values():
    asked = made(
        KeyRequest,
        {
            "alias": "a", "models": ["x", "x", "y"], "tags": ["t"], "expires_at": "2030-01-01T01:00:00+01:00",
            "budget": {"max_usd": 0.1, "period": "1d"}, "limits": {"rpm": 5}, "metadata": {"x": 1.5},
        },
    )  # fmt: skip
    assert asked.fields() == {
        "alias": "a",
        "models": ("x", "y"),
        "tags": ("t",),
        "expires_at": 1_893_456_000,
        "budget": Budget(Decimal("0.1"), None, "1d"),
        "limits": Limits(5),
        "metadata": {"x": 1.5},
    }


def test_null_takes_away_and_silence_leaves():
    assert made(KeyChange, {}).fields() == {}
    names = ("models", "scopes", "tags", "end_user", "default_end_user", "expires_at", "budget", "limits", "metadata")
    assert made(KeyChange, dict.fromkeys(names)).fields() == {
        **dict.fromkeys(("end_user", "default_end_user", "expires_at", "budget", "limits")),
        "models": (),
        "scopes": ("completions",),
        "tags": (),
        "metadata": {},
    }
    assert refused(KeyChange, {"alias": None})[0] == "alias"
    assert made(EndUserChange, {"blocked": None, "budget": {}}).fields() == {"blocked": False, "budget": None}


@given(st.text(min_size=1, max_size=300))
def test_a_name_is_taken_exactly_when_requests_can_give_it(name):
    is_refused = said(KeyRequest, {"alias": "a", "end_user": name}).startswith("end_user ")
    assert is_refused == (clean_name(name) != name)


plain = st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5)
nested = st.recursive(plain, lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=5), x, max_size=3))


@given(nested)
def test_no_json_value_is_a_fault_of_the_gateway(value):
    for name in ("alias", "models", "expires_at", "budget", "limits", "metadata"):
        said(KeyRequest, {"alias": "a", name: value})


@given(st.integers(0, 4_000_000_000))
def test_times_are_read_as_they_are_written(at):
    text = time_text(at)
    assert text is not None
    assert seconds(text) == at
