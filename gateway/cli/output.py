"""What the commands print: tables for people at a terminal, JSON for pipes, faults on standard error."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.errors import ConfigError
from gateway.wire import json

out = Console(soft_wrap=True, emoji=False)
err = Console(stderr=True, soft_wrap=True, emoji=False)


def wants_json(asked: bool) -> bool:
    """JSON when asked for, and when nobody is looking."""
    return asked or not sys.stdout.isatty()


def as_json(value: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(value).decode() + "\n")


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table, with no more decoration than it needs."""
    made = Table(*columns, title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for row in rows:
        made.add_row(*map(Text, row))
    out.print(made)


def pairs(values: Mapping[str, str]) -> None:
    """Names and values, aligned."""
    width = max(map(len, values), default=0)
    for name, value in values.items():
        out.print(f"[bold]{name:<{width}}[/bold]  ", end="")
        out.print(value, markup=False, highlight=False)


def faults(error: ConfigError) -> None:
    """Every fault on its own line, on standard error."""
    for fault in error.faults:
        err.print(fault, markup=False, highlight=False)


def warnings(said: Iterable[str]) -> None:
    """Warnings on standard error."""
    for warning in said:
        err.print("[yellow]warning:[/yellow] ", end="")
        err.print(warning, markup=False, highlight=False)
