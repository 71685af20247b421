"""Bodies of a foreign app's completions and chat completions: what is read of them, and what is written in their place.

A foreign app decides itself what it takes, so nothing here refuses: a field of the wrong type is one nobody reads.
Source: OpenAI's API reference, "Completions" and "Chat Completions", and the objects of their streams.
"""

from collections.abc import Iterable, Mapping, Sequence
from time import time
from typing import Any, NamedTuple

from gateway.exchange import new_id
from gateway.types import CompletionRequest, TokenLogprob
from gateway.wire import json, sse
from gateway.wire.completions import MAX_CHOICES
from gateway.wire.known import PLAIN, WORDS
from gateway.wire.paths import Language
from gateway.wire.walk import Leaf, Step

_OBJECTS: Mapping[tuple[Language, bool], str] = {
    ("completions", False): "text_completion",
    ("completions", True): "text_completion",
    ("chat", False): "chat.completion",
    ("chat", True): "chat.completion.chunk",
}
"""The `object` of an answer, whole or a chunk of a stream."""

STREAM_HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)
"""The headers of a stream that no app has begun."""

_CONFIDENTIAL = ("system", "developer")


def request(value: Any, language: Language | None, path_model: str | None) -> CompletionRequest:
    """What policies and logs read of a request, whatever it is. Its texts are not in it."""
    given: Mapping[str, Any] = value if isinstance(value, dict) else {}
    prompt = given.get("prompt")
    many = isinstance(prompt, list) and not any(type(item) is int for item in prompt)
    prompts = len(prompt) if many and isinstance(prompt, list) and language == "completions" else 1
    limit = given.get("max_completion_tokens", given.get("max_tokens"))
    n = given.get("n")
    user, safety, metadata = (given.get(name) for name in ("user", "safety_identifier", "metadata"))
    return CompletionRequest(
        model=path_model or _string(given.get("model")) or "",
        prompts=("",) * min(max(prompts, 1), MAX_CHOICES),
        n=n if type(n) is int and 1 <= n <= 128 else 1,
        max_tokens=limit if type(limit) is int and 0 <= limit < 2**31 else 16,
        user=_string(user),
        stream=given.get("stream") is True,
        metadata=metadata if isinstance(metadata, dict) else None,
        safety_identifier=_string(safety),
    )


def _string(value: Any) -> str | None:
    return value if type(value) is str else None


def confidential(value: Any) -> tuple[str, ...]:
    """The system messages of a chat request, which no answer may repeat."""
    messages = value.get("messages") if isinstance(value, dict) else None
    found: list[str] = []
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict) and message.get("role") in _CONFIDENTIAL:
            content = message.get("content")
            parts = content if isinstance(content, list) else [{"text": content}]
            found += (part["text"] for part in parts if isinstance(part, dict) and type(part.get("text")) is str)
    return tuple(found)


def index_of(choice: Mapping[str, Any], position: int) -> int:
    """The number of a choice: what it says, else where it stands."""
    index = choice.get("index")
    return index if type(index) is int else position


def built(trail: Sequence[Step], text: str) -> Any:
    """The smallest value in which `text` stands at the end of `trail`."""
    value: Any = text
    for step in reversed(trail):
        if isinstance(step, str):
            value = {step: value}
        else:
            value = [{**dict(step), **value} if isinstance(value, dict) else value]
    return value


_PIECE = frozenset({"index", "delta", "text", "finish_reason", "logprobs"})


def usual(choice: Mapping[str, Any], index: int) -> Leaf | None:
    """The one text of a choice in an event as most are: a piece of the content and nothing else. None for any other."""
    if choice.get("finish_reason") is not None or choice.get("logprobs") is not None or not choice.keys() <= _PIECE:
        return None
    delta, text = choice.get("delta"), choice.get("text")
    if type(text) is str and delta is None:
        return Leaf(f"choices[{index}].text", "choices.text", text, "text", choice, "text", ("text",))
    if type(delta) is dict and text is None and len(delta) == 1 and type(content := delta.get("content")) is str:
        path = f"choices[{index}].message.content"
        return Leaf(path, "choices.message.content", content, "text", delta, "content", ("delta", "content"))
    return None


def envelope(value: Mapping[str, Any]) -> dict[str, Any]:
    """What is around the choices of an answer and is no text: its id, model, kind and time."""
    return {
        name: inner
        for name, inner in value.items()
        if type(inner) in (str, int) and (name in PLAIN or inner in WORDS.get(name, ()))
    }


def piece(head: Mapping[str, Any], index: int, inner: Mapping[str, Any], finish: str | None = None) -> dict[str, Any]:
    """A chunk of a stream with one choice."""
    return {**head, "choices": [{"index": index, **inner, "logprobs": None, "finish_reason": finish}]}


def ending(head: Mapping[str, Any], indices: Iterable[int], language: Language) -> dict[str, Any]:
    """The chunk that ends these choices because a policy says so."""
    inner: dict[str, Any] = {"delta": {}} if language == "chat" else {"text": ""}
    choices = [{"index": i, **inner, "logprobs": None, "finish_reason": "content_filter"} for i in indices]
    return {**head, "choices": choices}


def opening(language: Language, model: str, *, stream: bool) -> dict[str, Any]:
    """The envelope of an answer that no app has given."""
    prefix = "chatcmpl-" if language == "chat" else "cmpl-"
    kind = _OBJECTS[language, stream]
    return {"id": new_id(prefix), "object": kind, "created": int(time()), "model": model}


def withheld(head: Mapping[str, Any], language: Language, message: str, choices: int) -> dict[str, Any]:
    """A whole answer every choice of which is `message`."""
    said = [_said(language, message, stream=False) for _ in range(choices)]
    done = [
        {"index": index, **inner, "logprobs": None, "finish_reason": "content_filter"}
        for index, inner in enumerate(said)
    ]
    return {**head, "choices": done, "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}}


def withheld_stream(head: Mapping[str, Any], language: Language, message: str, choices: int) -> bytes:
    """The same as a stream."""
    said = _said(language, message, stream=True)
    chunks = [sse.encode(json.dumps(piece(head, index, said, "content_filter"))) for index in range(choices)]
    return b"".join((*chunks, sse.DONE))


def _said(language: Language, message: str, *, stream: bool) -> dict[str, Any]:
    if language == "completions":
        return {"text": message}
    if stream:
        return {"delta": {"role": "assistant", "content": message}}
    return {"message": {"role": "assistant", "content": message, "refusal": None}}


class Entry(NamedTuple):
    """One token of a choice, and the values it was read from."""

    token: TokenLogprob
    given: Any


_TOKEN = frozenset({"token", "logprob", "bytes", "top_logprobs"})
_COLUMNS = ("tokens", "token_logprobs", "top_logprobs", "text_offset")


def entries(logprobs: Any) -> dict[str, list[Entry]] | None:
    """The tokens of a `logprobs` object by the text they belong to (`content`, `refusal` or `text`).

    None for an object that is not one of the two OpenAI defines: who cannot read it cannot judge it.
    """
    if not isinstance(logprobs, dict):
        return None
    try:
        if "tokens" in logprobs:
            return {"text": _columns(logprobs)} if logprobs.keys() <= set(_COLUMNS) else None
        if not logprobs.keys() <= {"content", "refusal"}:
            return None
        return {name: [_entry(item) for item in given or ()] for name, given in logprobs.items()}
    except (TypeError, ValueError, KeyError, AttributeError):
        return None


def _entry(item: Any) -> Entry:
    if not item.keys() <= _TOKEN:
        raise ValueError
    top = item.get("top_logprobs") or ()
    if not all(other.keys() <= _TOKEN for other in top):
        raise ValueError
    alternatives = tuple((_token(other)[0], float(other["logprob"])) for other in top)
    text, raw = _token(item)
    return Entry(TokenLogprob(text, float(item["logprob"]), raw, alternatives), item)


def _token(item: Any) -> tuple[str, bytes | None]:
    """A token and its bytes, where those are but a part of a character; bytes that say something else are a fault."""
    text = item["token"]
    if type(text) is not str:
        raise TypeError
    raw = bytes(item["bytes"]) if item.get("bytes") is not None else None
    if raw is None or raw == text.encode():
        return text, None
    try:
        raw.decode()
    except UnicodeDecodeError:
        return text, raw
    raise ValueError


def _columns(logprobs: Mapping[str, Any]) -> list[Entry]:
    """The rows of the legacy object, whose four lists run side by side; lists may be left out."""
    columns = [logprobs.get(name) or [None] * len(logprobs["tokens"]) for name in _COLUMNS]
    rows: list[Entry] = []
    for row in zip(*columns, strict=True):
        token, logprob, top, offset = row
        if type(token) is not str or (offset is not None and type(offset) is not int):
            raise TypeError
        likely = tuple((str(name), float(value)) for name, value in (top or {}).items())
        number = float(logprob) if logprob is not None else None
        rows.append(Entry(TokenLogprob(token, number, None, likely), row))
    return rows


def joined(name: str, given: Sequence[Any]) -> dict[str, Any]:
    """The part of a `logprobs` object that these values were read from: `name` is as `entries` has it."""
    if name != "text":
        return {name: list(given)}
    return {column: [row[number] for row in given] for number, column in enumerate(_COLUMNS)}
