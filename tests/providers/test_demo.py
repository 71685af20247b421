"""The demo as a server: OpenAI's own client reads it over a real socket, and everything it says holds together."""

import codecs

import openai
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from gateway.ledger import tokens
from tests.providers.demo_kit import ask, serving

PROMPT = "Where does the old road lead?"
MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": PROMPT}]
TEXT, CHAT = "/v1/completions", "/v1/chat/completions"


@pytest.fixture(scope="module")
def client():
    with (
        serving() as origin,
        openai.OpenAI(base_url=f"{origin}/v1", api_key="any", max_retries=0, timeout=20) as made,
    ):
        yield made


def count(text: str) -> int:
    return tokens.count(text, "cl100k_base")


def raw_bytes(name: str) -> bytes:
    r"""A token of the text API as bytes: `bytes:\xf0\x9f` names a part of a character."""
    if name.startswith("bytes:"):
        return codecs.escape_decode(name.removeprefix("bytes:").encode())[0]
    return name.encode()


def test_the_documented_example_answers_as_documented(client):
    answer = client.completions.create(model="demo", prompt="Say this is a test", max_tokens=7, temperature=0)
    assert answer.object == "text_completion"
    assert answer.id.startswith("cmpl-")
    assert answer.choices[0].text == " This is a test."
    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].logprobs is None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (5, 5, 10)


EVERYTHING = {
    "temperature": 0.5, "top_p": 0.9, "presence_penalty": -1, "frequency_penalty": 1.5, "seed": 11,
    "stop": ["never said", "neither"], "logit_bias": {"50256": -100}, "user": "u-1",
}  # fmt: skip


def test_every_parameter_of_a_text_completion_is_taken(client):
    answer = client.completions.create(
        model="any-name", prompt=PROMPT, suffix=" The end.", max_tokens=9, n=2, best_of=4, logprobs=3, **EVERYTHING
    )
    assert answer.model == "any-name"
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert {choice.finish_reason for choice in answer.choices} == {"length"}
    assert answer.usage.prompt_tokens == count(PROMPT) + count(" The end.")
    assert answer.usage.completion_tokens == 4 * 9, "every candidate counts"


def test_every_parameter_of_a_chat_is_taken(client):
    answer = client.chat.completions.create(
        model="demo", messages=MESSAGES, max_completion_tokens=9, n=2, logprobs=True, top_logprobs=3,
        metadata={"k": "v"}, safety_identifier="s", **EVERYTHING,
    )  # fmt: skip
    assert answer.object == "chat.completion"
    assert [choice.finish_reason for choice in answer.choices] == ["length", "length"]
    assert answer.usage.completion_tokens == 18
    assert answer.usage.prompt_tokens == 3 + 2 * 3 + count("system") + count("Be brief.") + count("user") + count(
        PROMPT
    )
    assert answer.usage.completion_tokens_details.reasoning_tokens == 0
    for choice in answer.choices:
        assert b"".join(bytes(token.bytes) for token in choice.logprobs.content).decode("utf-8", "replace") == (
            choice.message.content
        )
        assert {len(token.top_logprobs) for token in choice.logprobs.content} == {3}


@pytest.mark.parametrize("prompt", [tokens.encode(PROMPT, "cl100k_base"), [tokens.encode(PROMPT, "cl100k_base")]])
def test_token_ids_are_the_text_they_stand_for(client, prompt):
    from_ids = client.completions.create(model="demo", prompt=prompt, seed=3)
    from_text = client.completions.create(model="demo", prompt=PROMPT, seed=3)
    assert from_ids.choices == from_text.choices
    assert from_ids.usage == from_text.usage


def test_a_list_of_prompts_is_answered_in_order(client):
    answer = client.completions.create(model="demo", prompt=["Say one", "Say two"], n=2, max_tokens=30)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert answer.choices[0].text == " One."
    assert answer.choices[2].text == " Two."
    assert len({choice.text for choice in answer.choices}) == 4


def test_best_of_returns_the_likeliest_first(client):
    def mean(choice):
        return sum(choice.logprobs.token_logprobs) / len(choice.logprobs.token_logprobs)

    every = client.completions.create(model="demo", prompt=PROMPT, n=6, logprobs=0).choices
    best = client.completions.create(model="demo", prompt=PROMPT, n=2, best_of=6, logprobs=0).choices
    assert [choice.text for choice in best] == [c.text for c in sorted(every, key=mean, reverse=True)[:2]]


def test_echo_puts_the_prompt_and_its_logprobs_in_front(client):
    choice = client.completions.create(model="demo", prompt=PROMPT, echo=True, logprobs=2, max_tokens=5).choices[0]
    assert choice.text.startswith(PROMPT)
    assert choice.logprobs.token_logprobs[0] is None
    assert choice.logprobs.top_logprobs[0] is None
    assert len(choice.logprobs.tokens) == count(PROMPT) + 5
    scored_only = client.completions.create(model="demo", prompt=PROMPT, echo=True, logprobs=2, max_tokens=0)
    assert scored_only.choices[0].text == PROMPT
    assert scored_only.choices[0].logprobs.tokens == choice.logprobs.tokens[:-5]
    assert scored_only.usage.completion_tokens == 0


@pytest.mark.parametrize("echo", [False, True])
@pytest.mark.parametrize("prompt", [PROMPT, "Où? 🦜 "])
def test_text_offset_points_at_each_token_from_the_start_of_the_prompt(prompt, echo):
    for seed in range(12):
        body = {"model": "demo", "prompt": prompt, "echo": echo, "logprobs": 5, "max_tokens": 90, "seed": seed}
        choice = orjson.loads(ask(TEXT, body)[2])["choices"][0]
        shown = choice["text"] if echo else prompt + choice["text"]
        logprobs = choice["logprobs"]
        names, offsets = logprobs["tokens"], logprobs["text_offset"]
        for name, offset in zip(names, offsets, strict=True):
            if not name.startswith("bytes:"):
                assert shown[offset : offset + len(name)] == name
        assert b"".join(raw_bytes(name) for name in names).decode() == choice["text"]
        assert offsets == sorted(offsets)
        for name, logprob, top in zip(names, logprobs["token_logprobs"], logprobs["top_logprobs"], strict=True):
            assert logprob is None or top[name] == logprob
            assert top is None or len(top) in (5, 6)


def test_the_models_are_listed_and_health_is_ok(client):
    assert [model.id for model in client.models.list()] == ["demo"]
    assert client.models.retrieve("demo").owned_by == "gateway"
    assert client.get("../health", cast_to=object) == {"status": "ok"}


bodies = st.fixed_dictionaries(
    {"max_tokens": st.integers(1, 90)},
    optional={
        "n": st.integers(1, 3),
        "seed": st.integers(0, 9),
        "stop": st.sampled_from(["the", "🌦", ["é", "."], " by the"]),
        "user": st.just("u"),
    },
)
questions = st.sampled_from([PROMPT, "Say naïve 東京 🦜", "", "Tell me\n", "a\u0301"])


@given(body=bodies, question=questions, size=st.integers(1, 30), chat=st.booleans(), logprobs=st.booleans())
@settings(max_examples=80, deadline=None)
def test_a_stream_says_exactly_what_the_whole_answer_says(body, question, size, chat, logprobs):
    path = CHAT if chat else TEXT
    body = {**body, "model": "demo"}
    if chat:
        body |= {"messages": [{"role": "user", "content": question}]}
        body |= {"logprobs": True, "top_logprobs": 2} if logprobs else {}
    else:
        body |= {"prompt": question, "logprobs": 2 if logprobs else None}
    whole = orjson.loads(ask(path, body)[2])
    streaming = {**body, "stream": True, "stream_options": {"include_usage": True}}
    data = ask(path, streaming, chunk_tokens=size)[2]
    *events, done, end = data.split(b"\n\n")
    assert (done, end) == (b"data: [DONE]", b"")
    chunks = [orjson.loads(event.removeprefix(b"data: ")) for event in events]
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert [chunk["usage"] for chunk in chunks] == [None] * (len(chunks) - 1) + [whole["usage"]]
    for choice in whole["choices"]:
        parts = [c for chunk in chunks for c in chunk["choices"] if c["index"] == choice["index"]]
        stop = body.get("stop", [])
        if chat:
            assert parts[0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
            assert parts[-1]["delta"] == {}
            text = "".join(part["delta"].get("content", "") for part in parts)
            assert text == choice["message"]["content"]
            said = [token for part in parts if part["logprobs"] for token in part["logprobs"]["content"]]
            assert said == ((choice["logprobs"] or {}).get("content") or [])
        else:
            text = "".join(part["text"] for part in parts)
            assert text == choice["text"]
            said = [name for part in parts if part["logprobs"] for name in part["logprobs"]["tokens"]]
            assert said == ((choice["logprobs"] or {}).get("tokens") or [])
        assert not any(word in text for word in ([stop] if isinstance(stop, str) else stop))
        reasons = [part["finish_reason"] for part in parts]
        assert reasons == [None] * (len(parts) - 1) + [choice["finish_reason"]]
        assert all(part["finish_reason"] or part.get("text") or part.get("delta") for part in parts)


def test_the_client_reads_both_streams(client):
    text = list(client.completions.create(model="demo", prompt="Say a b", stream=True, logprobs=1, echo=True))
    assert "".join(chunk.choices[0].text for chunk in text) == "Say a b A b."
    assert "usage" not in text[0].model_fields_set
    chat = list(
        client.chat.completions.create(
            model="demo", messages=[{"role": "user", "content": [{"type": "text", "text": "Say a b"}]}], stream=True
        )
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chat) == "A b."
    assert all(ChatCompletionChunk.model_validate(chunk.model_dump(), strict=True) for chunk in chat)


def test_a_whole_chat_is_strictly_the_clients_model():
    ChatCompletion.model_validate_json(ask(CHAT, {"model": "m", "messages": MESSAGES})[2], strict=True)
    Completion.model_validate_json(ask(TEXT, {"model": "m", "prompt": PROMPT, "logprobs": 2})[2], strict=True)


@pytest.mark.parametrize(
    ("path", "change", "param"),
    [
        (TEXT, {"prompt": None}, "prompt"),
        (TEXT, {"model": None}, "model"),
        (TEXT, {"prompt": []}, "prompt"),
        (TEXT, {"prompt": [1, "a"]}, "prompt"),
        (TEXT, {"prompt": [2**40]}, "prompt"),
        (TEXT, {"prompt": {"text": "a"}}, "prompt"),
        (TEXT, {"max_tokens": -1}, "max_tokens"),
        (TEXT, {"max_tokens": 1.5}, "max_tokens"),
        (TEXT, {"n": 2, "best_of": 1}, "best_of"),
        (TEXT, {"stream": True, "best_of": 2}, "best_of"),
        (TEXT, {"logprobs": 6}, "logprobs"),
        (TEXT, {"logprobs": True}, "logprobs"),
        (TEXT, {"temperature": 3}, "temperature"),
        (TEXT, {"stop": ["a"] * 5}, "stop"),
        (TEXT, {"stop": ""}, "stop"),
        (TEXT, {"logit_bias": {"1": 101}}, "logit_bias"),
        (TEXT, {"stream_options": {}}, "stream_options"),
        (TEXT, {"echo": True, "suffix": "a"}, "echo"),
        (TEXT, {"top_k": 3}, "top_k"),
        (CHAT, {"messages": []}, "messages"),
        (CHAT, {"messages": [{"role": "user"}]}, "messages[0].content"),
        (CHAT, {"top_logprobs": 2}, "top_logprobs"),
        (CHAT, {"max_tokens": 1, "max_completion_tokens": 1}, "max_tokens"),
        (CHAT, {"prompt": "a"}, "prompt"),
    ],
)
def test_what_openai_would_refuse_is_refused_by_name(path, change, param):
    body = {"model": "demo", **({"prompt": "a"} if path == TEXT else {"messages": MESSAGES}), **change}
    status, _, answer = ask(path, body)
    assert status == 400
    error = orjson.loads(answer)["error"]
    assert (error["param"], error["type"]) == (param, "invalid_request_error")


@pytest.mark.parametrize(("body", "status"), [(b"{", 400), (b"[]", 400), (b" " * (16 * 1024 * 1024 + 1), 413)])
def test_a_body_that_is_no_request_is_refused(body, status):
    assert ask(TEXT, body)[0] == status


def test_another_path_or_method_is_openais_error(client):
    with pytest.raises(openai.NotFoundError, match="Invalid URL"):
        client.post("/embeddings", cast_to=object, body={})
    with pytest.raises(openai.APIStatusError) as caught:
        client.get("/completions", cast_to=object)
    assert caught.value.status_code == 405
