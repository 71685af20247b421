"""A foreign app's answer, read as it passes: what it used, why it ended, who made it. Sans-IO; nothing is changed or
held back, and what is remembered of it is bounded."""

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from time import perf_counter
from typing import Any

from gateway.ledger import tokens
from gateway.middleware.foreign import body as foreign_body
from gateway.middleware.foreign.body import Inflater, content_type
from gateway.middleware.foreign.call import shown
from gateway.middleware.foreign.usage import usage
from gateway.types import EndReason, Opening, Usage
from gateway.wire import chat, json, sse
from gateway.wire.blocks import Splitter
from gateway.wire.completions import MAX_CHOICES

MAX_BYTES = 8 * 1024 * 1024
"""A whole answer, or one event of a stream, that is larger is not read: its tokens are estimated without its text."""

_COUNTED_AT_ONCE = 65_536
"""Characters of an answer's text that are kept until it is known whether anybody needs to count them."""

_REASONS: Mapping[str, EndReason] = {
    "stop": "stop",
    "length": "length",
    "content_filter": "content_filter",
    "tool_calls": "tool_calls",
    "function_call": "function_call",
}
"""Why a choice may end. Any other word is the app's own, may be anything, and is told as `stop`."""

Note = Callable[[int, str], None]


class Reading:
    """One answer.

    Args:
        note: is told the text of each choice as it comes.

    `usage`, `opening` and `reasons` are what has been read so far. `first` is when the first text of a stream came, in
    seconds of `perf_counter`. `failed` says that the answer tells of an error, `unreadable` that it is no JSON, `blind`
    that it cannot be read here (too large, compressed in an unknown way), and `done` that a stream has told its end.
    """

    def __init__(self, note: Note) -> None:
        self._note = note
        self._whole: list[bytes] = []
        self._size = 0
        self._splitter = Splitter(MAX_BYTES)
        self._inflater = Inflater()
        self._written: list[str] = []
        self._length = 0
        self._counted = 0
        self._encoding: str | None = None
        self.streams = False
        self.usage: Usage | None = None
        self.opening: Opening | None = None
        self.reasons: dict[int, EndReason] = {}
        self.first: float | None = None
        self.failed = False
        self.unreadable = False
        self.blind = False
        self.done = False

    def start(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """The answer begins."""
        pairs = list(headers)
        self.streams = content_type(pairs) == "text/event-stream"
        encodings = [
            value.decode("latin-1").strip().lower() for key, value in pairs if key.lower() == b"content-encoding"
        ]
        encoding = ", ".join(each for each in encodings if each not in ("", "identity"))
        if encoding in foreign_body.ENCODINGS:
            self._inflater = Inflater(MAX_BYTES)
        elif encoding:
            self.blind = True

    def feed(self, body: bytes, *, final: bool, encoding: Callable[[], str | None]) -> None:
        """A piece of the body; `encoding` gives the vocabulary that its text may have to be counted with."""
        if self.blind:
            return
        try:
            if self.streams:
                self._stream(self._inflater.plain(body, final=final), final=final)
            else:
                self._gather(body, final=final)
        except (sse.EventTooLarge, zlib.error):
            self._lose()
        if self._length >= _COUNTED_AT_ONCE:
            self._count(encoding())

    def output_tokens(self, encoding: str | None) -> int:
        """About how many tokens the answer's texts are, so far as they were read."""
        self._count(encoding)
        return self._counted

    def _count(self, encoding: str | None) -> None:
        self._counted += tokens.estimate("".join(self._written), encoding)
        self._written, self._length = [], 0

    def _lose(self) -> None:
        self.blind = True
        self._whole = []

    def _gather(self, body: bytes, *, final: bool) -> None:
        self._size += len(body)
        self._whole.append(body)
        if self._size > MAX_BYTES:
            self._lose()
            return
        if not final:
            return
        raw = b"".join(self._whole)
        self._whole = []
        try:
            value = json.loads(self._inflater.plain(raw, final=True))
        except json.JSONDecodeError:
            value = None
        if isinstance(value, dict):
            self._take(value)
        else:
            self.unreadable = True

    def _stream(self, plain: bytes, *, final: bool) -> None:
        blocks = self._splitter.feed(plain)
        for block in [*blocks, *self._splitter.close()] if final else blocks:
            if block.data is None:
                continue
            if block.data.strip() == b"[DONE]":
                self.done = True
                continue
            try:
                value = json.loads(block.data)
            except json.JSONDecodeError:
                continue
            if isinstance(value, dict):
                self._take(value)

    def _take(self, value: Mapping[str, Any]) -> None:
        choices = value.get("choices")
        if value.get("error") and not choices:
            self.failed = True
        if self.opening is None and (opening := _opening(value)):
            self.opening = opening
        if (found := usage(value.get("usage"))) is not None:
            self.usage = found  # of a stream that tells it again and again, the last counts
        for position, choice in enumerate(choices if isinstance(choices, list) else ()):
            if isinstance(choice, dict):
                self._choice(choice, chat.index_of(choice, position))

    def _choice(self, choice: Mapping[str, Any], index: int) -> None:
        reason = choice.get("finish_reason")
        if type(reason) is str and len(self.reasons) < MAX_CHOICES:
            self.reasons[index] = _REASONS.get(reason, "stop")
        inner = choice.get("delta") or choice.get("message")
        said = (
            choice.get("text") if not isinstance(inner, dict) else shown(inner.get("content")) or inner.get("refusal")
        )
        text = said if type(said) is str else ""
        if text:
            self._note(index, text)
        for piece in (text, *_unseen(inner)):
            if piece:
                self._written.append(piece)
                self._length += len(piece)
                if self.first is None and self.streams:
                    self.first = perf_counter()


def _opening(value: Mapping[str, Any]) -> Opening | None:
    id_, model, build = (
        text if type(text := value.get(key)) is str and text else None for key in ("id", "model", "system_fingerprint")
    )
    return Opening(id_, model, build) if id_ or model else None


def _unseen(inner: Any) -> Iterator[str]:
    """Texts of a message that were written and are not its content: what was thought, and calls of tools."""
    if not isinstance(inner, dict):
        return
    thought = inner.get("reasoning_content") or inner.get("reasoning")
    if type(thought) is str:
        yield thought
    calls: Any = inner.get("tool_calls")
    functions: Sequence[Any] = (
        [each.get("function") for each in calls if isinstance(each, dict)] if isinstance(calls, list) else []
    )
    for function in (*functions, inner.get("function_call")):
        if isinstance(function, dict):
            yield from (text for key in ("name", "arguments") if type(text := function.get(key)) is str)
