"""The answer of a foreign app on its way out: whole bodies are held until judged, events leave as they come."""

import zlib
from collections.abc import Sequence
from typing import Any

from starlette.types import Message, Send

from gateway.errors import GatewayError, GuardrailUnavailable, InvalidValue
from gateway.guards.fields import Fields
from gateway.guards.verdict import Verdict
from gateway.middleware.foreign import body as foreign_body
from gateway.middleware.foreign import scope as foreign_scope
from gateway.middleware.foreign.body import Inflater, content_type
from gateway.middleware.foreign.capture import Keeper
from gateway.middleware.foreign.rendering import Rendering, failure
from gateway.middleware.foreign.scope import Stopped
from gateway.middleware.foreign.texts import Texts
from gateway.wire import json, sse, walk
from gateway.wire.blocks import Block, Splitter

MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""A whole answer that is larger cannot be judged."""

_BODILESS = frozenset({204, 205, 304})
_STALE = frozenset({b"content-length", b"content-encoding", b"etag", b"content-md5", b"digest", b"content-digest"})
_OURS = frozenset({b"x-request-id", b"x-gateway-version"})
"""Headers that this gateway writes, also where the app is a gateway itself."""

_LINES = ("ndjson", "jsonl", "json-seq")


class Answering:
    """One answer. `send` is what the app sends through; `stopped` says that nothing it sends matters any more.

    Args:
        fields: the output policies at work.
        rendering: what is answered instead.
        onward: the server's `send`.
        keeper: is told what may leave.
        allow: let pass what no policy can read.
        head: the request is a HEAD, whose answer has no body.
    """

    def __init__(
        self, fields: Fields, rendering: Rendering, onward: Send, keeper: Keeper, *, allow: bool, head: bool
    ) -> None:
        self._fields = fields
        self._rendering = rendering
        self._onward = onward
        self._allow = allow
        self._bodiless = head
        self._keeper = keeper
        self._texts = Texts(fields, rendering.language, keeper)
        self._start: Message = {}
        self._mode = "pass"
        self._whole: list[bytes] = []
        self._size = 0
        self._splitter = Splitter()
        self._inflater = Inflater()
        self.stopped = False

    async def send(self, message: Message) -> None:
        """The app's `send`.

        Raises:
            Stopped: the answer is over, whatever the app still has to say.
        """
        if self.stopped:
            raise Stopped("a policy has ended this answer")
        kind = message["type"]
        if kind == "http.response.start":
            await self._begin(message)
        elif kind != "http.response.body" or self._mode == "pass":
            await self._onward(message)
        elif self._mode == "stream":
            await self._stream(message.get("body", b""), more=message.get("more_body", False))
        else:
            await self._gather(message.get("body", b""), more=message.get("more_body", False))

    def over(self) -> None:
        """Nothing more comes of the app, whether or not its answer is complete."""
        self._fields.coming = False

    async def _begin(self, message: Message) -> None:
        message = {**message, "headers": _without(message, _OURS)}
        self._start = message
        self._mode = self._mode_of(message)
        encoding = _header(message, b"content-encoding").lower()
        if self._mode != "pass" and encoding not in ("", "identity"):
            if encoding in foreign_body.ENCODINGS:
                self._inflater = Inflater(MAX_ANSWER_BYTES)
            elif self._fields.enforcing:
                await self._fail("is compressed in a way that policies cannot read")
                return
            else:
                self._fields.unread()
                self._mode = "pass"
        if self._mode == "pass":
            await self._onward(message)
        elif self._mode == "stream":
            self._fields.coming = True
            await self._onward({**message, "headers": _without(message, _STALE)})

    def _mode_of(self, message: Message) -> str:
        """`pass`, `stream`, or `whole` for what is held until it is complete."""
        if self._fields.idle or self._bodiless or message["status"] in _BODILESS:
            return "pass"
        kind = content_type(message.get("headers", ()))
        if kind == "text/event-stream":
            return "stream"
        readable = not kind or "json" in kind or kind.startswith(foreign_body.PLAIN_TYPES)
        return "whole" if self._rendering.language is not None or readable else "pass"

    async def _gather(self, body: bytes, *, more: bool) -> None:
        """Take a piece of a whole answer, and judge it when it is complete."""
        self._size += len(body)
        self._whole.append(body)
        if self._size > MAX_ANSWER_BYTES:
            await self._fail("is too large for policies to read")
            raise Stopped("the answer is too large to be judged")
        if more:
            return
        raw = b"".join(self._whole)
        self._whole.clear()
        try:
            status, judged = await self._judged(raw, content_type(self._start.get("headers", ())))
        except GatewayError as error:
            await self._refuse(error)
            return
        await self._fields.observe()
        own = self._start.get("headers", ())
        if judged is not None:
            own = [*_without(self._start, _STALE), (b"content-length", b"%d" % len(judged))]
        await self._onward({**self._start, "status": status, "headers": own})
        await self._onward({"type": "http.response.body", "body": raw if judged is None else judged})

    async def _judged(self, raw: bytes, kind: str) -> tuple[int, bytes | None]:
        """Status and body as they may leave; None for the body as it is.

        Raises:
            GatewayError: what is answered instead.
        """
        status: int = self._start["status"]
        if not raw:
            return status, None
        try:
            plain = self._inflater.plain(raw, final=True)
            text = plain.decode()
        except (zlib.error, UnicodeDecodeError):
            self._unread("is no text that policies can read")
            return status, None
        pieces = text.split("\n") if any(name in kind for name in _LINES) else [text]
        out = "\n".join([await self._text(piece) for piece in pieces])
        if self._texts.unreadable is not None:
            self._unread(f"holds {self._texts.unreadable}, which policies cannot read")
        if (blocked := self._blocked()) is not None:
            return self._rendering.whole(blocked, self._texts.head, status, len(self._texts.seen), self._keeper)
        return status, out.encode() if out != text else None

    async def _text(self, text: str) -> str:
        """A JSON text, or any other, as it may leave."""
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = None
        try:
            if not isinstance(value, dict | list | str):
                (judged,), changed = await self._texts.whole([text])
                return str(judged) if changed else text
            repeated = walk.repeats(text.encode(), value)
            judged, changed = await self._texts.whole(value)
        except InvalidValue:
            self._unread("is nested too deep for policies to read")
            return text
        return json.dumps(judged).decode() if changed or repeated else text

    async def _stream(self, body: bytes, *, more: bool) -> None:
        """Take bytes of a stream; what may leave of them leaves at once."""
        out: list[bytes] = []
        try:
            if self._fields.waits:
                out += self._made(await self._texts.late())
            for block in self._splitter.feed(self._inflater.plain(body, final=not more)):
                out.append(await self._block(block))
                if self.stopped:
                    break
            if not more and not self.stopped:
                out += [await self._block(block) for block in self._splitter.close() if not self.stopped]
                if not self.stopped:
                    self._texts.kept = []
                    out += self._made(await self._texts.flush())
                    self._stop_if_blocked(out)
        except (sse.EventTooLarge, zlib.error, InvalidValue):
            out.append(failure(self._error("cannot be read by policies from here on")))
            self.stopped = True
        over = self.stopped or not more
        if over:
            await self._fields.observe()
            self._fields.coming = False
        if out or over:
            await self._onward({"type": "http.response.body", "body": b"".join(out), "more_body": not over})
        if self.stopped:
            raise Stopped("a policy has ended this answer")

    async def _block(self, block: Block) -> bytes:
        """One event as it may leave."""
        if block.data is None:
            return block.raw
        out: list[bytes] = []
        self._texts.kept = []
        if block.data.strip() == b"[DONE]":
            out += self._made(await self._texts.flush())
            if not self._stop_if_blocked(out):
                out.append(block.raw)
            return b"".join(out)
        try:
            value = json.loads(block.data)
        except json.JSONDecodeError:
            value = None
        if isinstance(value, dict):
            repeated = walk.repeats(block.data, value)
            before, changed = await self._texts.event(value, block.event)
            out += self._made(before)
            new = json.dumps(value) if changed or repeated else None
        else:
            (judged,), changed = await self._texts.whole([block.data.decode("utf-8", "replace")])
            new = str(judged).encode() if changed else None
        if self._texts.unreadable is not None and not self._allow and self._fields.enforcing:
            out.append(failure(self._error(f"holds {self._texts.unreadable}, which policies cannot read")))
            self.stopped = True
            return b"".join(out)
        if self._texts.unreadable is not None:
            self._fields.unread()
        if not self._stop_if_blocked(out):
            out.append(block.raw if new is None else block.with_data(new))
        return b"".join(out)

    def _made(self, events: Sequence[dict[str, Any]]) -> list[bytes]:
        """Events that bring what was held, as the app would have written them."""
        return [_event(event, self._texts.name) for event in events]

    def _blocked(self) -> Verdict | None:
        blocker = self._texts.blocker
        return blocker.verdict("output") if blocker is not None else None

    def _stop_if_blocked(self, out: list[bytes]) -> bool:
        """End the stream where a policy has blocked it, with what may leave of the event that did."""
        blocked = self._blocked()
        if blocked is None or self.stopped:
            return self.stopped
        texts = self._texts
        over = texts.over.copy()
        for index, choice in texts.kept:
            if index not in over:
                choice |= {"logprobs": None, "finish_reason": "content_filter"}
                texts.over.add(index)
                self._rendering.ended((index,))
        if texts.kept:
            out.append(_event({**texts.head, "choices": [choice for _, choice in texts.kept]}))
        out.append(self._rendering.end(blocked, texts.head, texts.expect(self._rendering.choices)))
        self.stopped = True
        return True

    def _error(self, what: str) -> GatewayError:
        error = GuardrailUnavailable(f"The answer {what}; a policy lets nothing pass unjudged.")
        self._rendering.exchange.error = error
        return error

    def _unread(self, what: str) -> None:
        """Let something pass that no policy can read, and say so in the verdicts.

        Raises:
            GatewayError: a policy is enforced, and nothing of the kind is allowed.
        """
        if self._fields.enforcing and not self._allow:
            raise self._error(what)
        self._fields.unread()

    async def _fail(self, what: str) -> None:
        """Answer with an error at once."""
        self.stopped = True
        await self._refuse(self._error(what))

    async def _refuse(self, error: GatewayError) -> None:
        self._mode = "over"
        await foreign_scope.answer(error, self._rendering.exchange, self._onward)


def _event(value: object, event: str = "") -> bytes:
    return sse.encode(json.dumps(value), event)


def _header(message: Message, wanted: bytes) -> str:
    return ", ".join(value.decode("latin-1") for name, value in message.get("headers", ()) if name.lower() == wanted)


def _without(message: Message, names: frozenset[bytes]) -> Sequence[tuple[bytes, bytes]]:
    return [(name, value) for name, value in message.get("headers", ()) if name.lower() not in names]
