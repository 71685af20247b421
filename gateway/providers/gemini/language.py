"""Google's `generateContent` language, as the Gemini API speaks it; Vertex AI speaks it at other addresses."""

import re
from collections.abc import Mapping
from urllib.parse import quote

from gateway.errors import UpstreamError
from gateway.providers.base import JSON_HEADERS, Level, StreamDecoder, Support, Target
from gateway.providers.failures import error_from, message_in
from gateway.providers.gemini import request, response
from gateway.providers.gemini.stream import Decoder
from gateway.types import Call, Delta, HttpRequest
from gateway.wire import json

BASE_URL = "https://generativelanguage.googleapis.com"
VERSION = "v1beta"

SUPPORT = Support(
    levels={
        "max_tokens": Level.MAPPED,
        "n": Level.MAPPED,
        "best_of": Level.EMULATED,
        "echo": Level.EMULATED,
        "suffix": Level.REFUSED,
        "logprobs": Level.MAPPED,
        "temperature": Level.NATIVE,
        "top_p": Level.MAPPED,
        "presence_penalty": Level.MAPPED,
        "frequency_penalty": Level.MAPPED,
        "seed": Level.NATIVE,
        "stop": Level.MAPPED,
        "logit_bias": Level.REFUSED,
        "stream": Level.MAPPED,
    },
    extra=True,
    max_n=8,
    max_stop=5,
    max_top_logprobs=20,
)


class GenerateContent:
    """`POST {resource}:generateContent` or `:streamGenerateContent?alt=sse`, the key in the header x-goog-api-key."""

    def __init__(self, target: Target, resource: str) -> None:
        """Bind to `target`; `resource` is the URL of the model."""
        self._provider = target.provider
        self._resource = resource
        key = {"x-goog-api-key": target.api_key.reveal()} if target.api_key else {}
        self._headers = {**JSON_HEADERS, **key, **target.extra_headers}

    def request(self, call: Call) -> HttpRequest:
        method = "streamGenerateContent?alt=sse" if call.stream else "generateContent"
        return HttpRequest("POST", f"{self._resource}:{method}", self._headers, json.dumps(request.body(call)))

    def answer(self, call: Call, body: bytes) -> list[Delta]:
        return response.parse(body, self._provider, call.n)

    def stream(self, call: Call) -> StreamDecoder:
        return Decoder(self._provider, call.n)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        meant, details = response.fault(status, body)
        return error_from(self._provider, meant, {**details, **headers}, *message_in(body))


def bind(target: Target) -> GenerateContent:
    """The Gemini API (https://ai.google.dev/api): models by name, a key from Google AI Studio."""
    model = quote(target.model.removeprefix("models/"), safe="")
    return GenerateContent(target, f"{versioned(target.base_url or BASE_URL, VERSION)}/models/{model}")


def versioned(base_url: str, version: str) -> str:
    """`base_url` with an API version: its own, when it ends in one, else `version`."""
    return base_url if re.search(r"/v[0-9]\w*$", base_url) else f"{base_url}/{version}"
