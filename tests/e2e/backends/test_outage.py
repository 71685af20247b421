"""A collector that goes away in every way: no request is slower, memory is bounded, what is lost is counted, and what
comes after is delivered again, without a restart."""

import http.client
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from urllib.parse import urlsplit

import pytest

from tests import timing
from tests.e2e import kit
from tests.e2e.backends import receivers
from tests.e2e.backends.receivers import Grpc, Http, Mode

pytestmark = pytest.mark.e2e

CONFIG = """
model_list: [{{model_name: demo, litellm_params: {{model: demo/demo}}}}]
policies: []
telemetry: {{otlp_endpoint: "{url}", otlp_protocol: {protocol}}}
"""
QUEUE, BATCH = 512, 128
"""Spans that may wait, and that are sent at one time."""

VARIABLES = {
    "OTEL_BSP_MAX_QUEUE_SIZE": str(QUEUE),
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": str(BATCH),
    "OTEL_BSP_SCHEDULE_DELAY": "200",
    "OTEL_EXPORTER_OTLP_TIMEOUT": "2000",
    "OTEL_METRICS_EXPORTER": "none",
}
SPANS = 2
"""Of one request: the server's and the call's."""

ASKED = 200
SLOWER = 1.5
"""How much slower the middle request may be for noise, and twice that the slowest of a hundred."""

PROTOCOLS = ["http/json", "http/protobuf", "grpc"]
OUTAGES: list[Mode] = ["refused", "hanging", "slow"]


class Client:
    """One connection, on which one request follows the other."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=kit.SECONDS)

    def ask(self, request_id: str = "") -> float:
        """Seconds that a request takes, which is answered well."""
        body = json.dumps({"model": "demo", "prompt": "Say hello", "max_tokens": 3})
        headers = {"content-type": "application/json", **({"x-request-id": request_id} if request_id else {})}
        began = perf_counter()
        self._connection.request("POST", "/v1/completions", body, headers)
        answer = self._connection.getresponse()
        answer.read()
        took = perf_counter() - began
        assert answer.status == 200
        return took

    def times(self, count: int) -> tuple[float, float]:
        """The middle of so many requests, and that which one in a hundred exceeds."""
        took = sorted(self.ask() for _ in range(count))
        return took[count // 2], took[count * 99 // 100]

    def dropped(self) -> float:
        """Spans that the gateway says it has lost."""
        self._connection.request("GET", "/metrics")
        said = self._connection.getresponse().read().decode()
        found = re.search(r"^gateway_telemetry_dropped_total\{[^}]*spans[^}]*\} (\S+)", said, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def close(self) -> None:
        self._connection.close()


@contextmanager
def telling(folder: Path, protocol: str) -> Iterator[tuple[kit.Process, Client, "Http | Grpc"]]:
    """A gateway that sends its spans to a receiver which has taken the first."""
    with receivers.receiver(protocol) as receiver:
        config = CONFIG.format(url=receiver.url, protocol=protocol)
        with kit.gateway(folder, config, **VARIABLES) as process:
            client = Client(process.url)
            client.ask("the-first")
            kit.until("the first span", lambda: receiver.has("the-first"))
            try:
                yield process, client, receiver
            finally:
                client.close()


def delivered_again(client: Client, receiver: "Http | Grpc", name: str) -> None:
    """A receiver that is well again is sent what comes now, once the gateway asks it again and what waits has left."""
    receivers.become(receiver, "well")
    names: list[str] = []

    def arrived() -> bool:
        names.append(f"{name}-{len(names)}")
        client.ask(names[-1])
        return any(receiver.has(each) for each in names)

    kit.until(f"a span {name}", arrived, seconds=90)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_request_is_slower_and_what_comes_after_is_delivered(protocol: str, tmp_path: Path):
    with telling(tmp_path, protocol) as (process, client, receiver):
        client.times(ASKED)  # what is done once is done
        for outage in OUTAGES:

            def slower(outage: Mode = outage) -> float:
                receivers.become(receiver, "well")
                middle, slowest = client.times(ASKED)
                receivers.become(receiver, outage)
                middle_without, slowest_without = client.times(ASKED)
                return max(middle_without / middle, slowest_without / slowest / 2)

            assert timing.lowest(slower, SLOWER) <= SLOWER, outage
            delivered_again(client, receiver, f"after-{outage}")
        assert process.popen.poll() is None
        assert len(process.lines("telemetry_trouble")) <= 1 + process_minutes(process), "one line a minute"


def process_minutes(process: kit.Process) -> int:
    """Minutes between the first and the last line of the log, rounded up."""
    lines = [json.loads(line)["timestamp"] for line in process.out.splitlines()]
    first, last = (int(at[11:13]) * 60 + int(at[14:16]) for at in (lines[0], lines[-1]))
    return (last - first) % 1440 + 1


def grown(process: kit.Process, client: Client) -> float:
    """Megabytes by which the memory of a gateway grows over some thousands of requests."""
    pids = kit.children(process.pid) or [process.pid]
    before = sum(map(kit.resident_mb, pids))
    client.times(3_000)
    return sum(map(kit.resident_mb, pids)) - before


@pytest.mark.parametrize("outage", ["refused", "hanging"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_waits_is_bounded_and_every_loss_is_counted(protocol: str, outage: Mode, tmp_path: Path):
    with telling(tmp_path, protocol) as (process, client, receiver):
        client.times(1_000)
        usual = grown(process, client)
        before = client.dropped()
        receivers.become(receiver, outage)
        client.times(1_000)  # more than may wait
        assert grown(process, client) <= usual + 8, "megabytes for 6,000 spans"
        assert SPANS * 4_000 - (client.dropped() - before) <= QUEUE + 2 * BATCH
        delivered_again(client, receiver, "again")
        after = client.dropped()
        for number in range(20):
            client.ask(f"later-{number}")
        kit.until("all of them", lambda: all(receiver.has(f"later-{number}") for number in range(20)))
        assert client.dropped() == after
        assert len(process.lines("telemetry_trouble")) <= 1 + process_minutes(process)
