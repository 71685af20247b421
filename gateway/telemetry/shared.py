"""Numbers of several worker processes, in files that are memory: whoever is asked for the metrics adds them all up.

A worker maps its numbers from a file of its own and holds a lock on it, which the system takes away when the worker
ends, however it ends. What it has counted stays in the file: nothing is lost to `kill -9`. A worker that starts takes
over the file of one that is gone and counts on from there, so that a server that restarts its workers for months has no
more files than it ever had workers at one time, and no counter goes backwards while it lives.

For each worker there is `<n>.index`, one line of JSON per series, `[name, labels, at, width]`, and `<n>.cells`, the
numbers as doubles in the machine's own order. A line is written once its numbers have their place, so what a reader
finds in the index it finds in the cells.
"""

import errno
import fcntl
import mmap
import os
import tempfile
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from shutil import rmtree

from gateway.telemetry.instruments import Instrument
from gateway.telemetry.logs import Logger
from gateway.telemetry.registry import SEGMENT, Labels, Place, Private, Record
from gateway.wire import json

_BYTES = 8 * SEGMENT
_IN_MEMORY = Path("/dev/shm")  # noqa: S108 - the folder below it is made by mkdtemp, for this user alone
"""Where Linux keeps files that are never written to a disk, which a mapped file on one is, again and again."""


@contextmanager
def directory() -> Iterator[Path]:
    """A new folder for the workers of one server, for this user alone (0700); it is gone at the end of the block.

    Raises:
        OSError: no such folder can be made.
    """
    base = _IN_MEMORY if _IN_MEMORY.is_dir() and os.access(_IN_MEMORY, os.W_OK | os.X_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="guardrail-gateway-", dir=base))
    try:
        yield folder
    finally:
        rmtree(folder, ignore_errors=True)  # what a worker that is still ending holds open, it may go on using


class Shared:
    """A `Store` in a folder that other processes count in too.

    Where a file cannot grow, the series that would have stood there are counted in this process alone: the log says so,
    and no request fails.

    Args:
        folder: made by `directory`, the same for every worker.
        instruments: the table, by which a predecessor's gauges are known: they are set to 0.
        log: where it is told that a file cannot grow.

    Raises:
        OSError: the folder is not there or not to be written in.
    """

    shared = True

    def __init__(self, folder: Path, instruments: tuple[Instrument, ...], log: Logger) -> None:
        self.folder = folder
        self._log = log
        self._maps: list[memoryview[float]] = []
        self._index, self._cells, self.number = _claim(folder)
        self._before: dict[tuple[str, Labels], tuple[int, int]] = {}
        self._used = 0
        self._private: Private | None = None
        self._take_over({each.name for each in instruments if not each.lasting})

    def __repr__(self) -> str:
        fault = ", new series in this worker alone" if self._private else ""
        return f"<Shared worker {self.number}, {self._used} numbers{fault}>"

    def place(self, instrument: Instrument, labels: Labels) -> Place:
        """See `Store`."""
        before = self._before.pop((instrument.name, labels), None)
        if before is not None and before[1] == instrument.width:
            cells, at = self._cell(before[0])
            return Place(cells, at, tuple(cells[at : at + instrument.width].tolist()) if instrument.lasting else ())
        if self._private is None:
            try:
                return self._new(instrument, labels)
            except OSError as error:
                self._private = Private()
                self._log.warning("metrics_not_shared", folder=str(self.folder), reason=error.strerror or str(error))
        return self._private.place(instrument, labels)

    def _new(self, instrument: Instrument, labels: Labels) -> Place:
        at = self._used
        if at % SEGMENT + instrument.width > SEGMENT:
            at += SEGMENT - at % SEGMENT  # a series does not cross from one mapping into the next
        if at // SEGMENT >= len(self._maps):
            # Written rather than only made longer: a page that the file system has no room for when it is first
            # touched would end the process (SIGBUS).
            _write(self._cells, bytes(_BYTES), len(self._maps) * _BYTES)
            self._map()
        line = json.dumps([instrument.name, labels, at, instrument.width]) + b"\n"
        _write(self._index, line, os.fstat(self._index).st_size)
        self._used = at + instrument.width
        return Place(*self._cell(at))

    def _map(self) -> None:
        mapped = mmap.mmap(self._cells, _BYTES, offset=len(self._maps) * _BYTES)
        self._maps.append(memoryview(mapped).cast("d"))

    def _cell(self, at: int) -> tuple["memoryview[float]", int]:
        return self._maps[at // SEGMENT], at % SEGMENT

    def _take_over(self, passing: set[str]) -> None:
        """Map what a predecessor has left, remember its series, and end its gauges."""
        lines, whole = _lines(_read(self._index))
        os.ftruncate(self._index, whole)
        for _ in range(os.fstat(self._cells).st_size // _BYTES):
            self._map()
        for name, labels, at, width in lines:
            self._before[name, labels] = (at, width)
            self._used = max(self._used, at + width)
            if name in passing:
                cells, here = self._cell(at)
                cells[here] = 0.0

    def close(self) -> None:
        """Let go of the file, as the end of the process does; what was counted stays in it."""
        os.close(self._index)
        os.close(self._cells)

    def read(self) -> Iterator[Record]:
        """See `Store`."""
        for path in sorted(self.folder.glob("*.index")):
            with path.open("rb") as index:
                alive = not _lock(index.fileno(), fcntl.LOCK_SH)
                if not alive:
                    fcntl.flock(index, fcntl.LOCK_UN)  # at once, for a worker that starts now and wants it
                lines, _ = _lines(index.read())
            cells = array("d")
            raw = path.with_suffix(".cells").read_bytes()
            cells.frombytes(raw[: len(raw) - len(raw) % cells.itemsize])
            for name, labels, at, width in lines:
                yield Record(name, labels, tuple(cells[at : at + width]), alive)


def _claim(folder: Path) -> tuple[int, int, int]:
    """The first worker's files that nobody holds: those of one that is gone, else new ones."""
    for number in count():
        index = os.open(folder / f"{number}.index", os.O_RDWR | os.O_CREAT, 0o600)
        if _lock(index, fcntl.LOCK_EX):
            return index, os.open(folder / f"{number}.cells", os.O_RDWR | os.O_CREAT, 0o600), number
        os.close(index)
    raise AssertionError  # there is always a next number


def _lock(descriptor: int, kind: int) -> bool:
    """Whether the lock could be had; it is held until the file is closed."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(descriptor: int) -> bytes:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


def _write(descriptor: int, data: bytes, at: int) -> None:
    """Write all of `data`, or nothing.

    Raises:
        OSError: there is no room.
    """
    written = os.pwrite(descriptor, data, at)
    if written < len(data):
        os.ftruncate(descriptor, at)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _lines(index: bytes) -> tuple[list[tuple[str, Labels, int, int]], int]:
    """The whole lines of an index, and how many bytes they are: a worker may be killed as it writes one."""
    whole = index.rfind(b"\n") + 1
    found = [json.loads(line) for line in index[:whole].splitlines()]
    return [(name, tuple(labels), at, width) for name, labels, at, width in found], whole
