"""OpenAI's text-completion language as a real llama.cpp server speaks it, in recorded bytes."""

from gateway.errors import UpstreamRejected
from gateway.providers.base import Target
from gateway.providers.openai_text.language import OpenAIText
from gateway.types import Usage
from tests.providers.kit import (
    call,
    decode,
    finish_reasons,
    golden,
    logprobs,
    same_at_every_cut,
    text,
    usage,
)

LOCAL = Target("text-completion-openai", "smollm2", base_url="http://127.0.0.1:9/v1")


def test_llama_cpp_answers_with_chat_shaped_logprobs_and_counts_only_its_first_choice():
    deltas = OpenAIText(LOCAL).answer(call(n=2, logprobs=2), golden("openai_text/llama_cpp_n2_logprobs.json"))
    assert [text(deltas, index) for index in (0, 1)] == [", when I", ", when you"]
    tokens = logprobs(deltas, 1)
    assert [token.token for token in tokens] == [",", " when", " you"]
    assert tokens[1].raw == b" when"
    assert [name for name, _ in tokens[1].top] == [" the", " I"]
    assert usage(deltas) is None  # so that the gateway counts, and says that it did


def test_llama_cpp_streams_chat_shaped_logprobs():
    body = golden("openai_text/llama_cpp_stream_logprobs.sse")
    deltas = same_at_every_cut(lambda: OpenAIText(LOCAL).stream(call(stream=True, logprobs=2)), body)
    assert text(deltas) == ", when I"
    assert [len(token.top) for token in logprobs(deltas)] == [2, 2, 2]
    assert usage(deltas) == Usage(4, 3, cached_tokens=3)


def test_alternatives_that_were_asked_for_only_to_get_logprobs_at_all_are_left_out():
    body = golden("openai_text/llama_cpp_stream_logprobs.sse")
    deltas = decode(OpenAIText(LOCAL).stream(call(stream=True, logprobs=0)), [body])
    assert [(token.token, token.top) for token in logprobs(deltas)] == [(",", ()), (" when", ()), (" I", ())]


def test_llama_cpp_counts_each_streamed_choice_by_itself_and_the_sum_is_told():
    body = golden("openai_text/llama_cpp_stream_n2.sse")
    deltas = same_at_every_cut(lambda: OpenAIText(LOCAL).stream(call(stream=True, n=2)), body)
    assert (text(deltas, 0), text(deltas, 1)) == (", when", ", when")
    assert finish_reasons(deltas) == {0: "length", 1: "length"}
    assert usage(deltas) == Usage(4, 4, cached_tokens=3)


def test_llama_cpp_gives_one_logprob_for_a_character_of_several_tokens():
    body = golden("openai_text/llama_cpp_stream_utf8.sse")
    deltas = same_at_every_cut(lambda: OpenAIText(LOCAL).stream(call(stream=True, logprobs=1)), body)
    assert text(deltas) == "雯雯"
    assert [token.raw for token in logprobs(deltas)] == ["雯".encode()] * 2


def test_llama_cpps_refusal_reaches_the_client():
    error = OpenAIText(LOCAL).error(400, {}, golden("openai_text/llama_cpp_error.json"))
    assert isinstance(error, UpstreamRejected)
    assert "between 1 <= value <= 4" in error.message
