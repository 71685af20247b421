"""The OpenAI text-completion language, for OpenAI itself and every server that speaks it."""

from collections.abc import Mapping

from gateway.errors import UpstreamError
from gateway.providers.base import Level, StreamDecoder, Support, Target
from gateway.providers.failures import error_from, message_in
from gateway.providers.openai_chat.language import BASE_URL, bearer_headers
from gateway.providers.openai_text import request, response, stream
from gateway.providers.openai_text.request import Dialect
from gateway.types import Call, Delta, HttpRequest
from gateway.wire import json

DEEPSEEK_BASE_URL = "https://api.deepseek.com/beta"

SUPPORT = Support(
    levels={
        "max_tokens": Level.NATIVE,
        "n": Level.NATIVE,
        "best_of": Level.NATIVE,
        "echo": Level.NATIVE,
        "suffix": Level.NATIVE,
        "logprobs": Level.NATIVE,
        "temperature": Level.NATIVE,
        "top_p": Level.NATIVE,
        "presence_penalty": Level.NATIVE,
        "frequency_penalty": Level.NATIVE,
        "seed": Level.NATIVE,
        "stop": Level.NATIVE,
        "logit_bias": Level.NATIVE,
        "user": Level.NATIVE,
        "stream": Level.NATIVE,
    },
    text=True,
    token_prompts=True,
    max_top_logprobs=5,
)

ELSEWHERE = SUPPORT.but(best_of=Level.EMULATED, suffix=Level.REFUSED)
"""Another server at an `api_base`: vLLM refuses `suffix`, llama.cpp ignores it and `best_of` without a word."""

DEEPSEEK = SUPPORT.but(
    n=Level.EMULATED,
    best_of=Level.EMULATED,
    presence_penalty=Level.REFUSED,
    frequency_penalty=Level.REFUSED,
    seed=Level.REFUSED,
    logit_bias=Level.REFUSED,
    user=Level.REFUSED,
    token_prompts=False,
    max_stop=16,
    max_top_logprobs=20,
)
"""DeepSeek's fill-in-the-middle beta (https://api-docs.deepseek.com/api/create-completion)."""

FOREIGN = Dialect(min_logprobs=1)
"""Any server but OpenAI's own: asking for one alternative works everywhere, asking for none does not."""


class OpenAIText:
    """`POST {base}/completions` with a bearer key."""

    def __init__(self, target: Target, base_url: str = BASE_URL) -> None:
        """Bind to `target`; `base_url` is where it is when the operator names no `api_base`."""
        self._target = target
        base = target.base_url or base_url
        self._url = f"{base}/completions"
        self._headers = bearer_headers(target)
        self._dialect = Dialect() if base == BASE_URL else FOREIGN

    def request(self, call: Call) -> HttpRequest:
        body = request.body(call, self._target.model, self._dialect)
        return HttpRequest("POST", self._url, self._headers, json.dumps(body))

    def answer(self, call: Call, body: bytes) -> list[Delta]:
        return response.parse(body, self._target.provider, call)

    def stream(self, call: Call) -> StreamDecoder:
        return stream.decoder(self._target.provider, call)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        return error_from(self._target.provider, status, headers, *message_in(body))


def deepseek(target: Target) -> OpenAIText:
    """DeepSeek's fill-in-the-middle beta, bound to `target`."""
    return OpenAIText(target, DEEPSEEK_BASE_URL)
