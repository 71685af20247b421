"""What a request to a foreign app may use at most, as its body says: every text it asks with, and what it asks for."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from gateway.middleware.foreign.call import shown
from gateway.types import CompletionRequest, Prompt
from gateway.wire import json
from gateway.wire.paths import Language

UNSAID: Final[Mapping[Language, int]] = {"completions": 16, "chat": 4096}
"""Tokens of a choice that a request does not bound: OpenAI's default, and what is taken for a chat's answer, which
has none."""

_SAID_IN_JSON: Final = ("tools", "functions", "response_format")
_CALLED: Final = ("tool_calls", "function_call")
_LIMITS: Final = ("max_tokens", "max_completion_tokens")


def weighed(value: Any, language: Language, request: CompletionRequest) -> CompletionRequest:
    """`request` with the texts of its body as its prompts, and `n` as all the choices or candidates of all of them.

    `given` says `messages` for a chat. Pictures, sound and files are not in it: what they use counts once it is known.
    """
    given: Mapping[str, Any] = value if isinstance(value, dict) else {}
    prompts = tuple(_chat(given) if language == "chat" else _text(given))
    each = max(_whole(given.get("n"), 1), _whole(given.get("best_of"), 1))
    limits = [given[name] for name in _LIMITS if given.get(name) is not None]
    most = max((_whole(limit, 0, UNSAID["chat"]) for limit in limits), default=UNSAID[language])
    asked = len(prompts) if language == "completions" and isinstance(given.get("prompt"), list) else 1
    suffix = given.get("suffix") if language == "completions" else None
    return replace(
        request,
        prompts=prompts,
        suffix=suffix if type(suffix) is str else None,
        n=max(asked, 1) * each,
        max_tokens=most,
        given=frozenset({"messages"}) if language == "chat" else frozenset(),
    )


def _whole(value: Any, least: int, otherwise: int | None = None) -> int:
    """A count; `otherwise`, or `least`, for what is none."""
    if type(value) is int and value >= least:
        return value
    return least if otherwise is None else otherwise


def _chat(given: Mapping[str, Any]) -> Iterator[Prompt]:
    messages = given.get("messages")
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict):
            yield shown(message.get("content"))
            yield from (_written(message[name]) for name in _CALLED if message.get(name))
    yield from (_written(given[name]) for name in _SAID_IN_JSON if given.get(name))


def _text(given: Mapping[str, Any]) -> Iterator[Prompt]:
    prompt = given.get("prompt")
    if not isinstance(prompt, list):
        yield prompt if type(prompt) is str else ""
    elif prompt and all(type(each) is int for each in prompt):
        yield tuple(prompt)
    else:
        for each in prompt:
            yield tuple(each) if isinstance(each, list) else each if type(each) is str else ""


def _written(value: Any) -> str:
    return json.dumps(value).decode()
