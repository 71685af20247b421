"""An answer as it is kept, and where."""

import asyncio
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.exchange import Exchange
from gateway.routing.reuse.answers import LONGEST, Kept, Recorder, decode, encode
from gateway.routing.reuse.stores import Memory
from gateway.types import Cost, Delta, Opening, TokenLogprob, Usage

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
COUNT = st.integers(0, 2**40)
TOKENS = st.builds(
    TokenLogprob,
    TEXT,
    st.none() | st.floats(-100, 0),
    st.none() | st.binary(max_size=4),
    st.lists(st.tuples(TEXT, st.floats(-100, 0)), max_size=3).map(tuple),
)
CHOICE = st.tuples(TEXT, st.none() | st.lists(TOKENS, max_size=3).map(tuple), st.sampled_from(["stop", "length"]), TEXT)


@st.composite
def answers(draw):
    choices = draw(st.lists(CHOICE, min_size=1, max_size=3))
    return Kept(
        draw(TEXT),
        draw(TEXT),
        draw(TEXT),
        Usage(draw(COUNT), draw(COUNT), draw(COUNT), draw(COUNT), draw(COUNT), None, draw(st.booleans()), draw(COUNT)),
        tuple(
            Delta(index, text, logprobs=logprobs, finish_reason=reason, reasoning=thought)
            for index, (text, logprobs, reason, thought) in enumerate(choices)
        ),
        draw(st.none() | st.builds(Opening, st.none() | TEXT, st.none() | TEXT, st.none() | TEXT)),
        tuple(draw(st.lists(TEXT, max_size=2))),
        tuple(draw(st.lists(TEXT, max_size=2))),
    )


KEPT = Kept("demo", "d-1", "m", Usage(3, 4), (Delta(0, "Hello", finish_reason="stop"),))


@given(answers())
def test_what_is_kept_is_what_comes_back(kept):
    assert decode(encode(kept)) == kept


@given(st.binary(max_size=60))
def test_bytes_of_others_are_no_answer(data):
    with pytest.raises(ValueError):  # noqa: PT011 - one kind for everything
        decode(data)


@pytest.mark.parametrize(
    "damage",
    [
        (b'"Hello"', b"5"),
        (b'"stop"', b'"content_filter"'),
        (b'"stop"', b"null"),
        (b"[3,4,", b"[-3,4,"),
        (b"[3,4,", b'["3",4,'),
        (b"[3,4,", b"[4,"),
        (b'"demo"', b"null"),
        (b"]]]", b"]]"),
        (b"null,[3", b"7,[3"),
        (b"null,[3", b"[1,2,3],[3"),
        (b",null]]]", b",[[1]]]]]"),
    ],
)
def test_a_damaged_answer_is_none(damage):
    data = encode(KEPT)
    broken = data.replace(*damage)
    assert broken != data
    with pytest.raises(ValueError):  # noqa: PT011 - one kind for everything
        decode(broken)


def test_a_text_that_is_not_unicode_cannot_be_kept():
    with pytest.raises(TypeError):
        encode(Kept("p", "d", "m", Usage(), (Delta(0, "\ud800", finish_reason="stop"),)))


def test_serving_it_counts_its_tokens_and_costs_nothing():
    exchange = Exchange("req_1", "POST", "/")
    exchange.confidential = ("known",)
    kept = Kept(
        "p",
        "d",
        "m",
        Usage(3, 4, cost=Decimal(1), billed=(9, 9)),
        KEPT.choices,
        Opening("id"),
        ("x",),
        ("known", "own"),
    )
    kept.serve(exchange)
    assert exchange.usage == Usage(3, 4)
    assert exchange.cost == Cost(Decimal(0), "cache", None, Decimal(0), Decimal(0))
    assert (exchange.provider, exchange.deployment, exchange.served_model) == ("p", "d", "m")
    assert (exchange.attempts, exchange.calls) == (0, [])
    assert exchange.confidential == ("known", "own")


def recorded(*deltas: Delta, count: int = 1):
    recorder = Recorder()
    for delta in deltas:
        recorder.add(delta)
    return recorder.choices(count)


def test_pieces_of_interleaved_choices_are_put_together():
    token = TokenLogprob("a", -1.0)
    found = recorded(
        Delta(1, "x", reasoning="hm"),
        Delta(0, "a", logprobs=(token,)),
        Delta(1, "y", finish_reason="stop"),
        Delta(0, "b", logprobs=(token,), finish_reason="length"),
        count=2,
    )
    assert found == (
        Delta(0, "ab", logprobs=(token, token), finish_reason="length"),
        Delta(1, "xy", finish_reason="stop", reasoning="hm"),
    )


@pytest.mark.parametrize(
    "deltas",
    [
        [],
        [Delta(0, "half")],
        [Delta(0, "filtered", finish_reason="content_filter")],
        [Delta(1, "another", finish_reason="stop")],
        [Delta(0, "x" * (LONGEST + 1), finish_reason="stop")],
        [Delta(0, "x" * LONGEST), Delta(0, "y", finish_reason="stop")],
        [Delta(0, "x", logprobs=(TokenLogprob("y" * LONGEST, 0.0),), finish_reason="stop")],
    ],
)
def test_only_whole_answers_are_worth_keeping(deltas):
    assert recorded(*deltas) is None


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def run(work):
    return asyncio.run(work)


def test_memory_keeps_an_answer_for_its_time():
    async def test():
        clock = Clock()
        memory = Memory(100_000, clock)
        await memory.set("k", b"v", 10.0)
        assert await memory.get("k") == b"v"
        clock.now += 9.99
        assert await memory.get("k") == b"v"
        clock.now += 0.01
        assert await memory.get("k") is None
        assert memory.size == 0

    run(test())


def test_memory_lets_go_of_what_was_not_asked_for_the_longest():
    async def test():
        memory = Memory(10 * 1000)
        for number in range(10):
            await memory.set(f"{number:064}", bytes(1000 - 64 - 256), 60.0)
        assert await memory.get(f"{0:064}") is not None
        await memory.set(f"{10:064}", bytes(1000 - 64 - 256), 60.0)
        assert await memory.get(f"{1:064}") is None
        assert await memory.get(f"{0:064}") is not None
        assert memory.size == 10_000
        memory.bound(2_000)
        assert memory.size == 2_000
        assert await memory.get(f"{0:064}") is not None
        assert repr(memory) == "<Memory 2 answers, 2000 of 2000 bytes>"

    run(test())


def test_one_answer_cannot_take_the_place_of_all_others():
    async def test():
        memory = Memory(10_000)
        await memory.set("k", b"old", 60.0)
        await memory.set("k", bytes(2_000), 60.0)
        assert await memory.get("k") is None  # nor is the old one, which is not the answer any more
        assert memory.size == 0

    run(test())


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1500), st.booleans())))
def test_memory_is_never_over_its_bound_and_counts_truly(steps):
    async def test():
        memory = Memory(4_000)
        for number, size, read in steps:
            if read:
                await memory.get(str(number))
            else:
                await memory.set(str(number), bytes(size), 60.0)
            held = [len(key) + len(value) + 256 for key, (_, value) in memory._entries.items()]
            assert memory.size == sum(held) <= 4_000

    run(test())
