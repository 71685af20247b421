"""The OpenAI chat language, for OpenAI itself and every server that speaks it."""

from collections.abc import Mapping

from gateway.errors import UpstreamError
from gateway.providers.base import JSON_HEADERS, Level, StreamDecoder, Support, Target
from gateway.providers.failures import error_from, message_in
from gateway.providers.openai_chat import request, response
from gateway.providers.openai_chat.request import Dialect
from gateway.providers.openai_chat.stream import Decoder
from gateway.types import Call, Delta, HttpRequest
from gateway.wire import json

BASE_URL = "https://api.openai.com/v1"

SUPPORT = Support(
    levels={
        "max_tokens": Level.MAPPED,
        "n": Level.NATIVE,
        "best_of": Level.EMULATED,
        "echo": Level.EMULATED,
        "suffix": Level.REFUSED,
        "logprobs": Level.MAPPED,
        "temperature": Level.NATIVE,
        "top_p": Level.NATIVE,
        "presence_penalty": Level.NATIVE,
        "frequency_penalty": Level.NATIVE,
        "seed": Level.NATIVE,
        "stop": Level.NATIVE,
        "logit_bias": Level.NATIVE,
        "user": Level.NATIVE,
        "stream": Level.MAPPED,
    }
)

OPENAI = Dialect(max_tokens="max_completion_tokens", openai_fields=True)
"""OpenAI's own API: `max_tokens` is deprecated there and refused by its reasoning models."""


class OpenAIChat:
    """`POST {base}/chat/completions` with a bearer key."""

    def __init__(self, target: Target, base_url: str = BASE_URL, dialect: Dialect | None = None) -> None:
        """Bind to `target`; `dialect` None means OpenAI's own at its own host, the common subset elsewhere."""
        self._target = target
        self._url = f"{target.base_url or base_url}/chat/completions"
        if dialect is None:
            dialect = OPENAI if target.base_url in (None, BASE_URL) else Dialect()
        self._dialect = dialect
        own = {name.lower() for name in target.extra_headers}
        fixed = {name: value for name, value in dialect.headers.items() if name not in own}
        self._headers = {**fixed, **bearer_headers(target)}

    def request(self, call: Call) -> HttpRequest:
        body = request.body(call, self._target.model, self._dialect)
        return HttpRequest("POST", self._url, self._headers, json.dumps(body))

    def answer(self, call: Call, body: bytes) -> list[Delta]:
        return response.parse(body, self._target.provider)

    def stream(self, call: Call) -> StreamDecoder:
        return Decoder(self._target.provider, call.n)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        return error_from(self._target.provider, status, headers, *message_in(body))


OPTIONS = ("organization", "project")
"""Whom OpenAI bills, for keys that belong to several."""


def bearer_headers(target: Target) -> dict[str, str]:
    """JSON content type, the target's key as a bearer token, whom it bills, and the operator's own headers."""
    key = {"authorization": f"Bearer {target.api_key.reveal()}"} if target.api_key else {}
    billed = {f"openai-{name}": str(target.options[name]) for name in OPTIONS if target.options.get(name)}
    return {**JSON_HEADERS, **key, **billed, **target.extra_headers}
