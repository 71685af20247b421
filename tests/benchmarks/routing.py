"""What routing costs and what it is worth: `python tests/benchmarks/routing.py`.

Two tables: microseconds for a request's four calls of the router (route, first, begin, end), and the times that clients
wait where one deployment of three is slow, by strategy, from a simulation of a queue at each deployment. The
simulation's clock is its own, so that its numbers are the same on every machine.

The targets: 3 µs for a deployment alone, 10 µs in a group of ten.
"""

import heapq
import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

HERE = Path(__file__).parent
if __name__ == "__main__":
    sys.path[0] = str(HERE.parent.parent)

from gateway.routing.strategies import STRATEGIES  # noqa: E402
from gateway.types import CompletionRequest  # noqa: E402
from tests.routing.routes import World, entry  # noqa: E402

SLOTS = 64
"""Calls that a simulated deployment works on at one time; others wait there."""

USUAL, SLOW = 0.4, 4.0
"""Mean seconds of a call at a deployment, and at the slow one; exponentially distributed."""

RATE = 30.0
"""Calls a second, in a Poisson process."""


@dataclass(frozen=True, slots=True)
class Waited:
    """Seconds that clients waited, and the share of calls at the slow deployment."""

    p50: float
    p95: float
    p99: float
    slow: float


def simulate(strategy: str, calls: int = 20_000, seed: int = 7) -> Waited:
    """So many calls at three deployments, one of them ten times slower than the others."""
    world = World(*(entry("m", f"d{n}") for n in range(3)), routing_strategy=strategy, seed=seed)
    chance = random.Random(seed)  # noqa: S311
    free = {f"d{n}": [0.0] * SLOTS for n in range(3)}
    events: list[tuple[float, int, object]] = []
    arrival, number, at_slow = world.clock.now, 0, 0
    waited: list[float] = []
    heapq.heappush(events, (arrival, 0, None))
    while events:
        now, _, ending = heapq.heappop(events)
        world.clock.now = now
        if ending is not None:
            ticket, began = ending
            world.router.end(ticket, error=None, first_byte=now - began, tokens=1, cancelled=False)
            continue
        bound = world.route().first().bound
        ticket = world.router.begin(bound)
        begins = max(now, heapq.heappop(free[bound.id]))
        ends = begins + chance.expovariate(1.0 / (SLOW if bound.id == "d0" else USUAL))
        heapq.heappush(free[bound.id], ends)
        waited.append(ends - now)
        at_slow += bound.id == "d0"
        number += 1
        heapq.heappush(events, (ends, number, (ticket, now)))
        if number < calls:
            heapq.heappush(events, (now + chance.expovariate(RATE), -number, None))
    parts = quantiles(waited, n=100)
    return Waited(parts[49], parts[94], parts[98], at_slow / calls)


def cost(strategy: str, deployments: int, rounds: int = 7, count: int = 20_000) -> float:
    """Microseconds of a request's calls of the router."""
    world = World(*(entry("m", f"d{n}") for n in range(deployments)), routing_strategy=strategy)
    world.router._clock = world.router.board.clock = time.perf_counter
    request = CompletionRequest("m", ("hello world",))
    router, best = world.router, float("inf")
    for _ in range(rounds):
        began = time.perf_counter()
        for _ in range(count):
            step = router.route(request, ()).first()
            router.end(router.begin(step.bound), error=None, first_byte=0.1, tokens=10, cancelled=False)
        best = min(best, (time.perf_counter() - began) / count * 1e6)
    return best


def main() -> None:
    """Print both tables."""
    print(f"{'strategy':24}{'alone':>10}{'of 10':>10}   µs")
    for strategy in STRATEGIES:
        print(f"{strategy:24}{cost(strategy, 1):10.2f}{cost(strategy, 10):10.2f}")
    print(f"\n{'strategy':24}{'p50':>10}{'p95':>10}{'p99':>10}   s{'at the slow one':>18}")
    for strategy in STRATEGIES:
        found = simulate(strategy)
        print(f"{strategy:24}{found.p50:10.2f}{found.p95:10.2f}{found.p99:10.2f}    {found.slow:17.1%}")


if __name__ == "__main__":
    main()
