"""A text completion as calls: exact where the provider can, emulated where we can, refused by name elsewhere."""

import pytest

from gateway.errors import InvalidValue, UnsupportedParameter
from gateway.providers.base import Level, Support
from gateway.providers.parameters import RESERVED, Shape
from gateway.providers.registry import PROVIDERS
from gateway.providers.translation import CONTINUATION_PROMPT, translate
from gateway.types import CompletionRequest, Message

CHAT = PROVIDERS["openai"].support
TEXT = PROVIDERS["text-completion-openai"].support
ONE_AT_A_TIME = CHAT.but(n=Level.EMULATED)


def request(*prompts: object, **fields: object) -> CompletionRequest:
    return CompletionRequest("m", prompts or ("p",), **fields)  # type: ignore[arg-type]


def shape(support: Support = CHAT, **fields: object) -> Shape:
    return Shape("p", support, **fields)  # type: ignore[arg-type]


def test_each_prompt_is_one_user_message_of_its_own_call():
    found = translate(request("a", "b"), shape())
    assert [(placed.first, placed.call.messages) for placed in found.calls] == [
        (0, (Message("user", "a"),)),
        (1, (Message("user", "b"),)),
    ]


def test_n_is_asked_at_once_where_the_provider_can():
    found = translate(request("a", "b", n=3), shape())
    assert [(placed.first, placed.call.n) for placed in found.calls] == [(0, 3), (3, 3)]


def test_n_is_that_many_calls_elsewhere_each_with_a_seed_of_its_own():
    found = translate(request("a", "b", n=2, seed=7), shape(ONE_AT_A_TIME))
    assert [(placed.first, placed.call.n, placed.call.seed) for placed in found.calls] == [
        (0, 1, 7),
        (1, 1, 8),
        (2, 1, 7),
        (3, 1, 8),
    ]


def test_n_beyond_the_providers_bound_is_split():
    found = translate(request(n=10), shape(CHAT.but(max_n=4)))
    assert [(placed.first, placed.call.n) for placed in found.calls] == [(0, 4), (4, 4), (8, 2)]


def test_a_continuation_model_is_told_to_continue():
    found = translate(request("Once upon"), shape(continuation=CONTINUATION_PROMPT))
    assert found.calls[0].call.messages == (Message("system", CONTINUATION_PROMPT), Message("user", "Once upon"))


def test_best_of_is_emulated_with_logprobs_that_nobody_asked_for():
    found = translate(request(best_of=4, n=2), shape())
    assert (found.best_of, found.n, found.keep_logprobs) == (4, 2, False)
    assert (found.calls[0].call.n, found.calls[0].call.logprobs, found.calls[0].call.best_of) == (4, 0, None)


def test_best_of_is_passed_to_a_provider_that_has_it():
    call = translate(request(best_of=4, n=2), shape(TEXT)).calls[0].call
    assert (call.n, call.best_of, call.logprobs) == (2, 4, None)


def test_best_of_that_equals_n_chooses_nothing():
    assert translate(request(best_of=2, n=2), shape()).best_of is None


def test_echo_is_ours_unless_the_prompts_logprobs_are_wanted():
    found = translate(request("a", echo=True), shape(TEXT))
    assert (found.echo, found.calls[0].call.echo) == (("a",), False)
    found = translate(request("a", echo=True, logprobs=1), shape(TEXT))
    assert (found.echo, found.calls[0].call.echo) == (None, True)


def test_echo_with_logprobs_is_refused_where_prompts_have_none():
    with pytest.raises(UnsupportedParameter) as refused:
        translate(request(echo=True, logprobs=1), shape())
    assert refused.value.param == "echo"


def test_no_tokens_with_echo_needs_no_call():
    found = translate(request("a", "b", echo=True, max_tokens=0), shape())
    assert (found.calls, found.echo) == ((), ("a", "b"))
    assert translate(request("a", echo=True, max_tokens=0, logprobs=1), shape(TEXT)).calls[0].call.max_tokens == 0


def decode(ids: tuple[int, ...]) -> str:
    if 9 in ids:
        raise ValueError("no such token")
    return "".join(map(str, ids))


def test_token_ids_are_read_for_a_provider_that_takes_text():
    found = translate(request((1, 2), echo=True), shape(decode=decode))
    assert (found.calls[0].call.messages, found.echo) == ((Message("user", "12"),), ("12",))


def test_token_ids_go_as_they_are_to_a_provider_that_takes_them():
    assert translate(request((1, 2)), shape(TEXT, decode=decode)).calls[0].call.prompt == (1, 2)


def test_token_ids_that_nobody_can_read_are_refused():
    with pytest.raises(UnsupportedParameter) as refused:
        translate(request((1, 2)), shape())
    assert refused.value.param == "prompt"
    with pytest.raises(InvalidValue) as refused_id:
        translate(request((9,)), shape(decode=decode))
    assert refused_id.value.param == "prompt"


def test_unreadable_token_ids_are_echoed_by_the_provider_itself():
    found = translate(request((1, 2), echo=True), shape(TEXT))
    assert (found.echo, found.calls[0].call.echo) == (None, True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("suffix", "s"), ("best_of", 2), ("logprobs", 0), ("temperature", 1), ("top_p", 1), ("presence_penalty", 1),
        ("frequency_penalty", 1), ("seed", 1), ("stop", ("a",)), ("logit_bias", {"1": 1}),
    ],
)  # fmt: skip
def test_what_a_provider_cannot_honour_is_refused_by_name_or_dropped_and_named(name, value):
    cannot = CHAT.but(**{name: Level.REFUSED})
    with pytest.raises(UnsupportedParameter) as refused:
        translate(request(**{name: value}), shape(cannot))
    assert refused.value.param == name
    found = translate(request(**{name: value}), shape(cannot, drop_params=True))
    assert found.dropped == (name,)
    assert getattr(found.calls[0].call, name) in (None, ())


@pytest.mark.parametrize(
    ("fields", "support", "param"),
    [
        ({"logprobs": 5}, CHAT.but(max_top_logprobs=2), "logprobs"),
    ],
)
def test_more_than_a_provider_takes_is_refused_by_name(fields, support, param):
    with pytest.raises(UnsupportedParameter) as refused:
        translate(request(**fields), shape(support))
    assert refused.value.param == param


@pytest.mark.parametrize(
    ("support", "passed", "ours"),
    [
        (CHAT, ("a", "\n"), ()),
        (CHAT.but(max_stop=1), ("a",), ("\n",)),
        (CHAT.but(blank_stop=False), ("a",), ("\n",)),
        (CHAT.but(stop=Level.EMULATED), (), ("a", "\n")),
    ],
)
def test_stop_sequences_that_a_provider_does_not_take_are_seen_to_here(support, passed, ours):
    found = translate(request(stop=("a", "\n")), shape(support))
    assert (found.calls[0].call.stop, found.stop) == (passed, ours)


def test_a_value_is_clamped_only_to_a_documented_narrower_range():
    narrow = CHAT.but(ranges={"temperature": (0, 1)})
    assert translate(request(temperature=1.5), shape(narrow)).calls[0].call.temperature == 1
    assert translate(request(temperature=1.5), shape()).calls[0].call.temperature == 1.5


def test_suffix_is_emulated_only_where_the_operator_says_so():
    messages = translate(request("a", suffix="z"), shape(emulate_suffix=True)).calls[0].call.messages
    assert messages[0].role == "system"
    assert "<before>a</before>" in messages[1].content
    assert "<after>z</after>" in messages[1].content
    assert translate(request("a", suffix="z"), shape(TEXT)).calls[0].call.suffix == "z"


def test_parameters_openai_does_not_know_pass_where_the_provider_or_the_operator_says_so():
    asked = request(extra={"top_k": 5})
    with pytest.raises(UnsupportedParameter) as refused:
        translate(asked, shape())
    assert refused.value.param == "top_k"
    for allowed in (shape(CHAT.but(extra=True)), shape(allow_extra=True)):
        assert translate(asked, allowed).calls[0].call.extra == {"top_k": 5}
    assert translate(asked, shape(drop_params=True)).dropped == ("top_k",)


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_nothing_lets_through_what_goes_around_the_gateway(name):
    with pytest.raises(UnsupportedParameter) as refused:
        translate(request(extra={name: "x"}), shape(CHAT.but(extra=True), allow_extra=True))
    assert refused.value.param == name


def test_the_user_is_never_a_reason_to_refuse():
    call = translate(request(user="u"), shape(CHAT.but(user=Level.REFUSED))).calls[0].call
    assert call.user is None
    assert translate(request(user="u"), shape()).calls[0].call.user == "u"


def test_a_translation_can_be_made_again_from_the_same_request():
    asked = request("a", "b", n=2, best_of=3, extra={"top_k": 1})
    where = shape(allow_extra=True)
    assert translate(asked, where) == translate(asked, where)
