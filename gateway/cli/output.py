"""What the commands print: tables for people at a terminal, JSON for pipes, faults on standard error."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from gateway.errors import ConfigError
from gateway.wire import json

out = Console(soft_wrap=True, emoji=False)
err = Console(stderr=True, soft_wrap=True, emoji=False)


class Format(StrEnum):
    """How a command prints what it found."""

    TABLE = "table"
    JSON = "json"


def in_json(form: Format | None, asked: bool = False) -> bool:
    """JSON when either option asks for it; when neither says, as `wants_json`."""
    return form is Format.JSON if form is not None else wants_json(asked)


def wants_json(asked: bool) -> bool:
    """JSON when asked for, and when nobody is looking."""
    return asked or not sys.stdout.isatty()


def as_json(value: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(value).decode() + "\n")


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], numbers: int = 0) -> None:
    """A table, with no more decoration than it needs; its last `numbers` columns hold numbers."""
    made = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for place, name in enumerate(columns):
        made.add_column(name, justify="right" if place >= len(columns) - numbers else "left")
    for row in rows:
        made.add_row(*map(Text, row))
    out.print(made)


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[], None]]:
    """While the block runs, a bar on standard error where that is a terminal; what it gives out is called after each
    of `total` steps."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)


def pairs(values: Mapping[str, str]) -> None:
    """Names and values, aligned."""
    width = max(map(len, values), default=0)
    for name, value in values.items():
        out.print(f"[bold]{name:<{width}}[/bold]  ", end="")
        out.print(value, markup=False, highlight=False)


def say(line: str) -> None:
    """One plain line."""
    out.print(line, markup=False, highlight=False)


def faults(error: ConfigError) -> None:
    """Every fault on its own line, on standard error."""
    for fault in error.faults:
        err.print(fault, markup=False, highlight=False)


def warnings(said: Iterable[str]) -> None:
    """Warnings on standard error."""
    for warning in said:
        err.print("[yellow]warning:[/yellow] ", end="")
        err.print(warning, markup=False, highlight=False)
