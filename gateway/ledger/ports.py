"""What the ledger wants of others."""

from typing import Any, Protocol


class Log(Protocol):
    """A structured log: an event's name, and its attributes. It is called from two threads."""

    def info(self, event: str, **attributes: Any) -> Any:
        """Something to know."""

    def warning(self, event: str, **attributes: Any) -> Any:
        """Something to look at."""

    def error(self, event: str, **attributes: Any) -> Any:
        """Something to act upon."""
