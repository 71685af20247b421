"""What the database knows was used under a budget: how counters begin after a restart, and what a person compares.

Whole days are read from the sums by day; the part of a day that a window begins with, from single records. Everything
here waits for the database: the ledger's own thread calls it.
"""

from collections.abc import Mapping
from datetime import date

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection, Engine
from sqlalchemy.dialects.postgresql import JSONB

from gateway.ledger import entry, tally
from gateway.ledger.allowances import Amount, Rule, Scope
from gateway.ledger.database import READS
from gateway.ledger.schema import daily, usage
from gateway.principal import fits

_MICRO = 10**6
_DAY = 86_400 * 10**9
_LAST = date.max.toordinal() - date(1970, 1, 1).toordinal()

_DIMENSIONS: Mapping[Scope, str] = {
    "all": tally.ALL, "key": tally.KEY_ID, "end_user": "user", "tag": "tag", "model": "model",
}  # fmt: skip
"""Where the sums by day have what a rule counts. A deployment is in none of them, and has no budgets."""

_COLUMNS: Mapping[Scope, str] = {"key": "key_id", "end_user": "end_user", "model": "model"}


def spent(engine: Engine, rule: Rule, since: float) -> Amount:
    """What was used under a budget by requests that began at `since` (seconds since 1970) or later.

    A model may be a wildcard, and is then every name that fits it. A key is known by its id: keys of tokens and the
    master key are not recorded by one, and have used nothing here. A name of a person is the one that is kept: a
    pseudonym where pseudonyms are. What is deleted with its retention, or with the person, is in whole days and not in
    a first part of one.

    Raises:
        ValueError: nothing is recorded by the rule's scope.
        SQLAlchemyError: the database cannot be read.
    """
    if rule.scope not in _DIMENSIONS:
        raise ValueError(f"no budget is of a {rule.scope}")
    begin = max(int(since * 10**9), 0)
    first = min(-(-begin // _DAY), _LAST)
    with engine.connect().execution_options(**READS) as connection:
        tokens, cost = _days(connection, rule, tally.day(first * _DAY))
        if begin < first * _DAY:
            more = _part(connection, rule, begin, first * _DAY)
            tokens, cost = tokens + more[0], cost + more[1]
    return Amount(tokens, cost)


def _days(connection: Connection, rule: Rule, first: date) -> tuple[int, int]:
    """Tokens and picodollars of whole days."""
    table = daily.c
    dimension = _DIMENSIONS[rule.scope]
    names = [entry.name(rule.name) if rule.scope != "all" else tally.NOBODY]
    if _is_pattern(rule):
        every = sa.select(table.name).distinct().where(table.dimension == dimension, table.day >= first)
        names = [name for name in connection.execute(every).scalars() if name and fits(rule.name, name)]
    wanted = (table.dimension == dimension) & table.name.in_(names) & (table.day >= first)
    return _summed(connection, table.input_tokens + table.output_tokens, table.cost, wanted)


def _part(connection: Connection, rule: Rule, begin: int, end: int) -> tuple[int, int]:
    """The same of a part of a day."""
    table = usage.c
    tokens = sa.func.coalesce(table.input_tokens, 0) + table.output_tokens
    wanted = (table.at >= begin) & (table.at < end)
    if _is_pattern(rule):
        every = sa.select(table.model).distinct().where(wanted, table.model.is_not(None))
        names = [name for name in connection.execute(every).scalars() if fits(rule.name, name)]
        wanted &= table.model.in_(names) & _served()
    else:
        wanted &= _whose(connection, rule)
    return _summed(connection, tokens, sa.func.coalesce(table.cost, 0), wanted)


def _whose(connection: Connection, rule: Rule) -> ColumnElement[bool]:
    table = usage.c
    if rule.scope == "all":
        return sa.true()
    if rule.scope == "tag":
        if connection.dialect.name == "postgresql":
            return sa.cast(table.tags, JSONB).contains([rule.name])
        each = sa.func.json_each(table.tags).table_valued("value")
        return sa.exists(sa.select(1).select_from(each).where(each.c.value == rule.name))
    named = table[_COLUMNS[rule.scope]] == entry.name(rule.name)
    if rule.scope == "model":
        return named & _served()
    return named


def _served() -> ColumnElement[bool]:
    """A model that somebody serves: the sums by day have no others."""
    return usage.c.error_type.is_distinct_from("model_not_found")


def _is_pattern(rule: Rule) -> bool:
    return rule.scope == "model" and "*" in rule.name


def _summed(
    connection: Connection, tokens: ColumnElement[int], cost: ColumnElement[int], wanted: ColumnElement[bool]
) -> tuple[int, int]:
    """Costs are added in two parts, so that no sum of them outgrows 63 bits."""
    sums = (sa.func.sum(tokens), sa.func.sum(cost // _MICRO), sa.func.sum(cost % _MICRO))
    found = connection.execute(sa.select(*(sa.func.coalesce(each, 0) for each in sums)).where(wanted)).one()
    counted, high, low = map(int, found)
    return counted, high * _MICRO + low
