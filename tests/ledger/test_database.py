"""What an operator is told of a database that cannot be used."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from urllib.parse import urlsplit

import psycopg
import pytest
from sqlalchemy.exc import SQLAlchemyError

from gateway.ledger import database, postgresql, queries
from gateway.ledger.store import Store
from tests.e2e.relay import relay
from tests.ledger import postgres


def fault(url):
    store = Store(url)
    try:
        store.prepare()
    except (SQLAlchemyError, database.SchemaMismatch) as error:
        return database.reason(error)
    finally:
        store.close()
    return None


@pytest.fixture
def file(tmp_path):
    return tmp_path / "gateway.db"


def test_a_file_that_is_not_a_database(file):
    file.write_bytes(b"once upon a time " * 100)
    assert fault(f"sqlite:///{file}") == "the file is not an SQLite database"


def test_a_folder_that_is_not_there(tmp_path):
    assert fault(f"sqlite:///{tmp_path}/no/gateway.db") == "the database file cannot be opened"


@pytest.mark.slow
def test_a_database_that_is_read_only(file):
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE any (thing)")
    assert fault(f"sqlite:///file:{file}?mode=ro&uri=true") == "the database is read-only"


@pytest.mark.slow
def test_a_database_that_another_program_holds(file, monkeypatch):
    monkeypatch.setattr(database, "_PRAGMAS", ("PRAGMA busy_timeout = 10",))
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert fault(f"sqlite:///{file}") == "the database is locked by another program"


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ((postgres.PASSWORD, "wrong"), "the database refuses the user or its password"),
        (("gateway:", "stranger:"), "the database refuses the user or its password"),
        (("/postgres", "/nowhere"), "the database, or a table of it, does not exist"),
        (("127.0.0.1", "no-such-host.invalid"), "the database's host name is not known"),
    ],
)
def test_a_postgresql_that_lets_nobody_in(postgres_server, change, said):
    assert fault(postgres_server.replace(*change)) == said


def test_a_postgresql_that_is_not_there():
    pytest.importorskip("psycopg")
    assert fault("postgresql://gateway:secret@127.0.0.1:1/any") == "the database cannot be reached"


def test_reasons_hold_no_data():
    error = ValueError("alice said: secret")
    assert database.reason(error) == "the database fails (ValueError)"


def test_programs_that_open_a_new_file_at_once_all_get_it(tmp_path):
    """SQLite refuses a change of the journal's mode at once while another connection is opening the file."""
    gate = threading.Barrier(4)

    def opened(file: int) -> None:
        engine = database.engine(f"sqlite:///{tmp_path}/{file}.db")
        gate.wait()
        database.prepare(engine)
        engine.dispose()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(opened, [file for file in range(5) for _ in range(4)])) == [None] * 20


@pytest.mark.e2e
def test_a_database_that_takes_a_question_and_never_answers_is_given_up(postgres_server, monkeypatch):
    monkeypatch.setattr(postgresql.Impatient, "patience", 0.3)
    port = urlsplit(postgres_server).port
    with relay(port) as link:
        store = Store(postgres_server.replace(f":{port}/", f":{link.port}/"))
        store.prepare()
        link.become("hangs")
        for _ in range(2):  # on a connection that is there, and on a new one
            with pytest.raises(SQLAlchemyError) as given_up:
                queries.records(store.engine)
            assert database.reason(given_up.value) == "the database does not answer"
        link.become("open")
        assert queries.records(store.engine).records == ()
        store.close()


@pytest.mark.e2e
def test_a_slow_migration_is_waited_for(postgres_server, monkeypatch):
    """While another program has the lock of migrations, nothing comes for longer than a question may take."""
    monkeypatch.setattr(postgresql.Impatient, "patience", 0.3)
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute("CREATE DATABASE waits")
    url = postgres_server.removesuffix("postgres") + "waits"
    store = Store(url)
    with ThreadPoolExecutor(1) as beside, psycopg.connect(url) as other, psycopg.connect(url) as third:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [database._LOCK])
        preparing = beside.submit(store.prepare)
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while not third.execute(waiting).fetchone()[0]:
            third.rollback()
        third.execute("SELECT pg_sleep(1)")  # the database's own time, longer than its silence is borne
        assert not preparing.done()
        other.rollback()
        preparing.result(30)
    assert queries.records(store.engine).records == ()
    store.close()
