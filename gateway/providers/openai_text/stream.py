"""A streamed text completion: the same events as a chat's, each choice in the shape of a whole one."""

from functools import partial

from gateway.providers.openai_chat import stream as chat
from gateway.providers.openai_text import response
from gateway.types import Call


def decoder(provider: str, call: Call) -> chat.Decoder:
    """A fresh decoder for one streamed answer to `call`."""
    return chat.Decoder(provider, call.n, partial(response.piece, tops=call.logprobs != 0))
