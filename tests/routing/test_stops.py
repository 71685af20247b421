"""Stop sequences done by the gateway: as the provider would have, at every cut of the answer."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import UpstreamConnectionError
from gateway.routing.stops import first, stopped, unfinished
from gateway.types import Delta, TokenLogprob


async def source(deltas: Iterable[Delta]) -> AsyncIterator[Delta]:
    for delta in deltas:
        yield delta


def run(deltas: Iterable[Delta], stops: tuple[str, ...], choices: int = 1) -> tuple[list[Delta], int]:
    closed = 0

    async def close() -> None:
        nonlocal closed
        closed += 1

    async def gather() -> list[Delta]:
        return [delta async for delta in stopped(source(deltas), stops, choices, close)]

    return asyncio.run(gather()), closed


def pieces(text: str, cuts: list[int], index: int = 0) -> list[Delta]:
    bounds = [0, *sorted(cuts), len(text)]
    parts = [text[a:b] for a, b in pairwise(bounds)]
    return [Delta(index, part) for part in parts] + [Delta(index, finish_reason="length")]


def summed(deltas: Iterable[Delta], index: int = 0) -> tuple[str, list[str | None]]:
    mine = [delta for delta in deltas if delta.index == index]
    return "".join(delta.text for delta in mine), [delta.finish_reason for delta in mine if delta.finish_reason]


@pytest.mark.parametrize(
    ("text", "stops", "kept", "reason"),
    [
        ("one\ntwo", ("\n",), "one", "stop"),
        ("one two", ("\n",), "one two", "length"),
        ("\n", ("\n",), "", "stop"),
        ("", ("\n",), "", "length"),
        ("a STOP b END", ("END", "STOP"), "a ", "stop"),
        ("a ST", ("STOP",), "a ST", "length"),
        ("aaab", ("aab",), "a", "stop"),
        ("xabcd", ("abcd", "bc"), "xa", "stop"),
        ("x\n\ny", ("\n", "\n\n"), "x", "stop"),
        ("grüße 🙂 ende", ("🙂",), "grüße ", "stop"),
    ],
)
def test_the_text_ends_before_the_stop_sequence_at_every_cut(text, stops, kept, reason):
    for cut in range(len(text) + 1):
        deltas, _ = run(pieces(text, [cut]), stops)
        assert summed(deltas) == (kept, [reason])
    deltas, _ = run(pieces(text, list(range(len(text)))), stops)
    assert summed(deltas) == (kept, [reason])


@given(
    st.text("ab\n", max_size=20),
    st.lists(st.text("ab\n", min_size=1, max_size=4), min_size=1, max_size=3),
    st.data(),
)
def test_no_cut_changes_what_is_kept_and_nothing_of_a_stop_sequence_leaves(text, stops, data):
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=6))
    whole, _ = run(pieces(text, []), tuple(stops))
    cut, _ = run(pieces(text, cuts), tuple(stops))
    assert summed(cut) == summed(whole)
    assert not any(stop in summed(cut)[0] for stop in stops)


def test_the_calls_are_ended_once_every_choice_has_stopped():
    deltas = [Delta(0, "a\n"), Delta(1, "b"), Delta(1, "\n"), Delta(0, "never"), Delta(1, "never")]
    found, closed = run(deltas, ("\n",), choices=2)
    assert (summed(found, 0), summed(found, 1), closed) == (("a", ["stop"]), ("b", ["stop"]), 1)


def test_tokens_leave_with_their_text_and_those_of_the_stop_do_not():
    tokens = [TokenLogprob(word, -1.0) for word in ("one", " two", "\n", "three")]
    deltas = [Delta(0, token.token, (token,)) for token in tokens]
    found, _ = run(deltas, ("\nthree",))
    assert [token.token for delta in found for token in delta.logprobs or ()] == ["one", " two"]


def test_a_token_that_is_part_of_a_character_counts_for_what_it_shows():
    tokens = (TokenLogprob("?", -1.0, b"\xf0\x9f"), TokenLogprob("?", -1.0, b"\x99\x82"), TokenLogprob("x", -1.0))
    found, _ = run([Delta(0, "🙂x", tokens), Delta(0, "END", (TokenLogprob("END", -1.0),))], ("END",))
    assert [token for delta in found for token in delta.logprobs or ()] == list(tokens)


def test_the_first_to_be_complete_counts_and_prose_is_not_held():
    assert first("xabcd", ("abcd", "bc")) == 2
    assert first("prose", ("END",)) is None
    assert unfinished("prose", ("END",)) == 5
    assert unfinished("proseE", ("END",)) == 5


def test_what_was_held_for_a_stop_sequence_leaves_before_the_failure_that_ends_the_answer():
    async def failing() -> AsyncIterator[Delta]:
        yield Delta(0, "all of it EN")
        yield Delta(1, "over", finish_reason="stop")
        raise UpstreamConnectionError("the connection broke")

    async def read() -> list[Delta]:
        deltas = stopped(failing(), ("END",), 2, None)
        given = [await anext(deltas), await anext(deltas), await anext(deltas)]
        with pytest.raises(UpstreamConnectionError):
            await anext(deltas)
        return given

    assert summed(asyncio.run(read()))[0] == "all of it EN"
