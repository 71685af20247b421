"""The journal: files that records are appended to before an answer ends, and that are deleted once they are shipped.

Each worker writes files ("segments") of its own, `<time>-<random>.jsonl`, a name that is never used twice, and holds a
lock (flock) on them, which the system takes away when the process ends, however it ends. A segment that nobody holds is
shipped and deleted by whichever worker of the machine finds it. The folder must be on a local disk.

A record is one write(2) of one line. It is in the page cache then, which outlives `kill -9` of the process; the system
may lose it to a power failure until the ledger's thread has called `sync` a fraction of a second later. What a failing
disk does not take is held in memory, in order, up to `HELD_LINES`, and written as soon as it takes it.
"""

import errno
import fcntl
import os
import re
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex

from gateway.ledger.losses import Losses

SUFFIX = ".jsonl"
REFUSED = "refused.ndjson"
"""The file of rows that the database did not take, for the operator to look at."""

_NAME = re.compile(r"[0-9a-f]{16}-[0-9a-f]{16}\.jsonl")
"""What segments are called. A folder may be an operator's own: no other file in it is read or deleted."""

HELD_LINES = 10_000
READ_BYTES = 1 << 18


@dataclass(slots=True)
class Segment:
    """One file: its open descriptor, the bytes of whole lines in it, and how many of them are known to be shipped."""

    path: Path
    descriptor: int
    size: int = 0
    shipped: int = 0
    opened: float = field(default_factory=time.monotonic)
    synced: int = 0

    @property
    def name(self) -> str:
        """What the database knows it by."""
        return self.path.stem


class Journal:
    """One worker's part of a journal's folder. Some threads append; another rotates, reads and deletes.

    Args:
        folder: made if it is not there, for this user alone (0700).
        losses: counts records that memory does not hold any more.

    Raises:
        OSError: the folder cannot be written in.
    """

    def __init__(self, folder: Path, losses: Losses | None = None) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._held: deque[bytes] = deque()
        self._torn = self._closed = False
        self._losses = losses or Losses()
        self.active = self._open()
        self.sealed: list[Segment] = []

    def __repr__(self) -> str:
        held = f", {len(self._held)} records held in memory" if self._held else ""
        return f"<Journal {self.folder}, {self.waiting()} bytes wait{held}, {self.lost} records lost>"

    @property
    def held(self) -> int:
        """Records that the disk did not take so far."""
        return len(self._held)

    @property
    def lost(self) -> int:
        """Records that neither the disk nor memory took."""
        return self._losses.of("disk")

    def append(self, line: bytes) -> None:
        """Write one line, its newline included; returns when a `kill -9` can no longer lose it.

        Raises:
            OSError: the disk does not take it; it is held in memory, and lost when too many are held already.
            RuntimeError: the journal is closed; nothing is written.
        """
        with self._lock:
            if self._closed:
                raise RuntimeError("the journal is closed")
            if self._held:
                self._hold(line)
                self._write_held()
                return
            try:
                self._write(line)
            except OSError:
                self._hold(line)
                raise

    def retry(self) -> None:
        """Write what is held in memory.

        Raises:
            OSError: the disk still does not take it.
        """
        with self._lock:
            self._write_held()

    def _hold(self, line: bytes) -> None:
        if len(self._held) >= HELD_LINES:
            self._losses.add("disk")
        else:
            self._held.append(line)

    def _write_held(self) -> None:
        while self._held:
            self._write(self._held[0])
            self._held.popleft()

    def _write(self, line: bytes) -> None:
        active = self.active
        # After a line that stayed torn, the newline ends it: it counts as damaged, and the next one does not.
        data = b"\n" + line if self._torn else line
        written = os.write(active.descriptor, data)
        if written < len(data):
            try:
                os.ftruncate(active.descriptor, active.size)
            except OSError:
                self._torn, active.size = True, active.size + written
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._torn = False
        active.size += written

    def _open(self) -> Segment:
        while True:
            path = self.folder / f"{time.time_ns():016x}-{token_hex(8)}{SUFFIX}"
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND
            descriptor = os.open(path, flags, 0o600)
            # Another worker may take the new file for an orphan before it is locked, and delete it: then another one.
            if _lock(descriptor):
                return Segment(path, descriptor)
            os.close(descriptor)

    def rotate(self) -> None:
        """Go on in a new segment; the one before is sealed, to be shipped and removed. Nothing where it is empty.

        Raises:
            OSError: no file can be made; the old one goes on.
        """
        if not self.active.size:
            return
        fresh = self._open()
        with self._lock:
            before, self.active, self._torn = self.active, fresh, False
        self.sealed.append(before)

    @property
    def empty(self) -> bool:
        """Whether this worker has nothing on the disk."""
        return not any(segment.size for segment in self.own())

    def own(self) -> list[Segment]:
        """This worker's segments, the oldest first."""
        return [*self.sealed, self.active]

    def waiting(self) -> int:
        """Bytes of this worker that are not known to be shipped."""
        active, sealed = self.active, self.sealed
        waiting = active.size - active.shipped
        return waiting + sum([one.size - one.shipped for one in sealed]) if sealed else waiting

    def others(self) -> int:
        """Bytes in the segments of other workers, alive or not."""
        mine = {segment.path for segment in self.own()}
        total = 0
        for path in self._paths():
            if path not in mine:
                try:
                    total += path.stat().st_size
                except FileNotFoundError:
                    continue  # shipped and deleted by another worker just now
        return total

    def orphans(self) -> Iterator[Segment]:
        """Segments of workers that are gone, the oldest first; each is locked, and is to be removed or released."""
        mine = {segment.path for segment in self.own()}
        for path in self._paths():
            if path in mine:
                continue
            try:
                descriptor = os.open(path, os.O_RDWR)
            except FileNotFoundError:
                continue
            if _lock(descriptor):
                yield Segment(path, descriptor, os.fstat(descriptor).st_size)
            else:
                os.close(descriptor)

    def _paths(self) -> list[Path]:
        return sorted(path for path in self.folder.glob(f"*{SUFFIX}") if _NAME.fullmatch(path.name))

    def sync(self) -> None:
        """Make what is written outlive a power failure.

        Raises:
            OSError: the disk fails.
        """
        for segment in self.own():
            size = segment.size
            if size > segment.synced:
                if not segment.synced:
                    _sync_folder(self.folder)
                os.fsync(segment.descriptor)
                segment.synced = size

    def remove(self, segment: Segment) -> None:
        """Delete a segment that is shipped, for good: it will not come back after a power failure. Release it then.

        Raises:
            OSError: it cannot be deleted.
        """
        segment.path.unlink(missing_ok=True)
        _sync_folder(self.folder)

    def release(self, segment: Segment) -> None:
        """Let go of a segment: one that is still there is anybody's."""
        if segment in self.sealed:
            self.sealed.remove(segment)
        os.close(segment.descriptor)

    def close(self) -> None:
        """Let go of every segment, as the end of the process does; an empty one is deleted."""
        with self._lock:
            self._closed = True
            for segment in self.own():
                if not segment.size:
                    segment.path.unlink(missing_ok=True)
                os.close(segment.descriptor)

    def abandon(self) -> None:
        """Let go of every segment in a process that was forked from the one that writes them: that one keeps them."""
        self._closed = True
        for segment in self.own():
            os.close(segment.descriptor)


def read(segment: Segment, start: int, most: int) -> tuple[list[bytes], int]:
    """At most so many whole lines of a segment from a byte on, without their newlines, and the byte they end at.

    A last line without a newline was being written when its worker was killed, before the client had its answer: it is
    not read.
    """
    size = READ_BYTES
    data = _chunk(segment, start, size)
    while b"\n" not in data and len(data) == size:
        size *= 2
        data = _chunk(segment, start, size)
    lines: list[bytes] = []
    at = 0
    while len(lines) < most and (end := data.find(b"\n", at)) >= 0:
        if end > at:
            lines.append(data[at:end])
        at = end + 1
    return lines, start + at


def _chunk(segment: Segment, start: int, size: int) -> bytes:
    return os.pread(segment.descriptor, min(size, max(0, segment.size - start)), start)


def _lock(descriptor: int) -> bool:
    """Whether the file is ours now: nobody holds it, and nobody has deleted it before we did."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return os.fstat(descriptor).st_nlink > 0


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
