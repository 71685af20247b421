"""The clients of a chaos run: half of them stream, a few leave early, and all look closely at what they get."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from math import inf
from random import Random
from typing import Literal

from gateway.errors import GatewayError
from gateway.routing.engines.pooled.pool import PooledUpstream
from gateway.routing.upstream import Timeouts, UpstreamResponse
from gateway.types import HttpRequest
from gateway.wire import json, sse
from tests.faults.answers import WORDS

TOKENS = 24
EXPECTED = "".join(" " + WORDS[at % len(WORDS)] for at in range(TOKENS))
"""What every answer says, when it is whole."""

PREFIX = "chaos-"
LEAVING = 0.03
"""The share of the requests whose client leaves before the answer is there."""
THINKING = 0.15
"""Seconds, on average, between an answer and the next request of the same client."""

End = Literal["whole", "in band", "refused", "left", "broken", "wrong"]
"""How a request ended: answered; with an error inside the stream; with an error status; given up by the client; with a
connection the gateway broke; with another text than the provider's."""

_PATIENCE = Timeouts(connect=5.0, read=30.0, total=60.0)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One request as its client saw it. `at` is in seconds from the start, times are in seconds."""

    id: str
    at: float
    stream: bool
    end: End
    status: int
    seconds: float
    first: float | None
    attempts: int
    deployment: str
    code: str | None


@dataclass(slots=True)
class Clients:
    """Puts load on `url` for a time, or until it has had `most` answers."""

    url: str
    seed: int
    outcomes: list[Outcome] = field(default_factory=list, repr=False)
    leaving: float = LEAVING
    thinking: float = THINKING
    prefix: str = PREFIX
    most: float = inf
    _numbers: "count[int]" = field(default_factory=count, repr=False)

    async def run(self, number: int, seconds: float) -> None:
        """So many clients for so long, each for one request at least; returns when the last has its answer."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        engine = PooledUpstream()
        try:
            await asyncio.gather(
                *(
                    self._client(engine, Random(f"{self.seed}:{each}"), lambda: loop.time() - began, seconds)  # noqa: S311
                    for each in range(number)
                )
            )
        finally:
            await engine.close()

    async def _client(self, engine: PooledUpstream, random: Random, clock: Callable[[], float], seconds: float) -> None:
        await asyncio.sleep(random.uniform(0, self.thinking))
        while True:
            number = next(self._numbers)
            patience = random.uniform(0.0, 0.1) if random.random() < self.leaving else None
            self.outcomes.append(await self._ask(engine, number, clock, patience))
            if clock() >= seconds or len(self.outcomes) >= self.most:
                return
            await asyncio.sleep(random.expovariate(1 / self.thinking))

    async def _ask(
        self, engine: PooledUpstream, number: int, clock: Callable[[], float], patience: float | None
    ) -> Outcome:
        seen = _Seen(f"{self.prefix}{number}", number % 2 == 1, clock)
        try:
            async with asyncio.timeout(patience):
                await seen.ask(engine, self.url)
        except TimeoutError:
            seen.end = "left"
        except GatewayError as error:
            seen.end, seen.code = "broken", error.message
        except (ValueError, LookupError, TypeError):
            seen.end = "wrong"  # not the answer's language
        return seen.outcome()


class _Seen:
    """One request under way."""

    def __init__(self, name: str, stream: bool, clock: Callable[[], float]) -> None:
        self.name, self.stream, self.clock = name, stream, clock
        self.at = clock()
        self.end: End = "broken"
        self.code: str | None = None
        self.first: float | None = None
        self.status, self.attempts, self.deployment = 0, 0, ""

    def outcome(self) -> Outcome:
        seconds = self.clock() - self.at
        return Outcome(
            self.name,
            self.at,
            self.stream,
            self.end,
            self.status,
            seconds,
            self.first,
            self.attempts,
            self.deployment,
            self.code,
        )

    async def ask(self, engine: PooledUpstream, url: str) -> None:
        body = {"model": "chaos", "prompt": f"Count, please: {self.name}", "max_tokens": TOKENS, "stream": self.stream}
        headers = {"content-type": "application/json", "x-request-id": self.name}
        request = HttpRequest("POST", f"{url}/v1/completions", headers, json.dumps(body))
        response = await engine.send(request, _PATIENCE, stream=self.stream)
        try:
            self.status = response.status
            self.attempts = int(response.headers.get("x-gateway-attempts", "0"))
            self.deployment = response.headers.get("x-gateway-deployment", "")
            if response.status != 200 or not self.stream:
                self._whole(await response.read())
            else:
                await self._streamed(response)
        finally:
            await response.close()

    def _whole(self, body: bytes) -> None:
        value = json.loads(body)
        if self.status != 200:
            self.end, self.code = "refused", value["error"]["code"]
            return
        text = value["choices"][0]["text"]
        self.end = "whole" if text == EXPECTED else "wrong"

    async def _streamed(self, response: UpstreamResponse) -> None:
        decoder, said, done = sse.Decoder(), "", False
        async for chunk in response.chunks():
            for event in decoder.feed(chunk):
                if event.data == b"[DONE]":
                    done = True
                    continue
                value = json.loads(event.data)
                if "error" in value:
                    self.code = value["error"]["code"]
                    continue
                if self.first is None:
                    self.first = self.clock() - self.at
                said += value["choices"][0]["text"]
        if self.code is not None:
            self.end = "in band" if done and said and EXPECTED.startswith(said) else "wrong"
        else:
            self.end = "whole" if done and said == EXPECTED else "wrong"
