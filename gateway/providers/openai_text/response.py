"""A text completion object; whole answers and chunks of a stream have the same shape.

Shapes: https://platform.openai.com/docs/api-reference/completions/object. Two kinds of logprobs are read: OpenAI's own
(`tokens`, `token_logprobs`, `top_logprobs`) and the chat-shaped ones (`content`) that llama.cpp answers with.
"""

import re
from collections.abc import Mapping
from typing import Any

from gateway.providers.base import finish
from gateway.providers.failures import invalid_response, parse_object, reported
from gateway.providers.openai_chat import response as chat
from gateway.types import Call, Delta, FinishReason, TokenLogprob, Usage

_ESCAPED = "bytes:"
_ESCAPE = re.compile(rb"\\x([0-9a-fA-F]{2})")


def parse(body: bytes, provider: str, call: Call) -> list[Delta]:
    """One delta per choice, in order of index, then one with usage and opening.

    Raises:
        UpstreamError: the provider reports an error under a 200.
        UpstreamInvalidResponse: no choices, or choices of another shape.
    """
    answer = parse_object(body, provider)
    if answer.get("error"):
        raise reported(provider, answer["error"])
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices:
        raise invalid_response(provider, "it has no choices")
    try:
        deltas = [_whole(choice, position, call) for position, choice in enumerate(choices)]
        deltas.sort(key=lambda delta: delta.index)
        deltas.append(Delta(usage=_usage(answer, len(choices)), opening=chat.opening(answer)))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise invalid_response(provider, "a choice has another shape") from error
    return deltas


def _whole(choice: Mapping[str, Any], position: int, call: Call) -> Delta:
    reason = finish(chat.FINISH_REASONS, choice.get("finish_reason"))
    return piece(choice, choice.get("index", position), reason, tops=call.logprobs != 0)


def piece(choice: Mapping[str, Any], index: int, reason: FinishReason | None, *, tops: bool = True) -> Delta:
    """One choice of an answer or a chunk; without `tops` only the chosen tokens' logprobs are kept.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: the choice has another shape.
    """
    text = choice.get("text") or ""
    if not isinstance(text, str):
        raise TypeError("a choice's text is not a string")
    return Delta(index, text, logprobs(choice.get("logprobs"), text, tops=tops), reason)


def _usage(answer: Mapping[str, Any], choices: int) -> Usage | None:
    """The answer's usage; None for several choices of llama.cpp (told by its timings): it counts only the first."""
    return None if choices > 1 and "timings" in answer else chat.usage(answer.get("usage"))


def logprobs(value: Any, text: str = "", *, tops: bool = True) -> tuple[TokenLogprob, ...] | None:
    """The tokens of a choice, None when it has none; without `tops` the alternatives are left out.

    `text` is the choice's, for servers whose chunks hold one token and its bare number.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: logprobs of no known shape.
    """
    legacy = isinstance(value, Mapping) and value.get("tokens") is not None
    found = _legacy(value) if legacy else chat.logprobs(value, text)
    if found and not tops:
        found = tuple(TokenLogprob(token.token, token.logprob, token.raw) for token in found)
    return found or None


def _legacy(value: Mapping[str, Any]) -> tuple[TokenLogprob, ...]:
    """OpenAI's own shape: parallel lists, of which all but `tokens` may be null or hold nulls (an echoed prompt)."""
    tokens = value["tokens"]
    chosen = value.get("token_logprobs") or [None] * len(tokens)
    alternatives = value.get("top_logprobs") or [None] * len(tokens)
    return tuple(
        TokenLogprob(token, logprob, _raw(token), tuple((top or {}).items()))
        for token, logprob, top in zip(tokens, chosen, alternatives, strict=True)
    )


def _raw(token: str) -> bytes | None:
    r"""The bytes of a token that is not valid UTF-8 by itself, which OpenAI writes as `bytes:\xe2\x82`."""
    if not token.startswith(_ESCAPED) or "\\x" not in token:
        return None
    return _ESCAPE.sub(lambda match: bytes.fromhex(match[1].decode()), token.removeprefix(_ESCAPED).encode())
