"""Bedrock's binary streams: bytes in every cut, botocore's parser as the judge, and what goes wrong on the way."""

import struct
import zlib

import pytest
from botocore.eventstream import EventStreamBuffer
from botocore.session import Session
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
from gateway.providers.base import Target
from gateway.providers.bedrock import eventstream
from gateway.providers.bedrock.language import BedrockConverse
from gateway.types import Usage
from tests.providers.eventstream import event, exception, frame, header, string
from tests.providers.fuzz import damaged, dumps, objects, survives
from tests.providers.kit import call, decode, finish_reasons, golden, reasoning, same_at_every_cut, text, usage

TARGET = Target("bedrock", "amazon.nova-lite-v1:0", api_key=Secret("k"), options={"aws_region_name": "us-east-1"})
STREAMS = ("bedrock/stream.bin", "bedrock/stream_reasoning.bin")


def decoder():
    return BedrockConverse(TARGET).stream(call(stream=True))


def block(**delta):
    return event("contentBlockDelta", contentBlockIndex=0, delta=delta)


STOP = event("messageStop", stopReason="end_turn")


def test_a_stream_gives_the_same_at_every_cut():
    deltas = same_at_every_cut(decoder, golden("bedrock/stream.bin"))
    assert text(deltas) == "Grüß dich!"
    assert finish_reasons(deltas) == {0: "stop"}
    assert usage(deltas) == Usage(14 + 5, 9, cached_tokens=5)


def test_a_stream_of_thought_and_a_tool_call_keeps_them_apart():
    deltas = same_at_every_cut(decoder, golden("bedrock/stream_reasoning.bin"))
    assert (text(deltas), reasoning(deltas)) == ("21", "Let me see.")
    assert (finish_reasons(deltas), usage(deltas)) == ({0: "length"}, Usage(14, 9))


@pytest.mark.parametrize("name", STREAMS)
def test_botocore_reads_the_same_messages(name):
    judge = EventStreamBuffer()
    judge.add_data(golden(name))
    expected = [(message.headers, message.payload) for message in judge]
    assert len(expected) > 5
    assert [(m.headers, m.payload) for m in eventstream.Decoder().feed(golden(name))] == expected


ALL_TYPES = b"".join([
    header("yes", 0, b""),
    header("no", 1, b""),
    header("byte", 2, struct.pack("!b", -1)),
    header("short", 3, struct.pack("!h", -2)),
    header("int", 4, struct.pack("!i", -3)),
    header("long", 5, struct.pack("!q", -4)),
    header("bytes", 6, struct.pack("!H", 2) + b"\0\xff"),
    string("string", "Grüße"),
    header("time", 8, struct.pack("!q", 1_700_000_000_000)),
    header("uuid", 9, bytes(range(16))),
])  # fmt: skip


def test_every_type_of_header_is_read_as_botocore_reads_it():
    data = frame(ALL_TYPES, b"payload") + frame(b"", b"")
    judge = EventStreamBuffer()
    judge.add_data(data)
    assert [m.headers for m in eventstream.Decoder().feed(data)] == [message.headers for message in judge]
    assert eventstream.Decoder().feed(data)[0].headers["string"] == "Grüße"


def lengths(total, headers):
    prelude = struct.pack("!II", total, headers)
    return prelude + struct.pack("!I", zlib.crc32(prelude))


@pytest.mark.parametrize(
    "data",
    [
        b"\x00" * 12,
        b"<html>502 Bad Gateway</html>",
        STOP[:8] + b"\x00\x00\x00\x00" + STOP[12:],
        STOP[:-1] + bytes([STOP[-1] ^ 1]),
        STOP[:40] + bytes([STOP[40] ^ 1]) + STOP[41:],
        lengths(15, 0),
        lengths(100, 85),
        lengths(200_000, 128 * 1024 + 1),
        lengths(2**32 - 1, 0),
        frame(header("h", 10, b""), b""),
        frame(header("h", 4, b"\0"), b""),
        frame(header("h", 7, b"\0\x09abc"), b""),
        frame(header("h", 9, b"short"), b""),
        frame(header("h", 7, b"\0\x01\xff"), b""),
        frame(b"\x05ab", b""),
        frame(b"\x01h", b""),
        frame(header("h", 0, b"") * 2, b""),
    ],
)
def test_damaged_bytes_are_an_invalid_response_at_once(data):
    with pytest.raises(UpstreamInvalidResponse):
        decoder().feed(data)


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b'{"delta": {"text": 1}}'])
def test_an_event_whose_payload_is_another_language_is_an_invalid_response(payload):
    with pytest.raises(UpstreamInvalidResponse):
        decoder().feed(frame(string(":event-type", "contentBlockDelta"), payload))


def test_event_types_of_later_versions_are_passed_over():
    pieces = [frame(string(":event-type", "initial-response"), b""), event("glimmer"), block(text="a"), STOP]
    assert text(decode(decoder(), pieces)) == "a"


def test_a_stream_finishes_once():
    assert finish_reasons(decode(decoder(), [STOP, STOP])) == {0: "stop"}


@pytest.mark.parametrize("pieces", [[], [STOP[:-1]], [block(text="a")], [event("metadata", usage={"inputTokens": 1})]])
def test_a_stream_cut_before_its_end_is_an_error(pieces):
    with pytest.raises(UpstreamConnectionError):
        decode(decoder(), pieces)


@pytest.mark.parametrize(
    ("name", "cls", "seen"),
    [
        ("validationException", UpstreamRejected, True),
        ("throttlingException", UpstreamRateLimited, False),
        ("modelTimeoutException", UpstreamTimeout, False),
        ("modelStreamErrorException", UpstreamError, False),
        ("internalServerException", UpstreamError, False),
        ("serviceUnavailableException", UpstreamError, False),
        ("anErrorOfTomorrow", UpstreamError, False),
    ],
)
def test_an_exception_inside_a_stream_is_raised_as_its_name_says(name, cls, seen):
    decoding = decoder()
    assert text(decoding.feed(block(text="a"))) == "a"
    with pytest.raises(UpstreamError) as caught:
        decoding.feed(exception(name, message="what they said"))
    assert type(caught.value) is cls
    assert ("what they said" in caught.value.message) == seen


def test_text_that_comes_in_one_read_with_an_exception_is_given_out_before_it():
    decoding = decoder()
    both = block(text="a") + exception("throttlingException", message="slow down")
    assert text(decoding.feed(both)) == "a"
    with pytest.raises(UpstreamRateLimited):
        decoding.close()


def test_an_unmodelled_error_inside_a_stream_is_raised_too():
    headers = string(":message-type", "error") + string(":error-code", "ThrottlingException")
    with pytest.raises(UpstreamRateLimited):
        decoder().feed(frame(headers + string(":error-message", "slow down"), b""))


REASONS = Session().get_service_model("bedrock-runtime").shape_for("StopReason").enum
FILTERED = ("guardrail_intervened", "content_filtered")
TOO_LONG = ("max_tokens", "model_context_window_exceeded")


@pytest.mark.parametrize("reason", [*REASONS, "a_reason_of_tomorrow"])
def test_a_stop_reason_becomes_one_of_the_three(reason):
    expected = "content_filter" if reason in FILTERED else "length" if reason in TOO_LONG else "stop"
    whole = dumps({"output": {"message": {"role": "assistant", "content": []}}, "stopReason": reason})
    deltas = BedrockConverse(TARGET).answer(call(), whole)
    assert (text(deltas), finish_reasons(deltas), usage(deltas)) == ("", {0: expected}, None)
    assert finish_reasons(decode(decoder(), [event("messageStop", stopReason=reason)])) == {0: expected}


KINDS = ["messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata", "x"]
WORDS = ["delta", "text", "reasoningContent", "usage", "inputTokens", "stopReason", "output", "message", "content"]
FRAMES = st.builds(
    lambda kind, fields: frame(string(":event-type", kind), dumps(fields)), st.sampled_from(KINDS), objects(WORDS)
)
FUZZ = settings(max_examples=100, deadline=None, database=None)


@given(st.lists(st.binary() | FRAMES | st.binary(max_size=40).map(lambda raw: frame(raw, b"{}")), max_size=6))
@FUZZ
def test_no_bytes_break_the_decoder_in_an_unforeseen_way(pieces):
    survives(lambda: decode(decoder(), pieces))


@given(st.sampled_from(STREAMS).flatmap(lambda name: damaged(golden(name))))
@FUZZ
def test_a_damaged_stream_is_never_read_as_another_one(body):
    try:
        deltas = decode(decoder(), [body])
    except UpstreamError:
        return
    assert body in {golden(name) for name in STREAMS}
    assert finish_reasons(deltas)
