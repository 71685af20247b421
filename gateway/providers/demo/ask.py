"""What the demo is asked: the body of `/chat/completions` or `/completions`, checked as strictly as OpenAI does.

Written apart from the gateway's own parser on purpose, so that each finds the other's mistakes. The parameters that
shape sampling (temperature, penalties, `logit_bias`, …) are checked; the demo has one answer per seed, which they do
not change.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Any

from gateway.errors import InvalidJson, InvalidType, InvalidValue, MissingParameter, UnsupportedParameter
from gateway.ledger import tokens
from gateway.providers.demo.text import ENCODING, MAX_TOP
from gateway.wire import json

MAX_CHOICES = 2048
"""Most choices of one request, over all its prompts."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A valid request in either language.

    `prompts` are texts with their token ids beside them in `prompt_ids`; a chat has one, its last message. `context`
    is what the answer depends on besides: the messages before, or the suffix. `prompt_tokens` counts all of it.
    `logprobs` is the number of alternatives per token, None for no logprobs; `max_tokens` None means no limit.
    """

    chat: bool
    model: str
    prompts: tuple[str, ...]
    prompt_ids: tuple[tuple[int, ...], ...]
    prompt_tokens: int
    context: str = ""
    max_tokens: int | None = None
    n: int = 1
    best_of: int = 1
    echo: bool = False
    logprobs: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    stream: bool = False
    include_usage: bool = False


Check = Callable[[str, Any], None]


def _number(low: float, high: float, *, whole: bool = False) -> Check:
    def check(name: str, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            raise InvalidType(
                f"Invalid type for '{name}': expected {'an integer' if whole else 'a number'}.", param=name
            )
        if not low <= value <= high:
            raise InvalidValue(f"Invalid value for '{name}': it must be from {low} to {high}.", param=name)

    return check


def _instance(kind: type | UnionType, words: str) -> Check:
    def check(name: str, value: Any) -> None:
        if not isinstance(value, kind):
            raise InvalidType(f"Invalid type for '{name}': expected {words}.", param=name)

    return check


def _stop(name: str, value: Any) -> None:
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise InvalidType("Invalid type for 'stop': expected a string or an array of strings.", param=name)
    if not 1 <= len(words) <= 4 or not all(words):
        raise InvalidValue("Invalid 'stop': expected 1 to 4 sequences, none of them empty.", param=name)


def _logit_bias(name: str, value: Any) -> None:
    _instance(dict, "an object")(name, value)
    for key, bias in value.items():
        if not key.isdigit():
            raise InvalidValue("Invalid key in 'logit_bias': expected a token id.", param=name)
        _number(-100, 100)(name, bias)


_string, _flag, _object = _instance(str, "a string"), _instance(bool, "a boolean"), _instance(dict, "an object")

_COMMON: Mapping[str, Check] = {
    "model": _string,
    "max_tokens": _number(0, 2**31 - 1, whole=True),
    "n": _number(1, 128, whole=True),
    "temperature": _number(0, 2),
    "top_p": _number(0, 1),
    "presence_penalty": _number(-2, 2),
    "frequency_penalty": _number(-2, 2),
    "seed": _number(-(2**63), 2**63 - 1, whole=True),
    "stop": _stop,
    "logit_bias": _logit_bias,
    "user": _string,
    "stream": _flag,
    "stream_options": _object,
}
_TEXT: Mapping[str, Check] = {
    **_COMMON,
    "prompt": _instance(str | list, "a string or an array"),
    "suffix": _string,
    "best_of": _number(1, 20, whole=True),
    "echo": _flag,
    "logprobs": _number(0, 5, whole=True),
}
_CHAT: Mapping[str, Check] = {
    **_COMMON,
    "max_tokens": _number(1, 2**31 - 1, whole=True),
    "messages": _instance(list, "an array"),
    "max_completion_tokens": _number(1, 2**31 - 1, whole=True),
    "logprobs": _flag,
    "top_logprobs": _number(0, MAX_TOP, whole=True),
    "metadata": _object,
    "safety_identifier": _string,
}


def text(body: bytes) -> Ask:
    """The text completion asked for in `body`.

    Raises:
        RequestError: what OpenAI would refuse, `param` naming the field.
    """
    given = _given(body, _TEXT, ("model", "prompt"))
    n = given.get("n", 1)
    best_of = given.get("best_of", n)
    if best_of < n:
        raise InvalidValue("You requested that the server return more choices than it will generate.", param="best_of")
    if given.get("stream") and best_of > n:
        raise InvalidValue("You cannot stream results with best_of greater than n.", param="best_of")
    if given.get("echo") and given.get("suffix"):
        raise InvalidValue("You cannot echo a prompt that has a suffix.", param="echo")
    prompts, ids = _prompts(given["prompt"])
    if len(prompts) * best_of > MAX_CHOICES:
        raise InvalidValue(f"At most {MAX_CHOICES} choices can be made at once.", param="prompt")
    suffix = given.get("suffix", "")
    return Ask(
        chat=False,
        prompts=prompts,
        prompt_ids=ids,
        prompt_tokens=sum(map(len, ids)) + tokens.count(suffix, ENCODING) * len(ids),
        context=suffix,
        max_tokens=given.get("max_tokens", 16),
        best_of=best_of,
        echo=given.get("echo", False),
        logprobs=given.get("logprobs"),
        **_shared(given),
    )


def chat(body: bytes) -> Ask:
    """The chat completion asked for in `body`; raises as `text` does."""
    given = _given(body, _CHAT, ("model", "messages"))
    if "top_logprobs" in given and not given.get("logprobs"):
        raise InvalidValue("'top_logprobs' is only allowed when 'logprobs' is true.", param="top_logprobs")
    if "max_tokens" in given and "max_completion_tokens" in given:
        raise InvalidValue("'max_tokens' and 'max_completion_tokens' say the same; send one.", param="max_tokens")
    messages = [_message(position, message) for position, message in enumerate(given["messages"])]
    if not messages:
        raise InvalidValue("Invalid 'messages': empty array.", param="messages")
    last = messages[-1][1]
    return Ask(
        chat=True,
        prompts=(last,),
        prompt_ids=((),),
        # OpenAI's cookbook, "Counting tokens for chat completions API calls": 3 per message and 3 for the answer.
        prompt_tokens=3 + sum(3 + tokens.count(r, ENCODING) + tokens.count(c, ENCODING) for r, c in messages),
        context=repr(messages[:-1]) if len(messages) > 1 else "",
        max_tokens=given.get("max_completion_tokens", given.get("max_tokens")),
        best_of=given.get("n", 1),
        logprobs=given.get("top_logprobs", 0) if given.get("logprobs") else None,
        **_shared(given),
    )


def _given(body: bytes, known: Mapping[str, Check], required: tuple[str, ...]) -> dict[str, Any]:
    """The parameters in `body` that are not null, each checked by itself."""
    try:
        value = json.loads(body)
    except json.JSONDecodeError:
        raise InvalidJson("We could not parse the JSON body of your request.") from None
    if not isinstance(value, dict):
        raise InvalidJson("The JSON body of your request must be an object.")
    given = {name: entry for name, entry in value.items() if entry is not None}
    for name, entry in given.items():
        if name not in known:
            raise UnsupportedParameter(f"Unrecognized request argument supplied: {name[:80]}", param=name[:80])
        known[name](name, entry)
    for name in required:
        if name not in given:
            raise MissingParameter(f"you must provide a {name} parameter", param=name)
    if "stream_options" in given and not given.get("stream"):
        raise InvalidValue("The 'stream_options' parameter is only allowed with 'stream'.", param="stream_options")
    return given


def _shared(given: Mapping[str, Any]) -> dict[str, Any]:
    stop = given.get("stop", ())
    return {
        "model": given["model"],
        "n": given.get("n", 1),
        "seed": given.get("seed"),
        "stop": (stop,) if isinstance(stop, str) else tuple(stop),
        "stream": given.get("stream", False),
        "include_usage": bool(given.get("stream_options", {}).get("include_usage")),
    }


def _prompts(given: Any) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
    """Every prompt as text and as ids: from a string, strings, ids, or lists of ids."""
    if isinstance(given, str) or all(_is_id(entry) for entry in given):
        given = [given]
    if any(prompt == [] for prompt in given):
        raise InvalidValue("Invalid 'prompt': empty array.", param="prompt")
    texts: list[str] = []
    ids: list[tuple[int, ...]] = []
    for prompt in given:
        if isinstance(prompt, str):
            texts.append(prompt)
            ids.append(tuple(tokens.encode(prompt, ENCODING)))
        elif isinstance(prompt, list) and all(_is_id(entry) for entry in prompt):
            texts.append(_decoded(prompt))
            ids.append(tuple(prompt))
        else:
            raise InvalidType("Invalid type for 'prompt': expected strings or arrays of token ids.", param="prompt")
    return tuple(texts), tuple(ids)


def _decoded(ids: list[int]) -> str:
    try:
        return tokens.decode(ids, ENCODING)
    except ValueError as error:
        raise InvalidValue(f"Invalid 'prompt': {error}.", param="prompt") from error


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _message(position: int, message: Any) -> tuple[str, str]:
    """A message's role and its text."""
    param = f"messages[{position}]"
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise InvalidType(f"Invalid type for '{param}': expected an object with a role.", param=param)
    content = message.get("content")
    if isinstance(content, list) and all(isinstance(p, dict) and isinstance(p.get("text"), str) for p in content):
        content = "".join(part["text"] for part in content)
    if not isinstance(content, str):
        raise InvalidType(f"Invalid type for '{param}.content': expected text.", param=f"{param}.content")
    return message["role"], content
