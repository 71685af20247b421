"""What is read and written in the tables of keys and end users. Everything here waits for the database.

SQLAlchemy takes a fifth of a second to import: `gateway.ledger.keys` imports this module in a thread, once there is
something to read or to write.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from decimal import Decimal
from secrets import token_hex
from time import time
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, Table
from sqlalchemy.exc import IntegrityError

from gateway.ledger import database
from gateway.ledger.entry import without_nul
from gateway.ledger.keys_schema import end_users, keys, revisions
from gateway.principal import AliasTaken, Budget, Changes, EndUserRecord, KeyRecord, Limits
from gateway.wire import json

Row = sa.RowMapping


class Tables:
    """The tables in one database, used by any thread.

    Reading never writes: where there are no tables yet there is nothing in them. They are made by the first that
    writes.

    Args:
        url: `sqlite:///file` or `postgresql://user:password@host/database`.

    Raises:
        ImportError: the driver of that database is not installed.
        sqlalchemy.exc.ArgumentError: not a URL.
    """

    def __init__(self, url: str) -> None:
        self.engine: Engine = database.engine(url)
        self._there = False

    def close(self) -> None:
        """Close the connections; the tables can be used again."""
        self.engine.dispose()

    def add_key(self, record: KeyRecord) -> KeyRecord:
        """See `KeyStore.add`."""
        self._prepare()
        with self.engine.begin() as connection:
            kept = replace(record, revision=_next(connection, keys))
            return _kept_key(connection, sa.insert(keys), kept)

    def list_keys(self) -> list[KeyRecord]:
        """See `KeyStore.list`."""
        if not self._is_there():
            return []
        with self.engine.connect().execution_options(**database.READS) as connection:
            found = connection.execute(sa.select(keys).order_by(keys.c.created_at, keys.c.id))
            return [_key(row) for row in found.mappings()]

    def page_of_keys(self, limit: int, after: str | None) -> Sequence[KeyRecord] | None:
        """See `KeyStore.page`."""
        if not self._is_there():
            return None if after else []
        query = sa.select(keys).order_by(keys.c.created_at, keys.c.id).limit(limit)
        with self.engine.connect().execution_options(**database.READS) as connection:
            if after is not None:
                place = connection.execute(sa.select(keys.c.created_at).where(keys.c.id == without_nul(after))).scalar()
                if place is None:
                    return None
                query = query.where(sa.tuple_(keys.c.created_at, keys.c.id) > (place, after))
            return [_key(row) for row in connection.execute(query).mappings()]

    def edit_key(self, key_id: str, edit: Callable[[KeyRecord], KeyRecord]) -> KeyRecord | None:
        """See `KeyStore.update`. What `edit` gives back unchanged is not written."""
        if not self._is_there():
            return None
        with self.engine.begin() as connection:
            revision = _next(connection, keys)
            row = connection.execute(sa.select(keys).where(keys.c.id == without_nul(key_id))).mappings().one_or_none()
            if row is None:
                connection.rollback()
                return None
            before = _key(row)
            after = edit(before)
            if after is before:
                connection.rollback()
                return before
            kept = replace(after, revision=revision)
            return _kept_key(connection, sa.update(keys).where(keys.c.id == key_id), kept)

    def keys_since(self, revision: int) -> Changes[KeyRecord]:
        """See `KeyStore.changed_since`."""
        if not self._is_there():
            return Changes(0, ())
        with self.engine.connect().execution_options(**database.READS) as connection:
            # The number first: what is committed between the two questions is read again, and nothing is missed.
            now = _now(connection, keys)
            query = sa.select(keys).where(keys.c.revision > revision).order_by(keys.c.revision)
            return Changes(now, [_key(row) for row in connection.execute(query).mappings()])

    def list_end_users(self) -> list[EndUserRecord]:
        """See `EndUserStore.list`."""
        return self._end_users(sa.select(end_users).where(end_users.c.name.is_not(None)))

    def page_of_end_users(self, limit: int, after: str) -> Sequence[EndUserRecord]:
        """See `EndUserStore.page`."""
        return self._end_users(sa.select(end_users).where(end_users.c.name > without_nul(after)).limit(limit))

    def end_users_named(self, names: Sequence[str]) -> Sequence[EndUserRecord]:
        """See `EndUserStore.named`."""
        return self._end_users(sa.select(end_users).where(end_users.c.name.in_(names)))

    def _end_users(self, wanted: "sa.Select[Any]") -> list[EndUserRecord]:
        if not self._is_there():
            return []
        with self.engine.connect().execution_options(**database.READS) as connection:
            return [_end_user(row) for row in connection.execute(wanted.order_by(end_users.c.name)).mappings()]

    def put_end_user(self, name: str, edit: Callable[[EndUserRecord], EndUserRecord]) -> EndUserRecord:
        """See `EndUserStore.put`."""
        self._prepare()
        with self.engine.begin() as connection:
            revision, now = _next(connection, end_users), int(time())
            row = connection.execute(sa.select(end_users).where(end_users.c.name == name)).mappings().one_or_none()
            before = _end_user(row) if row else EndUserRecord(f"eu_{token_hex(12)}", name, now, now)
            kept = replace(edit(before), revision=revision)
            statement = sa.update(end_users).where(end_users.c.id == kept.id) if row else sa.insert(end_users)
            connection.execute(statement.values(_end_user_row(kept)))
            return kept

    def delete_end_user(self, name: str) -> bool:
        """See `EndUserStore.delete`."""
        if not self._is_there():
            return False
        with self.engine.begin() as connection:
            nothing = {"name": None, "blocked": False, "budget": None, "limits": None}
            values = {**nothing, "revision": _next(connection, end_users), "updated_at": int(time())}
            found = connection.execute(sa.update(end_users).where(end_users.c.name == without_nul(name)).values(values))
            if not found.rowcount:
                connection.rollback()
            return found.rowcount > 0

    def end_users_since(self, revision: int) -> Changes[EndUserRecord]:
        """See `EndUserStore.changed_since`."""
        if not self._is_there():
            return Changes(0, ())
        with self.engine.connect().execution_options(**database.READS) as connection:
            now = _now(connection, end_users)
            query = sa.select(end_users).where(end_users.c.revision > revision).order_by(end_users.c.revision)
            return Changes(now, [_end_user(row) for row in connection.execute(query).mappings()])

    def _is_there(self) -> bool:
        if not self._there:
            with self.engine.connect().execution_options(**database.READS) as connection:
                self._there = sa.inspect(connection).has_table(end_users.name)
        return self._there

    def _prepare(self) -> None:
        if self._is_there():
            return
        database.prepare(self.engine)
        self._there = True


def _next(connection: Connection, table: Table) -> int:
    """The number of the change that begins; holds the table's lock until the transaction ends."""
    where = revisions.c.name == table.name
    connection.execute(sa.update(revisions).where(where).values(value=revisions.c.value + 1))
    return _now(connection, table)


def _now(connection: Connection, table: Table) -> int:
    value: int = connection.execute(sa.select(revisions.c.value).where(revisions.c.name == table.name)).scalar_one()
    return value


def _kept_key(connection: Connection, statement: sa.Insert | sa.Update, record: KeyRecord) -> KeyRecord:
    try:
        connection.execute(statement.values(_key_row(record)))
    except IntegrityError as error:
        raise AliasTaken(record.alias) from error
    return record


def _key_row(record: KeyRecord) -> dict[str, Any]:
    plain = ("id", "revision", "alias", "digest", "hash_id", "created_at", "updated_at", "expires_at", "revoked_at")
    row = {name: getattr(record, name) for name in (*plain, "end_user", "default_end_user")}
    row |= {name: _text(getattr(record, name)) for name in ("models", "scopes", "tags", "metadata")}
    return row | {"budget": _budget_text(record.budget), "limits": _limits_text(record.limits)}


def _key(row: Row) -> KeyRecord:
    read: dict[str, Any] = dict(row)
    read |= {name: tuple(json.loads(row[name])) for name in ("models", "scopes", "tags")}
    read |= {"digest": bytes(row["digest"]), "metadata": json.loads(row["metadata"])}
    return KeyRecord(**{**read, "budget": _budget(row["budget"]), "limits": _limits(row["limits"])})


def _end_user_row(record: EndUserRecord) -> dict[str, Any]:
    row = {name: getattr(record, name) for name in ("id", "revision", "name", "created_at", "updated_at", "blocked")}
    return row | {"budget": _budget_text(record.budget), "limits": _limits_text(record.limits)}


def _end_user(row: Row) -> EndUserRecord:
    return EndUserRecord(**{**row, "budget": _budget(row["budget"]), "limits": _limits(row["limits"])})


def _text(value: Any) -> str:
    return json.dumps(dict(value) if isinstance(value, Mapping) else value).decode()


def _budget_text(budget: Budget | None) -> str | None:
    """Amounts as decimal digits: what was laid down is what is read."""
    if budget is None:
        return None
    usd = None if budget.max_usd is None else str(budget.max_usd)
    return _text({"max_usd": usd, "max_tokens": budget.max_tokens, "period": budget.period})


def _budget(text: str | None) -> Budget | None:
    if text is None:
        return None
    found = json.loads(text)
    usd = found["max_usd"]
    return Budget(None if usd is None else Decimal(usd), found["max_tokens"], found["period"])


def _limits_text(limits: Limits | None) -> str | None:
    """Those that are set: a worker of an older version, which knows fewer, reads on where it knows all of them."""
    if limits is None:
        return None
    return _text({name: most for name, most in asdict(limits).items() if most is not None})


def _limits(text: str | None) -> Limits | None:
    return None if text is None else Limits(**json.loads(text))
