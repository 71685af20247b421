"""When two requests are the same."""

from dataclasses import fields, replace

import pytest

from gateway.exchange import Exchange
from gateway.principal import MASTER_PRINCIPAL, Principal
from gateway.routing.reuse import keys
from gateway.types import CompletionRequest

REQUEST = CompletionRequest("m", ("Say this is a test",))
KEY = Principal("key", "key_1", "mine")


def asked(
    request: CompletionRequest = REQUEST,
    principal: Principal | None = KEY,
    end_user: str | None = None,
    tags: tuple[str, ...] = (),
    served_by: str = "",
) -> str | None:
    exchange = Exchange("req_1", "POST", "/v1/completions")
    exchange.principal, exchange.end_user, exchange.tags = principal, end_user, tags
    return keys.key(request, exchange, served_by)


DIFFERENT = {
    "model": "n",
    "prompts": ("Say this is no test",),
    "suffix": "",
    "max_tokens": 17,
    "n": 2,
    "best_of": 2,
    "echo": True,
    "logprobs": 0,
    "temperature": 0,
    "top_p": 0.5,
    "presence_penalty": 1,
    "frequency_penalty": 1,
    "seed": 1,
    "stop": ("\n",),
    "logit_bias": {"5": 1.0},
}


@pytest.mark.parametrize("name", keys.ASKED)
def test_another_value_of_what_the_answer_hangs_on_is_another_request(name):
    assert asked(replace(REQUEST, **{name: DIFFERENT[name]})) != asked()


def test_a_parameter_that_is_passed_on_counts_too():
    assert asked(replace(REQUEST, extra={"top_k": 1})) != asked()
    assert asked(replace(REQUEST, extra={"top_k": 1})) != asked(replace(REQUEST, extra={"top_k": 2}))
    one, other = {"top_k": 1, "min_p": 0.1}, {"min_p": 0.1, "top_k": 1}
    assert asked(replace(REQUEST, extra=one)) == asked(replace(REQUEST, extra=other))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("user", "u"),
        ("metadata", {"trace": "1"}),
        ("safety_identifier", "s"),
        ("stream", True),
        ("include_usage", True),
        ("given", frozenset({"prompt", "user", "metadata", "stream"})),
    ],
)
def test_how_and_for_whom_it_is_written_does_not(name, value):
    assert asked(replace(REQUEST, **{name: value})) == asked()


def test_every_field_of_a_request_is_either_part_of_the_key_or_left_out():
    assert {field.name for field in fields(CompletionRequest)} == {
        *keys.ASKED, *keys.LEFT_OUT, "extra", "given", "tags"
    }  # fmt: skip


def test_no_two_tenants_have_the_same_key():
    tenants = [
        {"principal": None},
        {"principal": None, "end_user": "u"},
        {"principal": MASTER_PRINCIPAL},
        {"principal": KEY},
        {"principal": KEY, "end_user": "u"},
        {"principal": KEY, "end_user": "v"},
        {"principal": Principal("key", "key_2", "mine")},
        {"principal": Principal("key", "key_2", "mine"), "end_user": "u"},
        {"principal": Principal("jwt", "jwt_1", "jwt")},
        {"principal": Principal("jwt", "jwt_1", "jwt:a", team="a")},
        {"principal": Principal("jwt", "jwt_1", "jwt:b", team="b")},
    ]
    assert len({asked(**tenant) for tenant in tenants}) == len(tenants)


def test_names_that_run_together_are_still_two_tenants():
    assert asked(principal=Principal("key", "ab", ""), end_user="c") != asked(
        principal=Principal("key", "a", ""), end_user="bc"
    )


def test_tags_choose_deployments_and_so_do_configurations():
    assert asked(tags=("a",)) != asked()
    assert asked(served_by="another") != asked()


def test_a_parameter_that_is_written_out_is_not_one_that_is_left_to_the_operator():
    assert asked(replace(REQUEST, max_tokens=16, given=frozenset({"max_tokens"}))) != asked()


def test_token_ids_are_not_the_text_that_looks_like_them():
    assert asked(replace(REQUEST, prompts=((1, 2),))) != asked(replace(REQUEST, prompts=("[1,2]",)))


def test_a_key_tells_nothing_of_the_request():
    found = asked(replace(REQUEST, prompts=("x" * 100_000,)))
    assert found is not None
    assert len(found) == 64
    int(found, 16)


def test_what_json_cannot_say_has_no_key():
    assert asked(replace(REQUEST, prompts=("\ud800",))) is None


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (REQUEST, False),
        (replace(REQUEST, temperature=0), True),
        (replace(REQUEST, temperature=0.0), True),
        (replace(REQUEST, temperature=0.1), False),
        (replace(REQUEST, temperature=1, seed=0), True),
    ],
)
def test_a_request_without_chance_in_it_is_deterministic(request_, said):
    assert keys.deterministic(request_) is said


@pytest.mark.parametrize(
    ("header", "fresh", "unkept"),
    [
        (None, False, False),
        ("", False, False),
        ("max-age=60", False, False),
        ("no-cache", True, False),
        ("No-Cache, foo", True, False),
        ("max-age = 0", True, False),
        ("no-store", True, True),
        ("no-cache,no-store", True, True),
        ("xno-store", False, False),
    ],
)
def test_a_client_may_forbid_both(header, fresh, unkept):
    assert keys.forbidden(header) == (fresh, unkept)
