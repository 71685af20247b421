"""An upstream that answers at once, for `gateway bench`: `python -m gateway.cli.instant`.

It speaks as much of OpenAI's chat completions as a benchmark asks for, on a free loopback port, which it prints as one
line. It ends when its standard input does, and so never outlives whoever has started it.
"""

import asyncio
import os
import sys

from gateway.wire import json, sse

ANSWER = (
    "The minutes of the meeting say that the new depot opens in spring, once the roof is dry and the floor is sealed. "
    "Two people keep the register, and a third one checks it at the end of each week. What is missing is written down "
    "and asked for again, and nobody has to wait for more than a day or two."
)
"""What is answered: prose in which no policy finds anything."""

CHUNKS = 16
"""Pieces of an answer that is streamed."""


def _pieces(text: str) -> list[str]:
    size = -(-len(text) // CHUNKS)
    return [text[start : start + size] for start in range(0, len(text), size)]


def _response(head: str, body: bytes) -> bytes:
    return f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode() + body


def _whole() -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": ANSWER}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 200, "completion_tokens": 70, "total_tokens": 270}
    body = json.dumps({"id": "chatcmpl-1", "object": "chat.completion", "choices": [choice], "usage": usage})
    return _response(f"content-type: application/json\r\ncontent-length: {len(body)}", body)


def _event(delta: dict[str, str], finish: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return sse.encode(json.dumps({"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [choice]}))


def _streamed() -> bytes:
    events = [*(_event({"content": piece}, None) for piece in _pieces(ANSWER)), _event({}, "stop"), sse.DONE]
    body = b"".join(b"%x\r\n%s\r\n" % (len(event), event) for event in events) + b"0\r\n\r\n"
    return _response("content-type: text/event-stream\r\ntransfer-encoding: chunked", body)


WHOLE, STREAMED = _whole(), _streamed()


class Instant(asyncio.Protocol):
    """One connection: reads requests by their content-length and answers each the moment it is there."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a stream's transport is one
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            _, found, after = self.buffer[:end].lower().partition(b"content-length:")
            stop = end + 4 + (int(after.split(b"\r\n", 1)[0]) if found else 0)
            if len(self.buffer) < stop:
                return
            body, self.buffer = self.buffer[end + 4 : stop], self.buffer[stop:]
            self.transport.write(STREAMED if b'"stream":true' in body else WHOLE)


async def serve() -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def watch() -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            ended.set()

    loop.add_reader(sys.stdin.fileno(), watch)
    server = await loop.create_server(Instant, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await ended.wait()
    loop.remove_reader(sys.stdin.fileno())
    server.close()


if __name__ == "__main__":
    asyncio.run(serve())
