"""Mistral's fill-in-the-middle language: a text goes in, an answer in the shape of OpenAI's chats comes out."""

from collections.abc import Mapping

from gateway.errors import UpstreamError
from gateway.providers.base import Level, StreamDecoder, Support, Target
from gateway.providers.codestral import request
from gateway.providers.failures import error_from, message_in
from gateway.providers.openai_chat import response
from gateway.providers.openai_chat.language import bearer_headers
from gateway.providers.openai_chat.stream import Decoder
from gateway.types import Call, Delta, HttpRequest
from gateway.wire import json

BASE_URL = "https://codestral.mistral.ai/v1"
_PATH = "/fim/completions"

SUPPORT = Support(
    levels={
        "max_tokens": Level.NATIVE,
        "n": Level.EMULATED,
        "best_of": Level.REFUSED,
        "echo": Level.EMULATED,
        "suffix": Level.NATIVE,
        "logprobs": Level.REFUSED,
        "temperature": Level.NATIVE,
        "top_p": Level.NATIVE,
        "presence_penalty": Level.REFUSED,
        "frequency_penalty": Level.REFUSED,
        "seed": Level.MAPPED,
        "stop": Level.NATIVE,
        "logit_bias": Level.REFUSED,
        "user": Level.REFUSED,
        "stream": Level.MAPPED,
    },
    text=True,
    extra=True,
    ranges={"temperature": (0, 1.5)},
)


class Codestral:
    """`POST {base}/fim/completions` with a bearer key."""

    def __init__(self, target: Target) -> None:
        """Bind to `target`; its base URL may name the endpoint itself, as LiteLLM's `api_base` does here."""
        self._target = target
        self._url = f"{(target.base_url or BASE_URL).removesuffix(_PATH)}{_PATH}"
        self._headers = bearer_headers(target)

    def request(self, call: Call) -> HttpRequest:
        return HttpRequest("POST", self._url, self._headers, json.dumps(request.body(call, self._target.model)))

    def answer(self, call: Call, body: bytes) -> list[Delta]:
        return response.parse(body, self._target.provider)

    def stream(self, call: Call) -> StreamDecoder:
        return Decoder(self._target.provider, call.n)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        return error_from(self._target.provider, status, headers, *message_in(body))
