"""Bedrock's Converse language, the same for every model on Bedrock."""

from collections.abc import Mapping

from gateway.errors import UpstreamError
from gateway.providers.base import JSON_HEADERS, Level, StreamDecoder, Support, Target
from gateway.providers.bedrock import request, response
from gateway.providers.bedrock.stream import Decoder
from gateway.providers.failures import message_in
from gateway.types import Call, Delta, HttpRequest
from gateway.wire import json

SUPPORT = Support(
    levels={
        "max_tokens": Level.MAPPED,
        "n": Level.EMULATED,
        "best_of": Level.REFUSED,
        "echo": Level.EMULATED,
        "suffix": Level.REFUSED,
        "logprobs": Level.REFUSED,
        "temperature": Level.MAPPED,
        "top_p": Level.MAPPED,
        "presence_penalty": Level.REFUSED,
        "frequency_penalty": Level.REFUSED,
        "seed": Level.REFUSED,
        "stop": Level.MAPPED,
        "logit_bias": Level.REFUSED,
        "user": Level.EMULATED,  # the gateway accounts to the user; Converse has no field for one
        "stream": Level.MAPPED,
    },
    extra=True,
    max_top_logprobs=0,
    ranges={"temperature": (0.0, 1.0)},
    blank_stop=False,  # Anthropic's models refuse one there too
)


class BedrockConverse:
    """`POST {base}/model/{id}/converse` or `…/converse-stream`.

    A Bedrock API key travels as a bearer token; without one, `signing.authorizer` signs the request.
    """

    def __init__(self, target: Target) -> None:
        """Bind to `target`.

        Raises:
            ConfigError: neither a base URL nor a region is known.
        """
        self._target = target
        self._url = request.url(target)
        key = {"authorization": f"Bearer {target.api_key.reveal()}"} if target.api_key else {}
        self._headers = {**JSON_HEADERS, **key, **target.extra_headers}

    def request(self, call: Call) -> HttpRequest:
        url = f"{self._url}-stream" if call.stream else self._url
        return HttpRequest("POST", url, self._headers, json.dumps(request.body(call, self._target.provider)))

    def answer(self, call: Call, body: bytes) -> list[Delta]:
        return response.parse(body, self._target.provider)

    def stream(self, call: Call) -> StreamDecoder:
        return Decoder(self._target.provider)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        name = headers.get("x-amzn-errortype", "")
        return response.failure(self._target.provider, name, message_in(body)[0], status, headers)
