"""What is asked of the ledger's database. Everything here waits for it: the ledger's own thread calls it, or a program
that has nothing else to do."""

import re
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any, get_args

import sqlalchemy as sa
from sqlalchemy import Engine, RowMapping

from gateway.errors import InvalidValue
from gateway.ledger import entry, tally
from gateway.ledger.database import READS
from gateway.ledger.keys_schema import end_users as persons
from gateway.ledger.reports import EndUser, Page, Report, Sums, Used
from gateway.ledger.schema import daily
from gateway.ledger.schema import usage as records_table

MOST_RECORDS = 1_000
"""Records of one page."""

_MICRO = 10**6
_NUMBER = re.compile(r"[0-9]{1,19}")


def _sums() -> list[sa.ColumnElement[Any]]:
    """The columns added up. Costs are added in two parts, so that no sum of them outgrows 63 bits."""
    plain = [sa.func.sum(daily.c[name]).label(name) for name in tally.SUMS if name != "cost"]
    high, low = sa.func.sum(daily.c.cost // _MICRO), sa.func.sum(daily.c.cost % _MICRO)
    return [*plain, high.label("cost_high"), low.label("cost_low")]


def _read(row: RowMapping) -> Sums:
    counts: dict[str, Any] = {name: int(row[name]) for name in tally.SUMS if name != "cost"}
    return Sums(**counts, cost=entry.dollars(int(row["cost_high"]) * _MICRO + int(row["cost_low"])))


def _total(lines: Iterable[Sums]) -> Sums:
    total = Sums()
    for line in lines:
        total = total + line
    return total


def usage(engine: Engine, by: tally.By, since: date | None = None, until: date | None = None) -> Report:
    """Usage by one dimension, from the sums by day.

    Days come in order, names with the dearest first. The total is that of all requests: with `tag` it is not the sum
    of the lines, because a request may have several tags.

    Args:
        since, until: the first and the last UTC day; None for no bound.

    Raises:
        InvalidValue: there is no such `by`.
        SQLAlchemyError: the database cannot be read.
    """
    if by not in get_args(tally.By):
        raise InvalidValue(f"`by` must be one of {', '.join(get_args(tally.By))}.", param="by")
    name = daily.c.day if by == "day" else daily.c.name
    dimensions = {tally.ALL} if by == "day" else {tally.ALL, by}
    wanted: list[sa.ColumnElement[bool]] = [daily.c.dimension.in_(sorted(dimensions))]
    if since is not None:
        wanted.append(daily.c.day >= since)
    if until is not None:
        wanted.append(daily.c.day <= until)
    query = sa.select(daily.c.dimension, name.label("name"), *_sums()).where(*wanted).group_by(daily.c.dimension, name)
    with engine.connect().execution_options(**READS) as connection:
        rows = connection.execute(query).mappings().all()
    if by == "day":
        days = sorted((row["name"].isoformat(), _read(row)) for row in rows)
        return Report(by, tuple(days), _total(sums for _, sums in days))
    lines = [(row["name"], _read(row)) for row in rows if row["dimension"] == by]
    lines.sort(key=lambda line: (-line[1].cost, -line[1].requests, line[0]))
    return Report(by, tuple(lines), _total(_read(row) for row in rows if row["dimension"] == tally.ALL))


def trends(
    engine: Engine, by: tally.By, names: Sequence[str], since: date | None = None, until: date | None = None
) -> dict[str, dict[date, Sums]]:
    """What some names of one dimension used, day by day; days without any are left out.

    Args:
        by: any dimension but `day`.
        names: at most some hundreds.

    Raises:
        SQLAlchemyError: the database cannot be read.
    """
    wanted = [daily.c.dimension == by, daily.c.name.in_(names)]
    if since is not None:
        wanted.append(daily.c.day >= since)
    if until is not None:
        wanted.append(daily.c.day <= until)
    query = sa.select(daily.c.name, daily.c.day, *_sums()).where(*wanted).group_by(daily.c.name, daily.c.day)
    found: dict[str, dict[date, Sums]] = {name: {} for name in names}
    with engine.connect().execution_options(**READS) as connection:
        for row in connection.execute(query).mappings():
            found[row["name"]][row["day"]] = _read(row)
    return found


def end_users(engine: Engine, limit: int = MOST_RECORDS, after: str = "") -> Sequence[EndUser]:
    """Everybody who has used something, as long as sums are kept, and everybody something is laid down for: at most so
    many, in the database's order of their names, from the one behind `after` on."""
    after = entry.without_nul(after)
    user = (daily.c.dimension == "user") & (daily.c.name > after)
    laid_down = _first(sa.select(persons.c.name).where(persons.c.name > after), limit)
    either = sa.union(_first(sa.select(daily.c.name).where(user).distinct(), limit), laid_down).subquery()
    days = sa.func.min(daily.c.day).label("first"), sa.func.max(daily.c.day).label("last")
    with engine.connect().execution_options(**READS) as connection:
        names = connection.execute(sa.select(either.c.name).order_by(either.c.name).limit(limit)).scalars().all()
        theirs = (daily.c.dimension == "user") & daily.c.name.in_(names)
        rows = connection.execute(sa.select(daily.c.name, *days, *_sums()).where(theirs).group_by(daily.c.name))
        used = {row["name"]: Used(row["first"], row["last"], _read(row)) for row in rows.mappings()}
    return tuple(EndUser(name, used.get(name)) for name in names)


def _first(names: sa.Select[Any], limit: int) -> sa.Select[Any]:
    """The first of some names, as a part of a union."""
    return sa.select(names.order_by(sa.literal_column("name")).limit(limit).subquery().c.name)


def records(
    engine: Engine,
    request_id: str | None = None,
    users: Sequence[str] | None = None,
    limit: int = 100,
    cursor: str | None = None,
) -> Page:
    """Single records, the newest first.

    Args:
        request_id, users: only those of this request, of these end users: one may have several pseudonyms.
        limit: at most so many, up to `MOST_RECORDS`.
        cursor: that of the page before.

    Raises:
        InvalidValue: a cursor that no page had, or a limit out of range.
        SQLAlchemyError: the database cannot be read.
    """
    if not 1 <= limit <= MOST_RECORDS:
        raise InvalidValue(f"`limit` must be from 1 to {MOST_RECORDS}.", param="limit")
    table = records_table.c
    wanted: list[sa.ColumnElement[bool]] = []
    if request_id is not None:
        wanted.append(table.request_id == entry.name(request_id))
    if users is not None:
        wanted.append(table.end_user.in_([entry.name(user) for user in users]))
    if cursor is not None:
        wanted.append(sa.tuple_(table.at, table.id) < _place(cursor))
    query = sa.select(records_table).where(*wanted).order_by(table.at.desc(), table.id.desc()).limit(limit + 1)
    with engine.connect().execution_options(**READS) as connection:
        rows = connection.execute(query).mappings().all()
    more = len(rows) > limit
    rows = rows[:limit]
    following = f"{rows[-1]['at']}.{rows[-1]['id']}" if more else None
    return Page(tuple(entry.record(dict(row)) for row in rows), following)


def _place(cursor: str) -> tuple[int, int]:
    at, dot, number = cursor.partition(".")
    if dot and _NUMBER.fullmatch(at) and _NUMBER.fullmatch(number) and max(int(at), int(number)) < 1 << 63:
        return int(at), int(number)
    raise InvalidValue("`cursor` must be one that a page of records ended with.", param="cursor")
