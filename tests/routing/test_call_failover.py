"""Walking on: what fails before its first text is made good by another call, and what cannot be is told truthfully."""

import asyncio
from contextlib import aclosing

import pytest

from gateway.errors import (
    GatewayError,
    UnsupportedParameter,
    UpstreamConnectionError,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
)
from gateway.routing.upstream import Timeouts, timed_out
from gateway.types import CompletionRequest
from tests.routing.fleet import Fleet, Walk, entry, fails, group, refuses, says, sends, walked
from tests.routing.test_call import chunk, new

GOOD = says("fine")
CUT = sends(chunk("half "), UpstreamConnectionError("gone"))

AGAIN = {
    "500": refuses(500),
    "502": refuses(502),
    "429": refuses(429),
    "401": refuses(401),
    "404": refuses(404),
    "refused": fails(UpstreamConnectionError("refused")),
    "timeout": fails(timed_out("http://a/", "read", Timeouts(1, 1, 1))),
    "nonsense": sends(b"<html>"),
    "empty": sends(),
    "nothing in it": sends(b"data: [DONE]\n\n"),
    "error event": sends(b'data: {"error": {"message": "overloaded", "code": 503}}\n\n'),
    "only a thought": sends(
        b'data: {"choices": [{"index": 0, "delta": {"reasoning_content": "hm"}}]}\n\n', UpstreamConnectionError("gone")
    ),
    "ends early": sends(b'data: {"id": "c", "choices": [{"index": 0, "delta": {"role": "assistant"}}]}\n\n'),
}
"""Failures before the first text that another deployment can make good."""


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", AGAIN)
def test_what_fails_before_its_first_text_is_made_good_by_another_deployment(fault, stream):
    fleet = Fleet(a=AGAIN[fault], b=GOOD)
    walk = walked(fleet, group("a", "b"), stream=stream)
    assert (walk.error, walk.texts) == (None, {0: "fine"})
    assert fleet.called == ["a", "b"]
    assert (walk.exchange.deployment, walk.exchange.attempts) == ("b", 2)
    assert [(record.deployment, record.attempt, record.why) for record in walk.records] == [
        ("a", 1, "first"),
        ("b", 2, "retry"),
    ]
    assert walk.records[1].instead_of is walk.records[0]
    assert walk.records[0].error is not None
    assert walk.slept == []
    assert all(response.closed for response in fleet.responses)


@pytest.mark.parametrize("fault", ["500", "refused", "nonsense", "429", "timeout"])
def test_a_deployment_alone_is_called_again_after_a_wait(fault):
    fleet = Fleet(a=[AGAIN[fault], AGAIN[fault], GOOD])
    walk = walked(fleet, group("a"))
    assert (walk.error, walk.texts) == (None, {0: "fine"})
    assert fleet.called == ["a", "a", "a"]
    assert [record.attempt for record in walk.records] == [1, 2, 3]
    assert len(walk.slept) == 2


@pytest.mark.parametrize("status", [400, 413, 422])
def test_what_is_about_the_request_is_not_asked_again(status):
    fleet = Fleet(a=refuses(status, "your fault"), b=GOOD)
    walk = walked(fleet, group("a", "b"))
    assert isinstance(walk.error, UpstreamRejected)
    assert walk.error.message == "The provider openai refused the request: your fault"
    assert fleet.called == ["a"]


def test_a_fallback_is_called_under_its_own_name_and_with_its_own_defaults():
    config = {
        "model_list": [entry("a"), entry("b", "other", "openai/y", temperature=0.5)],
        "router_settings": {"fallbacks": [{"m": ["other"]}], "num_retries": 0},
    }
    fleet = Fleet(a=refuses(500), b=GOOD)
    walk = walked(fleet, config)
    assert walk.texts == {0: "fine"}
    assert walk.why == ["first", "fallback"]
    assert fleet.calls[1][1]["model"] == "y"
    assert fleet.calls[1][1]["temperature"] == 0.5
    assert "temperature" not in fleet.calls[0][1]
    assert walk.exchange.served_model == "y"


def test_the_number_of_choices_stays_what_the_first_deployment_made_it():
    config = group("a", "b")
    config["model_list"][0]["litellm_params"]["n"] = 2
    config["model_list"][1]["litellm_params"]["n"] = 5
    walk = walked(Fleet(a=refuses(500), b=GOOD), config)
    assert walk.texts == {0: "fine", 1: "fine"}
    assert walk.calling.request.n == 2


def test_after_the_first_text_the_failure_is_raised_behind_it():
    fleet = Fleet(a=CUT, b=GOOD)
    walk = walked(fleet, group("a", "b"), stream=True)
    assert walk.texts == {0: "half "}
    assert isinstance(walk.error, UpstreamConnectionError)
    assert fleet.called == ["a"]


def test_text_that_a_stop_sequence_may_begin_with_is_given_out_before_the_failure():
    stops = ("\n", "\n\n", "x", "half way")
    fleet = Fleet(a=CUT)
    walk = walked(fleet, group("a"), stream=True, stop=stops, model="m")
    assert walk.texts == {0: "half "}
    assert isinstance(walk.error, UpstreamConnectionError)


def test_who_gives_up_says_how_much_was_tried_and_names_the_last():
    fleet = Fleet(a=refuses(500), b=refuses(429, retry_after="7"))
    walk = walked(fleet, group("a", "b", num_retries=1))
    assert isinstance(walk.error, UpstreamRateLimited)
    assert walk.error.message.endswith("try again later. 2 attempts were made at 2 deployments.")
    assert walk.error.headers == {"retry-after": "7"}
    assert (walk.exchange.deployment, walk.exchange.attempts) == ("b", 2)
    assert walk.records[1].error is not walk.error  # what a record holds is the provider's failure alone
    assert "attempts" not in walk.records[1].error.message


def test_one_attempt_is_not_spoken_of():
    walk = walked(Fleet(a=refuses(500)), group("a", num_retries=0))
    assert isinstance(walk.error, UpstreamError)
    assert "attempt" not in walk.error.message


def test_several_attempts_at_one_deployment_are_said_so():
    walk = walked(Fleet(a=fails(UpstreamConnectionError("Broken."))), group("a", num_retries=2))
    assert isinstance(walk.error, UpstreamConnectionError)
    assert walk.error.message == "Broken. 3 attempts were made at 1 deployment."


def test_a_parameter_one_provider_cannot_honour_goes_to_the_other_and_nobody_is_called_for_nothing():
    config = group("a", "b")
    config["model_list"][0]["litellm_params"]["model"] = "anthropic/x"
    fleet = Fleet(b=GOOD)
    walk = walked(fleet, config, logit_bias={"5": 1.0})
    assert walk.texts == {0: "fine"}
    assert fleet.called == ["b"]
    assert walk.why == ["first"]
    assert walk.calling.request.logit_bias == {"5": 1.0}


def test_a_parameter_nobody_can_honour_is_refused_in_the_words_of_the_first():
    config = group("a", "b")
    for listed, model in zip(config["model_list"], ["anthropic/x", "cohere/y"], strict=True):
        listed["litellm_params"]["model"] = model
    with pytest.raises(UnsupportedParameter, match="anthropic") as caught:
        Walk(Fleet(), config, CompletionRequest("m", ("p",), logit_bias={"5": 1.0})).stream()
    assert caught.value.param == "logit_bias"


def test_a_failure_is_told_where_the_others_cannot_honour_the_request():
    config = group("b", "a")
    config["model_list"][1]["litellm_params"]["model"] = "anthropic/x"
    walk = walked(Fleet(b=refuses(500)), config, logit_bias={"5": 1.0})
    assert isinstance(walk.error, UpstreamError)
    assert not isinstance(walk.error, UpstreamRejected)


def test_what_was_dropped_for_one_that_did_not_serve_is_not_spoken_of():
    config = group("a", "b")
    config["model_list"][0]["litellm_params"] |= {"model": "anthropic/x", "drop_params": True}
    fleet = Fleet(a=refuses(529), b=GOOD)
    walk = walked(fleet, config, seed=5)
    assert walk.texts == {0: "fine"}
    assert walk.exchange.dropped == ()
    assert fleet.calls[1][1]["seed"] == 5


def test_what_the_provider_says_of_an_answer_is_said_of_the_one_that_served():
    first = sends(b'data: {"id": "lost", "model": "x-lost", "choices": []}\n\n', UpstreamConnectionError("gone"))
    second = sends(chunk("fine", id="kept", model="x-kept"), chunk(None, "stop"), b"data: [DONE]\n\n")
    walk = walked(Fleet(a=first, b=second), group("a", "b"), stream=True)
    assert walk.exchange.opening is not None
    assert (walk.exchange.opening.id, walk.exchange.opening.model) == ("kept", "x-kept")
    assert walk.records[0].opening is not None
    assert walk.records[0].opening.id == "lost"


def test_failed_attempts_that_were_worked_for_are_paid():
    priced = {"input_cost_per_token": 0.001, "output_cost_per_token": 0.01}
    config = group("a", "b", "c")
    for listed in config["model_list"]:
        listed["litellm_params"] |= priced
    walk = walked(Fleet(a=sends(b"<html>"), b=refuses(500), c=GOOD), config)
    lost, refused, served = walk.records
    assert lost.usage is not None
    assert lost.usage.estimated
    assert refused.usage is None
    assert served.usage is not None
    assert walk.exchange.usage == lost.usage + served.usage
    assert walk.exchange.cost is not None
    assert walk.exchange.cost.total == lost.cost.total + served.cost.total


def test_no_step_begins_after_the_clients_patience():
    exchange = new()
    exchange.timeout, exchange.began = 2.0, exchange.began - 5
    fleet = Fleet(a=refuses(500), b=GOOD)
    walk = walked(fleet, group("a", "b"), exchange=exchange)
    assert isinstance(walk.error, UpstreamError)
    assert fleet.called == ["a"]


@pytest.mark.parametrize(("timeout", "said"), [(0.5, "0 failed"), (None, "1 failed")])
def test_that_a_client_has_no_patience_is_not_held_against_a_deployment(timeout, said):
    exchange = new()
    exchange.timeout = timeout
    fleet = Fleet(a=fails(timed_out("http://a/", "total", Timeouts(1, 1, 1))))
    walk = walked(fleet, group("a", num_retries=0), exchange=exchange)
    assert isinstance(walk.error, UpstreamTimeout)
    assert said in repr(walk.router.board.book.loads["a"].breaker)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "failing",
    [
        fails(timed_out("http://a/", "connect", Timeouts())),
        refuses(504),
        refuses(408),
    ],
    ids=["no connection", "504", "408"],
)
def test_what_a_client_with_patience_would_not_have_changed_is_held_against_it(failing, stream):
    exchange = new()
    exchange.timeout = 30.0  # less than the time limits of a whole answer, and more than that of a connection
    walk = walked(Fleet(a=failing), group("a", num_retries=0), exchange=exchange, stream=stream)
    assert isinstance(walk.error, UpstreamTimeout)
    assert "1 failed" in repr(walk.router.board.book.loads["a"].breaker)


def test_a_silence_longer_than_the_operator_allows_is_held_against_it_whatever_the_client_allows():
    exchange = new()
    exchange.timeout = 120.0  # of the 600 seconds that a stream may last
    fleet = Fleet(a=fails(timed_out("http://a/", "read", Timeouts())))
    walk = walked(fleet, group("a", num_retries=0), exchange=exchange, stream=True)
    assert "1 failed" in repr(walk.router.board.book.loads["a"].breaker)


def test_whoever_leaves_during_the_wait_before_a_retry_waits_no_longer():
    waiting = asyncio.Event()

    class Patient(Walk):
        async def _sleep(self, seconds: float) -> None:
            waiting.set()
            await asyncio.Event().wait()

    async def leave() -> tuple[Walk, Fleet]:
        fleet = Fleet(a=refuses(500))
        walk = Patient(fleet, group("a"), CompletionRequest("m", ("p",)))
        going = asyncio.create_task(walk.go())
        await waiting.wait()
        going.cancel()
        await asyncio.gather(going, return_exceptions=True)
        return walk, fleet

    walk, fleet = asyncio.run(leave())
    assert fleet.called == ["a"]
    assert all(load.in_flight == 0 for load in walk.router.board.book.loads.values())


@pytest.mark.parametrize("prompts", [("p",), ("p", "q", "r")])
@pytest.mark.parametrize("stream", [False, True])
def test_every_call_is_given_back_to_the_router_however_it_ends(prompts, stream):
    for script in (*AGAIN.values(), GOOD, CUT, refuses(400)):
        fleet = Fleet(a=[script, script, GOOD], b=[script, GOOD, script])
        walk = walked(fleet, group("a", "b", num_retries=1), *prompts, stream=stream)
        assert [load.in_flight for load in walk.router.board.book.loads.values()] == [0, 0]
        assert all(response.closed for response in fleet.responses)
        assert all(record.ended is not None for record in walk.records)


def test_a_stream_that_is_no_longer_read_gives_its_ticket_back():
    async def leave() -> Walk:
        walk = Walk(Fleet(a=says(*"abc")), group("a"), CompletionRequest("m", ("p",), stream=True))
        async with aclosing(walk.stream()) as stream:
            await anext(stream)
        return walk

    walk = asyncio.run(leave())
    assert walk.router.board.book.loads["a"].in_flight == 0
    assert walk.records[0].cut


def test_a_fault_of_our_own_is_not_tried_again():
    class Broken(Exception):
        pass

    fleet = Fleet(a=fails(Broken()), b=GOOD)
    walk = walked(fleet, group("a", "b"))
    assert isinstance(walk.error, Broken)
    assert not isinstance(walk.error, GatewayError)
    assert fleet.called == ["a"]
    assert walk.router.board.book.loads["a"].in_flight == 0


FILTERED = {
    False: sends(
        b'{"choices": [{"index": 0, "message": {"content": "Sorr"}, "finish_reason": "content_filter"}], '
        b'"usage": {"prompt_tokens": 10, "completion_tokens": 1}}'
    ),
    True: sends(chunk(None, "content_filter"), b"data: [DONE]\n\n"),
}
"""An answer that the provider's content policy has ended, whole and streamed."""


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_a_content_policy_ended_is_asked_for_where_the_configuration_says_so(stream):
    config = {
        "model_list": [entry("a"), entry("b", alias="other")],
        "router_settings": {"content_policy_fallbacks": [{"m": ["other"]}]},
    }
    walk = walked(Fleet(a=FILTERED[stream], b=GOOD), config, stream=stream)
    assert (walk.error, walk.texts) == (None, {0: "fine"})
    assert [(record.deployment, record.why) for record in walk.records] == [("a", "first"), ("b", "fallback")]
    assert walk.records[0].usage is not None, "what was worked for is paid for"


@pytest.mark.parametrize("stream", [False, True])
def test_without_a_fallback_an_answer_that_a_content_policy_ended_is_what_it_is(stream):
    walk = walked(Fleet(a=FILTERED[stream], b=GOOD), group("a", "b"), stream=stream)
    assert (walk.error, walk.texts) == (None, {0: "" if stream else "Sorr"})
    assert [delta.finish_reason for delta in walk.deltas if delta.finish_reason] == ["content_filter"]
    assert [record.deployment for record in walk.records] == ["a"]
    assert walk.exchange.deployment == "a"


@pytest.mark.parametrize("stream", [False, True])
def test_text_that_was_streamed_before_a_content_policy_ended_it_stays(stream):
    script = sends(chunk("Sorr"), chunk(None, "content_filter"), b"data: [DONE]\n\n")
    config = {
        "model_list": [entry("a"), entry("b", alias="other")],
        "router_settings": {"content_policy_fallbacks": [{"m": ["other"]}]},
    }
    walk = walked(Fleet(a=script if stream else FILTERED[False], b=GOOD), config, stream=stream)
    assert walk.texts == {0: "Sorr" if stream else "fine"}


def test_a_deployment_without_credentials_is_passed_over_at_once_and_loudly(monkeypatch, tmp_path):
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    nobody = {"aws_region_name": "eu-west-1", "aws_profile_name": "nobody"}
    signed = {
        "model_name": "m",
        "litellm_params": {"model": "bedrock/x", "api_base": "http://a", "order": 0, **nobody},
        "model_info": {"id": "a"},
    }
    config = {"model_list": [signed, entry("b", order=1)], "router_settings": {}}
    fleet = Fleet(a=GOOD, b=GOOD)
    walk = walked(fleet, config)
    assert (walk.texts, fleet.called, walk.why) == ({0: "fine"}, ["b"], ["first", "retry"])
    breaker = walk.router.board.book.loads["a"].breaker
    assert (breaker.health, breaker.permanent, breaker.cause) == ("open", True, "HTTP 401")
    assert walk.exchange.attempts == 1
