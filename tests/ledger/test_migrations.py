"""Databases of the version before: what is in them stays, whichever part of it there is, and however many upgrade."""

import threading

import pytest
import sqlalchemy as sa

from gateway.ledger import database, queries
from gateway.ledger.keys_schema import keys_metadata, revisions
from gateway.ledger.keys_sql import Tables
from gateway.ledger.schema import REVISIONS, VERSION_TABLE
from gateway.ledger.store import Store
from gateway.principal import EndUserRecord, KeyRecord
from tests.ledger.kit import put
from tests.ledger.records import made

KEY = KeyRecord("key_1", "team", b"digest", "hash", 1, 1)
OLD_USAGE = (
    "INSERT INTO usage (at, request_id, trace_id, span_id, method, path, route, status, outcome, duration, overhead,"
    " stream, attempts, output_tokens, cached_tokens, cache_write_tokens, reasoning_tokens, estimated, tags, dropped,"
    " finish_reasons, decisions) VALUES (1, 'old', '', '', 'POST', '/', '/', 200, 'allowed', 0, 0, false, 1, 0, 0, 0,"
    " 0, false, '[]', '[]', '[]', '[]')"
)


BEFORE_RESUMED = OLD_USAGE.replace("'old'", "'older'").replace("(1,", "(2,")


def before(url: str, ledger: bool, keys: bool) -> None:
    """A database as the version before made it: its ledger with migrations, its keys without."""
    engine = database.engine(url)
    with engine.begin() as connection:
        if ledger:
            database.upgrade(connection, "0001")
            connection.execute(sa.text(OLD_USAGE))
        if keys:
            keys_metadata.create_all(connection)
            for name in ("virtual_keys", "end_users"):
                connection.execute(sa.insert(revisions).values(name=name, value=0))
    engine.dispose()
    if keys:
        tables = Tables(url)
        tables.add_key(KEY)
        tables.put_end_user("bob", lambda record: record)
        tables.close()


@pytest.mark.parametrize("ledger", [True, False])
@pytest.mark.parametrize("keys", [True, False])
def test_a_database_of_the_version_before_is_brought_up_and_keeps_what_it_has(database_url, ledger, keys):
    before(database_url, ledger, keys)
    store, tables = Store(database_url), Tables(database_url)
    store.prepare()
    put(store, [made(1, key_id="key_1")])
    page = queries.records(store.engine)
    assert [record.key_id for record in page.records] == ["key_1", None][: 1 + ledger]
    assert [record.id for record in tables.list_keys()] == ["key_1"][:keys]
    assert [record.name for record in tables.list_end_users()] == ["bob"][:keys]
    assert isinstance(tables.put_end_user("carol", lambda record: record), EndUserRecord)
    tables.close()
    store.close()


def test_what_an_older_worker_writes_beside_a_newer_one_was_never_resumed(database_url):
    """The schema is the newest; the worker knows nothing of its last column."""
    engine = database.engine(database_url)
    with engine.begin() as connection:
        database.upgrade(connection, "0002")
        connection.execute(sa.text(OLD_USAGE))
        database.upgrade(connection)
        connection.execute(sa.text(BEFORE_RESUMED))
    engine.dispose()
    store = Store(database_url)
    store.prepare()
    put(store, [made(3, resumed=2)])
    found = {record.request_id: record.resumed for record in queries.records(store.engine).records}
    assert found == {"old": 0, "older": 0, "req_3": 2}
    store.close()


def test_the_first_key_brings_the_whole_schema(database_url):
    tables = Tables(database_url)
    kept = tables.add_key(KEY)
    with tables.engine.connect() as connection:
        found = connection.execute(sa.select(sa.column("version_num")).select_from(sa.table(VERSION_TABLE))).scalar()
        assert found == REVISIONS[-1]
    assert kept.revision == 1
    tables.close()


def test_many_may_upgrade_at_once_some_for_keys_and_some_for_usage(database_url):
    before(database_url, ledger=True, keys=True)
    failed: list[Exception] = []
    ready = threading.Barrier(4)

    def work(number: int) -> None:
        ready.wait()
        try:
            if number % 2:
                store = Store(database_url)
                store.prepare()
                store.close()
            else:
                tables = Tables(database_url)
                tables.put_end_user(f"user {number}", lambda record: record)
                tables.close()
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_a_worker_of_the_version_before_goes_on_writing_keys(database_url):
    before(database_url, ledger=True, keys=True)
    old = Tables(database_url)
    old.list_keys()  # it knows of its tables by now
    store = Store(database_url)
    store.prepare()
    assert old.edit_key("key_1", lambda record: record) is not None
    old.close()
    store.close()


def test_several_databases_may_be_made_at_once_in_one_process(tmp_path):
    """The library that runs migrations keeps what it works on in module globals."""
    failed: list[Exception] = []
    ready = threading.Barrier(4)

    def work(number: int) -> None:
        tables = Tables(f"sqlite:///{tmp_path}/{number}.db")
        ready.wait()
        try:
            tables.add_key(KEY)
        except Exception as error:
            failed.append(error)
        tables.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
