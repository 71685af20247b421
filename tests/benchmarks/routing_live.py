"""What the strategies make of one slow deployment: `python tests/benchmarks/routing_live.py [requests per row]`.

Three deployments of one alias on real sockets, one of which takes fifteen times as long as the others; 48 clients ask
the gateway in process. The same latencies are drawn for every row, from one seed. Read the last columns: what a client
waits for in the worst one of a hundred cases, and how much the slow deployment still got.
"""

import asyncio
import sys
from collections import Counter
from pathlib import Path
from random import Random
from time import perf_counter

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from gateway.app import Gateway
from gateway.config.load import from_mapping
from gateway.exchange import LOCAL_KEY
from gateway.telemetry import logs
from gateway.wire import asgi, json
from tests.faults import faults
from tests.faults.gateway import deployment
from tests.faults.plans import always
from tests.faults.upstream import serving

STRATEGIES = (
    "simple-shuffle",
    "least-busy",
    "latency-based-routing",
    "usage-based-routing",
    "cost-based-routing",
)
CLIENTS = 48
QUICK, SLOW = 0.02, 0.3
"""Seconds, the median of each kind of deployment."""
LOCAL = {LOCAL_KEY: True}
BODY = {"model": "it", "prompt": "Count, please", "max_tokens": 5}


async def measure(strategy: str, requests: int) -> tuple[list[float], Counter[str]]:
    """Seconds of every request, ascending, and how many each deployment answered."""
    quick, slow = (always(faults.slow(faults.lognormal(median, 0.3))) for median in (QUICK, SLOW))
    async with (
        serving(quick, name="quick-1", seed=1) as one,
        serving(quick, name="quick-2", seed=2) as two,
        serving(slow, name="slow", seed=3) as three,
    ):
        models = [deployment(upstream) for upstream in (one, two, three)]
        found = from_mapping(
            {"model_list": models, "policies": [], "router_settings": {"routing_strategy": strategy, "num_retries": 0}}
        )
        gateway = Gateway(found.settings, found.source, logs.make("library"))
        times: list[float] = []
        served: Counter[str] = Counter()
        left = iter(range(requests))

        async def client(number: int) -> None:
            random = Random(number)  # noqa: S311 - a script, not a secret
            for _ in left:
                began = perf_counter()
                answer = await asgi.request(gateway, "POST", "/v1/completions", [], json.dumps(BODY), extras=LOCAL)
                await answer.read()
                assert answer.status == 200
                times.append(perf_counter() - began)
                served[answer.headers["x-gateway-deployment"]] += 1
                await asyncio.sleep(random.expovariate(1 / QUICK))

        await asyncio.gather(*(client(number) for number in range(CLIENTS)))
        await gateway.close()
    return sorted(times), served


def main(requests: int) -> None:
    table = Table(title=f"{requests:,} requests, {CLIENTS} clients, one deployment of three slow", title_justify="left")
    table.add_column("strategy")
    for name in ("p50 ms", "p90 ms", "p99 ms", "mean ms", "of it slow"):
        table.add_column(name, justify="right")
    for strategy in STRATEGIES:
        times, served = asyncio.run(measure(strategy, requests))
        at = [1000 * times[int(share * len(times))] for share in (0.5, 0.9, 0.99)]
        mean, share = 1000 * sum(times) / len(times), served["slow"] / len(times)
        table.add_row(strategy, *(f"{value:.0f}" for value in (*at, mean)), f"{share:.1%}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3000)
