"""Several calls for one request: each prompt, and each part of one that takes several calls, fails over by itself."""

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import UpstreamError, UpstreamRejected
from tests.routing.fleet import Body, Fleet, Walk, entry, group, refuses, says, sends, walked
from tests.routing.test_call import Response, said

COHERE = "cohere/x"
"""A provider that makes one choice per call, and has no `best_of`."""


def cohere(text: str) -> Callable[[Body], Response]:
    body = {"id": "c", "message": {"content": [{"type": "text", "text": text}]}, "finish_reason": "COMPLETE"}
    return lambda _: Response([orjson.dumps(body)])


def by_prompt(**answers: Any) -> Callable[[Body], Response]:
    """Answers by what was asked."""
    return lambda body: answers[said(body)](body)


def test_each_prompt_fails_over_by_itself():
    fleet = Fleet(a=by_prompt(p=says("P"), q=refuses(500), r=says("R")), b=says("B"))
    walk = walked(fleet, group("a", "b"), "p", "q", "r")
    assert walk.texts == {0: "P", 1: "B", 2: "R"}
    assert sorted(fleet.called) == ["a", "a", "a", "b"]
    assert {record.first: record.attempt for record in walk.records} == {0: 1, 1: 2, 2: 1}
    assert walk.exchange.attempts == 4


def test_the_first_prompt_to_be_answered_says_who_served():
    fleet = Fleet(a=by_prompt(p=refuses(500), q=says("Q")), b=says("B"))
    walk = walked(fleet, group("a", "b"), "p", "q")
    assert walk.texts == {0: "B", 1: "Q"}
    assert walk.exchange.deployment == "a"


def test_one_prompt_given_up_fails_the_request_and_cancels_the_others():
    forever = asyncio.Event()

    async def never(body: Body) -> Response:
        await forever.wait()
        raise AssertionError

    fleet = Fleet(a=by_prompt(p=never, q=refuses(400, "too long")))
    walk = walked(fleet, group("a"), "p", "q")
    assert isinstance(walk.error, UpstreamRejected)
    assert [record.cut for record in sorted(walk.records, key=lambda record: record.first)] == [True, False]
    assert walk.router.board.book.loads["a"].in_flight == 0
    assert walk.exchange.deployment == "a"


def test_a_call_that_failed_is_made_good_without_repeating_those_that_did_not():
    config = {"model_list": [entry("a", model=COHERE, order=0), entry("b", order=1)]}
    fleet = Fleet(a=[cohere("one"), refuses(500), cohere("three")], b=says("two"))
    walk = walked(fleet, config, n=3, seed=7)
    assert sorted(walk.texts.values()) == ["one", "three", "two"]
    assert fleet.called.count("b") == 1
    assert len(fleet.calls) == 4
    (again,) = (body for name, body in fleet.calls if name == "b")
    failed = next(record for record in walk.records if record.error)
    made_good = next(record for record in walk.records if record.why == "retry")
    assert again["seed"] == 7 + failed.first  # each choice keeps its own seed wherever it is asked for
    assert again.get("n", 1) == 1
    assert (made_good.first, made_good.attempt, made_good.instead_of) == (failed.first, 2, failed)


def test_a_fallback_that_makes_one_choice_at_a_time_is_called_for_each():
    config = {"model_list": [entry("a", order=0), entry("b", model=COHERE, order=1)]}
    fleet = Fleet(a=refuses(500), b=[cohere("one"), cohere("two"), cohere("three")])
    walk = walked(fleet, config, n=3)
    assert sorted(walk.texts.values()) == ["one", "three", "two"]
    assert list(walk.texts) == [0, 1, 2]
    assert fleet.called == ["a", "b", "b", "b"]
    assert [record.attempt for record in walk.records] == [1, 2, 2, 2]
    assert [record.instead_of for record in walk.records].count(walk.records[0]) == 1


def logged(text: str, index: int, logprob: float) -> Body:
    token = {"token": text, "logprob": logprob, "top_logprobs": []}
    return {"index": index, "message": {"content": text}, "finish_reason": "stop", "logprobs": {"content": [token]}}


def ranked(*scores: float) -> Callable[[Body], Response]:
    """As many candidates as are asked for, with these logprobs."""

    def answer(body: Body) -> Response:
        choices = [logged(str(score), index, score) for index, score in enumerate(scores[: body.get("n", 1)])]
        return Response([orjson.dumps({"choices": choices})])

    return answer


def test_the_best_are_chosen_after_a_failover_too():
    fleet = Fleet(a=refuses(500), b=ranked(-3.0, -1.0, -2.0))
    walk = walked(fleet, group("a", "b"), best_of=3, n=2)
    found = asyncio.run(best(walk))
    assert found == {0: "-1.0", 1: "-2.0"}
    assert [record.first for record in walk.records] == [0, 0]


def test_the_best_are_chosen_by_whoever_serves_natively_or_here():
    native = entry("b", model="text-completion-openai/x", order=1)
    del native["litellm_params"]["api_base"]
    fleet = Fleet(a=refuses(500), **{"api.openai.com": says("chosen there")})
    walk = walked(fleet, {"model_list": [entry("a", order=0), native]}, "p", "q", best_of=3)
    assert asyncio.run(best(walk)) == {0: "chosen there", 1: "chosen there"}
    assert [body.get("best_of") for name, body in fleet.calls if name != "a"] == [3, 3]
    assert walk.calling.together.rankings == {}


async def best(walk: Walk) -> dict[int, str]:
    from gateway.routing.choices import best as chosen

    async def deltas() -> Any:
        for delta in walk.deltas:
            yield delta

    together = walk.calling.together
    return {delta.index: delta.text async for delta in chosen(deltas(), together.rankings, together.choices)}


def test_the_prompt_is_put_in_front_where_the_one_that_serves_does_not_repeat_it():
    native = entry("a", model="text-completion-openai/x", order=0)
    walk = walked(Fleet(a=refuses(500), b=says("fine")), {"model_list": [native, entry("b", order=1)]}, echo=True, n=2)
    assert walk.calling.together.echoes == {0: "p", 1: "p"}


def test_nobody_is_called_for_no_tokens_and_the_prompts_are_counted():
    fleet = Fleet()
    walk = walked(fleet, group("a"), "one two", "three", max_tokens=0, echo=True, n=2)
    assert walk.error is None
    assert walk.calling.together.uncalled == {0, 1, 2, 3}
    assert walk.calling.together.echoes == {0: "one two", 1: "one two", 2: "three", 3: "three"}
    assert walk.exchange.usage is not None
    assert walk.exchange.usage.input_tokens == 3
    assert (fleet.called, walk.exchange.attempts, walk.exchange.deployment) == ([], 0, "a")


@pytest.mark.parametrize("parallel", [1, 2, 5])
@pytest.mark.parametrize(("prompts", "n"), [(1, 7), (3, 3), (6, 1)])
def test_no_more_calls_than_allowed_are_under_way_however_a_request_is_split(parallel, prompts, n):
    now, most = 0, 0

    async def answer(body: Body) -> Response:
        nonlocal now, most
        now += 1
        most = max(most, now)
        for _ in range(3):
            await asyncio.sleep(0)
        now -= 1
        return cohere("x")(body)

    config = {
        "model_list": [entry("a", model=COHERE)],
        "general_settings": {"max_parallel_prompts": parallel},
    }
    walk = walked(Fleet(a=answer), config, *("p" * prompts), n=n)
    assert len(walk.texts) == prompts * n
    assert most == min(parallel, prompts * n)


def test_a_stream_is_not_held_up_by_another_choice_that_is_tried_again():
    good = sends(
        *(f"event: {kind}\ndata: {data}\n\n".encode() for kind, data in (
            ("content-delta", '{"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"ok"}}}}'),
            ("message-end", '{"type":"message-end","delta":{"finish_reason":"COMPLETE"}}'),
        ))
    )  # fmt: skip
    fleet = Fleet(a=[good, refuses(503), good])
    walk = walked(fleet, {"model_list": [entry("a", model=COHERE)]}, n=2, stream=True)
    assert (walk.error, walk.texts) == (None, {0: "ok", 1: "ok"})
    assert len(fleet.calls) == 3


@given(
    st.lists(st.sampled_from(["good", "500", "cut", "refused"]), min_size=1, max_size=12),
    st.integers(1, 4),
    st.integers(1, 3),
    st.booleans(),
    st.integers(0, 3),
)
def test_whatever_fails_every_choice_is_whole_or_the_request_fails(faults, prompts, n, stream, retries):
    """No text is lost, doubled or put under another number, and everything is given back and told."""
    good = says("one ", "two")
    scripts = {
        "good": good,
        "500": refuses(500),
        "cut": sends(b"data: {"),
        "refused": refuses(400),
    }
    config = {
        "model_list": [entry("a"), entry("b")],
        "router_settings": {"num_retries": retries, "allowed_fails": 1000},
    }
    fleet = Fleet(a=[scripts[fault] for fault in faults], b=[scripts[fault] for fault in reversed(faults)])
    walk = walked(fleet, config, *("pqrs"[:prompts]), n=n, stream=stream)
    if walk.error is None:
        assert walk.texts == dict.fromkeys(range(prompts * n), "one two")
        ends = [delta.index for delta in walk.deltas if delta.finish_reason]
        assert sorted(ends) == list(range(prompts * n))
    else:
        assert isinstance(walk.error, UpstreamError)
        assert set(walk.texts.values()) <= {"one two", "one "}
    assert walk.exchange.attempts == len(fleet.calls) == len(walk.records)
    assert sum(record.cost is not None for record in walk.records) == sum(r.usage is not None for r in walk.records)
    assert all(load.in_flight == 0 for load in walk.router.board.book.loads.values())
    assert all(response.closed for response in fleet.responses)


def test_a_walk_prints_what_it_is_doing():
    walk = walked(Fleet(a=says("x")), group("a"), "canary")
    assert repr(walk.calling) == "<Calling for 1 prompts, 1 calls>"
    assert "canary" not in repr(walk.calling) + repr(walk.records)
