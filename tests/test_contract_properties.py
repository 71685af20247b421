"""The contract's promises about answers and refusals, held against requests nobody thought of.

The demo provider is asked in both its languages, chat and text, through the whole application.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from openai.types import Completion

from gateway.ledger import tokens
from gateway.wire import json
from tests.asked import MOST, config, requests
from tests.inprocess import InProcess, Reply

CHOICE_KEYS = ["text", "index", "logprobs", "finish_reason"]
HEAD_KEYS = ["id", "object", "created", "model", "system_fingerprint", "choices"]


@pytest.fixture(scope="module")
def gateway() -> Iterator[InProcess]:
    running = InProcess(config())
    yield running
    running.close()


def prompts_of(asked: dict[str, Any]) -> list[str]:
    """Every prompt as text."""
    given_ = asked["prompt"]
    several = isinstance(given_, list) and not isinstance(given_[0], int)
    each = given_ if several else [given_]
    return [prompt if isinstance(prompt, str) else tokens.decode(prompt, "cl100k_base") for prompt in each]


def stops_of(asked: dict[str, Any]) -> list[str]:
    stop = asked.get("stop") or []
    return [stop] if isinstance(stop, str) else stop


def check_usage(usage: dict[str, int], asked: dict[str, Any]) -> None:
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    limit, candidates = asked.get("max_tokens", 16), asked.get("best_of", asked.get("n", 1))
    generated = len(prompts_of(asked)) * candidates
    assert generated * min(limit, 1) <= usage["completion_tokens"] <= generated * limit
    assert usage["prompt_tokens"] >= sum(bool(prompt) for prompt in prompts_of(asked))


def check_choice(choice: dict[str, Any], asked: dict[str, Any], prompt: str) -> None:
    assert list(choice) == CHOICE_KEYS
    assert choice["finish_reason"] in ("stop", "length")
    text = choice["text"]
    if asked.get("echo"):
        assert text.startswith(prompt)
        text = text[len(prompt) :]
    assert not any(stop in text for stop in stops_of(asked))
    if "logprobs" not in asked or (asked.get("max_tokens") == 0 and not asked["model"].startswith("text")):
        assert choice["logprobs"] is None
    elif choice["logprobs"] is None:
        assert choice["text"] == ""  # a stop sequence came first: there is no token to speak of
    else:
        check_logprobs(choice["logprobs"], choice["text"], asked)


def check_logprobs(logprobs: dict[str, list[Any]], text: str, asked: dict[str, Any]) -> None:
    assert list(logprobs) == ["tokens", "token_logprobs", "top_logprobs", "text_offset"]
    assert len({len(column) for column in logprobs.values()}) == 1
    raw = b""
    before = 0
    for place, (token, logprob, top, offset) in enumerate(zip(*logprobs.values(), strict=True)):
        assert before <= offset <= len(text)
        before = offset
        if token.startswith("bytes:"):
            raw += bytes.fromhex(token[6:].replace("\\x", ""))
        else:
            raw += token.encode()
            assert text[offset:].startswith(token)
        if logprob is None:
            assert (place, top, asked["echo"]) == (0, None, True)
        else:
            assert logprob <= 0
            assert top[token] == logprob
            assert len(top) <= asked["logprobs"] + 1
    assert raw.decode("utf-8", "replace") == text


def check_whole(reply: Reply, asked: dict[str, Any]) -> dict[str, Any]:
    """Everything the contract says of an answer that is not streamed."""
    assert reply.status == 200, reply.body
    answer: dict[str, Any] = reply.json
    if asked.get("echo"):  # whose first token has no logprob, which the client's types do not know and it does not mind
        assert Completion.construct(**answer).choices[0].text == answer["choices"][0]["text"]
    else:
        Completion.model_validate(answer)
    called = asked.get("max_tokens") != 0 or ("logprobs" in asked and asked["model"].startswith("text"))
    assert list(answer) == [key for key in (*HEAD_KEYS, "usage") if called or key != "system_fingerprint"]
    assert re.fullmatch("cmpl-[0-9a-f]{32}", answer["id"])
    assert (answer["object"], answer["model"]) == ("text_completion", asked["model"])
    n = asked.get("n", 1)
    assert [choice["index"] for choice in answer["choices"]] == list(range(len(prompts_of(asked)) * n))
    for choice in answer["choices"]:
        check_choice(choice, asked, prompts_of(asked)[choice["index"] // n])
    check_usage(answer["usage"], asked)
    return answer


def check_stream(reply: Reply, asked: dict[str, Any], with_usage: bool) -> dict[str, Any]:
    """Everything the contract says of a stream; gives back the answer its chunks add up to."""
    assert reply.status == 200, reply.body
    assert (reply.headers["cache-control"], reply.headers["x-accel-buffering"]) == ("no-cache", "no")
    *data, done = reply.events
    assert done == b"[DONE]"
    chunks = [json.loads(one) for one in data]
    for chunk in chunks:
        assert Completion.construct(**chunk).id == chunk["id"]
    assert len({(chunk["id"], chunk["created"], chunk.get("system_fingerprint")) for chunk in chunks}) == 1
    last = chunks.pop() if with_usage else None
    choices: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        assert [key for key in chunk if key != "system_fingerprint"] == [
            key for key in (*HEAD_KEYS, "usage") if key != "system_fingerprint" and (with_usage or key != "usage")
        ]
        assert chunk.get("usage") is None
        (piece,) = chunk["choices"]
        assert list(piece) == CHOICE_KEYS
        assert piece["text"] or piece["finish_reason"] or piece["logprobs"]
        add(choices.setdefault(piece["index"], {**piece, "text": "", "logprobs": None, "finish_reason": None}), piece)
    answer = {**chunks[0], "choices": [choices[index] for index in sorted(choices)]}
    answer.pop("usage", None)
    if last is not None:
        assert last["choices"] == []
        answer["usage"] = last["usage"]
    return answer


def add(choice: dict[str, Any], piece: dict[str, Any]) -> None:
    """Put one piece to those before it; nothing may follow a finish reason."""
    assert choice["finish_reason"] is None
    choice["text"] += piece["text"]
    choice["finish_reason"] = piece["finish_reason"]
    if piece["logprobs"] is not None:
        so_far = choice["logprobs"] or {name: [] for name in piece["logprobs"]}
        choice["logprobs"] = {name: so_far[name] + column for name, column in piece["logprobs"].items()}


@MOST
@given(requests())
@example({"model": "text", "prompt": [9468, 99], "echo": True, "logprobs": 2, "max_tokens": 3})
@example({"model": "text", "prompt": "x", "logprobs": 5, "max_tokens": 0, "echo": True, "n": 2})
def test_an_answer_keeps_every_promise(gateway: InProcess, asked: dict[str, Any]) -> None:
    check_whole(gateway.ask(asked), asked)


@MOST
@given(requests(), st.booleans())
def test_a_stream_adds_up_to_the_same_answer(gateway: InProcess, asked: dict[str, Any], with_usage: bool) -> None:
    asked.pop("best_of", None)
    whole = check_whole(gateway.ask(asked), asked)
    options = {"stream_options": {"include_usage": True}} if with_usage else {}
    added = check_stream(gateway.ask({**asked, "stream": True, **options}), asked, with_usage)
    if not with_usage:
        whole.pop("usage")
    for name in ("id", "created"):
        del added[name], whole[name]
    for choice in (*whole["choices"], *added["choices"]):
        if choice["logprobs"] is not None and not choice["logprobs"]["tokens"]:
            choice["logprobs"] = None  # a choice of no tokens has no chunk to put an empty list into
    assert added == whole
