"""Content: kept only where it is wanted, as the policies left it, and never more than fits."""

import asyncio
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import PolicyBlocked
from gateway.telemetry import compat, content, spans, usage
from gateway.telemetry.content import Content
from gateway.telemetry.options import Options
from gateway.types import Call, Message
from tests.telemetry.finished import call, judged, request
from tests.telemetry.kit import BLOCKED, MASKED, telling

KEPT = Options(content=True)


def said(text: str, role: str = "user") -> dict[str, object]:
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def answered(text: str, reason: str = "stop") -> dict[str, object]:
    return {**said(text, "assistant"), "finish_reason": reason}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("model", "prompt", "inputs", "outputs", "policies"),
    [
        ("ok", "Say hello", [said("Say hello")], [answered("Say hello")], True),
        ("ok", "Say hello", [said("Say hello")], [answered("Say hello")], False),
        (
            "ok",
            f"Mail {MASKED} now",
            [said("Mail <EMAIL_ADDRESS_1> now")],
            [answered("Mail <EMAIL_ADDRESS_1> now")],
            True,
        ),
        ("ok", f"Bring a {BLOCKED}", None, None, True),
        ("429", "Say hello", [said("Say hello")], None, True),
    ],
)
def test_what_is_kept_is_what_the_policies_left(model, prompt, inputs, outputs, policies, stream, tmp_path: Path):
    async def run():
        async with telling(tmp_path, capture_content="guarded", policies=policies) as told:
            await told.ask(model, prompt, stream=stream)
            calls = [span["attributes"] for span in await told.spans() if span["kind"] == 3]
            return calls, told.lines()[0]

    calls, line = asyncio.run(run())
    for where in [*calls, line]:
        for name, expected in (("gen_ai.input.messages", inputs), ("gen_ai.output.messages", outputs)):
            found = where.get(name)
            assert (orjson.loads(found) if found else None) == expected
    assert bool(calls) is (inputs is not None)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_of_an_answer_that_is_blocked_only_what_left_is_kept(stream: bool, tmp_path: Path):
    async def run():
        async with telling(tmp_path, capture_content="guarded") as told:
            _, body = await told.ask("leaky", stream=stream)
            (span,) = [span for span in await told.spans() if span["kind"] == 3]
            return body, orjson.loads(span["attributes"]["gen_ai.output.messages"])

    body, kept = asyncio.run(run())
    expected = "Have a " if stream else "This answer was withheld by policy."
    assert kept == [answered(expected, "content_filter")]
    assert expected.split(" ")[0].encode() in body


def test_each_call_has_its_own_prompt_and_choices(tmp_path: Path):
    async def run():
        async with telling(tmp_path, capture_content="guarded") as told:
            await told.ask("ok", ["one", "two"], n=2)
            return [span["attributes"] for span in await told.spans() if span["kind"] == 3], told.lines()[0]

    calls, line = asyncio.run(run())
    for attributes in calls:
        (asked,) = orjson.loads(attributes["gen_ai.input.messages"])
        text = asked["parts"][0]["content"]
        assert orjson.loads(attributes["gen_ai.output.messages"]) == [answered(text)] * 2
    assert orjson.loads(line["gen_ai.input.messages"]) == [said("one"), said("two")]
    assert len(orjson.loads(line["gen_ai.output.messages"])) == 4


def test_nothing_is_kept_where_nobody_asked_for_it(tmp_path: Path):
    async def run() -> bytes:
        async with telling(tmp_path) as told:
            await told.ask("ok", "Say xylophone")
            return await told.everything()

    assert b"xylophone" not in asyncio.run(run())


def test_a_prompt_that_was_refused_while_it_was_being_answered_is_not_kept():
    exchange = request()
    exchange.capture = Content(100)
    exchange.capture.note(0, "an answer nobody saw")
    call(exchange, "a prompt")
    judged(exchange, decision="block")
    exchange.error = PolicyBlocked("x")
    assert content.whole(exchange, 100) == (None, None)
    assert "gen_ai.input.messages" not in spans.of(exchange, KEPT)[1].attributes


@pytest.mark.parametrize("tool", ["openinference", "langfuse"])
def test_a_server_span_has_the_texts_where_a_tool_shows_conversations_by_it(tool):
    exchange = request("one", "two")
    exchange.capture = Content(100)
    for number, prompt in enumerate(("one", "two")):
        call(exchange, prompt, first=number)
        exchange.capture.note(number, f"answer {number}")
    names = compat.WHOLE[tool]
    given = [spans.of(exchange, replace(KEPT, compat=(tool,)))[-1].attributes[name] for name in names]
    assert given == list(content.whole(exchange, KEPT.content_characters))
    assert b"answer 1" in given[1].encode()
    for options in (KEPT, Options(compat=(tool,))):
        assert not [name for name in spans.of(exchange, options)[-1].attributes if name in names]


def test_a_server_span_says_nothing_of_a_prompt_that_was_refused():
    exchange = request()
    exchange.capture = Content(100)
    judged(exchange, decision="block")
    exchange.error = PolicyBlocked("x")
    assert "input.value" not in spans.of(exchange, replace(KEPT, compat=("openinference",)))[-1].attributes


def test_an_answer_that_was_refused_with_an_error_is_not_kept():
    exchange = request()
    exchange.capture = Content(100)
    exchange.capture.note(0, "an answer nobody saw")
    call(exchange, "a prompt")
    judged(exchange, stage="output", decision="block")
    exchange.error = PolicyBlocked("x")
    record = usage.record(exchange, KEPT)
    assert orjson.loads(record.inputs or "") == [said("a prompt")]
    assert record.outputs is None


@pytest.mark.parametrize(
    ("asked", "messages"),
    [
        (Call((Message("user", "p"),), "p"), [said("p")]),
        (Call((Message("system", "s"), Message("user", "p")), "p"), [said("s", "system"), said("p")]),
        (
            Call((), "p", suffix="s"),
            [{"role": "user", "parts": [{"type": "text", "content": "p"}, {"type": "text", "content": "s"}]}],
        ),
        (Call((Message("user", "decoded"),), (1, 2)), [said("decoded")]),
        (Call((), (1, 2)), None),
    ],
)
def test_a_prompt_is_told_as_it_was_asked(asked: Call, messages):
    found = content.asked(asked, 100)
    assert (None if found is None else orjson.loads(found)) == messages


def test_what_does_not_fit_is_cut_and_says_so():
    found = orjson.loads(content.asked(Call((Message("system", "abc"), Message("user", "defg")), "defg"), 5) or "")
    assert found == [
        said("abc", "system"),
        {"role": "user", "parts": [{"type": "text", "content": "de", "truncated": True}]},
    ]


@given(st.lists(st.tuples(st.integers(0, 2), st.text(max_size=30)), max_size=30), st.integers(1, 40))
def test_an_answer_takes_no_more_room_than_it_may(pieces: list[tuple[int, str]], most: int):
    kept = Content(most)
    whole: dict[int, str] = {}
    for index, text in pieces:
        kept.note(index, text)
        whole[index] = whole.get(index, "") + text
    assert kept.texts() == {index: text[: most + 1] for index, text in whole.items() if text}


@given(st.text(max_size=200), st.integers(1, 50))
def test_any_text_is_valid_json_in_the_conventions_form(text: str, most: int):
    exchange = request()
    exchange.capture = Content(most)
    exchange.capture.note(0, text)
    call(exchange, text)
    inputs, outputs = content.whole(exchange, most)
    for found in (inputs, outputs):
        for message in orjson.loads(found or "[]"):
            assert sum(len(part["content"]) for part in message["parts"]) <= most


@pytest.mark.parametrize(
    ("reason", "said"), [("tool_calls", "tool_call"), ("function_call", "tool_call"), ("stop", "stop")]
)
def test_a_message_says_why_it_ended_in_the_words_of_the_conventions_schema(reason, said):
    exchange = request()
    record = call(exchange)
    exchange.finish_reasons = {0: reason}
    (message,) = orjson.loads(content.answered(exchange, record, {0: "Hello"}, 100) or b"[]")
    assert message["finish_reason"] == said
