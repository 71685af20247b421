"""Usage records that did not come into the database, counted by why: for `/metrics`, `/health/ready` and the log."""

from collections.abc import Mapping
from threading import Lock
from typing import Final, Literal, get_args

Why = Literal["journal_full", "disk", "damaged", "refused", "not_begun", "fault"]
"""Why a record is missing.

`journal_full`: the journal was at its bound, and requests go on then. `disk`: the journal's disk took nothing for so
long that memory held no more. `damaged`: a line of the journal could not be read. `refused`: the database did not take
the row, which is in the journal's `refused.ndjson`. `not_begun`: the journal's folder could not be used. `fault`: no
record could be made of the request.
"""

REASONS: Final[tuple[Why, ...]] = get_args(Why)


class Losses:
    """Counts them, from any thread."""

    def __init__(self) -> None:
        self._counts: dict[Why, int] = dict.fromkeys(REASONS, 0)
        self._lock = Lock()

    def __repr__(self) -> str:
        return f"<Losses {', '.join(f'{why} {count}' for why, count in self._counts.items() if count) or 'none'}>"

    def add(self, why: Why, count: int = 1) -> None:
        """So many more."""
        with self._lock:
            self._counts[why] += count

    def of(self, why: Why) -> int:
        """How many for one reason."""
        return self._counts[why]

    @property
    def gone(self) -> int:
        """How many nobody has any more: those that the database refused are in a file."""
        return sum(self._counts.values()) - self._counts["refused"]

    def told(self) -> Mapping[tuple[str, ...], float]:
        """The counts by their reasons, as metrics are watched; reasons that never came up too."""
        return {(why,): float(count) for why, count in self._counts.items()}
