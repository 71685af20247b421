"""A call in Ollama's own language (https://docs.ollama.com/api/generate and https://docs.ollama.com/api/chat)."""

from collections.abc import Mapping
from typing import Any

from gateway.errors import InvalidType, UnsupportedParameter
from gateway.providers.base import Target
from gateway.types import Call

_OPTIONS = {
    "max_tokens": "num_predict",
    "temperature": "temperature",
    "top_p": "top_p",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "seed": "seed",
}
_BESIDE_OPTIONS = frozenset({"format", "keep_alive", "think", "truncate", "shift"})
_UNREAD_TEXT = frozenset({"system", "template", "context", "images", "messages", "tools"})


def generate(call: Call, target: Target) -> dict[str, Any]:
    """The body of `POST /api/generate`.

    The prompt goes to the model as it is (`raw`). Only with a suffix does the model's template take part: it is what
    puts prompt and suffix around the gap, and in raw mode Ollama drops the suffix without a word.

    Raises:
        RequestError: an extra parameter that Ollama cannot be given.
    """
    sent: dict[str, Any] = {"model": target.model, "prompt": call.prompt}
    if call.suffix is None:
        sent["raw"] = True
    else:
        sent["suffix"] = call.suffix
    return _finish(sent, call, target)


def chat(call: Call, target: Target) -> dict[str, Any]:
    """The body of `POST /api/chat`.

    Raises:
        RequestError: an extra parameter that Ollama cannot be given.
    """
    messages = [{"role": message.role, "content": message.content} for message in call.messages]
    return _finish({"model": target.model, "messages": messages}, call, target)


def _finish(sent: dict[str, Any], call: Call, target: Target) -> dict[str, Any]:
    """`sent` with what both share; the operator's settings (`num_ctx`, `keep_alive`) go before the client's."""
    sent["stream"] = call.stream  # left out, it means true
    if call.logprobs is not None:
        sent["logprobs"] = True
        if call.logprobs:
            sent["top_logprobs"] = call.logprobs
    beside, options = _extra(call.extra)
    for given, own in zip((beside, options), _extra(target.options), strict=True):
        given.update(own)
    options.update({name: value for ours, name in _OPTIONS.items() if (value := getattr(call, ours)) is not None})
    if call.stop:
        options["stop"] = list(call.stop)
    return {**beside, **sent, "options": options}


def _extra(extra: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters that OpenAI's API does not have: those of the request itself, and the model options (`top_k`, …).

    Refused are those that carry text to the model: no policy would have read it.
    """
    beside: dict[str, Any] = {}
    options: dict[str, Any] = {}
    for name, value in extra.items():
        if name in _UNREAD_TEXT:
            raise UnsupportedParameter(f"{name} cannot be sent with a text completion; put it into prompt.", param=name)
        if name == "options":
            if not isinstance(value, Mapping):
                raise InvalidType("options must be an object of Ollama's model options.", param="options")
            options.update(value)
        elif name in _BESIDE_OPTIONS:
            beside[name] = value
        else:
            options[name] = value
    return beside, options
