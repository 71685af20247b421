"""A stream that breaks after its first text goes on elsewhere, where that is wanted and exact; or ends honestly."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import UpstreamConnectionError, UpstreamError
from tests.routing.fleet import Body, Fleet, entry, fails, group, refuses, says, sends, walked
from tests.routing.test_call import chunk

GONE = UpstreamConnectionError("Gone.")
BROKEN = sends(chunk("one two"), GONE)
REST = says(" three", " four")


def resuming(*models: str, **params: Any) -> Body:
    """Chats that can continue a text, unless other models are named."""
    listed = [
        entry(name, model=model, order=order, translation="continuation", **params)
        for order, (name, model) in enumerate(zip("abc", models or ("openai/x", "openai/y"), strict=False))
    ]
    return {"model_list": listed, "router_settings": {"resume_streams": True}}


def test_the_rest_of_a_stream_is_asked_for_with_the_text_so_far():
    fleet = Fleet(a=BROKEN, b=REST)
    walk = walked(fleet, resuming(), "Count:", stream=True, max_tokens=10)
    assert (walk.error, walk.texts) == (None, {0: "one two three four"})
    asked = fleet.calls[1][1]
    assert asked["messages"][-1] == {"role": "user", "content": "Count:one two"}
    assert asked["messages"][0]["role"] == "system"
    assert asked["max_tokens"] == 8
    assert [delta.finish_reason for delta in walk.deltas if delta.finish_reason] == ["stop"]
    assert (walk.why, walk.exchange.resumed) == (["first", "resume"], 1)
    assert walk.records[1].instead_of is walk.records[0]
    assert walk.exchange.deployment == "a"  # the one that served first
    assert walk.exchange.attempts == 2


def test_a_native_text_completion_goes_on_from_its_prompt():
    fleet = Fleet(a=BROKEN, b=sends(b'data: {"choices": [{"index": 0, "text": "!", "finish_reason": "stop"}]}\n\n'))
    config = resuming("openai/x", "text-completion-openai/y")
    walk = walked(fleet, config, "Count: ", stream=True)
    assert (walk.error, walk.texts) == (None, {0: "one two!"})
    assert fleet.calls[1][1]["prompt"] == "Count: one two"


def test_a_stream_that_breaks_again_goes_on_again_with_all_the_text():
    fleet = Fleet(a=BROKEN, b=sends(chunk(" three"), GONE), c=says(" four"))
    walk = walked(fleet, resuming("openai/x", "openai/y", "openai/z"), stream=True)
    assert (walk.error, walk.texts) == (None, {0: "one two three four"})
    assert fleet.calls[2][1]["messages"][-1]["content"] == "pone two three"
    assert fleet.calls[2][1]["max_tokens"] == 16 - 3
    assert walk.exchange.resumed == 2


def test_what_fails_to_go_on_is_made_good_by_the_next():
    fleet = Fleet(a=BROKEN, b=refuses(500), c=REST)
    walk = walked(fleet, resuming("openai/x", "openai/y", "openai/z"), stream=True)
    assert (walk.error, walk.texts) == (None, {0: "one two three four"})
    assert walk.why == ["first", "resume", "resume"]
    assert walk.exchange.resumed == 1


def test_a_stop_sequence_across_the_seam_is_one():
    fleet = Fleet(a=sends(chunk("one\n"), GONE), b=says("\ntwo"))
    walk = walked(fleet, resuming(), stream=True, stop=("\n\n",))
    assert (walk.error, walk.texts) == (None, {0: "one"})
    assert [delta.finish_reason for delta in walk.deltas if delta.finish_reason] == ["stop"]


def test_both_calls_are_paid_for():
    walk = walked(
        Fleet(a=BROKEN, b=REST), resuming(input_cost_per_token=0.001, output_cost_per_token=0.01), stream=True
    )
    first, second = walk.records
    assert first.usage is not None
    assert second.usage is not None
    assert first.usage.output_tokens == 2
    assert walk.exchange.usage == first.usage + second.usage


INEXACT: dict[str, tuple[Body, dict[str, Any]]] = {
    "nobody wants it": ({**resuming(), "router_settings": {}}, {}),
    "a deployment does not want it": (resuming(resume_streams=False), {}),
    "several choices": (resuming(), {"n": 2}),
    "logprobs": (resuming(), {"logprobs": 1}),
    "the prompt is repeated": (resuming(), {"echo": True}),
    "nothing is left to ask for": (resuming(), {"max_tokens": 2}),
}


@pytest.mark.parametrize("why", INEXACT)
def test_what_would_not_be_exact_is_not_continued(why):
    config, asked = INEXACT[why]
    fleet = Fleet(a=BROKEN, b=REST)
    walk = walked(fleet, config, stream=True, **asked)
    assert isinstance(walk.error, UpstreamConnectionError)
    assert walk.texts == {0: "one two"}
    assert (fleet.called, walk.exchange.resumed) == (["a"], 0)


def test_a_chat_that_answers_instead_of_continuing_is_not_asked():
    fleet = Fleet(a=BROKEN, b=REST)
    walk = walked(fleet, group("a", "b", resume_streams=True), stream=True)
    assert isinstance(walk.error, UpstreamConnectionError)
    assert (walk.texts, fleet.called) == ({0: "one two"}, ["a"])


def test_a_chat_that_answers_is_passed_over_for_one_that_continues():
    config = resuming("openai/x", "openai/y", "openai/z")
    del config["model_list"][1]["litellm_params"]["translation"]
    fleet = Fleet(a=BROKEN, b=REST, c=REST)
    walk = walked(fleet, config, stream=True)
    assert (walk.texts, fleet.called) == ({0: "one two three four"}, ["a", "c"])


def test_a_choice_that_had_ended_is_not_continued():
    fleet = Fleet(a=sends(chunk("one", "stop"), GONE), b=REST)
    walk = walked(fleet, resuming(), stream=True)
    assert isinstance(walk.error, UpstreamConnectionError)
    assert (walk.texts, fleet.called) == ({0: "one"}, ["a"])


def test_where_nobody_goes_on_the_last_failure_is_told():
    fleet = Fleet(a=BROKEN, b=fails(UpstreamConnectionError("Refused.")))
    config = resuming()
    config["router_settings"]["num_retries"] = 1
    walk = walked(fleet, config, stream=True)
    assert isinstance(walk.error, UpstreamError)
    assert walk.error.message == "Refused."
    assert walk.texts == {0: "one two"}
    assert all(load.in_flight == 0 for load in walk.router.board.book.loads.values())


@given(st.text(alphabet="ab\n ", min_size=1, max_size=20), st.data())
def test_however_often_a_stream_breaks_the_text_is_the_one_it_would_have_been(text, data):
    """Each provider goes on from where the text before it ended; nothing is lost or doubled, and stops hold."""
    seams = sorted(data.draw(st.sets(st.integers(1, max(1, len(text) - 1)), max_size=2)))
    stop = data.draw(st.sampled_from([(), ("\n\n",), ("ab", "b a")]))
    parts = [text[start:end] for start, end in zip([0, *seams], [*seams, len(text)], strict=True)]
    parts = [part for part in parts if part]
    scripts = [sends(*map(chunk, part), GONE) for part in parts[:-1]] + [says(*parts[-1])]
    fleet = Fleet(**dict(zip("abc", scripts, strict=False)))
    config = resuming(*["openai/x"] * len(scripts))
    walk = walked(fleet, config, stream=True, stop=stop, max_tokens=1000)
    plain = walked(Fleet(a=says(*text)), resuming("openai/x"), stream=True, stop=stop, max_tokens=1000)
    assert walk.error is None
    assert walk.texts == plain.texts
    assert [d.finish_reason for d in walk.deltas if d.finish_reason] == ["stop"]
