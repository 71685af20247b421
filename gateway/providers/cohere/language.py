"""Cohere's v2 chat language."""

from collections.abc import Mapping

from gateway.errors import UpstreamError
from gateway.providers.base import Level, StreamDecoder, Support, Target
from gateway.providers.cohere import request, response
from gateway.providers.cohere.stream import Decoder
from gateway.providers.failures import error_from, message_in
from gateway.providers.openai_chat.language import bearer_headers
from gateway.types import Call, Delta, HttpRequest
from gateway.wire import json

BASE_URL = "https://api.cohere.com"

SUPPORT = Support(
    levels={
        "max_tokens": Level.NATIVE,
        "n": Level.EMULATED,
        "best_of": Level.EMULATED,
        "echo": Level.EMULATED,
        "suffix": Level.REFUSED,
        "logprobs": Level.NATIVE,
        "temperature": Level.NATIVE,
        "top_p": Level.MAPPED,
        "presence_penalty": Level.NATIVE,
        "frequency_penalty": Level.NATIVE,
        "seed": Level.NATIVE,
        "stop": Level.MAPPED,
        "logit_bias": Level.REFUSED,
        "stream": Level.NATIVE,
    },
    extra=True,
    max_stop=5,
    max_top_logprobs=0,
    ranges={
        "temperature": (0.0, 1.0),
        "top_p": (0.01, 0.99),
        "presence_penalty": (0.0, 1.0),
        "frequency_penalty": (0.0, 1.0),
        "seed": (0, 2**63 - 1),
    },
)
"""Ranges: https://docs.cohere.com/reference/chat and https://docs.cohere.com/docs/temperature. Of logprobs, Cohere
gives those of the chosen tokens only."""

_DENY_LISTED = 498
"""Cohere's "invalid token": the request holds a word the account's owner has forbidden. It is about the request."""


class Cohere:
    """`POST {base}/v2/chat` with a bearer key; a base that already ends in the version or the path keeps it."""

    def __init__(self, target: Target) -> None:
        base = (target.base_url or BASE_URL).removesuffix("/chat").removesuffix("/v2")
        self._target = target
        self._url = f"{base}/v2/chat"
        self._headers = bearer_headers(target)

    def request(self, call: Call) -> HttpRequest:
        body = request.body(call, self._target.model)
        return HttpRequest("POST", self._url, self._headers, json.dumps(body))

    def answer(self, call: Call, body: bytes) -> list[Delta]:
        return response.parse(body, self._target.provider)

    def stream(self, call: Call) -> StreamDecoder:
        return Decoder(self._target.provider)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        return error_from(self._target.provider, 422 if status == _DENY_LISTED else status, headers, *message_in(body))
