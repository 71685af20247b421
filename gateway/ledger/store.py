"""What is written to the ledger's database. Everything here waits for it: the ledger's own thread calls it."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.dialects import postgresql, sqlite

from gateway.ledger import breath, database, entry, tally
from gateway.ledger.schema import daily, forgotten, segments, usage

NANOSECONDS_A_DAY = 86_400 * 10**9

EXPIRE_ROWS = 5_000
"""Rows that one transaction deletes, so that others wait for none of them long."""

REMEMBER_FORGOTTEN_DAYS = 400
"""How long a journal may lie on a machine that is switched off and still not bring back somebody who is forgotten."""

_KEY = ("dimension", "name", "day")
_ROW = itemgetter(*(column.name for column in usage.columns if column.name in entry.COLUMNS))
"""A row's values in the order in which an insert has them: that of the table."""
_INSERT: dict[str, Callable[[sa.Table], Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Batch:
    """Whole lines of a journal's file: the byte they end at, and the rows they hold. `damaged` lines hold none."""

    end: int
    rows: Sequence[Row]
    damaged: int = 0


Read = Callable[[int], Batch]
"""Lines from a byte on; a batch that ends where it began is the end of the file."""

Refused = Callable[[Row, Exception], None]
"""Keeps a row that the database does not take."""


class Store:
    """One ledger's database, used by one thread.

    Args:
        url: `sqlite:///file` or `postgresql://user:password@host/database`.

    Raises:
        ImportError: the driver of that database is not installed.
        sqlalchemy.exc.ArgumentError: not a URL.
    """

    def __init__(self, url: str) -> None:
        self.engine: Engine = database.engine(url)
        self._insert = _INSERT[self.engine.dialect.name]
        one = sa.insert(usage).compile(dialect=self.engine.dialect, column_keys=list(entry.COLUMNS))
        self._inserts, self._places = str(one), str(one)[str(one).rindex("(") :]
        add = self._insert(daily)
        summed = {name: daily.c[name] + add.excluded[name] for name in tally.SUMS}
        self._add = add.on_conflict_do_update(index_elements=_KEY, set_=summed)
        begin = self._insert(segments).values(segment=sa.bindparam("segment"), shipped=0)
        # The update changes nothing: it locks the line against others who ship the same file, and returns it.
        unchanged = begin.on_conflict_do_update(index_elements=["segment"], set_={"segment": begin.excluded.segment})
        self._begin = unchanged.returning(segments.c.shipped)

    def __repr__(self) -> str:
        return f"<Store {self.engine.dialect.name}>"

    def prepare(self) -> None:
        """See `gateway.ledger.database.prepare`."""
        database.prepare(self.engine)

    def close(self) -> None:
        """Close the connection; the store can be used again."""
        self.engine.dispose()

    def ship(self, segment: str, read: Read, refused: Refused) -> Batch:
        """Store the next lines of a journal's file, exactly once, and say which they were.

        Where the file goes on is read from the database, and written in the transaction that stores the rows: whoever
        repeats a batch that was stored, after a crash or a broken connection, stores nothing twice. The caller's memory
        does not come into it, and neither do request ids, which a client may choose.

        Args:
            segment: the file's name, never used twice.
            read: called in the transaction with the byte to go on from.
            refused: called for a row that the database does not take; the others are stored.

        Raises:
            SQLAlchemyError: nothing was stored, or it is not known whether; ship again.
        """
        with self.engine.begin() as connection:
            batch = read(connection.execute(self._begin, {"segment": segment}).scalar_one())
            if batch.rows:
                kept, gone = _part(batch.rows, _forgotten(connection))
                self._store(connection, kept, refused)
                self._sum_up(connection, gone)
            at = {"shipped": batch.end}
            connection.execute(sa.update(segments).where(segments.c.segment == segment).values(at))
        return batch

    def _store(self, connection: Connection, rows: Sequence[Row], refused: Refused) -> None:
        try:
            with connection.begin_nested():
                self._insert_rows(connection, rows)
        except Exception as error:
            if not database.about_the_row(error):
                raise
            if len(rows) == 1:
                refused(rows[0], error)
                return
            half = len(rows) // 2
            self._store(connection, rows[:half], refused)
            self._store(connection, rows[half:], refused)

    def _insert_rows(self, connection: Connection, rows: Sequence[Row]) -> None:
        if not rows:
            return
        for piece in breath.pieces(rows):
            if connection.dialect.name == "sqlite":
                # One statement: a driver that goes row by row gives up the interpreter's lock for each, and has to win
                # it back from the event loop, which costs both more than the row does.
                values = tuple(chain.from_iterable(map(_ROW, piece)))
                connection.exec_driver_sql(self._inserts + f",{self._places}" * (len(piece) - 1), values)
            else:
                connection.execute(sa.insert(usage), piece)
        self._sum_up(connection, rows)

    def _sum_up(self, connection: Connection, rows: Sequence[Row]) -> None:
        lines = [
            dict(zip((*_KEY, *tally.SUMS), (*key, *map(int, amounts)), strict=True))
            for key, amounts in tally.tallies(breath.each(rows)).items()
        ]
        for piece in breath.pieces(lines):
            connection.execute(self._add, piece)

    def drop(self, segment: str) -> None:
        """Forget how far a file of a journal was shipped: it is gone from the disk for good."""
        with self.engine.begin() as connection:
            connection.execute(sa.delete(segments).where(segments.c.segment == segment))

    def forget(self, end_user: str, now: int) -> int:
        """Delete one end user's records, and say how many they were; their sums are counted under nobody from then on.

        What was spent stays spent: the sums of a day still are what the providers bill. What journals still have of
        requests that began before `now` is treated alike when it is shipped, by whichever machine.
        """
        kept = entry.name(end_user)
        with self.engine.begin() as connection:
            if connection.dialect.name == "postgresql":  # nobody ships meanwhile who has not seen this
                connection.execute(sa.text(f"LOCK TABLE {forgotten.name} IN ACCESS EXCLUSIVE MODE"))
            note = self._insert(forgotten).values(digest=_digest(kept), at=now)
            connection.execute(note.on_conflict_do_update(index_elements=["digest"], set_={"at": now}))
            count = connection.execute(sa.delete(usage).where(usage.c.end_user == kept, usage.c.at <= now)).rowcount
            if kept == tally.NOBODY:
                return count
            theirs = (daily.c.dimension == "user") & (daily.c.name == kept)
            lines = connection.execute(sa.select(daily).where(theirs).order_by(daily.c.day)).mappings().all()
            if lines:
                connection.execute(sa.delete(daily).where(theirs))
                connection.execute(self._add, [{**line, "name": tally.NOBODY} for line in lines])
        return count

    def expire(self, now: int, retention_days: int | None, rollup_days: int | None) -> int:
        """Delete records and sums that are older than so many days, and say how many records; None deletes none."""
        count = 0
        if retention_days is not None:
            before = now - retention_days * NANOSECONDS_A_DAY
            some = sa.select(usage.c.id).where(usage.c.at < before).order_by(usage.c.at).limit(EXPIRE_ROWS)
            deleted = EXPIRE_ROWS
            while deleted == EXPIRE_ROWS:
                with self.engine.begin() as connection:
                    deleted = connection.execute(sa.delete(usage).where(usage.c.id.in_(some))).rowcount
                count += deleted
        with self.engine.begin() as connection:
            if rollup_days is not None:
                first = tally.day(now) - timedelta(days=rollup_days)
                connection.execute(sa.delete(daily).where(daily.c.day < first))
            remembered = now - REMEMBER_FORGOTTEN_DAYS * NANOSECONDS_A_DAY
            connection.execute(sa.delete(forgotten).where(forgotten.c.at < remembered))
        return count


def _digest(end_user: str) -> str:
    return hashlib.sha256(end_user.encode("utf-8", "replace")).hexdigest()


def _forgotten(connection: Connection) -> dict[str, int]:
    found = connection.execute(sa.select(forgotten.c.digest, forgotten.c.at))
    return {row.digest: row.at for row in found}


def _part(rows: Sequence[Row], gone: Mapping[str, int]) -> tuple[list[Row], list[Row]]:
    """The rows to be stored, and those of somebody forgotten, which are only counted, as nobody's."""
    if not gone:
        return list(rows), []
    stays: list[Row] = []
    leaves: list[Row] = []
    for row in rows:
        user = row["end_user"]
        if user is not None and row["at"] <= gone.get(_digest(user), -1):
            leaves.append({**row, "end_user": None})
        else:
            stays.append(row)
    return stays, leaves
