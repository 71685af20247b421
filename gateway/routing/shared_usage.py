"""Requests and tokens of deployments, counted together by the processes that share a Redis, for their `rpm` and `tpm`.

It is done beside requests: a process says what it has counted since it last said so, and hears what all have, four
times a second; twenty times of deployments it has news of, or may not call again before it has heard. Until it hears,
it takes what each of the others has begun meanwhile to be as much as it has itself (`Load.full`), so that a bound is
exceeded by less than one request for each process. The others are those that call the deployment, and in the first
second of a process that begins to call it all that there are.

What no process can know is more: what those have begun that it has not heard of for longer than usual, or not at all
(one that was kept from hearing begins its share of what was left, once), and the tokens of calls under way. Without
Redis each process counts for itself, and so does each from a minute on after Redis has gone away; until then it takes
the others to go on as it does.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final
from uuid import uuid4

from gateway.errors import Unavailable
from gateway.ledger.remote import Remote, Script
from gateway.routing.beside import Beside
from gateway.routing.board import Book
from gateway.routing.health import Tell, silent
from gateway.routing.load import MINUTE, Load

SECONDS: Final = 0.25
"""Between two exchanges, where there is no news."""

LEAST: Final = 0.05
"""Between two exchanges, where there is: the same for all, so that none takes two shares while another hears once."""

CALLING: Final = 10
"""Seconds for which a process that has called a deployment counts as one that calls it."""

LIVING: Final = 5
"""Seconds for which a process counts as one that may, after it was last heard of."""

SETTLING: Final = 1.0
"""Seconds after which those that have begun to call a deployment at the same time have heard of each other."""

_PREFIX: Final = "gateway:{usage}:"
"""The braces keep all keys on one node of a cluster."""

_ADD: Final = Script(
    """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local minute = math.floor(now / 60)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[3])
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('EXPIRE', KEYS[1], 60)
local told = {math.floor((now % 60) * 1000), redis.call('ZCARD', KEYS[1]) - 1, {}}
for i = 1, (#KEYS - 1) / 2 do
  local counts, callers = KEYS[2 * i], KEYS[2 * i + 1]
  local requests, tokens = tonumber(ARGV[2 * i + 2]), tonumber(ARGV[2 * i + 3])
  local said = redis.call('HMGET', counts, 'minute', 'requests', 'tokens', 'requests_before', 'tokens_before')
  local sums = {}
  for j = 1, 5 do
    sums[j] = tonumber(said[j] or '0')
  end
  local age = minute - sums[1]
  if age == 1 then
    sums = {minute, 0, 0, sums[2], sums[3]}
  elseif age ~= 0 then
    sums = {minute, 0, 0, 0, 0}
  end
  if requests > 0 or tokens > 0 then
    sums[2], sums[3] = sums[2] + requests, sums[3] + tokens
    redis.call('HSET', counts, 'minute', minute, 'requests', sums[2], 'tokens', sums[3],
      'requests_before', sums[4], 'tokens_before', sums[5])
    redis.call('EXPIRE', counts, 180)
    redis.call('ZADD', callers, now, ARGV[1])
    redis.call('EXPIRE', callers, 60)
  end
  redis.call('ZREMRANGEBYSCORE', callers, '-inf', now - ARGV[2])
  local known = redis.call('ZSCORE', callers, ARGV[1]) and 1 or 0
  local others = redis.call('ZCARD', callers) - known
  told[3][i] = {known, others, sums[2], sums[3], sums[4], sums[5]}
end
return told
"""
)


class SharedUsage:
    """One process's part.

    Args:
        book: the deployments it knows.
        remote: the Redis it shares.
        clock: the time that loads know.
        tell: hears of a fault.
    """

    def __init__(self, book: Book, remote: Remote, clock: Callable[[], float], tell: Tell = silent) -> None:
        self._book = book
        self._remote = remote
        self._clock = clock
        self._name = uuid4().hex
        self._said = clock()
        self._since: dict[str, float] = {}
        self._pressing = False
        self._woken = asyncio.Event()
        self._beside = Beside("sharing of usage", self._go_on, tell)

    def __repr__(self) -> str:
        counted = [load for load in self._book.loads.values() if load.counted]
        others = max((load.others for load in counted), default=0)
        return f"<SharedUsage {len(counted)} deployments, with {others} other processes>"

    def start(self) -> None:
        """Begin, on the running event loop."""
        loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()

        def hurry() -> None:
            if not self._pressing:
                self._pressing = True
                loop.call_soon_threadsafe(self._woken.set)

        self._book.hurry = hurry
        self._beside.start()

    async def close(self) -> None:
        """End it. What has not been said is not counted by the others."""
        self._book.hurry = None
        await self._beside.close()

    async def exchange(self, *, news: bool = False) -> None:
        """Say and hear once. Where Redis cannot be asked, this process counts on by itself: `Remote` tells of that.

        Args:
            news: only of the deployments that this process has something to say of.
        """
        loads = [load for load in self._book.loads.values() if load.counted and not (news and _is_said(load))]
        if not loads:
            return
        keys = [_PREFIX, *(key for load in loads for key in (_PREFIX + load.id, f"{_PREFIX}{load.id}:callers"))]
        said = [(load.requests.unsaid, load.tokens.unsaid) for load in loads]
        about: list[str | int | bytes] = [self._name, CALLING, LIVING, *(count for each in said for count in each)]
        try:
            age, living, told = await self._remote.run(_ADD, keys, about)
        except Unavailable:
            self._unheard(loads)
            return
        self._said = now = self._clock()
        for load, own, (known, others, requests, tokens, *before) in zip(loads, said, told, strict=True):
            load.requests.agree(now - age / 1000, requests, before[0], own[0])
            load.tokens.agree(now - age / 1000, tokens, before[1], own[1])
            load.known = bool(known)
            load.others = others if self._settled(load, now) else max(others, living)

    def _settled(self, load: Load, now: float) -> bool:
        """Whether it has been calling a deployment for long enough for the others that do to be known."""
        if not load.known:
            self._since.pop(load.id, None)
            return False
        return now >= self._since.setdefault(load.id, now) + SETTLING

    def _unheard(self, loads: Sequence[Load]) -> None:
        """Forget what is too old to be said later: it is no longer of the last minute then."""
        now = self._clock()
        if now >= self._said + MINUTE:
            self._said = now
            for load in loads:
                load.requests.unsaid = load.tokens.unsaid = 0
                load.others, load.known = 0, False

    async def _go_on(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            self._woken.clear()
            self._pressing = False
            now = loop.time()
            await self.exchange(news=now < due)
            if now >= due:
                due = now + SECONDS
            await asyncio.sleep(LEAST)
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._woken.wait()


def _is_said(load: Load) -> bool:
    return not (load.requests.unsaid or load.tokens.unsaid)
