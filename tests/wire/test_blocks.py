"""Events as they stand on the wire: every byte is kept, at any cut, and an event can be given other data."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire import sse
from gateway.wire.blocks import Splitter

LINES = st.sampled_from(
    [
        b"data: a",
        b"data:b",
        b"data",
        b"data: ",
        b"event: x",
        b"id: 1",
        b": c",
        b":",
        b"",
        b"",
        b"data: \xc3\xa9",
        b"odd",
    ]
)
streams = st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\r\n", b"\r"])), max_size=14).map(
    lambda lines: b"".join(line + end for line, end in lines)
)


def split(raw: bytes, size: int) -> list:
    splitter = Splitter()
    found = [block for at in range(0, len(raw), size) for block in splitter.feed(raw[at : at + size])]
    return [*found, *splitter.close()]


@given(streams, st.integers(1, 9), st.booleans())
def test_no_byte_is_lost_and_the_events_are_those_of_the_decoder(raw, size, bom):
    raw = (b"\xef\xbb\xbf" if bom else b"") + raw
    blocks = split(raw, size)
    assert b"".join(block.raw for block in blocks) == raw
    ended = raw + b"\n\n"
    expected = sse.Decoder().feed(ended)
    assert [(block.data, block.event) for block in split(ended, size) if block.data is not None] == [
        (event.data, event.event) for event in expected
    ]


@given(streams, st.sampled_from([b"new", b"two\nlines", b""]))
def test_an_event_with_other_data_is_the_same_event(raw, data):
    for block in split(raw, 3):
        if block.data is not None:
            (event,) = sse.Decoder().feed(block.with_data(data))
            assert (event.data, event.event) == (data, block.event)


def test_a_keep_alive_does_not_wait_for_the_next_event():
    splitter = Splitter()
    assert [block.raw for block in splitter.feed(b": ping\n")] == [b": ping\n"]
    assert splitter.feed(b"data: x\n") == []
    assert [block.raw for block in splitter.feed(b": inside\n\n")] == [b"data: x\n: inside\n\n"]


def test_the_other_lines_of_an_event_stay_in_their_order():
    (block,) = Splitter().feed(b"id: 1\nevent: e\ndata: a\n: c\ndata: b\nretry: 2\n\n")
    assert block.with_data(b"z") == b"id: 1\nevent: e\ndata: z\n: c\nretry: 2\n\n"


@pytest.mark.parametrize("piece", [b"data: " + b"x" * 60, b"data: x\n" * 20, b": " + b"x" * 60])
def test_an_event_over_the_limit_is_refused(piece):
    splitter = Splitter(50)
    with pytest.raises(sse.EventTooLarge):
        splitter.feed(piece)
