"""What was asked and answered, as telemetry may keep it: the guarded text, and only where the operator wants it.

Prompts are those that providers were sent, rewritten by the policies of the input. Answers are taken after the policies
of the output and before placeholders are turned back, for what they stand for is the caller's own data. Where a policy
refused the prompt nothing is kept of either.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.errors import PolicyBlocked
from gateway.exchange import CallRecord, Exchange
from gateway.types import Call
from gateway.wire import json

_SAID: Mapping[str, str] = {"tool_calls": "tool_call", "function_call": "tool_call"}
"""Reasons that a message has another word for than an answer (the conventions' schema of output messages)."""


class Content:
    """What the choices of one request say (`gateway.exchange.Capture`), the first `most` characters of each."""

    __slots__ = ("_most", "_pieces", "_room")

    def __init__(self, most: int) -> None:
        self._most = most
        self._pieces: dict[int, list[str]] = {}
        self._room: dict[int, int] = {}

    def __repr__(self) -> str:
        return f"<Content of {len(self._pieces)} choices>"

    def note(self, index: int, text: str) -> None:
        """See `Capture`. One character more than fits is kept, so that it is seen that something is missing."""
        room = self._room.setdefault(index, self._most + 1)
        if text and room > 0:
            self._pieces.setdefault(index, []).append(text[:room])
            self._room[index] = room - len(text)

    def instead(self, index: int, text: str) -> None:
        """See `Capture`."""
        self._pieces.pop(index, None)
        self._room.pop(index, None)
        self.note(index, text)

    def texts(self) -> Mapping[int, str]:
        """See `Capture`."""
        return {index: "".join(pieces) for index, pieces in self._pieces.items()}


def kept(exchange: Exchange) -> Mapping[int, str] | None:
    """What may be told of each choice of a finished request; None where not even its prompts may be told.

    That is so where nobody keeps content, and where a policy refused the prompt, at once or while the provider was
    being called already. Of an answer that was refused with an error nothing is told.
    """
    if exchange.capture is None:
        return None
    if any(one.stage == "input" and one.enforced and one.decision == "block" for one in exchange.judgements()):
        return None
    return {} if isinstance(exchange.error, PolicyBlocked) else exchange.capture.texts()


def asked(call: Call, most: int) -> str | None:
    """`gen_ai.input.messages` of a call; None where it was asked in token ids."""
    if isinstance(call.prompt, str):
        texts = [call.prompt] if call.suffix is None else [call.prompt, call.suffix]
    else:
        texts = []
    if len(call.messages) > 1 or (call.messages and not texts):  # a system message too, or a prompt that was decoded
        said = [(message.role, [message.content]) for message in call.messages]
    elif texts:
        said = [("user", texts)]
    else:
        return None
    left = most
    messages: list[dict[str, Any]] = []
    for role, contents in said:
        parts, left = _parts(contents, left)
        messages.append({"role": role, "parts": parts})
    return json.dumps(messages).decode()


def answered(exchange: Exchange, record: CallRecord, texts: Mapping[int, str], most: int) -> str | None:
    """`gen_ai.output.messages` of a call: its choices, so far as anything of them could leave; None for nothing."""
    left = most
    messages: list[dict[str, Any]] = []
    for index in _choices(exchange, record):
        if index in texts:
            parts, left = _parts([texts[index]], left)
            reason = exchange.finish_reasons.get(index) or "error"
            messages.append({"role": "assistant", "parts": parts, "finish_reason": _SAID.get(reason, reason)})
    return json.dumps(messages).decode() if messages else None


def whole(exchange: Exchange, most: int) -> tuple[str | None, str | None]:
    """Prompts and answers of a whole request, for its usage record."""
    texts = kept(exchange)
    if texts is None:
        return None, None
    first: dict[int, CallRecord] = {}
    for record in exchange.calls:
        first.setdefault(record.first, record)
    inputs = [found for record in first.values() if (found := asked(record.call, most))]
    outputs = [found for record in first.values() if (found := answered(exchange, record, texts, most))]
    return _joined(inputs, most), _joined(outputs, most)


def _choices(exchange: Exchange, record: CallRecord) -> Sequence[int]:
    """The client's choices that a call answers; of several for the candidates of one prompt, the first has all."""
    request = exchange.request
    if request is None or request.best_of is None or request.best_of == record.call.best_of:
        return range(record.first, record.first + record.call.n)
    prompt, candidate = divmod(record.first, request.best_of)
    return range(prompt * request.n, (prompt + 1) * request.n) if candidate == 0 else ()


def _parts(texts: Sequence[str], left: int) -> tuple[list[dict[str, Any]], int]:
    """Texts as parts of a message, at most `left` characters of them, and how many are left then."""
    parts: list[dict[str, Any]] = []
    for text in texts:
        part: dict[str, Any] = {"type": "text", "content": _writable(text[:left])}
        if len(text) > left:
            part["truncated"] = True
        parts.append(part)
        left = max(left - len(text), 0)
    return parts, left


def _writable(text: str) -> str:
    """`text` without lone surrogates, which JSON escapes may bring in and UTF-8 cannot hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _joined(lists: Sequence[str], most: int) -> str | None:
    """JSON lists as one, those left out that no longer fit: each has room for `most` characters, all of them for two
    times as many."""
    kept: list[str] = []
    size = 0
    for one in lists:
        size += len(one)
        if kept and size > 2 * most:
            break
        kept.append(one[1:-1])
    return f"[{','.join(kept)}]" if kept else None
