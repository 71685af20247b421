"""What a configuration wants of the ledger."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from gateway.config.model import Settings

WhenFull = Literal["refuse", "go_on"]
"""What happens when the journal is at its bound: requests are refused (503), or served and not recorded."""

_SQLITE = "sqlite://"


@dataclass(frozen=True, slots=True)
class Options:
    """Where usage is kept, and for how long.

    `database_url` starts with `sqlite:///` or `postgresql://`. `folder` is the journal's, on a local disk, shared by
    the workers of one machine. `max_bytes` bounds what waits in it, of all workers together; `when_full` says what
    happens then. Records are deleted after `retention_days`, roll-ups by day after `rollup_days`; None keeps them.
    `linger` is how many seconds records gather before they are shipped together.
    """

    database_url: str = field(repr=False)
    folder: Path
    max_bytes: int = 1 << 30
    when_full: WhenFull = "go_on"
    retention_days: int | None = None
    rollup_days: int | None = None
    linger: float = 0.2


def default_folder(database_url: str) -> Path:
    """The journal's folder where none is configured: `gateway.db-ledger` beside the SQLite file `gateway.db`, else
    `gateway-ledger` in the working directory."""
    file = database_url.removeprefix(f"{_SQLITE}/").partition("?")[0] if database_url.startswith(_SQLITE) else ""
    return Path("gateway-ledger") if file in ("", _SQLITE, ":memory:") else Path(f"{file}-ledger")


def options(settings: Settings) -> Options:
    """The options of a configuration."""
    chosen, url = settings.ledger, settings.general.database_url
    return Options(
        url,
        Path(chosen.folder) if chosen.folder else default_folder(url),
        chosen.max_bytes,
        chosen.when_full,
        chosen.retention_days,
        chosen.rollup_days,
    )


def named(settings: Settings) -> bool:
    """Whether a configuration says where usage is to be kept, rather than leaving it to defaults."""
    return bool(settings.ledger.model_fields_set) or "database_url" in settings.general.model_fields_set
