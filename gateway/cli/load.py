"""Puts load on servers, for `gateway bench`: the same requests to each, by turns, for a bounded time.

No two prompts are the same, so that nothing is answered from a memory of verdicts.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter
from typing import Any

from gateway.errors import ConfigError, GatewayError
from gateway.guards.measure import percentile
from gateway.routing.upstream import Timeouts, Upstream
from gateway.types import HttpRequest
from gateway.wire import json

ROUNDS = 3
"""How often each server has its turn."""

PROSE = (
    "Please sum up what follows for somebody who was not there. The committee looked at the old depot and at what it "
    "would cost to keep it. The roof lets in rain, the floor has sunk on one side, and the doors no longer close. Some "
    "said that a new one would be cheaper in the long run, others that the street is known to everybody and that "
    "people would not find another. It was agreed to ask three builders for an estimate, to talk to the neighbours, "
    "and to meet again before the end of the season. Until then the goods stay where they are, under a cover, and "
    "somebody looks after them twice a week. The treasurer reminded everyone that the rent is paid by the quarter. "
    "The library has offered a room for the archive, and the school would lend its van on Saturdays. Nobody objected "
    "to the plan to paint the fence, though the colour was left open. The chair thanked all who had come."
)
"""The prompt, after a word of its own for each request: about a kilobyte in which no policy finds anything."""

_TIMEOUTS = Timeouts(connect=5.0, read=30.0, total=60.0)
_PAUSE = 0.05
"""Seconds a connection rests after a request that failed."""
_MARK = "qqqqqqqq"


@dataclass(frozen=True, slots=True)
class Target:
    """A server under load: what it is called, its URL, its headers, and the fields of its requests, the prompt in the
    place of a mark."""

    name: str
    url: str
    fields: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


def completions(name: str, url: str, model: str, key: str | None) -> Target:
    """A server that takes text completions at `url`."""
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return Target(name, url, {"model": model, "prompt": _prompt(), "max_tokens": 64}, headers)


def chat(name: str, url: str) -> Target:
    """A server that takes chat completions at `url`."""
    return Target(name, url, {"model": "bench", "messages": [{"role": "user", "content": _prompt()}]})


def _prompt() -> str:
    return f"{_MARK}. {PROSE}"


@dataclass(frozen=True, slots=True)
class Load:
    """One kind of load: whole answers or streamed ones, and how many requests are under way at a time."""

    stream: bool
    connections: int


@dataclass(slots=True)
class Tally:
    """What came of one kind of load on one server: seconds of every answer, ascending once `sort` was called, seconds
    to its first byte, answers a second of each turn, and requests that failed."""

    whole: list[float] = field(default_factory=list, repr=False)
    first: list[float] = field(default_factory=list, repr=False)
    rates: list[float] = field(default_factory=list)
    errors: int = 0

    def sort(self) -> None:
        """Make the times ready to be read."""
        self.whole.sort()
        self.first.sort()

    def milliseconds(self, share: float) -> float | None:
        """The time of an answer that `share` of them are faster than; None when there was none."""
        return percentile(self.whole, share) * 1e3 if self.whole else None

    def first_milliseconds(self) -> float | None:
        """The median time to the first byte of an answer's body; None when there was none."""
        return percentile(self.first, 0.5) * 1e3 if self.first else None

    def rate(self) -> float:
        """Answers a second: the median of the turns."""
        return median(self.rates) if self.rates else 0.0


class _Requests:
    """The requests to one target, each with a prompt of its own."""

    def __init__(self, target: Target, stream: bool) -> None:
        fields = {**target.fields, "stream": True} if stream else target.fields
        before, _, after = json.dumps(fields).partition(_MARK.encode())
        self.parts = before, after
        self.target = target
        self.headers = {**target.headers, "content-type": "application/json"}

    def next(self, number: int) -> HttpRequest:
        word = bytearray()
        for _ in _MARK:
            number, digit = divmod(number, 26)
            word.append(97 + digit)
        return HttpRequest("POST", self.target.url, self.headers, bytes(word).join(self.parts))


class Generator:
    """Sends requests through an engine of the gateway's own. `numbers` never repeats within one run."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.sent = 0

    async def probe(self, target: Target, stream: bool) -> None:
        """One request, to see that the server answers.

        Raises:
            ConfigError: it does not, and what it says instead.
        """
        try:
            self.sent += 1
            request = _Requests(target, stream).next(self.sent)
            response = await self.upstream.send(request, _TIMEOUTS, stream=stream)
            body = await response.read()
        except GatewayError as error:
            raise ConfigError([f"{target.name}: {error.message}"]) from error
        if response.status != 200 or b'"error"' in body:
            raise ConfigError([f"{target.name}: answered {response.status}{_said(body)}"])

    async def turn(self, target: Target, load: Load, seconds: float, tally: Tally) -> None:
        """Load on one server for `seconds`, counted in `tally`."""
        requests = _Requests(target, load.stream)
        before, began = len(tally.whole), perf_counter()
        until = began + seconds
        async with asyncio.TaskGroup() as group:
            for _ in range(load.connections):
                group.create_task(self._one(requests, load.stream, until, tally))
        tally.rates.append((len(tally.whole) - before) / (perf_counter() - began))

    async def _one(self, requests: _Requests, stream: bool, until: float, tally: Tally) -> None:
        while (began := perf_counter()) < until:
            self.sent += 1
            first = 0.0
            try:
                response = await self.upstream.send(requests.next(self.sent), _TIMEOUTS, stream=stream)
                good = response.status == 200
                async for chunk in response.chunks():
                    first = first or perf_counter()
                    good = good and b'"error"' not in chunk
            except GatewayError:
                good = False
            if good and first:
                tally.whole.append(perf_counter() - began)
                tally.first.append(first - began)
            else:
                tally.errors += 1
                await asyncio.sleep(_PAUSE)


async def measured(
    generator: Generator, targets: Sequence[Target], loads: Sequence[Load], seconds: float, done: Callable[[], None]
) -> dict[tuple[str, Load], Tally]:
    """What came of each load on each target, all having their turns several times.

    Args:
        seconds: for everything together, without the requests that warm the servers up.
        done: called after each turn; there are `ROUNDS` for each load on each target.

    Raises:
        ConfigError: a target that does not answer.
    """
    tallies = {(target.name, load): Tally() for target in targets for load in loads}
    for target in targets:
        for load in loads:
            await generator.probe(target, load.stream)
            await generator.turn(target, load, min(0.3, seconds / len(tallies)), Tally())
    each = seconds / (ROUNDS * len(tallies))
    for _ in range(ROUNDS):
        for load in loads:
            for target in targets:
                await generator.turn(target, load, each, tallies[target.name, load])
                done()
    for tally in tallies.values():
        tally.sort()
    return tallies


def _said(body: bytes) -> str:
    """What a server's error says, when it says it in OpenAI's form."""
    try:
        message = json.loads(body)["error"]["message"]
    except (json.JSONDecodeError, KeyError, TypeError):
        return ""
    return f": {message[:300]}" if isinstance(message, str) else ""
