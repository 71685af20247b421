"""Many clients against one budget: a provider that bills what it sends, and the crowd that spends it.

Nothing here is about right: the provider bills a request's prompt and each word that it has sent, and stops of itself,
so that what a client that leaves has had is what was sent; so both sides can be compared request by request.
"""

import asyncio
import random
import threading
from collections import Counter
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any, NamedTuple

import uvicorn

from gateway.ledger import tokens
from gateway.wire import asgi, json

INPUT, OUTPUT = 20_000_000, 40_000_000
"""Prices in picodollars per token: 20 and 40 USD per million, so that some hundred requests spend a dollar."""

PRICES = {"input_cost_per_token": INPUT / 1e12, "output_cost_per_token": OUTPUT / 1e12}
MOST_TOKENS = 400
"""The largest `max_tokens` of the crowd."""

WORDS = ("the", "river", "and", "old", "stone", "house", "by", "light", "of", "green", "water", "a", "long", "day")
"""Each is one token with the space before it, and so many tokens together as they are words."""

TOGETHER = 3
"""The last words of a stream come in one piece with what ends it: they must not be lost over a failure."""

KINDS = ("whole", "whole", "stream", "stream", "leave", "hang", "break", "error", "fail")
LEFT = 499
"""Stands for the status of a request whose client has left before there was one."""


class Bill(NamedTuple):
    """What is to be paid for a request: tokens read and written, and picodollars."""

    read: int = 0
    written: int = 0
    amount: int = 0


NOTHING = Bill()


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as its client has seen it. `words` is how many the provider says before it does what `kind` tells."""

    kind: str
    words: int
    prompt: str
    status: int = 0


Ask = Callable[[str, dict[str, Any], Asked], Awaitable[int]]
"""Sends a completion under an id and reads its answer, or leaves it where the kind says so: the status."""


class Provider:
    """Speaks OpenAI's text completions. It does what the prompt's first word says, with as many words as its second:

    whole, stream: answers, and says what it has counted.
    leave: says its words, and no more until its client is gone.
    hang: reads the prompt, and says nothing until its client is gone; `arrived` says when it has been asked.
    break: breaks the connection after its words, within the next event.
    error: says in its stream, after its words, that it has failed; what fails without a word is not billed.
    fail: refuses with 500, which is not billed.
    """

    def __init__(self) -> None:
        self.bills: dict[str, Bill] = {}
        self._arrived: dict[str, Future[None]] = {}

    @property
    def total(self) -> Bill:
        """What it has billed by now."""
        read, written, amount = (sum(column) for column in zip(NOTHING, *self.bills.values(), strict=True))
        return Bill(read, written, amount)

    def arrived(self, prompt: str) -> "Future[None]":
        """Done once a request to hang has been read; for any thread."""
        return self._arrived.setdefault(prompt, Future())

    def _bill(self, prompt: str, read: int, written: int) -> None:
        before = self.bills.get(prompt, NOTHING)
        amount = before.amount + read * INPUT + written * OUTPUT
        self.bills[prompt] = Bill(before.read + read, before.written + written, amount)

    async def __call__(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        if scope["type"] != "http":
            return
        asked = json.loads(await _body(receive))
        prompt = asked["prompt"]
        kind, words = prompt.split(" ")[0], int(prompt.split(" ")[1])
        read = tokens.count(prompt, "cl100k_base")
        if kind == "fail":
            await _answer(send, 500, {"error": {"message": "no", "type": "server_error"}})
            return
        if kind != "error" or words:
            self._bill(prompt, read, 0)
        if asked.get("stream"):
            await self._stream(kind, prompt, words, receive, send)
            return
        if kind == "hang":
            self.arrived(prompt).set_result(None)
            await _gone(receive)
            return
        self._bill(prompt, 0, words)
        choice = {"index": 0, "text": " " + " ".join(said(words)), "logprobs": None, "finish_reason": "stop"}
        await _answer(send, 200, {"id": "c", "model": "m", "choices": [choice], "usage": _usage(self.bills[prompt])})

    async def _stream(self, kind: str, prompt: str, words: int, receive: asgi.Receive, send: asgi.Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        if kind == "hang":
            self.arrived(prompt).set_result(None)
            await _gone(receive)
            return
        held = b""
        for number, word in enumerate(said(words)):
            self._bill(prompt, 0, 1)
            held += _event({"choices": [_choice(" " + word)]})
            if kind == "leave" or number < words - TOGETHER:
                await send({"type": "http.response.body", "body": held, "more_body": True})
                held = b""
            if number % 8 == 0:
                await asyncio.sleep(0)
        if kind == "leave":
            await _gone(receive)
            return
        held += {"break": _TORN, "error": _FAILED}.get(kind) or self._end(prompt)
        await send({"type": "http.response.body", "body": held, "more_body": kind == "break"})

    def _end(self, prompt: str) -> bytes:
        used = {"choices": [], "usage": _usage(self.bills[prompt])}
        return _event({"choices": [_choice("", "stop")]}) + _event(used) + b"data: [DONE]\n\n"


def said(words: int) -> Iterator[str]:
    """So many words."""
    return islice(cycle(WORDS), words)


def _usage(bill: Bill) -> dict[str, int]:
    counted = {"prompt_tokens": bill.read, "completion_tokens": bill.written}
    return {**counted, "total_tokens": bill.read + bill.written}


def _choice(text: str, finish_reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "text": text, "logprobs": None, "finish_reason": finish_reason}


def _event(value: dict[str, Any]) -> bytes:
    return b"data: %b\n\n" % json.dumps({"id": "c", "model": "m", **value})


_FAILED = _event({"error": {"message": "no", "type": "server_error"}})
_TORN = _event({"choices": [_choice(" never")]})[:-20]
"""The beginning of an event. Nobody is billed for a word that was not sent whole."""


async def _body(receive: asgi.Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    return body


async def _gone(receive: asgi.Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _answer(send: asgi.Send, status: int, value: dict[str, Any]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(value)})


@contextmanager
def served(provider: Provider) -> Iterator[str]:
    """The provider on a port of the loopback; its base URL. That it breaks connections is not worth a log line."""
    server = uvicorn.Server(uvicorn.Config(provider, port=0, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        threading.Event().wait(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1"
    finally:
        server.should_exit = True
        thread.join(10)


async def read_words(chunks: AsyncIterable[bytes], words: int) -> None:
    """Read a stream until so many words have come.

    Raises:
        AssertionError: it ends before.
    """
    rest, come = b"", 0
    async for chunk in chunks:
        *events, rest = (rest + chunk).split(b"\n\n")
        for event in events:
            if event.startswith(b"data: {"):
                come += sum(len(choice["text"].split()) for choice in json.loads(event[6:])["choices"])
        if come >= words:
            return
    raise AssertionError(f"{come} words of {words} have come")


async def unless_left(provider: Provider, prompt: str, answer: "Awaitable[int]") -> int:
    """The status of `answer`, or `LEFT`: it is left as soon as the provider has been asked, for it would never come."""
    answering = asyncio.ensure_future(answer)
    arrived = asyncio.wrap_future(provider.arrived(prompt))
    await asyncio.wait((answering, arrived), return_when=asyncio.FIRST_COMPLETED)
    if answering.done():
        arrived.cancel()
        return await answering
    answering.cancel()
    await asyncio.wait((answering,))
    return LEFT


async def crowd(ask: Ask, clients: int = 200, seed: int = 3) -> dict[str, Asked]:
    """So many clients at a time, each of which asks on until its budget is refused to it twice; what came of each
    request, by its id. Every client first asks for much, then for ever less."""
    asked: dict[str, Asked] = {}

    async def client(number: int) -> None:
        dice = random.Random(seed * 1_000 + number)  # noqa: S311
        refused = turn = 0
        most = MOST_TOKENS
        while refused < 2:
            name, turn = f"c{number}-{turn}", turn + 1
            kind, most_words = dice.choice(KINDS), dice.randint(1, most)
            words = dice.randint(0 if kind in ("break", "error") else 1, most_words)
            filler = " ".join(said(dice.randint(1, 60)))
            one = Asked(kind, words, f"{kind} {words} {name} {filler}")
            stream = kind in ("stream", "leave", "break", "error") or (kind == "hang" and dice.random() < 0.5)
            body = {"model": "m", "prompt": one.prompt, "max_tokens": most_words, "stream": stream}
            status = await ask(name, {**body, "user": f"u{number % 7}"}, one)
            asked[name] = Asked(kind, words, one.prompt, status)
            if status == 429:
                refused += 1
                most = max(1, most // 50)

    await asyncio.gather(*(client(number) for number in range(clients)))
    return asked


def holds(provider: Provider, spent: int, budget: int, asked: Mapping[str, Asked]) -> None:
    """The budget has held, and was made use of; and what was counted is what was billed, to the picodollar. Nothing
    is allowed for: the vocabulary is known here, so that the declared error of an estimate is 0.

    Args:
        spent: what the counters have, in picodollars.
        budget: picodollars.
    """
    assert provider.total.amount <= budget, "more was spent than there was"
    assert spent == provider.total.amount
    assert spent > budget * 0.9, "what was reserved came back, and was spent"
    came = Counter((one.kind, one.status) for one in asked.values())
    statuses = {status for _, status in came}
    slow = {503, 504}  # on a busy machine: the counters, or the provider
    assert {200, 429, LEFT, 502} <= statuses <= {200, 429, LEFT, 502} | slow, came
    assert set(KINDS) == {kind for kind, status in came if status in (200, LEFT, 502)}, "each kind has been served"


def accounts(provider: Provider, rows: Iterable[tuple[str, Bill]], asked: Mapping[str, Asked]) -> None:
    """The ledger has each request once, with the tokens and the money that the provider has billed for it."""
    rows = list(rows)
    assert sorted(name for name, _ in rows) == sorted(asked), "each request is there once"
    billed = {name: provider.bills.get(one.prompt, NOTHING) for name, one in asked.items()}
    assert [(asked[name], row, billed[name]) for name, row in rows if row != billed[name]] == []
    summed = Bill(*(sum(column) for column in zip(*(row for _, row in rows), strict=True)))
    assert summed == provider.total
