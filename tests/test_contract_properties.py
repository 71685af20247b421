"""The contract's promises about answers and refusals, held against requests nobody thought of.

The demo provider is asked in both its languages, chat and text, through the whole application.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from openai.types import Completion

from gateway.ledger import tokens
from gateway.wire import json
from tests.inprocess import InProcess, Reply

MODELS = {
    "chat": {"model": "demo/demo", "tokenizer": "cl100k_base"},
    "chat-by-3": {"model": "demo/demo", "tokenizer": "cl100k_base", "demo_chunk_tokens": 3},
    "text": {"model": "text-completion-demo/demo", "tokenizer": "cl100k_base"},
    "text-by-3": {"model": "text-completion-demo/demo", "tokenizer": "cl100k_base", "demo_chunk_tokens": 3},
}
CHOICE_KEYS = ["text", "index", "logprobs", "finish_reason"]
HEAD_KEYS = ["id", "object", "created", "model", "system_fingerprint", "choices"]
ERROR_KEYS = ["message", "type", "param", "code"]
MOST = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def gateway() -> Iterator[InProcess]:
    models = [{"model_name": name, "litellm_params": params} for name, params in MODELS.items()]
    running = InProcess({"model_list": models, "policies": []})
    yield running
    running.close()


# What may be asked

texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=24),
    st.sampled_from(["Say hello", "Say: naïve 🦜 café.", "once upon a time", " ", "\n", "🦜", "東京"]),
)
ids = st.lists(st.integers(0, 100_255), min_size=1, max_size=6)
prompts = st.one_of(texts, st.lists(texts, min_size=1, max_size=4), ids, st.lists(ids, min_size=1, max_size=3))
stops = st.sampled_from(["the", " ", "e", "é", "🦜", ".", " the ", "Z", "東", "\n\n", "hello"])
optional = st.fixed_dictionaries(
    {},
    optional={
        "n": st.integers(1, 3),
        "logprobs": st.integers(0, 5),
        "echo": st.booleans(),
        "temperature": st.floats(0, 2),
        "top_p": st.floats(0, 1),
        "presence_penalty": st.floats(-2, 2),
        "frequency_penalty": st.integers(-2, 2),
        "seed": st.integers(-(2**63), 2**63 - 1),
        "stop": st.one_of(st.none(), stops, st.lists(stops, max_size=4)),
        "logit_bias": st.dictionaries(st.integers(0, 100_000).map(str), st.integers(-100, 100), max_size=2),
        "user": st.text(max_size=5),
        "metadata": st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
        "tags": st.lists(st.text(min_size=1, max_size=5), max_size=3),
        "safety_identifier": st.text(max_size=5),
    },
)


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    """A request that one of the models can honour."""
    asked = {"model": draw(st.sampled_from(list(MODELS))), "prompt": draw(prompts), **draw(optional)}
    native = asked["model"].startswith("text")
    if not native and asked.get("echo"):
        asked.pop("logprobs", None)
    if native and not asked.get("echo"):
        asked.update(draw(st.fixed_dictionaries({}, optional={"suffix": texts})))
    if draw(st.booleans()):
        asked["max_tokens"] = draw(st.integers(0 if asked.get("echo") else 1, 24))
    if draw(st.booleans()) and draw(st.booleans()):
        asked["best_of"] = draw(st.integers(asked.get("n", 1), 4))
    return asked


# What is promised


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


# What may not be asked

LONG = "zq" * 300
junk = st.sampled_from([LONG, "5", True, 1.5, -1, 1e30, [], {}, [LONG], {LONG: LONG}, [None], [[]], [[LONG]], [{}]])


def outside(*good: type) -> st.SearchStrategy[Any]:
    """Junk of any JSON type but these."""
    return junk.filter(lambda value: type(value) not in good)


def off(low: float, high: float) -> st.SearchStrategy[Any]:
    """Numbers beyond both bounds, and what is no number."""
    beyond = st.one_of(
        st.integers(-(2**63), int(low) - 1), st.integers(int(high) + 1, 2**64 - 1), st.floats(high + 0.01, 1e300)
    )
    return st.one_of(outside(int, float), beyond)


WRONG: dict[str, st.SearchStrategy[Any]] = {
    "model": outside(str) | st.just("") | st.just(LONG),
    "prompt": outside(str).filter(lambda value: value != [LONG])
    | st.sampled_from(
        [["a", 1], [1, "a"], [[1], "a"], [[1], 2], [-1], [1, -5], [[1], [-1]], [2**31], [1.5], [True], [None]]
    ),
    "suffix": outside(str),
    "max_tokens": off(0, 2**31 - 1),
    "n": off(1, 128),
    "best_of": off(1, 20),
    "echo": outside(bool),
    "logprobs": off(0, 5),
    "temperature": off(0, 2),
    "top_p": off(0, 1),
    "presence_penalty": off(-2, 2),
    "frequency_penalty": off(-2, 2),
    "seed": outside(int) | st.integers(2**63, 2**64 - 1) | st.sampled_from([0.5, -1e19]),
    "stop": outside(str, list) | st.sampled_from(["", ["a"] * 5, ["a", 1], ["a", ""], [None], [[]]]),
    "logit_bias": outside(dict)
    | st.sampled_from([{"x": 1}, {"-1": 1}, {"1": 101}, {"1": "x"}, {"1": None}, {LONG: 1}]),
    "user": outside(str),
    "stream": outside(bool),
    "stream_options": outside(dict) | st.sampled_from([{"include_usage": 1}, {"x": 1}, {"include_obfuscation": True}]),
    "metadata": outside(dict),
    "tags": outside(str, list) | st.sampled_from(["", [""], [1], ["a"] * 65]),
    "safety_identifier": outside(str),
}
TOGETHER: list[tuple[str, dict[str, Any]]] = [
    ("stream_options", {"stream_options": {"include_usage": True}, "stream": False}),
    ("stream_options", {"stream_options": {}}),
    ("best_of", {"n": 3, "best_of": 2, "stream": False}),
    ("best_of", {"n": 1, "best_of": 2, "stream": True}),
    ("max_tokens", {"max_tokens": 0, "echo": False}),
    ("prompt", {"prompt": ["x"] * 100, "n": 100}),
    ("echo", {"model": "chat", "echo": True, "logprobs": 1}),
    ("suffix", {"model": "chat", "suffix": LONG}),
    ("top_k", {"model": "chat", "top_k": LONG}),
    ("messages", {"model": "text", "messages": [{"role": "user", "content": LONG}]}),
    ("prompt", {"model": "chat", "prompt": [100_256]}),
    ("model", {"model": f"no {LONG[:100]}"}),
]
REPR = re.compile(r"'[^' ]+'|\bNone\b|\bTrue\b|\bFalse\b|[{}\[\]]|<class|object at|Traceback|Error\(|(zq){61}")


def check_refusal(reply: Reply, param: str) -> None:
    assert 400 <= reply.status < 500, reply.body
    error = reply.error
    assert error["param"] == param, error
    assert error["message"].endswith(".")
    assert not REPR.search(error["message"]), error


@MOST
@given(st.data())
def test_a_wrong_value_is_refused_by_its_name(gateway: InProcess, data: st.DataObject) -> None:
    asked = data.draw(requests())
    asked.pop("best_of", None)
    name = data.draw(st.sampled_from(list(WRONG)))
    wrong = data.draw(WRONG[name])
    check_refusal(gateway.ask({**asked, name: wrong}), name)


@MOST
@given(requests(), st.sampled_from(TOGETHER))
def test_values_that_contradict_each_other_are_refused_by_the_name_of_one(
    gateway: InProcess, asked: dict[str, Any], wrong: tuple[str, dict[str, Any]]
) -> None:
    param, changes = wrong
    asked = {
        name: value for name, value in asked.items() if name not in ("best_of", "n", "echo", "suffix", "max_tokens")
    }
    check_refusal(gateway.ask({**asked, **changes}), param)
