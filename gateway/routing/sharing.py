"""Health of deployments among the processes that share a Redis: what one finds open, the others hear within a second.

It is all done beside requests, once a second in one question: a process says for how long its own open breakers stay
open, and hears of the others'. What is only heard is not said again, so that no rumour outlives its cooldown. Without
Redis each process finds out for itself.
"""

import asyncio
from collections.abc import Callable
from typing import Final
from uuid import uuid4

from gateway.errors import Unavailable
from gateway.ledger.remote import Remote, Script
from gateway.routing.beside import Beside
from gateway.routing.board import Book
from gateway.routing.health import Tell, silent

SECONDS: Final = 1.0

_PREFIX: Final = "gateway:{health}:"
"""The braces keep all keys on one node of a cluster."""

_EXCHANGE: Final = Script(
    """
local heard = {}
for i, key in ipairs(KEYS) do
  local own, left = ARGV[1] .. ' ' .. ARGV[2 * i + 1], tonumber(ARGV[2 * i])
  local said = redis.call('GET', key)
  local mine = said and string.sub(said, 1, #ARGV[1] + 1) == ARGV[1] .. ' '
  if left > 0 and (not said or mine or redis.call('PTTL', key) < left) then
    redis.call('SET', key, own, 'PX', left)
  elseif left == 0 and mine then
    redis.call('DEL', key)
  end
  if said and not mine then
    heard[i] = {string.sub(said, string.find(said, ' ', 1, true) + 1), redis.call('PTTL', key)}
  else
    heard[i] = {'', 0}
  end
end
return heard
"""
)


class Sharing:
    """One process's part.

    Args:
        book: the deployments it knows.
        remote: the Redis it shares.
        clock: the time that breakers know.
        tell: hears of a fault.
    """

    def __init__(self, book: Book, remote: Remote, clock: Callable[[], float], tell: Tell = silent) -> None:
        self._book = book
        self._remote = remote
        self._clock = clock
        self._name = uuid4().hex
        self._beside = Beside("sharing of health", self._go_on, tell)

    def __repr__(self) -> str:
        heard = sum(load.breaker.heard for load in self._book.loads.values())
        return f"<Sharing {len(self._book.loads)} deployments, {heard} heard of>"

    def start(self) -> None:
        """Begin, on the running event loop."""
        self._beside.start()

    async def close(self) -> None:
        """End it. What was said lasts no longer than it said."""
        await self._beside.close()

    async def exchange(self) -> None:
        """Say and hear once. Where Redis cannot be asked nothing changes: `Remote` tells of that."""
        loads = list(self._book.loads.values())
        if not loads:
            return
        now = self._clock()
        said: list[str | int | bytes] = [self._name]
        for load in loads:
            breaker = load.breaker
            open_ = breaker.health == "open" and not breaker.heard
            said += [max(0, round((breaker.until - now) * 1000)) if open_ else 0, breaker.cause]
        try:
            heard = await self._remote.run(_EXCHANGE, [_PREFIX + load.id for load in loads], said)
        except Unavailable:
            return
        now = self._clock()
        for load, (cause, left) in zip(loads, heard, strict=True):
            if left > 0:
                load.breaker.hear(now, left / 1000, f"another process found: {cause.decode('utf-8', 'replace')}")
            else:
                load.breaker.unhear(now)

    async def _go_on(self) -> None:
        while True:
            await self.exchange()
            await asyncio.sleep(SECONDS)
