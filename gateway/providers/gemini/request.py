"""A call as a `GenerateContentRequest` (https://ai.google.dev/api/generate-content#request-body)."""

import re
from collections.abc import Mapping
from typing import Any

from gateway.errors import UnsupportedParameter
from gateway.types import Call

_NAMES: Mapping[str, str] = {
    "max_tokens": "maxOutputTokens",
    "temperature": "temperature",
    "top_p": "topP",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
}

_TOP_LEVEL = frozenset(
    {"safetySettings", "tools", "toolConfig", "cachedContent", "labels", "serviceTier", "store", "modelArmorConfig"}
)
"""What Google reads beside `generationConfig`; every other extra parameter belongs inside it (`topK`, …)."""

_OWN = frozenset({"contents", "systemInstruction", "generationConfig", "candidateCount", "stopSequences"})
_OWN |= {"responseLogprobs", *_NAMES.values()}
"""What the gateway fills in itself: a client may not put something else there, past its policies and budgets."""


def body(call: Call) -> dict[str, Any]:
    """The JSON body that asks for `call`; the model and whether to stream are in the URL.

    Raises:
        UnsupportedParameter: an extra parameter that would replace one the gateway fills in.
    """
    config, beside = _extras(call.extra)
    config.update({theirs: value for ours, theirs in _NAMES.items() if (value := getattr(call, ours)) is not None})
    if call.n != 1:
        config["candidateCount"] = call.n
    if call.stop:
        config["stopSequences"] = list(call.stop)
    if call.seed is not None:
        config["seed"] = int32(call.seed)
    if call.logprobs is not None:
        config["responseLogprobs"] = True
        if call.logprobs:
            config["logprobs"] = call.logprobs
    sent: dict[str, Any] = {
        "contents": [
            {"role": "model" if message.role == "assistant" else "user", "parts": [{"text": message.content}]}
            for message in call.messages
            if message.role != "system"
        ]
    }
    system = [{"text": message.content} for message in call.messages if message.role == "system"]
    if system:
        sent["systemInstruction"] = {"parts": system}
    if config:
        sent["generationConfig"] = config
    return {**sent, **beside}


def int32(seed: int) -> int:
    """`seed` folded into the 32 bits Google's field has; one that fits stays as it is."""
    return (seed + 2**31) % 2**32 - 2**31


def _extras(extra: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The extra parameters that go into `generationConfig`, and those that go beside it; `top_k` is `topK` there."""
    config: dict[str, Any] = {}
    beside: dict[str, Any] = {}
    for given, value in extra.items():
        name = re.sub("_([a-z])", lambda match: match[1].upper(), given)
        if name in _OWN:
            raise UnsupportedParameter(
                f"{given} is filled in by the gateway; use the text completion parameter of that meaning.", param=given
            )
        (beside if name in _TOP_LEVEL else config)[name] = value
    return config, beside
