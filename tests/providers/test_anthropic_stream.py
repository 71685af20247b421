"""Anthropic's streamed messages: documented bytes in every cut, and what goes wrong on the way."""

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.secret import Secret
from gateway.errors import (
    UpstreamConnectionError,
    UpstreamError,
    UpstreamInvalidResponse,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
)
from gateway.providers.anthropic.language import AnthropicMessages
from gateway.providers.base import Target
from gateway.types import Opening, Usage
from tests.providers.fuzz import damaged, dumps, objects, survives
from tests.providers.kit import call, decode, finish_reasons, golden, reasoning, same_at_every_cut, text, usage

TARGET = Target("anthropic", "claude-sonnet-4-5", api_key=Secret("sk-ant-test"))
STREAMS = ("anthropic/stream.sse", "anthropic/stream_thinking.sse", "anthropic/stream_tool_use.sse")


def decoder():
    return AnthropicMessages(TARGET).stream(call(stream=True))


def event(kind, **fields):
    return f"event: {kind}\ndata: ".encode() + orjson.dumps({"type": kind, **fields}) + b"\n\n"


def block(**delta):
    return event("content_block_delta", index=0, delta=delta)


DONE = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 2})


def test_a_stream_gives_the_same_at_every_cut():
    deltas = same_at_every_cut(decoder, golden("anthropic/stream.sse"))
    assert text(deltas) == "Grüß dich!"
    assert finish_reasons(deltas) == {0: "stop"}
    assert usage(deltas) == Usage(25, 15)
    assert deltas[0].opening == Opening("msg_1nZdL29xx5MUA1yADyHTEsnR8uuvGzszyY", "claude-opus-4-1-20250805")


def test_a_stream_of_thought_keeps_it_apart_and_counts_the_cache():
    deltas = same_at_every_cut(decoder, golden("anthropic/stream_thinking.sse"))
    assert (text(deltas), reasoning(deltas)) == ("The GCD is 21.", "I need to find the GCD of 1071 and 462.")
    assert finish_reasons(deltas) == {0: "length"}
    assert usage(deltas) == Usage(5 + 7 + 11, 89, cached_tokens=11, cache_write_tokens=7, reasoning_tokens=70)


def test_a_tool_call_in_a_stream_is_no_text():
    deltas = same_at_every_cut(decoder, golden("anthropic/stream_tool_use.sse"))
    assert (text(deltas), finish_reasons(deltas), usage(deltas)) == ("Okay:", {0: "stop"}, Usage(472, 89))


def test_pings_and_event_types_of_later_versions_are_passed_over():
    pieces = [
        event("ping"), event("content_block_glimmer", index=0), block(type="glimmer_delta", glimmer=1),
        block(type="text_delta", text="a"), DONE, event("message_stop"),
    ]  # fmt: skip
    assert text(decode(decoder(), pieces)) == "a"


def test_text_in_the_opening_of_a_block_is_not_lost():
    pieces = [event("content_block_start", content_block={"type": "text", "text": "a"}), DONE]
    assert text(decode(decoder(), pieces)) == "a"


def test_a_count_that_is_null_later_keeps_its_value():
    start = event("message_start", message={"id": "m", "usage": {"input_tokens": 3, "cache_read_input_tokens": 4}})
    delta = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"input_tokens": None, "output_tokens": 2})
    assert usage(decode(decoder(), [start, delta])) == Usage(7, 2, cached_tokens=4)


def test_usage_that_comes_after_the_stop_reason_counts():
    late = event("message_delta", delta={}, usage={"output_tokens": 9})
    assert usage(decode(decoder(), [DONE, late, event("message_stop")])) == Usage(0, 9)


@pytest.mark.parametrize("ending", [[], [event("message_stop")], [DONE, event("message_stop")]])
def test_a_stream_finishes_once(ending):
    assert finish_reasons(decode(decoder(), [DONE, *ending])) == {0: "stop"}


@pytest.mark.parametrize(
    "pieces", [[], [b"event: message_stop\ndata: {"], [block(type="text_delta", text="a")], [event("ping")]]
)
def test_a_stream_cut_before_its_end_is_an_error(pieces):
    with pytest.raises(UpstreamConnectionError):
        decode(decoder(), pieces)


@pytest.mark.parametrize(
    ("kind", "cls", "seen"),
    [
        ("invalid_request_error", UpstreamRejected, True),
        ("not_found_error", UpstreamRejected, True),
        ("request_too_large", UpstreamRejected, True),
        ("authentication_error", UpstreamError, False),
        ("billing_error", UpstreamError, False),
        ("permission_error", UpstreamError, False),
        ("rate_limit_error", UpstreamRateLimited, False),
        ("timeout_error", UpstreamTimeout, False),
        ("api_error", UpstreamError, False),
        ("overloaded_error", UpstreamError, False),
        ("an_error_of_tomorrow", UpstreamError, False),
    ],
)
def test_an_error_inside_a_stream_is_raised_as_its_type_says(kind, cls, seen):
    decoding = decoder()
    assert text(decoding.feed(block(type="text_delta", text="a"))) == "a"
    with pytest.raises(UpstreamError) as caught:
        decoding.feed(event("error", error={"type": kind, "message": "what they said"}))
    assert type(caught.value) is cls
    assert ("what they said" in caught.value.message) == seen


@pytest.mark.parametrize("error", [None, "words", {}])
def test_an_error_event_of_another_shape_is_an_error_too(error):
    with pytest.raises(UpstreamError):
        decoder().feed(event("error", error=error))


@pytest.mark.parametrize("data", [b"data: {\n\n", b"data: 1\n\n", block(type="text_delta", text=1), block(), b"x" * 3])
def test_broken_events_are_errors_of_the_provider(data):
    with pytest.raises((UpstreamInvalidResponse, UpstreamConnectionError)):
        decode(decoder(), [data])


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("tool_use", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
        ("a_reason_of_tomorrow", "stop"),
        (None, "stop"),
    ],
)
def test_a_stop_reason_becomes_one_of_the_three(reason, expected):
    whole = orjson.dumps({"type": "message", "content": [], "stop_reason": reason})
    assert finish_reasons(AnthropicMessages(TARGET).answer(call(), whole)) == {0: expected}
    streamed = decode(decoder(), [event("message_delta", delta={"stop_reason": reason}), event("message_stop")])
    assert finish_reasons(streamed) == {0: expected}


KINDS = ["message_start", "content_block_start", "content_block_delta", "message_delta", "message_stop", "error", "x"]
WORDS = [
    "message",
    "content_block",
    "content",
    "delta",
    "type",
    "text",
    "usage",
    "input_tokens",
    "stop_reason",
    "error",
]
EVENTS = st.builds(
    lambda kind, fields: b"data: " + dumps({**fields, "type": kind}) + b"\n\n", st.sampled_from(KINDS), objects(WORDS)
)
FUZZ = settings(max_examples=100, deadline=None, database=None)


@given(st.lists(st.binary() | EVENTS, max_size=6))
@FUZZ
def test_no_bytes_break_the_decoder_in_an_unforeseen_way(pieces):
    survives(lambda: decode(decoder(), pieces))


@given(st.sampled_from(STREAMS).flatmap(lambda name: damaged(golden(name))))
@FUZZ
def test_no_damage_to_a_real_stream_breaks_the_decoder(body):
    survives(lambda: decode(decoder(), [body]))
