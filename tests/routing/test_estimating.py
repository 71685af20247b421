"""The declared bound: what a request may use, as it is reserved before anybody is called."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given

from gateway.config.load import from_mapping
from gateway.errors import ModelNotFound
from gateway.ledger import tokens
from gateway.ledger.allowances import Amount
from gateway.providers.translation import CONTINUATION_PROMPT
from gateway.routing.deployments import Catalogue
from gateway.routing.estimating import PIECE, UNKNOWN, at_most, estimator
from gateway.types import CompletionRequest
from gateway.wire import completions
from tests import asked
from tests.inprocess import InProcess

PRICED = {"api_key": "x", "input_cost_per_token": 0.000001, "output_cost_per_token": 0.000002}


def catalogue(*models: dict[str, Any]) -> Catalogue:
    entries = [{"model_name": each.pop("alias", "m"), "litellm_params": {**PRICED, **each}} for each in models]
    found = from_mapping({"model_list": entries})
    return Catalogue(found.settings, found.source)


def estimated(request: CompletionRequest, *models: dict[str, Any]) -> Amount:
    return asyncio.run(estimator(catalogue(*models))(request))


TEXT = {"model": "text-completion-openai/davinci-002"}
CHAT = {"model": "openai/gpt-4o"}
HELLO = CompletionRequest("m", ("Say hello",), max_tokens=10)


@pytest.mark.parametrize(
    ("request_", "model", "read", "written"),
    [
        (HELLO, TEXT, 2, 10),
        (HELLO, CHAT, 9, 10),
        (HELLO, {**CHAT, "translation": "continuation"}, 13 + tokens.count(CONTINUATION_PROMPT, "o200k_base"), 10),
        (CompletionRequest("m", ("Say hello",), n=3, max_tokens=10), TEXT, 2, 30),
        (CompletionRequest("m", ("Say hello",), n=3, max_tokens=10), {"model": "anthropic/x"}, 33, 30),
        (CompletionRequest("m", ("Say hello",), best_of=4, max_tokens=10), TEXT, 2, 40),
        (CompletionRequest("m", ("Say hello", (1, 2, 3)), max_tokens=10), TEXT, 5, 20),
        (CompletionRequest("m", ("Say hello",), suffix="Bye now"), TEXT, 5, 16),
        (CompletionRequest("m", ("Say hello",)), {**TEXT, "max_tokens": 99, "n": 2}, 2, 198),
    ],
)
def test_prompts_count_once_for_each_call_and_max_tokens_for_each_choice(request_, model, read, written):
    found = estimated(request_, dict(model))
    assert found == Amount(read + written, read * 1_000_000 + written * 2_000_000)


def test_the_dearest_deployment_of_the_alias_counts_and_one_without_a_price_as_nothing():
    cheap = dict(TEXT)
    dear = {**TEXT, "input_cost_per_token": 0.001, "output_cost_per_token": 0.001}
    assert estimated(HELLO, cheap, dear) == Amount(12, 12_000_000_000)
    unpriced = {"model": "hosted_vllm/x", "api_base": "http://127.0.0.1:1", "tokenizer": "cl100k_base"}
    unpriced |= {"input_cost_per_token": None, "output_cost_per_token": None}
    assert estimated(HELLO, unpriced) == Amount(19, 0)


def test_reasoning_is_taken_for_what_it_costs_where_that_is_more():
    assert estimated(HELLO, {**TEXT, "output_cost_per_reasoning_token": 0.000005}).picodollars == 52_000_000


def test_an_unknown_vocabulary_is_taken_for_twice_cl100k_and_never_for_more_than_the_bytes():
    assert at_most("Say hello to everybody here", None) == UNKNOWN * tokens.estimate("Say hello to everybody here")
    assert at_most("a b c d", None) == 8
    assert at_most("", None) == 0


def test_a_long_prompt_is_counted_in_pieces_between_which_others_have_their_turn():
    text = "The quick brown fox jumps over the lazy dog. " * 3_000

    async def run() -> tuple[Amount, int]:
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        beside = asyncio.create_task(others())
        found = await estimator(catalogue(dict(TEXT)))(CompletionRequest("m", (text,), max_tokens=0))
        beside.cancel()
        return found, turns

    found, turns = asyncio.run(run())
    pieces = len(text) // PIECE
    assert turns >= pieces
    exact = tokens.count(text, "cl100k_base")
    assert exact <= found.tokens <= exact + 2 * pieces


@pytest.fixture(scope="module")
def served() -> Iterator[InProcess]:
    made = InProcess(asked.config())
    yield made
    made.close()


@asked.MOST
@given(asked.requests())
def test_whatever_is_asked_no_more_is_used_than_was_reserved(served: InProcess, body: dict[str, Any]):
    reply = served.ask({**body, "stream": False})
    if reply.status == 200:
        found = served.run(estimator(served.gateway.serving.catalogue)(completions.read({**body, "stream": False})))
        assert reply.json["usage"]["total_tokens"] <= found.tokens


def test_a_model_that_nobody_has_is_not_found():
    with pytest.raises(ModelNotFound):
        estimated(CompletionRequest("nobody", ("x",)), dict(TEXT))
