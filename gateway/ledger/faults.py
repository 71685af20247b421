"""What the log is told of faults of this program."""

from pathlib import Path
from traceback import extract_tb
from typing import Final

_DEEPEST: Final = 8


def places(error: BaseException) -> list[str]:
    """Where an exception was raised, the innermost last: files and lines, and never what it says, which may be about a
    person."""
    return [f"{Path(frame.filename).name}:{frame.lineno}" for frame in extract_tb(error.__traceback__)][-_DEEPEST:]
