"""What the fault-injecting upstream says: OpenAI's two completion languages, whole and streamed, and its refusals.

A token is a word, and each word is one token of cl100k and o200k with the blank before it, so that what the gateway
counts for itself is what this upstream counts. Shapes: https://platform.openai.com/docs/api-reference/completions and
…/chat; a refusal's body is OpenAI's `{"error": {…}}`, a proxy's is a page of HTML.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from email.utils import formatdate
from http import HTTPStatus
from time import time
from typing import Any

from gateway.wire import json, sse

WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
"""What every answer consists of, again and again."""

JSON = ("content-type", "application/json")
SSE = ("content-type", "text/event-stream; charset=utf-8")
HTML = ("content-type", "text/html; charset=utf-8")

_CHAT_TOKENS, _MESSAGE_TOKENS = 3, 4
"""OpenAI's models see three tokens where the answer of a chat begins, and four around each message."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of a body that leave together, and how many of the answer's tokens are in them."""

    data: bytes
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer before anything happens to it. `prompt_tokens` is 0 where no model has worked for it."""

    status: int
    headers: tuple[tuple[str, str], ...]
    pieces: tuple[Piece, ...]
    stream: bool = False
    prompt_tokens: int = 0

    @property
    def tokens(self) -> int:
        """Tokens of the whole answer."""
        return sum(piece.tokens for piece in self.pieces)

    @property
    def body(self) -> bytes:
        return b"".join(piece.data for piece in self.pieces)

    def head(self) -> bytes:
        """Status line and headers in HTTP/1.1."""
        length = ("transfer-encoding", "chunked") if self.stream else ("content-length", str(len(self.body)))
        lines = [f"HTTP/1.1 {self.status} {_reason(self.status)}", *(f"{k}: {v}" for k, v in (*self.headers, length))]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"

    def said(self, body: bytes, *headers: tuple[str, str]) -> "Reply":
        """The same work of the model, told in another body."""
        tokens = self.tokens
        return replace(self, pieces=(Piece(body, tokens),), headers=headers or self.headers)


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Overloaded"  # 529, which no RFC knows


def error(
    status: int,
    message: str,
    kind: str = "server_error",
    code: str | None = None,
    param: str | None = None,
    **headers: str,
) -> Reply:
    """A refusal in OpenAI's form; `retry_after="2"` becomes the header `retry-after`."""
    body = json.dumps({"error": {"message": message, "type": kind, "param": param, "code": code}})
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Reply(status, (JSON, *named), (Piece(body),))


def page(status: int, title: str) -> Reply:
    """A page of HTML, as proxies in front of a provider answer."""
    shown = f"<head><title>{title}</title></head>\r\n<body><center><h1>{title}</h1></center></body>"
    html = f"<html>\r\n{shown}\r\n</html>\r\n"
    return Reply(status, (HTML,), (Piece(html.encode()),))


def later(seconds: float) -> str:
    """An HTTP date so far in the future, for `retry-after`; the form counts whole seconds."""
    return formatdate(time() + seconds, usegmt=True)


def event(value: Mapping[str, Any], tokens: int = 0) -> Piece:
    """One server-sent event."""
    return Piece(sse.encode(json.dumps(value)), tokens)


def honest(path: str, asked: Mapping[str, Any], name: str, words: int) -> Reply:
    """The answer to a request at `path`.

    Args:
        path: `…/chat/completions` is a chat, anything else a text completion.
        asked: the request's body. Read are prompt or messages, the limit of tokens, n, stream and stream_options.
        name: its `id`.
        words: how long the model would answer, unless the limit is lower.
    """
    chat = path.endswith("/chat/completions")
    limit = asked.get("max_completion_tokens") or asked.get("max_tokens") or 16
    said = [" " + WORDS[at % len(WORDS)] for at in range(min(words, limit))]
    finish = "length" if limit < words else "stop"
    make = _streamed if asked.get("stream") else _whole
    return make(asked, name, chat, said, finish)


def prompt_tokens(asked: Mapping[str, Any]) -> int:
    """Words of the prompt or of the messages, with what surrounds these."""
    prompt = asked.get("prompt")
    if prompt is not None:
        return len(prompt.split()) if isinstance(prompt, str) else len(prompt)
    messages = asked.get("messages", ())
    return _CHAT_TOKENS + sum(_MESSAGE_TOKENS + len(message["content"].split()) for message in messages)


def _usage(asked: Mapping[str, Any], written: int) -> dict[str, int]:
    prompt = prompt_tokens(asked)
    return {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written}


def _whole(asked: Mapping[str, Any], name: str, chat: bool, said: list[str], finish: str) -> Reply:
    text, count = "".join(said), asked.get("n") or 1
    inner: dict[str, Any] = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
    choices = [{"index": index, **inner, "logprobs": None, "finish_reason": finish} for index in range(count)]
    kind = "chat.completion" if chat else "text_completion"
    usage = _usage(asked, len(said) * count)
    body = {"id": name, "object": kind, "created": 1, "model": asked["model"], "choices": choices, "usage": usage}
    piece = Piece(json.dumps(body), len(said) * count)
    return Reply(200, (JSON,), (piece,), prompt_tokens=usage["prompt_tokens"])


def _streamed(asked: Mapping[str, Any], name: str, chat: bool, said: list[str], finish: str) -> Reply:
    count = asked.get("n") or 1
    kind = "chat.completion.chunk" if chat else "text_completion"
    base = {"id": name, "object": kind, "created": 1, "model": asked["model"]}

    def part(index: int, tokens: int = 0, reason: str | None = None, **inner: Any) -> Piece:
        shown = {"delta": inner} if chat else {"text": inner.get("content", "")}
        choice = {"index": index, **shown, "logprobs": None, "finish_reason": reason}
        return event({**base, "choices": [choice]}, tokens)

    pieces = [part(index, role="assistant", content="") for index in range(count)] if chat else []
    pieces += [part(index, 1, content=word) for word in said for index in range(count)]
    pieces += [part(index, reason=finish) for index in range(count)]
    if (asked.get("stream_options") or {}).get("include_usage"):
        pieces.append(event({**base, "choices": [], "usage": _usage(asked, len(said) * count)}))
    pieces.append(Piece(sse.DONE))
    return Reply(200, (SSE,), tuple(pieces), stream=True, prompt_tokens=prompt_tokens(asked))
