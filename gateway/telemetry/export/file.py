"""OTLP/JSON lines in a file, for machines without a way out: one `ExportTraceServiceRequest` a line, as the
OpenTelemetry Collector's file exporter writes them and its `otlpjsonfile` receiver reads them.

Several processes may write to one file: each takes a lock on it for one write, and notices when another has begun a
new one.
"""

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path

from gateway.telemetry.export import otlp_json
from gateway.telemetry.export.aside import aside
from gateway.telemetry.export.batches import Batches, Limits, Outcome
from gateway.telemetry.export.trouble import Trouble
from gateway.telemetry.logs import Logger
from gateway.telemetry.span import Span

KEPT = 5
"""Full files that are kept beside the one being written: `name.1` is the newest of them."""


class FileExporter:
    """Appends spans to a file, in a thread; the event loop only encodes them.

    Args:
        path: the file; its folder exists.
        most: bytes after which a new file is begun.
        resource, scope: encoded by `otlp_json`.
        log: where trouble is told.
        limits: how much waits and how long.
    """

    def __init__(
        self, path: Path, most: int, resource: bytes, scope: bytes, log: Logger, limits: Limits | None = None
    ) -> None:
        self._path, self._most = path, most
        self._resource, self._scope = resource, scope
        self._batches = Batches(self._send, Trouble(log, str(path)), limits or Limits())

    def __repr__(self) -> str:
        return f"<FileExporter {self._batches!r}>"

    def start(self) -> None:
        """See `Exporter`."""
        self._batches.start()

    def add(self, spans: Sequence[Span]) -> None:
        """Encode spans now; they are written soon."""
        self._batches.put([otlp_json.span(one) for one in spans])

    async def flush(self) -> None:
        """See `Exporter`."""
        await self._batches.flush()

    async def close(self, seconds: float) -> None:
        """See `Exporter`."""
        await self._batches.close(seconds)

    def dropped(self) -> int:
        """See `Exporter`."""
        return self._batches.dropped

    async def _send(self, batch: list[bytes]) -> Outcome:
        line = otlp_json.traces(self._resource, self._scope, batch) + b"\n"
        try:
            await aside(lambda: append(self._path, line, self._most))
        except OSError as error:
            return Outcome(again=True, reason=f"the file cannot be written: {error.strerror or type(error).__name__}")
        return Outcome()


def append(path: Path, line: bytes, most: int) -> None:
    """Write `line` whole at the end of `path`, or not at all; a file that it would make larger than `most` bytes is
    set aside first. Only the owner may read what is created.

    Raises:
        OSError: no such folder, no right to write, no space.
    """
    while True:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if not _is(path, handle):
                continue  # another process began a new one while this one waited
            size = os.fstat(handle).st_size
            if size and size + len(line) > most:
                _set_aside(path)
                continue
            _write(handle, line, size)
            return
        finally:
            os.close(handle)


def _is(path: Path, handle: int) -> bool:
    """Is the open file still the one at `path`?"""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _set_aside(path: Path) -> None:
    """`name` becomes `name.1`, that one `name.2`, and the oldest goes; the lock is held."""
    for number in range(KEPT - 1, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number + 1}"))
    path.replace(path.with_name(f"{path.name}.1"))


def _write(handle: int, line: bytes, size: int) -> None:
    rest = memoryview(line)
    try:
        while rest:
            rest = rest[os.write(handle, rest) :]
    except OSError:
        os.ftruncate(handle, size)  # half a line would spoil the next one
        raise
