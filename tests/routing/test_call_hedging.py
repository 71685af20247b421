"""A second call beside one that is slow: the first to answer is used, the other ends at once, both are accounted."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.errors import UpstreamError
from gateway.types import CompletionRequest
from tests.routing.fleet import Answer, Body, Fleet, Walk, group, refuses, says, sends, walked
from tests.routing.test_call import Response, chunk

GOOD = says("fine")


def late(answer: Answer, until: asyncio.Event) -> Callable[[Body], Awaitable[Response]]:
    """`answer`, once `until` is set."""

    async def wait(body: Body) -> Response:
        await until.wait()
        found = answer(body)
        assert isinstance(found, Response)
        return found

    return wait


def never(body: Body) -> Awaitable[Response]:
    return late(GOOD, asyncio.Event())(body)


def hedged(*names: str, **router: Any) -> Body:
    return group(*names, hedge_after_ms=1, **router)


@pytest.mark.parametrize("stream", [False, True])
def test_the_second_is_used_where_it_answers_first_and_the_slow_one_ends_at_once(stream):
    fleet = Fleet(a=never, b=GOOD)
    walk = walked(fleet, hedged("a", "b"), stream=stream)
    assert (walk.error, walk.texts) == (None, {0: "fine"})
    assert fleet.called == ["a", "b"]
    slow, quick = walk.records
    assert (slow.cut, slow.error, quick.why, quick.instead_of) == (True, None, "hedge", None)
    assert slow.usage is not None  # it was sent, and will be billed
    assert walk.exchange.usage == slow.usage + quick.usage
    assert (walk.exchange.deployment, walk.exchange.attempts) == ("b", 2)
    assert all(load.in_flight == 0 for load in walk.router.board.book.loads.values())


@pytest.mark.parametrize("stream", [False, True])
def test_the_first_is_used_where_it_answers_first_after_all(stream):
    async def go() -> tuple[Walk, Fleet]:
        second_began = asyncio.Event()

        async def second(body: Body) -> Response:
            second_began.set()
            return await never(body)

        fleet = Fleet(a=late(GOOD, second_began), b=second)
        request = CompletionRequest("m", ("p",), stream=stream)
        return await Walk(fleet, hedged("a", "b"), request).go(), fleet

    walk, fleet = asyncio.run(go())
    assert (walk.error, walk.texts) == (None, {0: "fine"})
    assert fleet.called == ["a", "b"]
    assert [record.cut for record in walk.records] == [False, True]
    assert walk.exchange.deployment == "a"
    assert all(load.in_flight == 0 for load in walk.router.board.book.loads.values())


def test_nobody_is_called_twice_where_the_first_is_quick_enough():
    fleet = Fleet(a=GOOD, b=GOOD)
    walk = walked(fleet, group("a", "b", hedge_after_ms=60_000))
    assert (walk.texts, fleet.called) == ({0: "fine"}, ["a"])


def test_nobody_is_called_twice_where_there_is_no_other():
    async def go() -> tuple[Walk, Fleet]:
        go_on = asyncio.Event()
        fleet = Fleet(a=late(GOOD, go_on))
        asyncio.get_running_loop().call_later(0.01, go_on.set)
        return await Walk(fleet, hedged("a"), CompletionRequest("m", ("p",))).go(), fleet

    walk, fleet = asyncio.run(go())
    assert (walk.texts, fleet.called) == ({0: "fine"}, ["a"])


def test_the_slow_one_is_waited_for_where_the_second_fails():
    async def go() -> tuple[Walk, Fleet]:
        failed = asyncio.Event()

        def second(body: Body) -> Response:
            failed.set()
            found = refuses(500)(body)
            assert isinstance(found, Response)
            return found

        fleet = Fleet(a=late(GOOD, failed), b=second)
        return await Walk(fleet, hedged("a", "b"), CompletionRequest("m", ("p",))).go(), fleet

    walk, _ = asyncio.run(go())
    assert (walk.error, walk.texts) == (None, {0: "fine"})
    assert [record.error is None for record in walk.records] == [True, False]


def test_where_both_fail_the_walk_goes_on():
    async def go() -> tuple[Walk, Fleet]:
        began = asyncio.Event()

        def second(body: Body) -> Response:
            began.set()
            found = refuses(500)(body)
            assert isinstance(found, Response)
            return found

        fleet = Fleet(a=late(refuses(503), began), b=second, c=GOOD)
        return await Walk(fleet, hedged("a", "b", "c"), CompletionRequest("m", ("p",))).go(), fleet

    walk, fleet = asyncio.run(go())
    assert (walk.error, walk.texts) == (None, {0: "fine"})
    assert fleet.called == ["a", "b", "c"]
    assert walk.why == ["first", "hedge", "retry"]


def test_a_failure_before_the_time_is_over_is_a_failure_as_any():
    fleet = Fleet(a=refuses(500), b=GOOD)
    walk = walked(fleet, group("a", "b", hedge_after_ms=60_000))
    assert (walk.texts, walk.why) == ({0: "fine"}, ["first", "retry"])


def test_whoever_leaves_ends_both():
    async def leave() -> tuple[Walk, Fleet]:
        second_began = asyncio.Event()

        async def second(body: Body) -> Response:
            second_began.set()
            return await never(body)

        fleet = Fleet(a=never, b=second)
        walk = Walk(fleet, hedged("a", "b"), CompletionRequest("m", ("p",)))
        going = asyncio.create_task(walk.go())
        await second_began.wait()
        going.cancel()
        await asyncio.gather(going, return_exceptions=True)
        return walk, fleet

    walk, _ = asyncio.run(leave())
    assert [record.cut for record in walk.records] == [True, True]
    assert all(load.in_flight == 0 for load in walk.router.board.book.loads.values())


def test_whoever_leaves_while_the_slow_one_is_being_ended_ends_the_one_that_answered_too():
    async def leave() -> tuple[Walk, Fleet]:
        ending, end = asyncio.Event(), asyncio.Event()

        async def slow(body: Body) -> Response:
            try:
                return await never(body)
            finally:
                ending.set()
                await end.wait()

        fleet = Fleet(a=slow, b=GOOD)
        walk = Walk(fleet, hedged("a", "b"), CompletionRequest("m", ("p",), stream=True))
        going = asyncio.create_task(walk.go())
        await ending.wait()
        going.cancel()
        await asyncio.sleep(0)
        end.set()
        await asyncio.gather(going, return_exceptions=True)
        return walk, fleet

    walk, fleet = asyncio.run(leave())
    assert [record.cut for record in walk.records] == [True, True]
    assert all(load.in_flight == 0 for load in walk.router.board.book.loads.values())
    assert [response.closed for response in fleet.responses] == [True]


def test_a_stream_goes_on_from_the_one_that_won():
    broken = sends(chunk("fine"), chunk(" so far"), b"data: {\n\n")
    walk = walked(Fleet(a=never, b=broken), hedged("a", "b"), stream=True)
    assert walk.texts == {0: "fine so far"}
    assert isinstance(walk.error, UpstreamError)
