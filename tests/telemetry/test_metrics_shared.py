"""Several processes count in one folder: real processes, killed without warning."""

import asyncio
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.telemetry import conventions as names
from gateway.telemetry import logs, shared
from gateway.telemetry.instruments import Instrument, Kind, table
from gateway.telemetry.registry import SEGMENT, Registry
from gateway.telemetry.shared import Shared
from gateway.types import Usage
from tests.routing.servers import looped
from tests.telemetry.metrics_kit import called, counts, metrics, request, series

ROOT = Path(__file__).parents[2]
LOG = logs.make("library")


class Worker:
    """One process that counts."""

    def __init__(self, folder: Path) -> None:
        self.popen = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "tests.telemetry.counting", str(folder)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def do(self, command: str) -> str:
        """Tell it, and wait for its answer."""
        assert self.popen.stdin is not None
        assert self.popen.stdout is not None
        self.popen.stdin.write(command + "\n")
        self.popen.stdin.flush()
        return self.popen.stdout.readline().strip()

    def number(self, command: str) -> float:
        return float(self.do(command))

    def kill(self) -> None:
        """SIGKILL: it gets to do nothing any more."""
        self.popen.kill()
        self.popen.wait()
        for pipe in (self.popen.stdin, self.popen.stdout):
            assert pipe is not None
            pipe.close()


@contextmanager
def workers(folder: Path, count: int) -> Iterator[list[Worker]]:
    started = [Worker(folder) for _ in range(count)]
    try:
        for worker in started:
            assert worker.do("observe 0") == "ok"
        yield started
    finally:
        for worker in started:
            if worker.popen.poll() is None:
                worker.kill()


def test_whichever_worker_is_asked_tells_what_all_have_counted(tmp_path):
    with workers(tmp_path, 3) as (one, other, third):
        one.do("observe 5")
        other.do("observe 7")
        for worker in (one, other, third):
            assert worker.number(f"everyone {names.REQUESTS}") == 12
            assert worker.number(f"everyone {names.TOKEN_USAGE}") == 24
        assert one.number(f"own {names.REQUESTS}") == 5
        assert third.number(f"own {names.REQUESTS}") == 0


def test_what_a_killed_worker_has_counted_is_not_lost_and_its_gauges_are(tmp_path):
    with workers(tmp_path, 2) as (one, other):
        for worker in (one, other):
            worker.do("observe 5")
            worker.do("begin")
            worker.do("drop 3")
        assert other.number(f"everyone {names.IN_FLIGHT}") == 2
        assert other.number(f"everyone {names.QUEUE_DEPTH}") == 8
        one.kill()
        assert other.number(f"everyone {names.REQUESTS}") == 10
        assert other.number(f"everyone {names.GUARDRAIL_FINDING_COUNT}") == 10
        assert other.number(f"everyone {names.USAGE_COST}") == 10
        assert other.number(f"everyone {names.TELEMETRY_DROPPED}") == 6
        assert other.number(f"everyone {names.IN_FLIGHT}") == 1
        assert other.number(f"everyone {names.QUEUE_DEPTH}") == 4


def test_a_worker_that_starts_counts_on_where_a_killed_one_stopped(tmp_path):
    with workers(tmp_path, 1) as (first,):
        first.do("observe 5")
        first.do("begin")
        first.do("drop 3")
        first.kill()
    with workers(tmp_path, 1) as (second,):
        assert second.number(f"everyone {names.REQUESTS}") == 5
        assert second.number(f"everyone {names.IN_FLIGHT}") == 0
        assert second.number(f"everyone {names.TELEMETRY_DROPPED}") == 3
        second.do("observe 2")
        second.do("drop 1")
        assert second.number(f"everyone {names.REQUESTS}") == 7
        assert second.number(f"everyone {names.TELEMETRY_DROPPED}") == 4
        # What it sends under its own service.instance.id is what it has counted itself.
        assert second.number(f"own {names.REQUESTS}") == 2
        assert second.number(f"own {names.TELEMETRY_DROPPED}") == 1
        assert second.number(f"own {names.OPERATION_DURATION}") == 2
    assert len(list(tmp_path.iterdir())) == 2


def test_no_counter_goes_back_while_workers_are_killed_as_they_count(tmp_path):
    seen = 0.0
    with workers(tmp_path, 1) as (watching,):
        for _ in range(4):
            with workers(tmp_path, 2) as pair:
                for worker in pair:
                    worker.do("for-ever")
                pair[0].kill()
                for _ in range(20):
                    now = watching.number(f"everyone {names.REQUESTS}")
                    assert now >= seen
                    seen = now
        assert seen > 0
        assert watching.number(f"everyone {names.REQUESTS}") >= seen
    assert len(list(tmp_path.glob("*.cells"))) <= 4  # three at one time, and one that was being looked at


@looped
async def test_what_one_worker_watches_the_others_can_tell(tmp_path):
    watching = metrics(Shared(tmp_path, table(), LOG))
    asked = metrics(Shared(tmp_path, table(), LOG))
    looked = asyncio.Event()

    def look() -> dict[tuple[str, ...], float]:
        looked.set()
        return {("openai-1", "resting"): 1.0}

    watching.watch(names.DEPLOYMENT_STATE, look)
    task = asyncio.create_task(watching.keep_fresh())
    await looked.wait()
    task.cancel()
    assert counts(asked.everyone(), names.DEPLOYMENT_STATE) == {("openai-1", "resting"): 1}


def test_a_line_that_a_killed_worker_did_not_finish_is_taken_back(tmp_path):
    store = Shared(tmp_path, table(), LOG)
    counted = metrics(store)
    counted.observe(request())
    store.close()
    index = tmp_path / "0.index"
    index.write_bytes(index.read_bytes() + b'["gateway.reque')
    assert counts(counted.everyone(), names.REQUESTS) == {("/v1/completions", "fast", "2xx", ""): 1}
    again = metrics(Shared(tmp_path, table(), LOG))
    again.observe(request())
    again.observe(request(status=500))
    assert sum(counts(again.everyone(), names.REQUESTS).values()) == 3
    assert index.read_bytes().endswith(b"]\n")


def test_numbers_of_another_table_are_left_alone(tmp_path):
    store = Shared(tmp_path, table(latest=True), LOG)
    newer = metrics(store, latest=True)
    done = request()
    called(done, usage=Usage(1, 1))
    newer.observe(done)
    older = metrics(Shared(tmp_path, table(), LOG))
    assert sum(counts(older.everyone(), names.REQUESTS).values()) == 1
    assert not series(older.everyone(), names.INFERENCE_DURATION)


def test_more_series_than_one_array_holds_are_shared_too(tmp_path):
    wide = Instrument("h", Kind.HISTOGRAM, "s", "", ("a",), tuple(float(n) for n in range(1, 99)))
    many = SEGMENT // wide.width * 2 + 5
    store = Shared(tmp_path, (wide,), LOG)
    first = Registry([wide], store)
    for number in range(many):
        first.distributions("h").at((str(number),)).record(number % 50)
    expected = first.own().points
    assert first.everyone().points == expected
    store.close()
    second = Registry([wide], Shared(tmp_path, (wide,), LOG))
    assert second.everyone().points == expected
    second.distributions("h").at(("7",)).record(1.0)
    assert [(labels, sum(values[:-1])) for labels, values in second.own().points[0].series.items()] == [(("7",), 1)]
    assert sum(series(second.everyone(), "h")["7",][:-1]) == 2


def test_a_full_disk_costs_no_request_and_is_told_once(tmp_path, monkeypatch, caplog):
    counted = metrics(Shared(tmp_path, table(), LOG))
    counted.observe(request())
    monkeypatch.setattr(os, "pwrite", lambda _descriptor, data, _at: len(data) // 2)
    counted.observe(request(status=500))
    counted.observe(request(status=404))
    monkeypatch.undo()
    assert sum(counts(counted.own(), names.REQUESTS).values()) == 3
    assert sum(counts(counted.everyone(), names.REQUESTS).values()) == 1
    assert "new series in this worker alone" in repr(counted)
    (told,) = caplog.records
    assert (told.msg, told.reason) == ("metrics_not_shared", "No space left on device")


def test_the_folder_is_its_users_alone_and_gone_at_the_end():
    with shared.directory() as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        store = Shared(folder, table(), LOG)
        metrics(store).observe(request())
        assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert not folder.exists()


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        Shared(tmp_path / "nowhere", table(), LOG)


def test_the_repr_says_which_worker_it_is(tmp_path):
    assert repr(Shared(tmp_path, table(), LOG)) == "<Shared worker 0, 0 numbers>"
    second = Shared(tmp_path, table(), LOG)
    metrics(second)
    assert repr(second) == "<Shared worker 1, 1 numbers>"
