"""Many clients against one budget: a provider that counts what it bills, and the crowd that spends it."""

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from gateway.ledger import tokens
from gateway.wire import asgi, json

INPUT, OUTPUT = 20_000_000, 40_000_000
"""Prices in picodollars per token: 20 and 40 USD per million, so that some hundred requests spend a dollar."""

PRICES = {"input_cost_per_token": INPUT / 1e12, "output_cost_per_token": OUTPUT / 1e12}
MOST_TOKENS = 400
"""The largest `max_tokens` of the crowd."""

Ask = Callable[[dict[str, Any], bool], Awaitable[int]]
"""Sends a completion and reads its answer, or leaves after its first piece (True): the status."""


class Provider:
    """Speaks OpenAI's text completions. What it bills is counted when it is written: the prompt, and each token.

    The prompt's first word says what it does: `whole`, `stream` and `leave` answer, `fail` refuses with 500.
    """

    def __init__(self, seed: int = 7) -> None:
        self.billed = 0
        self.tokens = 0
        self.calls = 0
        self._random = random.Random(seed)  # noqa: S311
        self._lock = threading.Lock()

    def bill(self, read: int, written: int) -> None:
        """Count, in picodollars and tokens."""
        with self._lock:
            self.billed += read * INPUT + written * OUTPUT
            self.tokens += read + written

    async def __call__(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        if scope["type"] != "http":
            return
        asked = json.loads(await _body(receive))
        kind, read = asked["prompt"].split(" ")[0], tokens.count(asked["prompt"], "cl100k_base")
        self.calls += 1
        if kind == "fail":
            await _answer(send, 500, {"error": {"message": "no", "type": "server_error"}})
            return
        written = self._random.randint(1, asked["max_tokens"])
        await asyncio.sleep(0)
        if asked.get("stream"):
            await self._stream(read, written, receive, send)
            return
        self.bill(read, written)
        choice = {"index": 0, "text": " a" * written, "logprobs": None, "finish_reason": "stop"}
        usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
        await _answer(send, 200, {"id": "c", "model": "m", "choices": [choice], "usage": usage})

    async def _stream(self, read: int, written: int, receive: asgi.Receive, send: asgi.Send) -> None:
        left = asyncio.create_task(receive())
        self.bill(read, 0)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        for number in range(written):
            if left.done():
                return
            last = "stop" if number == written - 1 else None
            await _event(send, {"choices": [{"index": 0, "text": " a", "logprobs": None, "finish_reason": last}]})
            self.bill(0, 1)
            if number % 8 == 0:
                await asyncio.sleep(0)
        usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
        await _event(send, {"choices": [], "usage": usage})
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})
        left.cancel()


async def _body(receive: asgi.Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    return body


async def _event(send: asgi.Send, value: dict[str, Any]) -> None:
    body = b"data: %b\n\n" % json.dumps({"id": "c", "model": "m", **value})
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _answer(send: asgi.Send, status: int, value: dict[str, Any]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(value)})


@contextmanager
def served(provider: Provider) -> Iterator[str]:
    """The provider on a port of the loopback; its base URL."""
    server = uvicorn.Server(uvicorn.Config(provider, port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        threading.Event().wait(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1"
    finally:
        server.should_exit = True
        thread.join(10)


async def crowd(ask: Ask, clients: int = 200, seed: int = 3) -> Counter[tuple[str, int]]:
    """So many clients at a time, each of which asks on until its budget is refused to it twice; what came, by kind and
    status. Every client first asks for much, then for ever less."""

    async def client(number: int) -> Counter[tuple[str, int]]:
        dice, came = random.Random(seed * 1_000 + number), Counter[tuple[str, int]]()  # noqa: S311
        refused = 0
        most = MOST_TOKENS
        while refused < 2:
            kind = dice.choice(("whole", "whole", "stream", "stream", "leave", "fail"))
            body = {
                "model": "m",
                "prompt": f"{kind} " + "word " * dice.randint(1, 60),
                "max_tokens": dice.randint(1, most),
                "stream": kind in ("stream", "leave"),
                "user": f"u{number % 7}",
            }
            status = await ask(body, kind == "leave")
            came[kind, status] += 1
            if status == 429:
                refused += 1
                most = max(1, most // 50)
        return came

    counted: Counter[tuple[str, int]] = Counter()
    for each in await asyncio.gather(*(client(number) for number in range(clients))):
        counted += each
    return counted


def holds(provider: Provider, spent: int, budget: int, came: Counter[tuple[str, int]], leeway: int) -> None:
    """The budget has held, and was made use of; and what was counted is what was billed.

    Args:
        spent: what the gateway has counted, in picodollars.
        budget: picodollars.
        leeway: tokens that a provider may write, for each client that leaves, before it learns of that: the error that
            is declared for those.
    """
    assert spent <= budget
    left = sum(count for (kind, status), count in came.items() if kind == "leave" and status == 200)
    beyond = left * leeway * OUTPUT
    assert provider.billed <= budget + beyond, "more was spent than there was"
    assert spent - beyond <= provider.billed <= spent + beyond
    assert spent > budget * 0.9, "what was reserved came back, and was spent"
    statuses = {status for _, status in came}
    assert {200, 429, 502} <= statuses <= {200, 429, 502, 503}, came  # 503: shared counters too slow on a busy machine
