"""Anthropic's Messages language, for Anthropic itself and every server that speaks it."""

from collections.abc import Mapping

from gateway.errors import UpstreamError
from gateway.providers.anthropic import request, response
from gateway.providers.anthropic.stream import Decoder
from gateway.providers.base import JSON_HEADERS, Level, StreamDecoder, Support, Target
from gateway.providers.failures import message_in
from gateway.types import Call, Delta, HttpRequest
from gateway.wire import json

BASE_URL = "https://api.anthropic.com"
VERSION = "2023-06-01"
"""The `anthropic-version` this folder speaks. The next one, 2026-10-21, takes no `temperature`, `top_p` or `top_k` for
any model; this one leaves it to the model (https://platform.claude.com/docs/en/api/versioning)."""

SUPPORT = Support(
    levels={
        "max_tokens": Level.MAPPED,
        "n": Level.EMULATED,
        "best_of": Level.REFUSED,
        "echo": Level.EMULATED,
        "suffix": Level.REFUSED,
        "logprobs": Level.REFUSED,
        "temperature": Level.NATIVE,
        "top_p": Level.NATIVE,
        "presence_penalty": Level.REFUSED,
        "frequency_penalty": Level.REFUSED,
        "seed": Level.REFUSED,
        "stop": Level.MAPPED,
        "logit_bias": Level.REFUSED,
        "user": Level.MAPPED,
        "stream": Level.MAPPED,
    },
    extra=True,
    max_top_logprobs=0,
    blank_stop=False,  # "each stop sequence must contain non-whitespace"
    ranges={"temperature": (0.0, 1.0)},
)


class AnthropicMessages:
    """`POST {base}/v1/messages` with the key in `x-api-key`; a base URL may end in `/v1` or not."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._url = f"{(target.base_url or BASE_URL).removesuffix('/v1')}/v1/messages"
        key = {"x-api-key": target.api_key.reveal()} if target.api_key else {}
        own = {name.lower() for name in target.extra_headers}
        version = {} if "anthropic-version" in own else {"anthropic-version": VERSION}
        self._headers = {**JSON_HEADERS, **version, **key, **target.extra_headers}

    def request(self, call: Call) -> HttpRequest:
        body = request.body(call, self._target.model, self._target.provider)
        return HttpRequest("POST", self._url, self._headers, json.dumps(body))

    def answer(self, call: Call, body: bytes) -> list[Delta]:
        return response.parse(body, self._target.provider)

    def stream(self, call: Call) -> StreamDecoder:
        return Decoder(self._target.provider)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        return response.failure(self._target.provider, status, headers, message_in(body)[0])
