"""An unfinished clause is held no longer than its policy says, and the source is never touched by a deadline."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace

import pytest

from gateway.guards.answer import AnswerGuard
from gateway.guards.pacing import QUEUED, paced
from gateway.guards.policy import Policy
from gateway.types import Delta
from tests.guards.kit import OUTPUT, Asked, Digits, Mail

NAMES = Policy("names", guards=(Asked("Carol Smith", "mask", "clause"),), hold_seconds=0.001)


class Waiting:
    """An upstream that says each of its pieces only when told to go on."""

    def __init__(self, *pieces: Delta) -> None:
        self.pieces = pieces
        self.turn = asyncio.Event()
        self.closed = False

    async def __call__(self) -> AsyncIterator[Delta]:
        try:
            for number, piece in enumerate(self.pieces):
                if number:
                    await self.turn.wait()
                    self.turn.clear()
                yield piece
        finally:
            self.closed = True


def leaving(policy: Policy, *pieces: Delta, choices: int = 1, when: Callable[[Delta], bool] = bool) -> list[Delta]:
    """What leaves of an answer that goes on only after something of it has left: without a deadline, never."""

    async def main() -> list[Delta]:
        source = Waiting(*pieces)
        given = []
        async with asyncio.timeout(5):
            async for delta in AnswerGuard([policy], OUTPUT, choices=choices).guarded(source()):
                given.append(delta)
                if when(delta):
                    source.turn.set()
        assert source.closed
        return given

    return asyncio.run(main())


def said(*texts: str) -> list[Delta]:
    return [*(Delta(0, text) for text in texts), Delta(0, finish_reason="stop")]


def test_an_unfinished_clause_is_judged_as_it_stands_when_it_has_been_held_long_enough():
    given = leaving(NAMES, *said("I met Carol Smith yes", "terday"))
    assert given[0].text == "I met <CAROL_SMITH_1> "
    assert "".join(delta.text for delta in given) == "I met <CAROL_SMITH_1> yesterday"


def test_a_word_that_has_begun_is_the_beginning_of_the_next_clause():
    names = Asked("Carol Smith", "mask", "clause")
    policy = replace(NAMES, guards=(names,))
    given = leaving(policy, *said("He and Carol Sm", "ith"), when=lambda delta: delta.text != "He and Carol ")
    assert [call[0].value for call in names.calls] == ["He and Carol ", "He and Carol Sm", "He and Carol Smith"]
    assert [delta.text for delta in given if delta.text] == ["He and Carol ", "Sm", "<CAROL_SMITH_1>"]


def test_what_other_guards_hold_stays_held_beyond_the_deadline():
    policy = replace(NAMES, guards=(*NAMES.guards, Mail()))
    given = leaving(policy, *said("write to bob@corp", ".example and"))
    assert given[0].text == "write to "
    assert "".join(delta.text for delta in given) == "write to <EMAIL_ADDRESS_1> and"


def test_each_choice_has_its_own_deadline():
    ends = [Delta(index, finish_reason="stop") for index in (0, 1)]
    deltas = [Delta(0, "one two"), Delta(1, "three four", reasoning="five six"), *ends]
    given = leaving(NAMES, *deltas, choices=2, when=lambda delta: True)
    assert ["".join(delta.text for delta in given if delta.index == index) for index in (0, 1)] == [
        "one two",
        "three four",
    ]
    assert "".join(delta.reasoning for delta in given) == "five six"


def test_a_policy_that_blocks_decides_at_the_deadline():
    given = leaving(replace(NAMES, guards=(Asked("Carol", "block", "clause"),)), *said("I met Carol and", "more"))
    assert [(delta.text, delta.finish_reason) for delta in given] == [("I met ", "content_filter")]


def test_a_whole_answer_and_one_that_is_held_to_its_end_have_no_deadline():
    both = replace(NAMES, guards=(*NAMES.guards, Asked("ponies")), name="both")
    for policy, whole in ((NAMES, True), (both, False)):
        guard = AnswerGuard([policy], OUTPUT, choices=1, whole=whole)

        async def main(guard: AnswerGuard = guard) -> list[Delta]:
            async def source() -> AsyncIterator[Delta]:
                for delta in said("I met Carol", " Smith yesterday"):
                    yield delta
                    await asyncio.sleep(0.01)

            return [delta async for delta in guard.guarded(source())]

        assert asyncio.run(main()) == [Delta(0, "I met <CAROL_SMITH_1> yesterday", finish_reason="stop")]


def test_what_leaves_is_what_guarding_the_clauses_one_by_one_gives():
    """Whatever the clock does: the clauses it makes are those that are judged."""
    for seconds in (0.0, 0.0005, 10.0):
        names = Asked("Carol", "mask", "clause")
        policy = Policy("p", guards=(names, Digits()), hold_seconds=seconds)

        async def main(policy: Policy = policy) -> str:
            async def source() -> AsyncIterator[Delta]:
                for sign in "Dear Carol, call 4111 1111 1111 1111 1 now. Carol knows; so does Carol":
                    yield Delta(0, sign)
                    await asyncio.sleep(0)

            deltas = AnswerGuard([policy], OUTPUT, choices=1).guarded(source())
            return "".join([delta.text async for delta in deltas])

        assert asyncio.run(main()).count("Carol") == 0 or seconds < 1
        covered = ""
        for call in names.calls:  # each clause comes after all that have been judged before it
            shared = max(size for size in range(len(covered) + 1) if covered.endswith(call[0].value[:size]))
            covered += call[0].value[shared:]
        assert covered == "Dear Carol, call 4111 1111 1111 1111 1 now. Carol knows; so does Carol"


def reading(deltas: Sequence[Delta | Exception], due: Callable[[], float | None]) -> list[Delta | None]:
    async def source() -> AsyncIterator[Delta]:
        for delta in deltas:
            if isinstance(delta, Exception):
                raise delta
            yield delta

    async def main() -> list[Delta | None]:
        return [delta async for delta in paced(source(), due)]

    return asyncio.run(main())


def test_without_a_deadline_a_source_is_as_it_is():
    deltas = said(*"abc" * QUEUED)
    assert reading(deltas, lambda: None) == deltas


def test_what_a_source_raises_is_raised():
    with pytest.raises(ConnectionError):
        reading([Delta(0, "a"), ConnectionError()], lambda: None)


def test_a_deadline_that_has_passed_is_told_even_when_there_is_more_to_read():
    passed = iter([0.0, None, 0.0, None, None])
    assert reading(said("a"), lambda: next(passed)) == [None, Delta(0, "a"), None, Delta(0, finish_reason="stop")]


def test_whoever_stops_reading_ends_the_source():
    async def main() -> bool:
        source = Waiting(*said(*"abc"))
        deltas = paced(source(), lambda: None)
        await anext(deltas)
        await deltas.aclose()
        return source.closed

    assert asyncio.run(main())
