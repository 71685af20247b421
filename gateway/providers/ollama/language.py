"""Ollama's own language: raw completions (`/api/generate`) and chats (`/api/chat`)."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from gateway.errors import UpstreamError
from gateway.providers.base import Level, StreamDecoder, Support, Target
from gateway.providers.failures import error_from, message_in
from gateway.providers.ollama import request, response
from gateway.providers.ollama.stream import Decoder
from gateway.providers.openai_chat.language import bearer_headers
from gateway.types import Call, Delta, HttpRequest
from gateway.wire import json

BASE_URL = "http://localhost:11434"

SUPPORT = Support(
    levels={
        "max_tokens": Level.MAPPED,
        "n": Level.EMULATED,
        "best_of": Level.EMULATED,
        "echo": Level.EMULATED,
        "suffix": Level.NATIVE,
        "logprobs": Level.MAPPED,
        "temperature": Level.MAPPED,
        "top_p": Level.MAPPED,
        "presence_penalty": Level.MAPPED,
        "frequency_penalty": Level.MAPPED,
        "seed": Level.MAPPED,
        "stop": Level.MAPPED,
        "logit_bias": Level.REFUSED,
        "user": Level.REFUSED,
        "stream": Level.MAPPED,
    },
    text=True,
    extra=True,
)
"""Logprobs came with Ollama 0.12.11; an older one leaves them out."""

CHAT_SUPPORT = SUPPORT.but(text=False, suffix=Level.REFUSED)

OPTIONS = ("num_ctx", "keep_alive")
"""Settings of a deployment: the size of the context in tokens, and how long Ollama keeps the model loaded."""

_Body = Callable[[Call, Target], dict[str, Any]]


class Ollama:
    """`POST {base}/api/generate` or `{base}/api/chat`, with a bearer key where one is set (ollama.com, a proxy)."""

    def __init__(self, target: Target, path: str = "/api/generate", body: _Body = request.generate) -> None:
        self._target = target
        self._url = f"{_base(target.base_url)}{path}"
        self._headers = bearer_headers(target)
        self._body = body

    def request(self, call: Call) -> HttpRequest:
        """The HTTP request that asks for `call`.

        Raises:
            RequestError: an extra parameter that Ollama cannot be given.
        """
        return HttpRequest("POST", self._url, self._headers, json.dumps(self._body(call, self._target)))

    def answer(self, call: Call, body: bytes) -> list[Delta]:
        return response.parse(body, self._target.provider)

    def stream(self, call: Call) -> StreamDecoder:
        return Decoder(self._target.provider)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        return error_from(self._target.provider, status, headers, *message_in(body))


def chat(target: Target) -> Ollama:
    """Ollama's chats, bound to `target`."""
    return Ollama(target, "/api/chat", request.chat)


def _base(url: str | None) -> str:
    """The base URL; `OLLAMA_HOST` may be a bare host, with or without a port, as Ollama itself reads it."""
    if url is None:
        return BASE_URL
    if "://" in url:
        return url
    return f"http://{url}" if re.search(r":\d+$", url) else f"http://{url}:11434"
