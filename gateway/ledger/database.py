"""The ledger's connection to SQLite or PostgreSQL: opened, brought to the newest schema, and its faults in plain words.

SQLAlchemy and Alembic take a fifth of a second to import. This module and those it is used by are therefore imported by
the ledger's own thread, once there is something to do, and not at start-up.
"""

import logging
import sqlite3
from pathlib import Path
from threading import Lock
from time import monotonic, sleep
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError

from gateway.ledger.schema import REVISIONS, VERSION_TABLE
from gateway.ledger.urls import in_memory

CONNECT_SECONDS = 5
"""How long a database may take to accept a connection, or to let go of a lock."""

DEAD_MILLISECONDS = 10_000
"""How long PostgreSQL may leave data unacknowledged before its connection counts as dead."""

UPGRADE_SECONDS = 3_600.0
"""How long PostgreSQL may take for one step of a migration, or another program for all of its own."""

READS = {"ledger_reads": True}
"""Execution options of a connection that only reads: in SQLite it waits for nobody."""

_LOCK = 7_205_759_403_792_793
"""A number of our own for PostgreSQL's advisory lock around migrations."""

_UPGRADING = Lock()
"""Held in this process while a schema is changed: Alembic keeps what it works on in module globals."""

_AGAIN = 0.02
"""Seconds between two tries to change the mode of a file that another program is opening."""

_ANY_THREAD = {"check_same_thread": False}

_PRAGMAS = (
    f"PRAGMA busy_timeout = {CONNECT_SECONDS * 1000}",
    "PRAGMA synchronous = FULL",  # what is committed outlives a power failure: the journal's copy is deleted then
    "PRAGMA secure_delete = ON",  # what is deleted is overwritten
)

_REASONS = (
    ("database is locked", "the database is locked by another program"),
    ("readonly", "the database is read-only"),
    ("read-only", "the database is read-only"),
    ("unable to open", "the database file cannot be opened"),
    ("not a database", "the file is not an SQLite database"),
    ("malformed", "the database file is damaged"),
    ("disk is full", "the disk of the database is full"),
    ("no space left", "the disk of the database is full"),
    ("disk i/o error", "the disk of the database fails"),
    ("password", "the database refuses the user or its password"),
    ("no pg_hba.conf entry", "the database refuses this host or user"),
    ("permission denied", "the database refuses this user"),
    ("role ", "the database does not know the user"),
    ("does not exist", "the database, or a table of it, does not exist"),
    ("too many", "the database has no connection left"),
    ("starting up", "the database is starting up"),
    ("shutting down", "the database is shutting down"),
    ("timeout", "the database does not answer"),
    ("could not translate host name", "the database's host name is not known"),
    ("failed to resolve host", "the database's host name is not known"),
    ("connection refused", "the database cannot be reached"),
    ("connection", "the connection to the database broke"),
)
"""What a driver says, in lower case, and what the operator is told: drivers' own words may hold data and user names."""

_ROW_FAULTS = ("22", "23", "54")
"""Classes of SQLSTATE that are about the data: wrong values, broken constraints, limits of the program."""


class SchemaMismatch(Exception):
    """The database was written by a newer version of this program."""


def engine(url: str) -> Engine:
    """The engine for a URL; it connects when it is first used.

    Raises:
        ImportError: the driver of that database is not installed.
        sqlalchemy.exc.ArgumentError: not a URL.
    """
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "sqlite":
        options: dict[str, Any] = {"timeout": CONNECT_SECONDS}
        if in_memory(url):  # each connection has a database of its own: all threads take turns at one
            own = {"poolclass": sa.QueuePool, "pool_size": 1, "max_overflow": 0}
            made = sa.create_engine(parsed, hide_parameters=True, connect_args=options | _ANY_THREAD, **own)
        else:
            made = sa.create_engine(parsed, hide_parameters=True, connect_args=options)
        event.listen(made, "connect", _set_up_sqlite)
        event.listen(made, "begin", _begin_sqlite)
        return made
    parsed = parsed.set(drivername="postgresql+psycopg")
    made = sa.create_engine(
        parsed,
        hide_parameters=True,
        pool_size=1,
        max_overflow=1,
        connect_args={
            "connect_timeout": CONNECT_SECONDS,
            "tcp_user_timeout": DEAD_MILLISECONDS,
            "application_name": "guardrail-gateway",
            **parsed.query,
        },
    )
    event.listen(made, "do_connect", _connect_postgresql)
    return made


def _connect_postgresql(_dialect: Any, _record: Any, args: Any, params: Any) -> Any:
    from gateway.ledger.postgresql import Impatient

    return Impatient.connect(*args, **params)


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    # The driver's own transactions begin too late, at the first write: ours begin where SQLAlchemy says so.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(pragma)
    _use_wal(cursor)
    cursor.close()


def _use_wal(cursor: sqlite3.Cursor) -> None:
    """Let readers and the writer not wait for each other. Where the mode is changed, which happens once in the life of
    a file, SQLite refuses at once instead of waiting for others that open the file."""
    deadline = monotonic() + CONNECT_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if monotonic() > deadline:
                raise
            sleep(_AGAIN)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    # A writer takes its place at once: one that reads first and then wants to write would be refused, not made to wait.
    reads = connection.get_execution_options().get("ledger_reads", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def prepare(engine: Engine) -> None:
    """Bring the schema to the newest version; several programs may do so at the same time.

    Raises:
        SchemaMismatch: it is newer than this program.
        SQLAlchemyError: the database cannot be used.
    """
    with engine.connect().execution_options(**READS) as connection:
        if _version(connection) == REVISIONS[-1]:
            return
    with _UPGRADING, engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            driver: Any = connection.connection.dbapi_connection
            driver.patience = UPGRADE_SECONDS
            try:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
                _upgrade_if_need_be(connection)
            finally:
                del driver.patience
        else:
            _upgrade_if_need_be(connection)


def _upgrade_if_need_be(connection: Connection) -> None:
    found = _version(connection)
    if found not in (None, *REVISIONS):
        raise SchemaMismatch(
            f"the database has schema {found}, and this version knows {REVISIONS[-1]}: upgrade the gateway"
        )
    if found != REVISIONS[-1]:
        upgrade(connection)


def is_there(engine: Engine) -> bool:
    """Whether a ledger has ever been in this database.

    Raises:
        SQLAlchemyError: the database cannot be used.
    """
    with engine.connect().execution_options(**READS) as connection:
        return _version(connection) is not None


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Run the migrations up to `revision` on a connection, inside its transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    talk = logging.getLogger("alembic")
    level = talk.level
    talk.setLevel(logging.WARNING)  # it tells of every step
    try:
        command.upgrade(config, revision)
    finally:
        talk.setLevel(level)


def _version(connection: Connection) -> str | None:
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(sa.text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608 - a constant


def about_the_row(error: Exception) -> bool:
    """Whether a database refuses the data it is given, and would refuse it tomorrow."""
    if isinstance(error, DataError | IntegrityError | OverflowError):
        return True
    state = getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None
    return bool(state) and str(state)[:2] in _ROW_FAULTS


def expected(error: Exception) -> bool:
    """Whether a fault comes from the database, rather than from this program."""
    return isinstance(error, SQLAlchemyError | SchemaMismatch | ImportError)


def reason(error: Exception) -> str:
    """What is wrong with the database, in plain words without data, user names or addresses."""
    if isinstance(error, SchemaMismatch):
        return str(error)
    if isinstance(error, ImportError):
        return "its driver is not installed: install guardrail-gateway[postgres]"
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    said = str(cause).lower()
    for words, plain in _REASONS if isinstance(error, SQLAlchemyError) else ():
        if words in said:
            return plain
    return f"the database fails ({type(cause).__name__})"
