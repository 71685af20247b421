"""The ledger's database as a program reads it that has no ledger running: a command, beside a server or without one.

Nothing is shipped and nothing is written: what a running gateway has in its journal is there a fraction of a second
later, and what one that is gone has left is shipped by the next one that starts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from gateway.errors import ConfigError
from gateway.ledger.reports import Report, Sums
from gateway.ledger.tally import By
from gateway.ledger.urls import in_memory, sqlite_file

Trends = Mapping[str, Mapping[date, Sums]]
"""For each name, what it used on each day on which it used something."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A report, and the days of those of its names that lead it."""

    report: Report
    trends: Trends


def check(url: str) -> None:
    """Refuse a database that a program of its own could neither read nor change.

    Raises:
        ConfigError: it is in the memory of the process that uses it.
    """
    if in_memory(url):
        raise ConfigError(
            [
                "general_settings.database_url: this database is in a gateway's memory, where no other program reaches "
                "it; ask the gateway at /admin, or name a file, such as sqlite:///gateway.db"
            ]
        )


def read(url: str, by: By, since: date | None = None, until: date | None = None, leading: int = 0) -> Reading:
    """Usage by one dimension, and for its first `leading` names, day by day.

    Raises:
        ConfigError: there is no such database, nothing has been recorded in it, or it cannot be used; what to do.
    """
    check(url)
    file = sqlite_file(url)
    if file is not None and not file.exists():
        raise ConfigError(
            [
                f"there is no database {file}: a gateway makes it with its first request; "
                "name its configuration with --config, and run this in its working directory"
            ]
        )
    from gateway.ledger import database, queries

    try:
        engine = database.engine(url)
        try:
            if not database.is_there(engine):
                raise ConfigError(
                    [
                        "nothing has been recorded in this database: start a gateway with this configuration; "
                        "check general_settings.database_url if one is running"
                    ]
                )
            report = queries.usage(engine, by, since, until)
            names = [] if by == "day" else [name for name, _ in report.lines[:leading]]
            return Reading(report, queries.trends(engine, by, names, since, until) if names else {})
        finally:
            engine.dispose()
    except Exception as error:
        if not database.expected(error):
            raise
        raise ConfigError([f"general_settings.database_url: {database.reason(error)}"]) from error
