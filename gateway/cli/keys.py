"""`gateway keys`: virtual keys made, listed, changed and revoked."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
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
    bounds,
    cell,
    run,
    show,
)
from gateway.cli.options import ConfigOption, JsonOption
from gateway.config.model import Settings
from gateway.errors import RequestError
from gateway.identity import administration
from gateway.identity.callers import hashes
from gateway.identity.requests import KeyChange, KeyRequest, made
from gateway.ledger.keys import Database, SqlKeys
from gateway.principal import KeyStore

keys_app = typer.Typer(help="Virtual keys: what applications call with.", no_args_is_help=True)

Models = Annotated[list[str], typer.Option("--model", metavar="ALIAS", help="A model it may use, globs too; all else.")]
Tags = Annotated[list[str], typer.Option("--tag", help="A tag of all its requests.")]
Scopes = Annotated[list[str], typer.Option("--scope", help="completions, metrics; completions when left out.")]
EndUser = Annotated[str | None, typer.Option(help="Whom all its requests are for.")]
DefaultEndUser = Annotated[str | None, typer.Option(help="Whom requests are for that name nobody.")]
Expires = Annotated[str | None, typer.Option(metavar="TIME", help="2030-01-31T00:00:00Z, or 30d, 12h, 8w from now.")]
Metadata = Annotated[list[str], typer.Option(metavar="NAME=TEXT", help="An entry of its metadata.")]
KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="Its id, or its alias.")]

_UNITS: Mapping[str, str] = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@keys_app.command("create")
def create(
    alias: Annotated[str, typer.Option(help="Its name in logs, metrics and policies.")],
    model: Models = [],  # noqa: B006
    tag: Tags = [],  # noqa: B006
    scope: Scopes = [],  # noqa: B006
    end_user: EndUser = None,
    default_end_user: DefaultEndUser = None,
    expires: Expires = None,
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
    metadata: Metadata = [],  # noqa: B006
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create a key and show it, this once: only a keyed hash of it is kept."""
    asked = _asked(model, tag, scope, end_user, default_end_user, expires, metadata)
    asked |= bounds(
        max_usd, max_tokens, period, rpm=rpm, rph=rph, rpd=rpd, tpm=tpm, tph=tph, tpd=tpd, max_parallel=max_parallel
    )

    async def work(settings: Settings, database: Database) -> dict[str, Any]:
        request = made(KeyRequest, {"alias": alias, **asked})
        record, key = await administration.create_key(SqlKeys(database), hashes(settings), request)
        shown = administration.shown_key(record)
        return {"id": shown.pop("id"), "key": key, **shown}

    said = run(config, work, as_json)
    if output.wants_json(as_json):
        output.as_json(said)
        return
    output.pairs({name: cell(value) for name, value in said.items() if value not in (None, [], {})})
    output.say("This is the only time the key is shown.")


@keys_app.command("list")
def list_keys(
    everything: Annotated[bool, typer.Option("--all", help="Revoked and expired keys too.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the keys; what they are is nowhere to be seen."""

    async def work(_settings: Settings, database: Database) -> list[dict[str, Any]]:
        now = datetime.now(UTC).timestamp()
        records = await SqlKeys(database).list()
        return [administration.shown_key(record) for record in records if everything or record.is_valid(now)]

    rows = run(config, work, as_json)
    if output.wants_json(as_json):
        output.as_json({"data": rows})
        return
    columns = ("alias", "id", "models", "tags", "end_user", "budget", "limits", "expires_at", "revoked_at")
    used = [name for name in columns if name in ("alias", "id") or any(row[name] for row in rows)]
    output.table(f"{len(rows)} keys", used, [[cell(row[name]) for name in used] for row in rows])


@keys_app.command("update")
def update(
    key: KeyArgument,
    alias: Annotated[str | None, typer.Option(help="A new name.")] = None,
    model: Models = [],  # noqa: B006
    tag: Tags = [],  # noqa: B006
    scope: Scopes = [],  # noqa: B006
    end_user: EndUser = None,
    default_end_user: DefaultEndUser = None,
    expires: Expires = None,
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
    metadata: Metadata = [],  # noqa: B006
    clear: Clear = [],  # noqa: B006
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change what is given of a key; a list or a budget that is given replaces the whole of what there was."""
    asked = dict.fromkeys(clear) | _asked(model, tag, scope, end_user, default_end_user, expires, metadata)
    asked |= bounds(
        max_usd, max_tokens, period, rpm=rpm, rph=rph, rpd=rpd, tpm=tpm, tph=tph, tpd=tpd, max_parallel=max_parallel
    )
    if alias is not None:
        asked["alias"] = alias
    if not asked:
        raise typer.BadParameter("name what is to be changed, such as --rpm 60, or --clear budget", param_hint="KEY")

    async def work(_settings: Settings, database: Database) -> dict[str, Any]:
        store, change = SqlKeys(database), made(KeyChange, asked)
        record = await administration.change_key(store, await _id(store, key), change)
        return administration.shown_key(record)

    show(run(config, work, as_json), as_json)


@keys_app.command("revoke")
def revoke(key: KeyArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """End a key for ever; every running gateway refuses it within two seconds."""

    async def work(_settings: Settings, database: Database) -> dict[str, Any]:
        store = SqlKeys(database)
        return administration.shown_key(await administration.revoke_key(store, await _id(store, key)))

    show(run(config, work, as_json), as_json)


async def _id(store: KeyStore, key: str) -> str:
    """The id of a key that is named by its id, or by its alias where it is not revoked.

    Raises:
        RequestError: there is none.
    """
    records = await store.list()
    named = [record.id for record in records if record.alias == key and record.revoked_at is None]
    if not named and all(record.id != key for record in records):
        raise RequestError(
            "There is no key with this id, nor one that is not revoked with this alias; see gateway keys list --all.",
            status=404,
            code="not_found",
        )
    return named[0] if named else key


def _asked(
    models: list[str],
    tags: list[str],
    scopes: list[str],
    end_user: str | None,
    default_end_user: str | None,
    expires: str | None,
    metadata: list[str],
) -> dict[str, Any]:
    """The options that were given, as fields of a request."""
    given = {
        "models": models or None,
        "tags": tags or None,
        "scopes": scopes or None,
        "end_user": end_user,
        "default_end_user": default_end_user,
        "expires_at": _time(expires),
        "metadata": dict(map(_entry, metadata)) or None,
    }
    return {name: value for name, value in given.items() if value is not None}


def _time(text: str | None) -> str | None:
    """A time as it is, or one so far from now."""
    span = re.fullmatch(r"([1-9][0-9]{0,4})([mhdw])", text) if text else None
    if span is None:
        return text
    when = datetime.now(UTC) + timedelta(**{_UNITS[span[2]]: int(span[1])})
    return when.isoformat(timespec="seconds").replace("+00:00", "Z")


def _entry(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise typer.BadParameter("write NAME=TEXT", param_hint="--metadata")
    return name, value
