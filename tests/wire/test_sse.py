"""Server-sent events: the WHATWG rules, at any cut of the bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.sse import Decoder, Event, EventTooLarge, encode


def events(*chunks: bytes) -> list[Event]:
    decoder = Decoder()
    return [event for chunk in chunks for event in decoder.feed(chunk)]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: a\n\n", [Event(b"a")]),
        (b"data: a\r\n\r\n", [Event(b"a")]),
        (b"data: a\r\r", [Event(b"a")]),
        (b"data:a\n\n", [Event(b"a")]),
        (b"data:  a\n\n", [Event(b" a")]),
        (b"data: a\ndata: b\n\n", [Event(b"a\nb")]),
        (b"data\n\n", [Event(b"")]),
        (b": a comment\n\ndata: a\n\n", [Event(b"a")]),
        (b"event: ping\ndata: {}\n\n", [Event(b"{}", "ping")]),
        (b"event: ping\n\ndata: a\n\n", [Event(b"a")]),
        (b"id: 1\nretry: 5\nunknown: x\ndata: a\n\n", [Event(b"a")]),
        (b"\xef\xbb\xbfdata: a\n\n", [Event(b"a")]),
        (b"data: a\n\xef\xbb\xbfdata: b\n\n", [Event(b"a")]),
        ("data: Grüße 🙂\n\n".encode(), [Event("Grüße 🙂".encode())]),
        (b"data: a: b\n\n", [Event(b"a: b")]),
        (b"data: never finished\n", []),
        (b"\n\n\n", []),
        (b"", []),
    ],
)
def test_a_stream_means_the_same_however_it_is_cut(stream, expected):
    assert events(stream) == expected
    assert events(*(stream[i : i + 1] for i in range(len(stream)))) == expected
    for cut in range(len(stream)):
        assert events(stream[:cut], b"", stream[cut:]) == expected


LINES = st.lists(
    st.sampled_from([b"data: x", b"data:", b":c", b"event: e", b"", b"data: \xc3\xbc", b"junk"]), max_size=12
)


@given(LINES, st.sampled_from([b"\n", b"\r\n", b"\r"]), st.data())
def test_any_cut_of_any_stream_gives_the_same_events(lines, end, data):
    stream = b"".join(line + end for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert events(*pieces) == events(stream)


def test_what_is_encoded_is_decoded():
    assert events(encode(b'{"a":1}'), encode(b"2", "other")) == [Event(b'{"a":1}'), Event(b"2", "other")]


@pytest.mark.parametrize("endless", [b"data: aaaaaaaaaaaaaaaa", b"data: aaaaaaaa\ndata: bbbbbbbb\ndata: cccccccc\n"])
def test_an_event_without_end_is_refused(endless):
    decoder = Decoder(limit=20)
    with pytest.raises(EventTooLarge):
        decoder.feed(endless)
