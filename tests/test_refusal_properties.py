"""The contract on refusals: a 4xx in the one form that names the field and never repeats what was sent."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.asked import MOST, config, requests
from tests.inprocess import InProcess, Reply


@pytest.fixture(scope="module")
def gateway() -> Iterator[InProcess]:
    running = InProcess(config())
    yield running
    running.close()


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
