"""The official client, curl and the functions in process against a real language model behind the gateway."""

import asyncio
import json
import shlex
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
import yaml
from openai.types import Completion

from gateway import atext_completion, text_completion
from tests.e2e import kit
from tests.e2e.typed import checked, checked_chunks, joined

pytestmark = pytest.mark.e2e

SAME: dict[str, Any] = {"temperature": 0, "seed": 7, "extra_body": {"cache_prompt": False}}
"""Sampling that gives the same text every time."""

STORY = "Once upon a time"
IDS = [6403, 1980, 253, 655]  # ids that both vocabularies have, SmolLM2's own and cl100k_base

PROMPTS: dict[str, tuple[Any, int]] = {
    "a string": (STORY, 1),
    "strings": ([STORY, "The sky is", "2 + 2 ="], 3),
    "token ids": (IDS, 1),
    "lists of token ids": ([IDS, IDS[:2], IDS[1:]], 3),
}
BOTH = pytest.mark.parametrize("name", ["text", "chat"])


@pytest.fixture(scope="module")
def client(real: kit.Process) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"{real.url}/v1", api_key="any", max_retries=0, http_client=httpx.Client(trust_env=False)
    ) as made:
        yield made


def whole(client: openai.OpenAI, model: str, prompt: Any = STORY, **params: Any) -> Completion:
    """One answer, checked in every field."""
    wanted = {**SAME, "max_tokens": 12, **params}
    response = client.completions.with_raw_response.create(model=model, prompt=prompt, **wanted)
    answer = checked(json.loads(response.content), response.parse())
    assert answer.model == model
    assert answer.usage is not None
    return answer


def streamed(client: openai.OpenAI, model: str, prompt: Any = STORY, **params: Any) -> list[Completion]:
    """One streamed answer, checked chunk by chunk."""
    wanted = {**SAME, "max_tokens": 12, **params}
    with client.completions.create(model=model, prompt=prompt, stream=True, **wanted) as stream:
        return checked_chunks(list(stream))


@BOTH
@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("form", PROMPTS)
def test_every_form_of_prompt_gets_its_choices_in_order(client: openai.OpenAI, name: str, form: str, n: int):
    prompt, prompts = PROMPTS[form]
    answer = whole(client, name, prompt, n=n)
    assert [choice.index for choice in answer.choices] == list(range(prompts * n))
    assert all(choice.finish_reason in ("stop", "length") for choice in answer.choices)
    assert all(choice.text for choice in answer.choices)


@pytest.mark.parametrize("form", ["token ids", "lists of token ids"])
def test_token_ids_reach_a_model_with_a_text_endpoint_as_they_are(client: openai.OpenAI, form: str):
    prompt, _ = PROMPTS[form]
    answer = whole(client, "text", prompt)
    sizes = [len(ids) for ids in (prompt if form == "lists of token ids" else [prompt])]
    assert answer.usage
    assert answer.usage.prompt_tokens == sum(sizes)


@BOTH
@pytest.mark.parametrize("form", PROMPTS)
def test_a_stream_says_what_the_whole_answer_says(client: openai.OpenAI, name: str, form: str):
    prompt, prompts = PROMPTS[form]
    answer = whole(client, name, prompt)
    chunks = streamed(client, name, prompt)
    said = joined(chunks)
    assert [said[index].text for index in range(prompts)] == [choice.text for choice in answer.choices]
    assert [said[index].finish_reasons for index in range(prompts)] == [[c.finish_reason] for c in answer.choices]
    assert all(chunk.usage is None for chunk in chunks)


@BOTH
@pytest.mark.parametrize("n", [1, 2])
def test_a_stream_asked_for_usage_ends_with_it(client: openai.OpenAI, name: str, n: int):
    prompt = [STORY, "The sky is"]
    chunks = streamed(client, name, prompt, n=n, stream_options={"include_usage": True})
    last = chunks[-1]
    assert last.choices == []
    assert last.usage
    assert last.usage.total_tokens == last.usage.prompt_tokens + last.usage.completion_tokens
    assert all(chunk.choices and chunk.usage is None for chunk in chunks[:-1])
    assert set(joined(chunks)) == set(range(2 * n))
    if n == 1:  # llama.cpp counts only the first of several choices when it does not stream
        whole_usage = whole(client, name, prompt).usage
        assert whole_usage
        assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (
            whole_usage.prompt_tokens,
            whole_usage.completion_tokens,
        )


@BOTH
def test_usage_is_the_sum_over_all_prompts(client: openai.OpenAI, name: str):
    prompts = [STORY, "The sky is"]
    each = [whole(client, name, prompt).usage for prompt in prompts]
    both = whole(client, name, prompts).usage
    assert both
    assert both.prompt_tokens == sum(usage.prompt_tokens for usage in each if usage)
    assert both.completion_tokens == sum(usage.completion_tokens for usage in each if usage)
    assert both.total_tokens == both.prompt_tokens + both.completion_tokens


@BOTH
@pytest.mark.parametrize("k", [0, 1, 5])
def test_logprobs_name_every_token_and_its_place_in_the_text(client: openai.OpenAI, name: str, k: int):
    choice = whole(client, name, logprobs=k).choices[0]
    found = choice.logprobs
    assert found
    assert found.tokens
    assert found.text_offset
    assert found.token_logprobs
    assert found.top_logprobs
    assert "".join(found.tokens) == choice.text
    for token, offset, logprob, top in zip(
        found.tokens, found.text_offset, found.token_logprobs, found.top_logprobs, strict=True
    ):
        assert choice.text[offset : offset + len(token)] == token
        assert logprob <= 0
        assert top[token] == logprob
        assert max(1, k) <= len(top) <= k + 1


@BOTH
@pytest.mark.parametrize("k", [0, 2])
def test_streamed_logprobs_are_those_of_the_whole_answer(client: openai.OpenAI, name: str, k: int):
    expected = whole(client, name, logprobs=k).choices[0].logprobs
    said = joined(streamed(client, name, logprobs=k))[0]
    assert expected
    assert said.tokens == expected.tokens
    assert said.text_offset == expected.text_offset
    assert said.token_logprobs == pytest.approx(expected.token_logprobs)


@BOTH
@pytest.mark.parametrize("form", ["a string", "strings"])
def test_echo_puts_each_prompt_in_front_of_its_choices(client: openai.OpenAI, name: str, form: str):
    prompt, _ = PROMPTS[form]
    plain, echoed = whole(client, name, prompt, n=2), whole(client, name, prompt, n=2, echo=True)
    prompts = [prompt] if isinstance(prompt, str) else prompt
    for choice, without in zip(echoed.choices, plain.choices, strict=True):
        assert choice.text == prompts[choice.index // 2] + without.text
    said = joined(streamed(client, name, prompt, echo=True))
    assert [said[index].text for index in range(len(prompts))] == [choice.text for choice in echoed.choices[::2]]


@BOTH
def test_echo_without_tokens_is_the_prompt_alone(client: openai.OpenAI, name: str):
    answer = whole(client, name, [STORY, "The sky is"], echo=True, max_tokens=0)
    assert [(c.text, c.finish_reason) for c in answer.choices] == [(STORY, "length"), ("The sky is", "length")]
    assert answer.usage
    assert answer.usage.completion_tokens == 0


@pytest.mark.parametrize("name", ["chat", "llama"])
def test_echo_with_logprobs_is_refused_where_the_prompt_has_none(client: openai.OpenAI, name: str):
    with pytest.raises(openai.BadRequestError) as refused:
        whole(client, name, echo=True, logprobs=1)
    assert (refused.value.param, refused.value.code) == ("echo", "unsupported_parameter")


@BOTH
@pytest.mark.parametrize("many", [False, True], ids=["a string", "strings"])
def test_stop_ends_the_text_before_it(client: openai.OpenAI, name: str, many: bool):
    full = whole(client, name, max_tokens=16).choices[0].text
    word = full.split()[3]
    answer = whole(client, name, max_tokens=16, stop=["\u2603", word] if many else word).choices[0]
    assert answer.text == full[: full.index(word)]
    assert answer.finish_reason == "stop"
    assert joined(streamed(client, name, max_tokens=16, stop=word))[0].text == answer.text


@BOTH
def test_max_tokens_bounds_each_choice_and_is_16_when_left_out(client: openai.OpenAI, name: str):
    one = whole(client, name, max_tokens=1)
    assert one.usage
    assert (one.usage.completion_tokens, one.choices[0].finish_reason) == (1, "length")
    rest = client.completions.create(model=name, prompt="Count to one hundred: 1, 2, 3,", temperature=0)
    assert rest.usage
    assert rest.usage.completion_tokens == 16
    assert rest.choices[0].finish_reason == "length"


@BOTH
def test_seed_and_temperature_decide_the_text(client: openai.OpenAI, name: str):
    def text(**params: Any) -> str:
        return whole(client, name, max_tokens=24, **params).choices[0].text

    assert text(temperature=1.2, seed=1) == text(temperature=1.2, seed=1)
    assert text(temperature=1.2, seed=1) != text(temperature=1.2, seed=2)
    assert text(temperature=0, seed=1) == text(temperature=0, seed=2)


@BOTH
def test_several_choices_of_one_prompt_differ(client: openai.OpenAI, name: str):
    answer = whole(client, name, n=3, temperature=1.5, max_tokens=24)
    assert len({choice.text for choice in answer.choices}) > 1


@pytest.mark.parametrize("name", ["chat", "llama"])
def test_best_of_gives_the_likeliest_of_its_candidates(client: openai.OpenAI, name: str):
    params: dict[str, Any] = {"temperature": 1.0, "max_tokens": 8, "logprobs": 1}
    best = whole(client, name, best_of=4, n=2, **params)
    means = []
    for choice in best.choices:
        assert choice.logprobs
        assert choice.logprobs.token_logprobs
        means.append(sum(choice.logprobs.token_logprobs) / len(choice.logprobs.token_logprobs))
    assert means == sorted(means, reverse=True)
    assert best.usage
    assert best.usage.completion_tokens > sum(len(c.logprobs.tokens or ()) for c in best.choices if c.logprobs)
    bare = whole(client, name, best_of=3, temperature=1.0)
    assert [choice.logprobs for choice in bare.choices] == [None]


@BOTH
def test_a_prompt_too_long_for_the_model_is_the_clients_error_in_the_models_words(client: openai.OpenAI, name: str):
    with pytest.raises(openai.BadRequestError) as refused:
        whole(client, name, "word " * 6000)
    assert "context" in refused.value.message
    assert refused.value.type == "invalid_request_error"


@BOTH
def test_the_asynchronous_client_gets_several_answers_at_once(real: kit.Process, name: str):
    async def ask() -> list[str]:
        async with openai.AsyncOpenAI(
            base_url=f"{real.url}/v1", api_key="any", http_client=httpx.AsyncClient(trust_env=False)
        ) as client:

            async def one(number: int) -> str:
                answer = await client.completions.create(model=name, prompt=f"{number} + {number} =", max_tokens=8)
                checked(answer.to_dict(mode="json"), answer)
                return answer.choices[0].text

            async def stream(number: int) -> str:
                chunks = [
                    chunk
                    async for chunk in await client.completions.create(
                        model=name, prompt=f"{number} - {number} =", max_tokens=8, stream=True
                    )
                ]
                return joined(checked_chunks(chunks))[0].text

            return await asyncio.gather(*(one(i) for i in range(6)), *(stream(i) for i in range(6)))

    assert all(asyncio.run(ask()))


def test_a_stream_left_early_frees_the_model_at_once(client: openai.OpenAI):
    with client.completions.create(model="text", prompt=STORY, stream=True, max_tokens=900) as stream:
        next(iter(stream))
    assert whole(client, "text").choices[0].text


@BOTH
def test_the_functions_in_process_say_what_the_server_says(client: openai.OpenAI, real_config: str, name: str):
    config = yaml.safe_load(real_config)
    params: dict[str, Any] = {"max_tokens": 12, "temperature": 0, "seed": 7, "cache_prompt": False}
    expected = whole(client, name)
    answer = text_completion(model=name, prompt=STORY, config=config, **params)
    assert [choice.text for choice in answer.choices] == [choice.text for choice in expected.choices]
    assert answer.usage.total_tokens == expected.usage.total_tokens
    chunks = text_completion(model=name, prompt=STORY, config=config, stream=True, **params)
    assert "".join(chunk.choices[0].text for chunk in chunks) == expected.choices[0].text

    async def twice() -> tuple[Completion, str]:
        one = await atext_completion(model=name, prompt=STORY, config=config, **params)
        chunks = await atext_completion(model=name, prompt=STORY, config=config, stream=True, **params)
        return one, "".join([chunk.choices[0].text async for chunk in chunks])

    one, text = asyncio.run(twice())
    assert one.choices[0].text == text == expected.choices[0].text


@BOTH
def test_curl_gets_an_answer(real: kit.Process, name: str):
    body = json.dumps({"model": name, "prompt": "Say this is a test", "max_tokens": 7, "temperature": 0})
    line = (
        f"curl -sS --noproxy '*' {real.url}/v1/completions -H 'Content-Type: application/json' "
        f"-H 'Authorization: Bearer any' -d {shlex.quote(body)}"
    )
    raw = json.loads(kit.shell(line))
    assert checked(raw, Completion.model_validate(raw)).choices[0].text
