"""A worker process for the tests: counts in a shared folder as it is told, one command a line, and answers each."""

import sys
from pathlib import Path

from gateway.telemetry import logs
from gateway.telemetry.instruments import table
from gateway.telemetry.shared import Shared
from gateway.types import Usage
from tests.telemetry.metrics_kit import called, counts, judged, metrics, request, verdict


def main() -> None:
    counted = metrics(Shared(Path(sys.argv[1]), table(), logs.make("library")))
    dropped = 0.0
    counted.watch("gateway.telemetry.dropped", lambda: {("spans",): dropped})
    counted.watch("gateway.queue.depth", lambda: {("spans",): 4.0})
    for line in sys.stdin:
        match line.split():
            case ["observe", times]:
                for _ in range(int(times)):
                    done = judged(request(), verdict("pii", "mask", categories=["pii"]))
                    called(done, served="a-model", usage=Usage(10, 2))
                    counted.observe(done)
            case ["begin"]:
                counted.begin(request())
            case ["drop", much]:
                dropped += float(much)
                counted.registry.refresh()
            case ["own", name]:
                print(sum(counts(counted.own(), name).values()), flush=True)
                continue
            case ["everyone", name]:
                print(sum(counts(counted.everyone(), name).values()), flush=True)
                continue
            case ["for-ever"]:
                print("ok", flush=True)
                while True:
                    counted.observe(request())
        print("ok", flush=True)


if __name__ == "__main__":
    main()
