"""Rows over OpenAI's language: what each sends, judged by the SDK's own types and by what the row declares."""

from dataclasses import replace

import orjson
import pytest
from openai.types.chat.completion_create_params import (
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
)
from pydantic import ConfigDict, TypeAdapter

from gateway.config.secret import Secret
from gateway.errors import UnsupportedParameter
from gateway.providers.base import Level, Target
from gateway.providers.compatible import HOSTED, ROWS
from gateway.providers.compatible_self_hosted import SELF_HOSTED
from gateway.providers.compatible_text import TEXT_COMPLETION
from gateway.providers.parameters import Shape
from gateway.providers.row import takes
from gateway.providers.translation import translate
from gateway.types import CompletionRequest
from tests.providers.kit import call

PROVIDERS = {provider.name: provider for provider in ROWS}
RENAMED = {"random_seed": "seed"}
EVERYTHING = CompletionRequest(
    model="m",
    prompts=("Say this is a test",),
    suffix="!",
    max_tokens=7,
    n=2,
    logprobs=2,
    temperature=0.5,
    top_p=0.9,
    presence_penalty=0.5,
    frequency_penalty=0.5,
    seed=11,
    stop=("END",),
    logit_bias={"50256": -100},
    user="u-1",
)


def bound(name):
    base = "https://gateway.test/v1" if PROVIDERS[name].needs_base else None
    return PROVIDERS[name].bind(Target(name, "m", base_url=base, api_key=Secret("sk-test")))


def sent(name, **changes):
    """The body of the first call that a request with every parameter leads to, and what was dropped on the way."""
    shape = Shape(name, PROVIDERS[name].support, drop_params=True)
    translation = translate(replace(EVERYTHING, **changes), shape)
    return orjson.loads(bound(name).request(translation.calls[0].call).body), translation


def rows(*tables):
    return pytest.mark.parametrize("row", [row for table in tables for row in table], ids=lambda row: row.name)


def test_every_name_is_there_once():
    assert len(PROVIDERS) == len(ROWS) == len(HOSTED) + len(SELF_HOSTED) + len(TEXT_COMPLETION)


@rows(HOSTED)
def test_a_hosted_provider_is_reached_over_tls_with_a_key(row):
    assert row.base_url.startswith("https://") or PROVIDERS[row.name].needs_base
    assert not row.base_url.endswith("/")
    assert row.keys
    assert not row.keyless


@rows(SELF_HOSTED)
def test_a_self_hosted_server_needs_no_key_and_is_here_or_where_the_operator_says(row):
    assert row.keyless
    assert row.base_url.startswith("http://127.0.0.1:") or PROVIDERS[row.name].needs_base


@rows(HOSTED, SELF_HOSTED, TEXT_COMPLETION)
def test_every_row_names_its_documentation_and_its_variables(row):
    assert row.source.startswith("https://")
    provider = PROVIDERS[row.name]
    for variable in (*provider.key_env, *provider.base_env):
        assert variable.replace("_", "").isalnum()
        assert variable == variable.upper()


@rows(HOSTED, SELF_HOSTED, TEXT_COMPLETION)
def test_a_server_without_an_address_is_never_taken_for_openai(row):
    request = PROVIDERS[row.name].bind(Target(row.name, "m", api_key=Secret("k"))).request(call(max_tokens=1))
    assert "openai.com" not in request.url


@pytest.mark.parametrize("stream", [False, True])
@rows(HOSTED, SELF_HOSTED)
def test_a_request_is_one_the_openai_sdk_could_have_sent(row, stream):
    params = CompletionCreateParamsStreaming if stream else CompletionCreateParamsNonStreaming
    params.__pydantic_config__ = ConfigDict(extra="forbid", strict=False)
    body, _ = sent(row.name, stream=stream)
    for name in row.dialect.constant:
        assert body.pop(name) == row.dialect.constant[name]
    if row.dialect.counted_logprobs:
        assert body.pop("logprobs") == 2
    TypeAdapter(params).validate_python({RENAMED.get(name, name): value for name, value in body.items()})
    assert ("stream_options" in body) == (stream and row.dialect.stream_options)


@rows(HOSTED, SELF_HOSTED)
def test_what_a_row_declares_is_what_it_sends(row):
    body, translation = sent(row.name)
    support = PROVIDERS[row.name].support
    names = {"max_tokens": row.dialect.max_tokens, **row.dialect.names}
    passed = ("max_tokens", "temperature", "top_p", "presence_penalty", "frequency_penalty", "seed", "stop",
              "logit_bias", "user", "logprobs", "n")  # fmt: skip
    for name in passed:
        level, wire = support.level(name), names.get(name, name)
        assert (wire in body) == (level in (Level.NATIVE, Level.MAPPED) and name not in translation.dropped), name
        assert (level is Level.MAPPED) == (wire != name) or name == "logprobs"
        assert name == wire or name not in body
    assert "suffix" not in body
    assert "best_of" not in body


@rows(HOSTED, SELF_HOSTED, TEXT_COMPLETION)
def test_what_a_row_refuses_is_dropped_by_name_or_refused_by_name(row):
    support = PROVIDERS[row.name].support
    refused = {name for name, level in support.levels.items() if level is Level.REFUSED} - {"user", "best_of"}
    over = {"logprobs"} if support.max_top_logprobs < 2 else set()
    body, translation = sent(row.name)
    assert set(translation.dropped) == refused | over
    assert not {row.dialect.names.get(name, name) for name in refused} & set(body)
    if refused:
        with pytest.raises(UnsupportedParameter) as error:
            translate(EVERYTHING, Shape(row.name, support))
        assert error.value.param in refused


@rows(HOSTED, SELF_HOSTED)
def test_best_of_needs_logprobs(row):
    support = PROVIDERS[row.name].support
    has_logprobs = support.level("logprobs") is not Level.REFUSED
    assert support.level("best_of") is (Level.EMULATED if has_logprobs else Level.REFUSED)
    if has_logprobs:
        request = replace(EVERYTHING, logprobs=None, best_of=3, n=1)
        made = translate(request, Shape(row.name, support, drop_params=True))
        assert sum(placed.call.n for placed in made.calls) == 3
        assert orjson.loads(bound(row.name).request(made.calls[0].call).body)["logprobs"] in (True, 1)


@rows(HOSTED, SELF_HOSTED)
def test_parameters_openai_does_not_define_pass_where_the_row_says_so_and_never_replace_the_prompt(row):
    extra = {"top_k": 5, "messages": [{"role": "user", "content": "unseen"}], "model": "other", "stream": "yes"}
    shape = Shape(row.name, PROVIDERS[row.name].support)
    plain = CompletionRequest(model="m", prompts=("seen",), extra={"top_k": 5}, stream=True)
    if not shape.support.extra:
        with pytest.raises(UnsupportedParameter):
            translate(plain, shape)
        return
    asked = replace(translate(plain, shape).calls[0].call, extra=extra)
    body = orjson.loads(bound(row.name).request(asked).body)
    assert body["top_k"] == 5
    assert body["messages"] == [{"role": "user", "content": "seen"}]
    assert body["model"].removeprefix(row.dialect.model_prefix) == "m"
    assert body["stream"] is True


def test_values_are_clamped_to_a_documented_range_only():
    assert sent("mistral", temperature=2)[0]["temperature"] == 1.5
    assert sent("minimax", temperature=0)[0]["temperature"] == 0.01
    assert sent("groq", temperature=2)[0]["temperature"] == 2
    assert sent("hyperbolic", frequency_penalty=-2)[0]["frequency_penalty"] == 0


def test_the_stop_sequences_beyond_those_a_provider_takes_are_ours():
    found = translate(
        CompletionRequest(model="m", prompts=("a",), stop=("x", "y")), Shape("zai", PROVIDERS["zai"].support)
    )
    assert (found.calls[0].call.stop, found.stop) == (("x",), ("y",))


def test_together_counts_alternatives_and_zero_of_them_still_asks_for_logprobs():
    assert sent("together_ai", logprobs=0)[0]["logprobs"] == 1
    assert sent("together_ai", logprobs=3)[0]["logprobs"] == 3


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("llama-v3p1-8b-instruct", "accounts/fireworks/models/llama-v3p1-8b-instruct"),
        ("accounts/me/deployments/d1", "accounts/me/deployments/d1"),
    ],
)
def test_fireworks_models_have_a_short_name(model, expected):
    translator = PROVIDERS["fireworks_ai"].bind(Target("fireworks_ai", model))
    assert orjson.loads(translator.request(call()).body)["model"] == expected


def test_github_gets_its_headers_unless_the_operator_sets_them():
    target = Target(
        "github", "openai/gpt-4.1", api_key=Secret("k"), extra_headers={"X-GitHub-Api-Version": "2026-03-10"}
    )
    headers = PROVIDERS["github"].bind(target).request(call()).headers
    assert headers["accept"] == "application/vnd.github+json"
    assert headers["authorization"] == "Bearer k"
    assert [value for name, value in headers.items() if name.lower() == "x-github-api-version"] == ["2026-03-10"]


@rows(TEXT_COMPLETION)
def test_a_text_row_calls_completions_with_the_prompt_as_it_is(row):
    request = bound(row.name).request(call("Once upon", max_tokens=5, logprobs=0))
    assert request.url.endswith("/completions")
    assert "/chat/" not in request.url
    assert orjson.loads(request.body) == {"model": "m", "prompt": "Once upon", "max_tokens": 5, "logprobs": 1}


def test_a_parameter_nobody_knows_is_not_a_row():
    with pytest.raises(ValueError, match="top_q"):
        takes("top_q")
