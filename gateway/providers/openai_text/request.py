"""A call as an OpenAI text completion (https://platform.openai.com/docs/api-reference/completions/create)."""

from dataclasses import dataclass
from typing import Any

from gateway.providers.openai_chat.request import sampling
from gateway.types import Call

_SAME_NAME = ("suffix", "max_tokens", "best_of")


@dataclass(frozen=True, slots=True)
class Dialect:
    """Where a server of this language differs from OpenAI.

    `stream_options` says whether `stream_options.include_usage` may be sent. `min_logprobs` is the least number of
    alternatives to ask for when logprobs are wanted: llama.cpp takes 0 to mean none at all, where OpenAI answers it
    with the chosen tokens' own logprobs.
    """

    stream_options: bool = True
    min_logprobs: int = 0


def body(call: Call, model: str, dialect: Dialect) -> dict[str, Any]:
    """The JSON body that asks for `call`; parameters the client left out are left out.

    `call.extra` can add parameters but replaces none of those the gateway sets.
    """
    prompt = call.prompt if isinstance(call.prompt, str) else list(call.prompt)
    sent: dict[str, Any] = {**call.extra, "model": model, "prompt": prompt}
    sent.update({name: value for name in _SAME_NAME if (value := getattr(call, name)) is not None})
    sent.update(sampling(call, {}))
    if call.n != 1:
        sent["n"] = call.n
    if call.echo:
        sent["echo"] = True
    if call.logprobs is not None:
        sent["logprobs"] = max(call.logprobs, dialect.min_logprobs)
    if call.stream:
        sent["stream"] = True
        if dialect.stream_options:
            sent["stream_options"] = {"include_usage": True}
    return sent
