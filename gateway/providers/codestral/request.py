"""A call as a fill-in-the-middle request of Mistral (https://docs.mistral.ai/api/endpoint/fim)."""

from typing import Any

from gateway.providers.openai_chat.request import sampling
from gateway.types import Call

_SAME_NAME = ("suffix", "max_tokens", "metadata")
_NAMES = {"seed": "random_seed"}


def body(call: Call, model: str) -> dict[str, Any]:
    """The JSON body that asks for `call`; parameters the client left out are left out.

    `call.extra` can add parameters (`min_tokens`) but replaces none of those the gateway sets.
    """
    sent: dict[str, Any] = {**call.extra, "model": model, "prompt": call.prompt}
    sent.update({name: value for name in _SAME_NAME if (value := getattr(call, name)) is not None})
    sent.update(sampling(call, _NAMES))
    if call.stream:
        sent["stream"] = True
    return sent
