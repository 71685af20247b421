"""The ledger as the gateway sees it: what it promises while databases and disks fail, and after."""

import asyncio
import sqlite3
import subprocess
import sys
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from gateway.errors import ConfigError, InvalidValue, Unavailable
from gateway.ledger import options, writer
from gateway.ledger.ledger import Ledger
from gateway.ledger.options import Options
from gateway.ledger.store import Store
from tests.ledger import kit
from tests.ledger.kit import Log, segments
from tests.ledger.records import DAY, NOON, made
from tests.ledger.test_journal import disk_of

LEFT = f"{1:016x}-{2:016x}"
"""The name of a segment that somebody has left."""


@pytest.fixture
def log():
    return Log()


def inside(folder):
    """What is in the SQLite database in a folder."""
    store = Store(f"sqlite:///{folder}/gateway.db")
    store.prepare()
    found = kit.stored(store)
    store.close()
    return found


def run(work):
    return asyncio.run(asyncio.wait_for(work, 60))


async def until(condition):
    while not condition():  # noqa: ASYNC110 - it is another thread's doing
        await asyncio.sleep(0.01)


def test_what_is_appended_is_found_at_once(tmp_path, log):
    async def work():
        ledger = kit.ledger(tmp_path, log)
        for number in range(3):
            ledger.append(made(number, end_user=f"user {number}"))
        report = await ledger.usage("user")
        page = await ledger.records(limit=2)
        users = await ledger.end_users()
        await ledger.close(10)
        return report, page, users

    report, page, users = run(work())
    assert report.total.requests == 3
    assert [record.request_id for record in page.records] == ["req_2", "req_1"]
    assert [user.name for user in users] == ["user 0", "user 1", "user 2"]
    assert log.events == []


def test_it_works_on_either_database(database_url, tmp_path, log):
    async def work():
        ledger = kit.ledger(tmp_path, log, database_url)
        for number in range(500):
            ledger.append(made(number))
        total = (await ledger.usage("day")).total
        await ledger.close(10)
        return total

    assert run(work()).cost == 500 * Decimal("0.00019")
    assert segments(tmp_path) == []


def test_a_ledger_that_closes_leaves_nothing_in_its_journal(tmp_path, log):
    async def work():
        ledger = kit.ledger(tmp_path, log)
        ledger.append(made(1))
        await ledger.close(10)

    run(work())
    assert segments(tmp_path) == []
    assert inside(tmp_path) == ["req_1"]


def test_a_ledger_that_recorded_nothing_touches_no_database(tmp_path, log):
    async def work():
        ledger = kit.ledger(tmp_path, log)
        await ledger.close(10)

    run(work())
    assert not (tmp_path / "gateway.db").exists()


def test_the_next_start_ships_what_is_left(tmp_path, log):
    async def first():
        ledger = kit.ledger(tmp_path, log, "postgresql://nobody:x@127.0.0.1:1/x")
        for number in range(3):
            ledger.append(made(number))
        await ledger.close(10)

    async def second():
        ledger = kit.ledger(tmp_path, log)
        await ledger.flush()
        await until(lambda: len(segments(tmp_path)) == 1)
        await ledger.close(10)

    run(first())
    assert len(segments(tmp_path)) == 1
    assert log.names() == ["ledger_not_shipped", "ledger_left_for_next_start"]
    assert log.events[0][1]["reason"] == "the database cannot be reached"
    run(second())
    assert inside(tmp_path) == ["req_0", "req_1", "req_2"]


def test_a_database_that_comes_back_gets_everything(tmp_path, log, monkeypatch):
    monkeypatch.setattr(writer, "TICK_SECONDS", 0.05)
    database = tmp_path / "later" / "gateway.db"

    async def work():
        ledger = kit.ledger(tmp_path, log, f"sqlite:///{database}")
        for number in range(3):
            ledger.append(made(number))
            with pytest.raises(Unavailable, match="the database file cannot be opened") as raised:
                await ledger.usage("user")
        assert raised.value.code == "ledger_unavailable"
        usable, line = ledger.health()
        assert usable  # requests are served
        assert line.startswith("the database file cannot be opened, ")
        assert "2" in line
        database.parent.mkdir()
        await until(lambda: ledger.health()[1] == "ok, 0 bytes wait in the journal")
        total = (await ledger.usage("user")).total
        await ledger.close(10)
        return total.requests

    assert run(work()) == 3
    assert log.names() == ["ledger_not_shipped", "ledger_shipped_again"]


def test_a_database_held_by_another_program_gets_everything_later(tmp_path, log, monkeypatch):
    monkeypatch.setattr("gateway.ledger.database._PRAGMAS", ("PRAGMA journal_mode=WAL", "PRAGMA busy_timeout = 10"))
    monkeypatch.setattr(writer, "TICK_SECONDS", 0.05)

    async def work():
        ledger = kit.ledger(tmp_path, log)
        await ledger.flush()
        with closing(sqlite3.connect(tmp_path / "gateway.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            ledger.append(made(1))
            with pytest.raises(Unavailable, match="the database is locked by another program"):
                await ledger.flush()
            other.execute("COMMIT")
        await until(lambda: ledger.health()[1].startswith("ok"))
        await ledger.close(10)

    run(work())
    assert inside(tmp_path) == ["req_1"]


def test_a_journal_at_its_bound_refuses_requests_where_it_shall(tmp_path, log):
    async def work():
        ledger = kit.ledger(tmp_path, log, f"sqlite:///{tmp_path}/no/gateway.db", max_bytes=2000, when_full="refuse")
        ledger.admit()
        for number in range(3):
            ledger.append(made(number))  # what was admitted is recorded
        with pytest.raises(Unavailable) as raised:
            ledger.admit()
        assert (raised.value.status, raised.value.code) == (503, "ledger_full")
        assert raised.value.headers == {"retry-after": "5"}
        usable, line = ledger.health()
        assert not usable
        assert line.endswith("requests are refused")
        await ledger.close(10)

    run(work())
    shouted = [attributes for event, attributes in log.events if event == "ledger_not_recording"]
    assert [one["what"] for one in shouted] == ["requests are refused"]


def test_a_journal_at_its_bound_lets_requests_go_on_where_it_shall_and_says_what_is_lost(tmp_path, log):
    async def work():
        ledger = kit.ledger(tmp_path, log, f"sqlite:///{tmp_path}/no/gateway.db", max_bytes=2000)
        for number in range(9):
            ledger.admit()
            ledger.append(made(number))
        usable, line = ledger.health()
        assert usable
        assert line.endswith("6 records lost")
        assert ledger.losses.told()[("journal_full",)] == 6.0
        await ledger.close(10)

    run(work())
    assert log.names().count("ledger_not_recording") == 1  # once a minute, not once a request


def test_a_full_disk_fails_no_request_and_loses_nothing_once_there_is_room(tmp_path, log, monkeypatch):
    monkeypatch.setattr(writer, "TICK_SECONDS", 0.05)

    async def work():
        ledger = kit.ledger(tmp_path, log, when_full="refuse")
        with disk_of(0):
            ledger.append(made(1))
            with pytest.raises(Unavailable):
                ledger.admit()
            assert "1 records are held in memory" in ledger.health()[1]
        await until(lambda: ledger.health()[0])
        ledger.admit()
        found = await ledger.records()
        await ledger.close(10)
        return found

    assert [record.request_id for record in run(work()).records] == ["req_1"]


def test_a_folder_that_cannot_be_used_is_told_before_anything_is_served(tmp_path, log):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"the journal's folder .*file/journal cannot be used: Not a directory"):
        Ledger(Options("sqlite:///x.db", tmp_path / "file" / "journal"), log).start()


def test_forgetting_reaches_what_is_not_shipped_yet(tmp_path, log):
    async def work():
        ledger = kit.ledger(tmp_path, log, linger=60.0)
        for number in range(4):
            ledger.append(made(number, end_user="alice" if number % 2 else "bob"))
        assert await ledger.forget("alice") in (0, 2)
        assert b"alice" not in b"".join(path.read_bytes() for path in segments(tmp_path))
        found = await ledger.records()
        report = await ledger.usage("user")
        await ledger.close(10)
        return found, report

    page, report = run(work())
    assert [record.end_user for record in page.records] == ["bob", "bob"]
    assert {name: sums.requests for name, sums in report.lines} == {"": 2, "bob": 2}


def test_forgetting_needs_the_database(tmp_path, log):
    async def work():
        ledger = kit.ledger(tmp_path, log, f"sqlite:///{tmp_path}/no/gateway.db")
        with pytest.raises(Unavailable):
            await ledger.forget("alice")
        await ledger.close(1)

    run(work())


def test_old_records_go_and_their_sums_stay(tmp_path, log):
    async def work():
        ledger = kit.ledger(tmp_path, log, retention_days=30)
        ledger.append(made(1, at=NOON - 400 * DAY))
        await ledger.flush()
        await until(lambda: "ledger_records_expired" in log.names())
        answer = await ledger.records(), await ledger.usage("user")
        await ledger.close(10)
        return answer

    page, report = run(work())
    assert page.records == ()
    assert report.total.requests == 1


def test_damaged_lines_are_told_and_stop_no_other(tmp_path, log):
    folder = tmp_path / "journal"
    folder.mkdir()
    from gateway.ledger import entry

    (folder / f"{LEFT}.jsonl").write_bytes(entry.line(made(1)) + b"\0\0\0{half\n" + entry.line(made(2)) + b'{"at":')

    async def work():
        ledger = kit.ledger(tmp_path, log)
        await ledger.flush()
        await until(lambda: not (folder / f"{LEFT}.jsonl").exists())
        await ledger.close(10)
        assert (ledger.losses.of("damaged"), ledger.losses.gone) == (1, 1)

    run(work())
    assert inside(tmp_path) == ["req_1", "req_2"]
    told = dict(log.events)["ledger_lines_damaged"]
    assert (told["segment"], told["lines"]) == (LEFT, 1)


def test_two_workers_share_a_folder_and_a_database(tmp_path, log):
    async def work():
        one, other = kit.ledger(tmp_path, log), kit.ledger(tmp_path, log)
        for number in range(200):
            (one if number % 2 else other).append(made(number))
        await asyncio.gather(one.flush(), other.flush())
        total = (await one.usage("day")).total
        await asyncio.gather(one.close(10), other.close(10))
        return total.requests

    assert run(work()) == 200
    assert len(set(inside(tmp_path))) == 200
    assert segments(tmp_path) == []


def test_a_wrong_question_is_the_askers_fault(tmp_path, log):
    async def work():
        ledger = kit.ledger(tmp_path, log)
        with pytest.raises(InvalidValue):
            await ledger.records(cursor="x")
        assert ledger.health() == (True, "ok, 0 bytes wait in the journal")
        await ledger.close(10)

    run(work())


def test_a_closed_ledger_answers_nobody(tmp_path, log):
    async def work():
        ledger = kit.ledger(tmp_path, log)
        await ledger.close(10)
        await ledger.close(10)
        with pytest.raises(RuntimeError, match="not started, or is closed"):
            ledger.append(made(1))
        assert ledger.health() == (False, "not started")

    run(work())


def test_it_says_how_it_is_and_never_where_the_database_is(tmp_path, log):
    async def work():
        ledger = kit.ledger(tmp_path, log, "postgresql://gateway:secret@127.0.0.1:1/x")
        ledger.append(made(1))
        with pytest.raises(Unavailable):
            await ledger.flush()
        said = repr(ledger), repr(ledger.options), str(log.events)
        await ledger.close(1)
        return said

    said = run(work())
    assert said[0].startswith("<Ledger the database cannot be reached, ")
    assert "secret" not in "".join(said)


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("sqlite:///gateway.db", "gateway.db-ledger"),
        ("sqlite:////var/lib/gateway.db?mode=rw", "/var/lib/gateway.db-ledger"),
        ("sqlite://", "gateway-ledger"),
        ("sqlite:///:memory:", "gateway-ledger"),
        ("postgresql://host/db", "gateway-ledger"),
    ],
)
def test_the_journal_stands_beside_the_database(url, folder):
    assert options.default_folder(url) == Path(folder)


def test_starting_does_not_load_the_slow_libraries():
    code = """
import sys, tempfile
from pathlib import Path
from gateway.ledger.ledger import Ledger
from gateway.ledger.options import Options
from gateway.telemetry import logs
ledger = Ledger(Options("sqlite://", Path(tempfile.mkdtemp())), logs.make("library"))
ledger.start()
print(sorted({"alembic", "sqlalchemy"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout == "[]\n"


def test_a_fault_of_the_program_itself_is_told_with_its_place_and_nothing_is_lost(tmp_path, log, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("alice")

    async def work():
        ledger = kit.ledger(tmp_path, log)
        with monkeypatch.context() as patched:
            patched.setattr("gateway.ledger.tally.tallies", broken)
            ledger.append(made(1))
            with pytest.raises(Unavailable, match=r"the database fails \(ZeroDivisionError\)"):
                await ledger.flush()
        found = await ledger.records()
        await ledger.close(10)
        return found

    assert len(run(work()).records) == 1
    told = dict(log.events)["ledger_thread_fault"]
    assert told["at"][-1].startswith("test_ledger.py:")
    assert "alice" not in str(log.events)


def test_a_row_that_the_database_never_takes_is_kept_beside_it_counted_and_stops_no_other(tmp_path, log):
    Store(f"sqlite:///{tmp_path}/gateway.db").prepare()
    with closing(sqlite3.connect(tmp_path / "gateway.db", isolation_level=None)) as other:
        other.execute("CREATE UNIQUE INDEX one_each ON usage (request_id)")

    async def work():
        ledger = kit.ledger(tmp_path, log)
        for number in (1, 2, 1, 3):
            ledger.append(made(number))
        await ledger.flush()
        told = ledger.losses.of("refused"), ledger.losses.gone, ledger.health()[1]
        await ledger.close(10)
        return told

    assert run(work()) == (1, 0, "ok, 0 bytes wait in the journal")
    assert inside(tmp_path) == ["req_1", "req_2", "req_3"]
    assert log.names() == ["ledger_record_refused"]
    kept = (tmp_path / "journal" / "refused.ndjson").read_bytes().splitlines()
    assert [b'"req_1"' in line for line in kept] == [True]
