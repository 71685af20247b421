"""What the commands of administration share: the work is done in the configured database, without a running server.

A gateway that is running knows of every change within two seconds, and of a new key when it is first used.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer

from gateway.cli import output
from gateway.config.model import Settings
from gateway.errors import ConfigError, GatewayError
from gateway.ledger import reading
from gateway.ledger.keys import Database
from gateway.serving.worker import loaded

T = TypeVar("T")

Work = Callable[[Settings, Database], Awaitable[T]]

MaxUsd = Annotated[float | None, typer.Option(help="Budget in US dollars.")]
MaxTokens = Annotated[int | None, typer.Option(help="Budget in tokens.")]
Period = Annotated[str | None, typer.Option(help="Period of the budget, such as 1d or 1mo; for ever when left out.")]
Rpm = Annotated[int | None, typer.Option(help="Requests per minute.")]
Rph = Annotated[int | None, typer.Option(help="Requests per hour.")]
Rpd = Annotated[int | None, typer.Option(help="Requests per day.")]
Tpm = Annotated[int | None, typer.Option(help="Tokens per minute.")]
Tph = Annotated[int | None, typer.Option(help="Tokens per hour.")]
Tpd = Annotated[int | None, typer.Option(help="Tokens per day.")]
MaxParallel = Annotated[int | None, typer.Option(help="Requests at a time.")]
Clear = Annotated[list[str], typer.Option(metavar="FIELD", help="A field to take away, such as budget or limits.")]


def run(config: Path | None, work: Work[T], as_json: bool) -> T:
    """What `work` gives back, done in the database of a configuration; faults end the command with status 1."""

    async def done() -> T:
        settings = loaded(config).settings
        reading.check(settings.general.database_url)
        database = Database(settings.general.database_url)
        try:
            return await work(settings, database)
        finally:
            await database.close()

    try:
        return asyncio.run(done())
    except ConfigError as error:
        output.faults(error)
        raise typer.Exit(1) from error
    except GatewayError as error:
        _refused(error, as_json)


def _refused(error: GatewayError, as_json: bool) -> NoReturn:
    if output.wants_json(as_json):
        output.as_json(error.body())
    output.err.print(error.message, markup=False, highlight=False)
    raise typer.Exit(1) from error


def bounds(
    max_usd: float | None,
    max_tokens: int | None,
    period: str | None,
    **limits: int | None,
) -> dict[str, Any]:
    """The budget and the limits that were given, as fields of a request; `limits` by their names in one."""
    budget: dict[str, Any] = {"max_usd": max_usd, "max_tokens": max_tokens, "period": period}
    if period is not None and max_usd is None and max_tokens is None:
        raise typer.BadParameter("goes with --max-usd or --max-tokens", param_hint="--period")
    parts = {"budget": budget, "limits": limits}
    found = {name: {key: each for key, each in part.items() if each is not None} for name, part in parts.items()}
    return {name: part for name, part in found.items() if part}


def show(said: Mapping[str, Any], as_json: bool) -> None:
    """One thing with its fields; those that are empty are left out at a terminal."""
    if output.wants_json(as_json):
        output.as_json(said)
    else:
        output.pairs({name: cell(value) for name, value in said.items() if value not in (None, [], {})})


def cell(value: Any) -> str:
    """A value as people read it."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {each}" for name, each in value.items() if each is not None)
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return {None: "", True: "yes", False: "no"}.get(value, str(value))
