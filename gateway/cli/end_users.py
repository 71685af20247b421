"""`gateway end-users`: whom requests are for, blocked and given budgets."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from gateway.cli import output
from gateway.cli.administering import (
    Clear,
    MaxParallel,
    MaxTokens,
    MaxUsd,
    Period,
    Rpd,
    Rph,
    Rpm,
    Tpd,
    Tph,
    Tpm,
    Work,
    bounds,
    cell,
    run,
    show,
)
from gateway.cli.options import ConfigOption, JsonOption
from gateway.config.model import Settings
from gateway.errors import InvalidValue
from gateway.identity import administration
from gateway.identity.end_users import naming
from gateway.identity.requests import EndUserChange, made
from gateway.ledger.keys import Database, SqlEndUsers
from gateway.principal import clean_name

end_users_app = typer.Typer(help="End users: whom requests are for.", no_args_is_help=True)

UserArgument = Annotated[str, typer.Argument(metavar="NAME", help="The end user.")]


@end_users_app.command("list")
def list_end_users(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the end users something is laid down for."""

    async def work(_settings: Settings, database: Database) -> list[dict[str, Any]]:
        return [administration.shown_end_user(record) for record in await SqlEndUsers(database).list()]

    rows = run(config, work, as_json)
    if output.wants_json(as_json):
        output.as_json({"data": rows})
        return
    columns = ("id", "blocked", "budget", "limits", "updated_at")
    output.table(f"{len(rows)} end users", columns, [[cell(row[name]) for name in columns] for row in rows])


@end_users_app.command("block")
def block(
    name: UserArgument,
    unblock: Annotated[bool, typer.Option("--unblock", help="Serve them again.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Refuse every request for an end user, whichever key it comes with."""
    show(run(config, _laying_down(name, {"blocked": not unblock}), as_json), as_json)


@end_users_app.command("budget")
def budget(
    name: UserArgument,
    max_usd: MaxUsd = None,
    max_tokens: MaxTokens = None,
    period: Period = None,
    rpm: Rpm = None,
    rph: Rph = None,
    rpd: Rpd = None,
    tpm: Tpm = None,
    tph: Tph = None,
    tpd: Tpd = None,
    max_parallel: MaxParallel = None,
    clear: Clear = [],  # noqa: B006
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give an end user a budget and limits of their own."""
    asked = dict.fromkeys(clear) | bounds(
        max_usd, max_tokens, period, rpm=rpm, rph=rph, rpd=rpd, tpm=tpm, tph=tph, tpd=tpd, max_parallel=max_parallel
    )
    if not asked:
        raise typer.BadParameter("name a budget or a limit, or --clear budget", param_hint="--max-usd")
    show(run(config, _laying_down(name, asked), as_json), as_json)


def _laying_down(name: str, asked: Mapping[str, Any]) -> Work[dict[str, Any]]:
    async def work(settings: Settings, database: Database) -> dict[str, Any]:
        if clean_name(name) != name:
            raise InvalidValue("No request can be for an end user of this name; check it.", param="id")
        kept, change = naming(settings).given(name), made(EndUserChange, asked)
        return administration.shown_end_user(await administration.change_end_user(SqlEndUsers(database), kept, change))

    return work
