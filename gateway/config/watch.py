"""Whether files have changed since they were last looked at: polled, no threads, one `stat` per file."""

import os
from collections.abc import Iterable
from pathlib import Path

_Mark = tuple[int, int, int] | None


def _mark(path: str) -> _Mark:
    """Modification time in ns, size and inode, of what the path leads to; None when there is no such file."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


class Watcher:
    """Watches `paths`. A file replaced by a rename, or reached through a link that moved (as Kubernetes updates
    mounted settings), counts as changed; so does one that appears or goes."""

    def __init__(self, paths: Iterable[str | Path]) -> None:
        self._marks = {os.fspath(path): _mark(os.fspath(path)) for path in paths}

    def __repr__(self) -> str:
        return f"<Watcher {', '.join(self._marks)}>"

    def changed(self) -> bool:
        """Has one of the files changed since the watcher was made or since this was last True?"""
        now = {path: _mark(path) for path in self._marks}
        if now == self._marks:
            return False
        self._marks = now
        return True
