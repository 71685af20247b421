"""Spans in a file, as the Collector's file exporter writes them."""

import errno
import multiprocessing
import os
import stat
from pathlib import Path

import orjson
import pytest

from gateway.telemetry.export import file
from gateway.telemetry.export.batches import Limits
from gateway.telemetry.export.file import KEPT, FileExporter, append
from tests.routing.servers import looped
from tests.telemetry.export.kit import LOG, RESOURCE, SCOPE, running, spans, troubles, until

MANY = 100 * 1024 * 1024


def exporter(path: Path, most: int = MANY) -> FileExporter:
    return FileExporter(path, most, RESOURCE, SCOPE, LOG, Limits(wait=0.01, backoff=0.01))


def names(path: Path) -> list[str]:
    return [
        one["name"]
        for line in path.read_bytes().splitlines()
        for one in orjson.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"]
    ]


@looped
async def test_each_line_is_a_whole_request(tmp_path: Path) -> None:
    made = exporter(tmp_path / "spans.jsonl")
    async with running(made):
        made.add(spans(2))
        await made.flush()
        made.add(spans(1))
        await made.flush()
    data = (tmp_path / "spans.jsonl").read_bytes()
    assert data.endswith(b"]}]}]}\n")
    assert data.count(b"\n") == 2
    assert names(tmp_path / "spans.jsonl") == ["span 0", "span 1", "span 0"]
    assert made.dropped() == 0


@looped
async def test_a_close_writes_what_waits(tmp_path: Path) -> None:
    made = FileExporter(tmp_path / "s", MANY, RESOURCE, SCOPE, LOG, Limits(wait=3600))
    made.start()
    made.add(spans(3))
    await made.close(5)
    assert len(names(tmp_path / "s")) == 3


@looped
async def test_a_folder_that_is_gone_loses_nothing_once_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "away" / "spans.jsonl"
    made = exporter(path)
    async with running(made):
        made.add(spans(2))
        await until(lambda: troubles(caplog))
        path.parent.mkdir()
        await made.flush()
    assert names(path) == ["span 0", "span 1"]
    assert troubles(caplog) == [("the file cannot be written: No such file or directory", 0)]


def test_a_file_that_would_be_too_large_is_set_aside_and_the_oldest_goes(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    for number in range(KEPT + 3):
        append(path, b"%07d\n" % number, 10)
    found = {each.name: int(each.read_bytes()) for each in tmp_path.iterdir()}
    assert found == {"spans.jsonl": KEPT + 2, **{f"spans.jsonl.{n}": KEPT + 2 - n for n in range(1, KEPT + 1)}}


def test_a_line_longer_than_a_file_may_be_has_a_file_of_its_own(tmp_path: Path) -> None:
    for line in (b"a\n", b"b" * 100 + b"\n", b"c\n"):
        append(tmp_path / "s", line, 10)
    assert [(tmp_path / name).stat().st_size for name in ("s", "s.1", "s.2")] == [2, 101, 2]


def test_only_the_owner_may_read_what_is_written(tmp_path: Path) -> None:
    append(tmp_path / "s", b"a\n", MANY)
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600


def test_a_disk_without_space_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s"
    append(path, b"whole\n", MANY)
    write = os.write

    def full(handle: int, data: memoryview) -> int:
        if len(data) > 3:
            return write(handle, data[:3])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(file.os, "write", full)
    with pytest.raises(OSError, match="No space"):
        append(path, b"cut\n..", MANY)
    monkeypatch.undo()
    append(path, b"next\n", MANY)
    assert path.read_bytes() == b"whole\nnext\n"


def _writes(path: Path, who: int) -> None:
    for number in range(200):
        append(path, b"%d %03d %s\n" % (who, number, b"x" * 50), 4096)


def test_several_processes_write_one_file_and_lose_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "KEPT", 100)
    path = tmp_path / "s"
    fork = multiprocessing.get_context("fork")
    workers = [fork.Process(target=_writes, args=(path, who)) for who in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    lines = [line for each in tmp_path.iterdir() for line in each.read_bytes().splitlines()]
    assert sorted(lines) == sorted(b"%d %03d %s" % (w, n, b"x" * 50) for w in range(3) for n in range(200))
    assert all(each.stat().st_size <= 4096 for each in tmp_path.iterdir())
