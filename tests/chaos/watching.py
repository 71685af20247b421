"""Looks at the gateway's processes from outside while they run: memory, file descriptors, what `/metrics` says."""

import asyncio
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gateway.errors import GatewayError
from gateway.routing.engines.pooled.pool import PooledUpstream
from gateway.routing.upstream import Timeouts
from gateway.types import HttpRequest
from tests.e2e import kit

EVERY = 0.5
"""Seconds between two looks."""

_STATE = re.compile(r"^gateway_deployment_state\{([^}]*)\} ([0-9.e+]+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen at one moment: MB (10^6 bytes) and descriptors over all processes, and the state that the gateway
    gives each deployment, as far as it tells."""

    at: float
    memory: float
    descriptors: int
    states: Mapping[str, str]


@dataclass(slots=True)
class Watch:
    """Looks at these processes, the first of which is asked at `url` too."""

    url: str
    pids: Sequence[int]
    looks: list[Look] = field(default_factory=list, repr=False)

    async def run(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        engine = PooledUpstream()
        try:
            while (at := loop.time() - began) < seconds:
                states = await _states(engine, self.url)
                memory = sum(kit.resident_mb(pid) for pid in self.pids)
                self.looks.append(Look(at, memory, sum(descriptors(self.pids).values()), states))
                await asyncio.sleep(EVERY)
        finally:
            await engine.close()


def descriptors(pids: Sequence[int]) -> Counter[str]:
    """Open descriptors by kind: `socket`, `pipe`, `anon_inode`, `file`."""
    found: Counter[str] = Counter()
    for pid in pids:
        for name in os.listdir(f"/proc/{pid}/fd"):
            try:
                target = os.readlink(f"/proc/{pid}/fd/{name}")
            except OSError:
                continue  # closed meanwhile
            kind = target.partition(":")[0]
            found[kind if kind in ("socket", "pipe", "anon_inode") else "file"] += 1
    return found


async def resting(pids: Sequence[int], seconds: float = 10.0) -> Counter[str]:
    """The descriptors once they have not changed for a second."""
    last, same = descriptors(pids), 0
    async with asyncio.timeout(seconds):
        while same < 10:
            await asyncio.sleep(0.1)
            now = descriptors(pids)
            same = same + 1 if now == last else 0
            last = now
    return last


async def _states(engine: PooledUpstream, url: str) -> dict[str, str]:
    request = HttpRequest("GET", f"{url}/metrics", {}, b"")
    try:
        response = await engine.send(request, Timeouts(2, 2, 2), stream=False)
        text = (await response.read()).decode()
    except GatewayError:
        return {}  # a look that was missed; that requests are answered is what the clients find out
    seen: dict[str, tuple[float, str]] = {}
    for labels, value in _STATE.findall(text):
        named = dict(_LABEL.findall(labels))
        name = named["gateway_deployment"]  # several workers may differ: what most of them see
        seen[name] = max(seen.get(name, (0.0, "")), (float(value), named["gateway_state"]))
    return {name: state for name, (workers, state) in seen.items() if workers}
