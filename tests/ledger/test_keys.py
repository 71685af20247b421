"""What every store of keys and end users does: in memory, in SQLite, in PostgreSQL."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from threading import Thread
from uuid import uuid4

import psycopg
import pytest

from gateway.errors import InvalidValue, Unavailable
from gateway.ledger.keys import Database, SqlEndUsers, SqlKeys
from gateway.ledger.keys_sql import Tables
from gateway.principal import AliasTaken, Budget, EndUserRecord, EndUserStore, KeyRecord, KeyStore, Limits
from tests.identity.memory import MemoryEndUsers, MemoryKeys

Stores = tuple[KeyStore, EndUserStore]
Do = Callable[[Awaitable[object]], object]

FULL = KeyRecord(
    "key_1",
    "team-a",
    b"\x00\xff" * 16,
    "0a1b2c3d",
    100,
    101,
    models=("gpt-*", "demo"),
    scopes=("completions", "metrics"),
    tags=("a", "ä'; DROP TABLE virtual_keys; --"),
    end_user='bob"; --',
    budget=Budget(Decimal("0.1"), 10, "1mo"),
    limits=Limits(1, 2, 3, rph=4, rpd=5, tph=6, tpd=7),
    metadata={"x": 1, "y": None, "z": "'"},
    expires_at=4_000_000_000,
)
BARE = KeyRecord("key_2", "team-b", b"\x01" * 32, "0a1b2c3d", 102, 102, default_end_user="nobody")


@pytest.fixture
def do() -> Iterator[Callable[[Awaitable[object]], object]]:
    with asyncio.Runner() as runner:

        async def awaited(work):
            return await work

        yield lambda work: runner.run(awaited(work))


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgresql", marks=pytest.mark.e2e)])
def stores(request: pytest.FixtureRequest, tmp_path: Path, do) -> Iterator[Stores]:
    if request.param == "memory":
        yield MemoryKeys(), MemoryEndUsers()
        return
    url = f"sqlite:///{tmp_path}/gateway.db"
    if request.param == "postgresql":
        url = created(request.getfixturevalue("postgres_server"))
    database = Database(url)
    yield SqlKeys(database), SqlEndUsers(database)
    do(database.close())


def created(server: str) -> str:
    """The URL of a new database on a PostgreSQL server."""
    name = f"test_{uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server.removesuffix("postgres") + name


def test_an_empty_store_has_nothing_and_says_so(stores, do):
    keys, end_users = stores
    assert do(keys.list()) == []
    assert do(end_users.list()) == []
    assert do(keys.changed_since(0)).records in ((), [])
    assert do(keys.update("key_1", lambda record: record)) is None
    assert do(keys.revoke("key_1", 1)) is None
    assert do(end_users.delete("bob")) is False


@pytest.mark.parametrize("record", [FULL, BARE], ids=["full", "bare"])
def test_a_key_is_read_as_it_was_written(stores, do, record):
    keys, _ = stores
    kept = do(keys.add(record))
    assert replace(kept, revision=0) == record
    assert do(keys.list()) == [kept]
    assert list(do(keys.changed_since(0)).records) == [kept]


def test_every_change_has_a_higher_revision_and_is_found_by_it(stores, do):
    keys, _ = stores
    first, second = do(keys.add(FULL)), do(keys.add(BARE))
    changed = do(keys.update("key_1", lambda record: replace(record, tags=("z",))))
    assert first.revision < second.revision < changed.revision
    now = do(keys.changed_since(second.revision))
    assert list(now.records) == [changed]
    assert now.revision == changed.revision
    assert list(do(keys.changed_since(now.revision)).records) == []


def test_a_revoked_key_stays_as_it_was_revoked_first(stores, do):
    keys, _ = stores
    do(keys.add(FULL))
    revoked = do(keys.revoke("key_1", 200))
    assert revoked.revoked_at == 200
    assert do(keys.revoke("key_1", 300)) == revoked
    assert list(do(keys.changed_since(1)).records) == [revoked]


def test_an_alias_is_one_keys_until_it_is_revoked(stores, do):
    keys, _ = stores
    do(keys.add(FULL))
    other = replace(BARE, alias="team-a")
    with pytest.raises(AliasTaken):
        do(keys.add(other))
    do(keys.add(BARE))
    with pytest.raises(AliasTaken):
        do(keys.update("key_2", lambda record: replace(record, alias="team-a")))
    do(keys.revoke("key_1", 200))
    assert do(keys.update("key_2", lambda record: replace(record, alias="team-a"))).alias == "team-a"


def test_what_an_edit_refuses_is_not_written(stores, do):
    keys, _ = stores
    kept = do(keys.add(FULL))

    def refuse(record):
        raise InvalidValue("No.")

    with pytest.raises(InvalidValue):
        do(keys.update("key_1", refuse))
    assert do(keys.list()) == [kept]


def test_no_change_is_lost_when_many_are_made_at_once(stores, do):
    keys, _ = stores
    do(keys.add(FULL))

    async def many():
        def more(record):
            return replace(record, metadata={"n": record.metadata.get("n", 0) + 1})

        await asyncio.gather(*(keys.update("key_1", more) for _ in range(12)))

    do(many())
    (kept,) = do(keys.list())
    assert kept.metadata == {"n": 12}


@pytest.mark.parametrize("name", ["bob", "a/b@c", "'; DROP TABLE end_users; --", '"', "名前", "x" * 256, "%", "\\"])
def test_an_end_user_is_one_record_whatever_the_name(stores, do, name):
    _, end_users = stores
    blocked = do(end_users.put(name, lambda record: replace(record, blocked=True)))
    both = do(end_users.put(name, lambda record: replace(record, budget=Budget(Decimal("5"), None, "1d"))))
    assert (both.id, both.name, both.blocked, both.budget.max_usd) == (blocked.id, name, True, Decimal("5"))
    assert do(end_users.list()) == [both]


def test_of_a_deleted_end_user_nothing_is_left_but_that_there_was_somebody(stores, do):
    _, end_users = stores
    kept = do(end_users.put("bob", lambda record: replace(record, blocked=True, limits=Limits(1))))
    assert do(end_users.delete("bob")) is True
    assert do(end_users.delete("bob")) is False
    assert do(end_users.list()) == []
    (left,) = do(end_users.changed_since(kept.revision)).records
    assert replace(left, updated_at=0, created_at=0, revision=0) == EndUserRecord(kept.id, None, 0, 0)
    again = do(end_users.put("bob", lambda record: record))
    assert (again.id != kept.id, again.blocked) == (True, False)


def test_nothing_is_made_on_disk_until_something_is_written(tmp_path: Path, do):
    file = tmp_path / "gateway.db"
    database = Database(f"sqlite:///{file}")
    keys, end_users = SqlKeys(database), SqlEndUsers(database)
    for asked in (keys.list(), keys.changed_since(0), keys.revoke("k", 1), end_users.list(), end_users.delete("bob")):
        do(asked)
    assert not file.exists()
    assert "not opened" in repr(database)
    do(keys.add(FULL))
    assert file.exists()
    do(database.close())


def test_a_database_of_somebody_elses_tables_is_read_and_left_alone(tmp_path: Path, do):
    file = tmp_path / "gateway.db"
    with sqlite3.connect(file) as other:
        other.execute("CREATE TABLE usage (id INTEGER)")
    database = Database(f"sqlite:///{file}")
    assert do(SqlKeys(database).list()) == []
    assert do(SqlKeys(database).changed_since(0)).records == ()
    do(database.close())
    with sqlite3.connect(file) as other:
        assert [name for (name,) in other.execute("SELECT name FROM sqlite_master")] == ["usage"]
    other.close()


def test_a_database_that_cannot_be_used_is_said_without_its_address(tmp_path: Path, do):
    database = Database(f"sqlite:///{tmp_path}/no-such-folder/gateway.db")
    with pytest.raises(Unavailable) as refused:
        do(SqlKeys(database).add(FULL))
    assert refused.value.code == "keys_unavailable"
    assert "cannot be opened" in refused.value.message
    assert "no-such-folder" not in refused.value.message


def test_two_workers_see_each_others_changes(database_url: str, do):
    here, there = Database(database_url), Database(database_url)
    kept = do(SqlKeys(here).add(FULL))
    assert do(SqlKeys(there).list()) == [kept]
    revoked = do(SqlKeys(there).revoke("key_1", 5))
    assert list(do(SqlKeys(here).changed_since(kept.revision)).records) == [revoked]
    do(here.close())
    do(there.close())


def test_no_file_of_the_database_holds_a_key(tmp_path: Path, do):
    from gateway.hashing import VIRTUAL_KEYS, derive
    from gateway.identity.administration import create_key
    from gateway.identity.requests import KeyRequest, made

    database = Database(f"sqlite:///{tmp_path}/gateway.db")
    record, key = do(
        create_key(SqlKeys(database), (derive("secret-1", VIRTUAL_KEYS),), made(KeyRequest, {"alias": "a"}))
    )
    written = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert record.digest in written
    for part in (key, key[3:], key[3:23], key[-20:]):
        assert part.encode() not in written
    do(database.close())


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_a_database_in_memory_is_one_whichever_thread_asks(url: str):
    tables = Tables(url)
    failed: list[Exception] = []

    def work(number: int) -> None:
        try:
            tables.add_key(KeyRecord(f"key_{number}", f"team {number}", b"%d" % number, "hash", 1, 1))
            tables.put_end_user(f"user {number}", lambda record: record)
        except Exception as error:
            failed.append(error)

    threads = [Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert (len(tables.list_keys()), len(tables.list_end_users())) == (8, 8)
    assert tables.keys_since(0).revision == 8
    tables.close()
