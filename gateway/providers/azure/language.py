"""Azure OpenAI: OpenAI's two languages behind Azure's addresses, credentials and content filter."""

from collections.abc import Mapping

from gateway.errors import UpstreamError
from gateway.providers.azure import request, response
from gateway.providers.base import StreamDecoder, Target
from gateway.providers.openai_chat import language as chat
from gateway.providers.openai_chat import request as chat_request
from gateway.providers.openai_chat import response as chat_response
from gateway.providers.openai_chat import stream as chat_stream
from gateway.providers.openai_text import language as text
from gateway.providers.openai_text import request as text_request
from gateway.providers.openai_text import response as text_response
from gateway.providers.openai_text import stream as text_stream
from gateway.types import Call, Delta, HttpRequest
from gateway.wire import json

SUPPORT = chat.SUPPORT
TEXT_SUPPORT = text.SUPPORT

OPTIONS = ("api_version", "azure_ad_token")
"""Settings of a deployment: the dated version to call, and a Microsoft Entra token in place of a key."""


class AzureChat:
    """`POST {base}/openai/deployments/{deployment}/chat/completions?api-version=…`, or the undated surface's."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._url = request.url(target, "chat/completions")
        self._headers = request.headers(target)
        recent = request.is_recent(target)
        limit = "max_completion_tokens" if recent else "max_tokens"
        self._dialect = chat_request.Dialect(max_tokens=limit, stream_options=recent)

    def request(self, call: Call) -> HttpRequest:
        body = chat_request.body(call, self._target.model, self._dialect)
        return HttpRequest("POST", self._url, self._headers, json.dumps(body))

    def answer(self, call: Call, body: bytes) -> list[Delta]:
        return chat_response.parse(body, self._target.provider)

    def stream(self, call: Call) -> StreamDecoder:
        return chat_stream.Decoder(self._target.provider, call.n)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        return response.error(self._target.provider, status, headers, body)


class AzureText:
    """`POST {base}/openai/deployments/{deployment}/completions?api-version=…`, or the undated surface's."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._url = request.url(target, "completions")
        self._headers = request.headers(target)
        # The dated versions' text completions do not define stream_options: their streams come without usage.
        self._dialect = text_request.Dialect(stream_options=request.is_v1(target))

    def request(self, call: Call) -> HttpRequest:
        body = text_request.body(call, self._target.model, self._dialect)
        return HttpRequest("POST", self._url, self._headers, json.dumps(body))

    def answer(self, call: Call, body: bytes) -> list[Delta]:
        return text_response.parse(body, self._target.provider, call)

    def stream(self, call: Call) -> StreamDecoder:
        return text_stream.decoder(self._target.provider, call)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        return response.error(self._target.provider, status, headers, body)
