"""A call as a Cohere v2 chat request (https://docs.cohere.com/reference/chat)."""

from collections.abc import Mapping
from typing import Any

from gateway.errors import UnsupportedParameter
from gateway.types import Call

_NAMES: Mapping[str, str] = {
    "max_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "p",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "seed": "seed",
}
_EXTRA_NAMES: Mapping[str, str] = {"top_k": "k"}

_OWN = frozenset({"messages", "stop_sequences", "p"})
"""What the gateway fills in itself: a client may not put something else there, past its policies."""


def body(call: Call, model: str) -> dict[str, Any]:
    """The JSON body that asks for `call`; parameters the client left out are left out.

    Raises:
        UnsupportedParameter: an extra parameter that would replace one the gateway fills in.
    """
    sent: dict[str, Any] = {
        "model": model,
        "messages": [{"role": message.role, "content": message.content} for message in call.messages],
    }
    sent.update({theirs: value for ours, theirs in _NAMES.items() if (value := getattr(call, ours)) is not None})
    if call.stop:
        sent["stop_sequences"] = list(call.stop)
    if call.logprobs is not None:
        sent["logprobs"] = True
    if call.stream:
        sent["stream"] = True
    for given, value in call.extra.items():
        name = _EXTRA_NAMES.get(given, given)
        if name in _OWN or name in sent:
            raise UnsupportedParameter(
                f"{given} is filled in by the gateway; use the text completion parameter of that meaning.", param=given
            )
        sent[name] = value
    return sent
