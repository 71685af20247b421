"""What an operator is told of a database that cannot be used."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from sqlalchemy.exc import SQLAlchemyError

from gateway.ledger import database
from gateway.ledger.store import Store
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


def test_a_database_that_is_read_only(file):
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE any (thing)")
    assert fault(f"sqlite:///file:{file}?mode=ro&uri=true") == "the database is read-only"


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
