"""What a foreign app is asked, as telemetry tells it: parameters, and texts so that tokens can be counted."""

import math
from collections.abc import Mapping
from typing import Any, Final, Literal, cast

from gateway.errors import GatewayError
from gateway.ledger import tokens
from gateway.middleware.body import decompress
from gateway.types import Call, Message, Prompt
from gateway.wire import json
from gateway.wire.completions import MAX_CHOICES
from gateway.wire.paths import Language

_ROLES: Final[Mapping[str, str]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}

MAX_BYTES = 8 * 1024 * 1024
"""A request that is larger is not read: neither its model nor its tokens are known."""

UNREAD = Call(messages=(), prompt=())
"""A call that nobody has read."""


def decoded(raw: bytes, encoding: str) -> dict[str, Any] | None:
    """The body of a request; None for one that is no JSON object: what it is then is the app's to say."""
    try:
        value = json.loads(decompress(raw, encoding, MAX_BYTES) if encoding else raw)
    except (json.JSONDecodeError, GatewayError):
        return None
    return value if isinstance(value, dict) else None


def call_of(given: Mapping[str, Any], language: Language) -> Call:
    """The call that a body asks for. A foreign app decides itself what it takes: what is of the wrong type is none."""
    messages, prompt, prompts = _chat(given) if language == "chat" else _text(given)
    n = given.get("n")
    return Call(
        messages=messages,
        prompt=prompt,
        suffix=_string(given.get("suffix")) if language == "completions" else None,
        max_tokens=_count(given.get("max_completion_tokens", given.get("max_tokens"))),
        n=min((n if type(n) is int and 1 <= n <= 128 else 1) * prompts, MAX_CHOICES),
        temperature=_number(given.get("temperature")),
        top_p=_number(given.get("top_p")),
        presence_penalty=_number(given.get("presence_penalty")),
        frequency_penalty=_number(given.get("frequency_penalty")),
        seed=_seed(given.get("seed")),
        stream=given.get("stream") is True,
    )


def input_tokens(call: Call, language: Language, encoding: str | None) -> int:
    """About how many tokens a call asks with, by the rules of `gateway.routing.settling.estimate`."""
    if isinstance(call.prompt, tuple) and not call.messages:
        return len(call.prompt)
    counts = [tokens.estimate(each.content, encoding) for each in call.messages]
    if language == "chat":
        return tokens.CHAT + sum(tokens.MESSAGE + count for count in counts)
    suffix = tokens.estimate(call.suffix, encoding) if call.suffix else 0
    asked = tokens.estimate(call.prompt, encoding) if isinstance(call.prompt, str) else sum(counts)
    return asked + suffix


def _chat(given: Mapping[str, Any]) -> tuple[tuple[Message, ...], Prompt, int]:
    messages = given.get("messages")
    found = [_message(each) for each in messages if isinstance(each, dict)] if isinstance(messages, list) else []
    return tuple(found), (), 1


def _message(value: Mapping[str, Any]) -> Message:
    role = _ROLES.get(_string(value.get("role")) or "", "user")
    return Message(cast('Literal["system", "user", "assistant"]', role), shown(value.get("content")))


def shown(content: Any) -> str:
    """The text of a message's content: a string, or the texts of its parts."""
    if isinstance(content, list):
        texts = (part.get("text") for part in content if isinstance(part, dict))
        return "".join(text for text in texts if type(text) is str)
    return content if type(content) is str else ""


def _text(given: Mapping[str, Any]) -> tuple[tuple[Message, ...], Prompt, int]:
    """Messages, prompt, and how many prompts there are: several texts are as many messages, and no prompt."""
    prompt = given.get("prompt")
    if type(prompt) is str:
        return (), prompt, 1
    if not isinstance(prompt, list) or not prompt:
        return (), "", 1
    if all(type(each) is int for each in prompt):
        return (), tuple(prompt), 1
    if all(isinstance(each, list) for each in prompt):
        ids = tuple(token for each in prompt for token in each if type(token) is int)
        return (), ids, len(prompt)
    return tuple(Message("user", each) for each in prompt if type(each) is str), (), len(prompt)


def _string(value: Any) -> str | None:
    return value if type(value) is str else None


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < 2**31 else None


def _seed(value: Any) -> int | None:
    return value if type(value) is int and -(2**63) <= value < 2**63 else None


def _number(value: Any) -> float | None:
    return float(value) if type(value) in (int, float) and math.isfinite(value) else None
