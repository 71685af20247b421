"""Requests for the property tests: everything that may be asked of the demo provider, in both its languages."""

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

MODELS = {
    "chat": {"model": "demo/demo", "tokenizer": "cl100k_base"},
    "chat-by-3": {"model": "demo/demo", "tokenizer": "cl100k_base", "demo_chunk_tokens": 3},
    "text": {"model": "text-completion-demo/demo", "tokenizer": "cl100k_base"},
    "text-by-3": {"model": "text-completion-demo/demo", "tokenizer": "cl100k_base", "demo_chunk_tokens": 3},
}
MOST = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


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


def config() -> dict[str, Any]:
    """The configuration that serves `MODELS`."""
    models = [{"model_name": name, "litellm_params": params} for name, params in MODELS.items()]
    return {"model_list": models, "policies": []}
