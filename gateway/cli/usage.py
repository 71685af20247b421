"""`gateway usage`: who used what, read from the configured database, with or without a running gateway."""

import re
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli import output
from gateway.cli.options import ConfigOption
from gateway.errors import ConfigError
from gateway.ledger.reading import Reading, read
from gateway.ledger.reports import Sums, usage_csv, usage_json
from gateway.serving.worker import loaded

NOBODY = "(none)"
BARS = "▁▂▃▄▅▆▇█"
WIDTH = 30
"""Characters of a sparkline at the most; more days than that share them."""

_NUMBERS = ("requests", "tokens in", "out", "USD", "errors", "blocked")
_NUMBERS_WIDTH = 58

_SINCE = re.compile(r"([1-9][0-9]{0,4})(d|w)")
_DAYS = {"d": 1, "w": 7}

_MEASURES: tuple[tuple[str, Callable[[Sums], Decimal]], ...] = (
    ("cost", lambda sums: sums.cost),
    ("tokens", lambda sums: Decimal(sums.input_tokens + sums.output_tokens)),
    ("requests", lambda sums: Decimal(sums.requests)),
)
"""What a sparkline may show: the first that is not nothing everywhere."""


class Dimension(StrEnum):
    """What usage is summed up by."""

    USER = "user"
    MODEL = "model"
    PROVIDER = "provider"
    KEY = "key"
    TAG = "tag"
    DAY = "day"


class Form(StrEnum):
    """How it is printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def usage(
    by: Annotated[Dimension, typer.Option(help="What usage is summed up by.")] = Dimension.USER,
    since: Annotated[
        str, typer.Option(metavar="WHEN", help="7d and 4w: so many UTC days up to today; a day; or all.")
    ] = "7d",
    form: Annotated[
        Form | None, typer.Option("--format", help="A table at a terminal and JSON elsewhere when left out.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="Rows of a table; JSON and CSV have all.")] = 40,
    config: ConfigOption = None,
) -> None:
    """Show who used what: requests, tokens and cost, from the configured database.

    Works while a gateway runs, and when none does. A request is in the database a fraction of a second after its
    answer.

    \b
    gateway usage --config config.yaml
    gateway usage --by model --since 30d --format csv
    gateway usage --by day --since 2026-01-01
    """
    today = datetime.now(UTC).date()
    first = _first(since, today)
    if form is None:
        form = Form.JSON if output.wants_json(False) else Form.TABLE
    try:
        found = _read(config, by, first, limit if form is Form.TABLE else 0)
    except ConfigError as error:
        output.faults(error)
        raise typer.Exit(1) from error
    if form is Form.JSON:
        output.as_json(usage_json(found.report))
    elif form is Form.CSV:
        sys.stdout.write(usage_csv(found.report))
    else:
        _show(found, first, today, limit)


def _read(config: Path | None, by: Dimension, first: date | None, leading: int) -> Reading:
    return read(loaded(config).settings.general.database_url, by.value, first, None, leading)


def _first(since: str, today: date) -> date | None:
    """The first day that `--since` asks for; None for all."""
    if since == "all":
        return None
    if found := _SINCE.fullmatch(since):
        days = int(found[1]) * _DAYS[found[2]]
        return date.fromordinal(max(1, today.toordinal() - days + 1))
    try:
        return date.fromisoformat(since)
    except ValueError:
        raise typer.BadParameter("write 7d, 4w, a day such as 2026-01-31, or all", param_hint="--since") from None


def _show(found: Reading, first: date | None, today: date, limit: int) -> None:
    report = found.report
    span = f"since {first}" if first else "since the beginning"
    if not report.lines:
        output.say(f"No requests are recorded {span} (UTC days); --since all looks at every day there is.")
        return
    lines = report.lines[-limit:] if report.by == "day" else report.lines[:limit]
    measure, value = next((row for row in _MEASURES if row[1](report.total)), _MEASURES[-1])
    width = max(7, min(WIDTH, (output.out.width - _NUMBERS_WIDTH) // 2))
    if report.by == "day":
        most = max(value(sums) for _, sums in lines)
        shown = [bar(value(sums), most, width) for _, sums in lines]
    else:
        days = _days(found, first, today)
        shown = [sparkline([value(found.trends[name].get(day, Sums())) for day in days], width) for name, _ in lines]
    rows = [[_name(name), drawn, *_numbers(sums)] for (name, sums), drawn in zip(lines, shown, strict=True)]
    rows.append(["total", "", *_numbers(report.total)])
    output.say(f"Usage by {report.by} {span} (UTC days)")
    output.table("", (report.by, measure, *_NUMBERS), rows, len(_NUMBERS))
    if left := len(report.lines) - len(lines):
        which = "earlier days" if report.by == "day" else "with less"
        output.say(f"{left} more, {which}: --limit {min(500, len(report.lines))}, or --format csv for all.")


def _days(found: Reading, first: date | None, today: date) -> list[date]:
    """Every day of the report, those on which nothing was used too."""
    used = [day for days in found.trends.values() for day in days]
    start = first if first is not None else min(used, default=today)
    return [start + timedelta(days=number) for number in range((max([today, *used]) - start).days + 1)]


def sparkline(values: Sequence[Decimal], width: int = WIDTH) -> str:
    """Values in order as bars, the largest the highest; those of more than `width` are added up in groups. What is
    nothing is a blank."""
    size = -(-len(values) // width) if values else 1
    groups = [sum(values[start : start + size], Decimal(0)) for start in range(0, len(values), size)]
    most = max(groups, default=Decimal(0))
    return "".join(_bar(group, most) for group in groups)


def _bar(value: Decimal, most: Decimal) -> str:
    return BARS[min(len(BARS) - 1, int(value * len(BARS) / most))] if value > 0 else " "


def bar(value: Decimal, most: Decimal, width: int = WIDTH) -> str:
    """A value as one bar that lies, the largest the longest."""
    return "█" * max(1, round(value * width / most)) if value > 0 else ""


def _numbers(sums: Sums) -> list[str]:
    used = [f"{count:,}" for count in (sums.requests, sums.input_tokens, sums.output_tokens)]
    return [*used, money(sums), f"{sums.errors:,}", f"{sums.blocked:,}"]


def money(sums: Sums) -> str:
    """A cost, with as many digits as it takes to see it; one that leaves requests out whose price is unknown ends with
    a plus."""
    cost = sums.cost
    if cost == 0 or cost >= Decimal("0.01"):
        said = f"{cost:,.2f}"
    elif cost >= Decimal("0.000001"):
        said = f"{cost:.6f}"
    else:
        said = "<0.000001"
    return f"{said}+" if sums.unpriced else said


def _name(name: str) -> str:
    """A name that does nothing to a terminal."""
    return "".join(char if char.isprintable() else "?" for char in name) or NOBODY
