"""A log whose own faults stop nobody, and what it is told of faults of this program.

Who reads a log may be gone: its pipe is broken, its disk is full. What is written to it is lost then, and nothing is
there to say so; records go on being appended and shipped, and requests being answered.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from traceback import extract_tb
from typing import Any, Final

from gateway.ledger.ports import Log

_DEEPEST: Final = 8


class Steady:
    """A `gateway.ledger.ports.Log` that hands everything on.

    Args:
        log: whose faults are kept from those who write to it: those of writing (`OSError`), and of a file that is
            closed (`ValueError`).
    """

    def __init__(self, log: Log) -> None:
        self._log = log

    def info(self, event: str, **attributes: Any) -> None:
        """See `Log`."""
        _write(self._log.info, event, attributes)

    def warning(self, event: str, **attributes: Any) -> None:
        """See `Log`."""
        _write(self._log.warning, event, attributes)

    def error(self, event: str, **attributes: Any) -> None:
        """See `Log`."""
        _write(self._log.error, event, attributes)


def _write(write: Callable[..., Any], event: str, attributes: dict[str, Any]) -> None:
    with suppress(OSError, ValueError):
        write(event, **attributes)


def places(error: BaseException) -> list[str]:
    """Where an exception was raised, the innermost last: files and lines, and never what it says, which may be about a
    person."""
    return [f"{Path(frame.filename).name}:{frame.lineno}" for frame in extract_tb(error.__traceback__)][-_DEEPEST:]
