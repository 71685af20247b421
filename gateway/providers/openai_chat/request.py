"""A call as an OpenAI chat request (https://platform.openai.com/docs/api-reference/chat/create)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.types import Call

_SAME_NAME = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "seed", "logit_bias", "user")
_OPENAI_ONLY = ("metadata", "safety_identifier")


@dataclass(frozen=True, slots=True)
class Dialect:
    """Where an OpenAI-like provider differs from OpenAI in data only.

    `max_tokens` is the name of the output limit; `names` renames further parameters (`{"seed": "random_seed"}`);
    `stream_options` says whether `stream_options.include_usage` may be sent (without it, usage comes unasked or not
    at all); `openai_fields` whether `metadata` and `safety_identifier` are known there; `counted_logprobs` that
    `logprobs` is the number of alternatives, not a switch; `model_prefix` goes in front of a model's bare name;
    `constant` is sent with every request, and so are `headers` (names in lower case) that the operator does not set.
    """

    max_tokens: str = "max_tokens"
    names: Mapping[str, str] = field(default_factory=dict)
    stream_options: bool = True
    openai_fields: bool = False
    counted_logprobs: bool = False
    model_prefix: str = ""
    constant: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


def body(call: Call, model: str, dialect: Dialect) -> dict[str, Any]:
    """The JSON body that asks for `call`; parameters the client left out are left out.

    `call.extra` can add parameters but replaces none of those the gateway sets: least of all the messages, which the
    policies have seen.
    """
    sent: dict[str, Any] = {
        **call.extra,
        "model": model if "/" in model or "#" in model else f"{dialect.model_prefix}{model}",
        "messages": [{"role": message.role, "content": message.content} for message in call.messages],
    }
    if call.max_tokens is not None:
        sent[dialect.max_tokens] = call.max_tokens
    if call.n != 1:
        sent["n"] = call.n
    sent.update(sampling(call, dialect.names))
    if call.logprobs is not None:
        sent.update(_logprobs(call.logprobs, dialect))
    if dialect.openai_fields:
        sent.update({name: value for name in _OPENAI_ONLY if (value := getattr(call, name)) is not None})
    return finish(sent, call, dialect)


def _logprobs(wanted: int, dialect: Dialect) -> dict[str, Any]:
    """The parameters that ask for the chosen tokens' logprobs and those of `wanted` alternatives."""
    if dialect.counted_logprobs:
        return {"logprobs": max(wanted, 1)}  # there 0 means none at all
    return {"logprobs": True, "top_logprobs": wanted} if wanted else {"logprobs": True}


def sampling(call: Call, names: Mapping[str, str]) -> dict[str, Any]:
    """The parameters that chat and text completions share, those that were given."""
    sent = {names.get(name, name): value for name in _SAME_NAME if (value := getattr(call, name)) is not None}
    if call.stop:
        sent[names.get("stop", "stop")] = list(call.stop)
    return sent


def finish(sent: dict[str, Any], call: Call, dialect: Dialect) -> dict[str, Any]:
    """The part of the body that follows from how the answer is wanted, and what the provider always gets."""
    if call.stream:
        sent["stream"] = True
        if dialect.stream_options:
            sent["stream_options"] = {"include_usage": True}
    sent.update(dialect.constant)
    return sent
