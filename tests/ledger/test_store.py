"""What is written to a real database, SQLite and PostgreSQL alike."""

import threading
from datetime import date
from decimal import Decimal

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.ledger import database, entry, keys_schema, queries, schema
from gateway.ledger.store import Batch, Store
from tests.ledger.kit import never, put, stored
from tests.ledger.records import DAY, NOON, any_record, made


def sums(store, by="day"):
    return queries.usage(store.engine, by)


class Killed(Exception):
    pass


def test_a_batch_goes_on_where_the_last_one_ended(store):
    starts = []

    def read(start):
        starts.append(start)
        return Batch(start + 10, [entry.row(entry.line(made(len(starts))))])

    store.ship("one", read, never)
    store.ship("one", read, never)
    store.ship("other", read, never)
    assert starts == [0, 10, 0]
    assert stored(store) == ["req_1", "req_2", "req_3"]


def test_a_batch_that_is_cut_short_leaves_nothing(store):
    def cut(row, error):
        raise Killed

    too_much = {**entry.row(entry.line(made(2))), "output_tokens": 2**63}
    rows = [entry.row(entry.line(made(1))), too_much]
    with pytest.raises(Killed):
        store.ship("one", lambda start: Batch(start + 2, rows), cut)
    assert stored(store) == []
    assert sums(store).total.requests == 0
    put(store, [made(1)], "one")
    assert stored(store) == ["req_1"]


def test_a_repeated_batch_is_stored_once(store):
    lines = [entry.row(entry.line(made(number))) for number in range(5)]

    def read(start):
        return Batch(len(lines), lines[start:])

    for _ in range(3):  # as after a crash between the database's commit and anybody's hearing of it
        store.ship("one", read, never)
    assert len(stored(store)) == 5
    assert sums(store).total.requests == 5


def test_a_client_that_repeats_its_request_id_is_charged_each_time(store):
    put(store, [made(1), made(1)])
    put(store, [made(1)], "another worker")
    assert stored(store) == ["req_1"] * 3
    assert sums(store).total.cost == 3 * made().cost


def test_a_row_that_the_database_refuses_stops_no_other(store):
    rows = [entry.row(entry.line(made(number))) for number in range(9)]
    rows[4]["output_tokens"] = 2**63
    refused = []
    store.ship("one", lambda start: Batch(9, rows), lambda row, error: refused.append(row["request_id"]))
    assert refused == ["req_4"]
    assert stored(store) == [f"req_{number}" for number in range(9) if number != 4]
    assert sums(store).total.requests == 8
    assert put(store, [], "one").end == 9


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(any_record, max_size=6), max_size=4), st.randoms())
def test_the_sums_are_those_of_the_rows_to_the_token_and_the_picodollar(store, batches, random):
    with store.engine.begin() as connection:
        for table in (schema.usage, schema.daily):
            connection.execute(sa.delete(table))
    for batch in batches:
        put(store, batch, f"segment {random.random()}")
    records = [record for batch in batches for record in batch]
    total = sums(store).total
    assert total.requests == len(records)
    assert total.input_tokens == sum(record.input_tokens or 0 for record in records)
    assert total.output_tokens == sum(record.output_tokens for record in records)
    assert total.cost == sum((record.cost or Decimal(0) for record in records), Decimal(0))
    for by in ("user", "model", "provider", "key"):
        report = sums(store, by)
        assert report.total == total
        assert sum(line.requests for _, line in report.lines) == len(records)
        assert sum((line.cost for _, line in report.lines), Decimal(0)) == total.cost
    page = queries.records(store.engine, limit=1000)
    key = [(record.at, record.request_id.replace("\0", "\ufffd")) for record in records]
    assert sorted((record.at, record.request_id) for record in page.records) == sorted(key)


def test_a_sum_beyond_63_bits_of_picodollars_is_exact(store):
    most = Decimal(99_999) + Decimal("0.999999999999")
    put(store, [made(number, at=NOON + day * DAY, cost=most) for day in range(3) for number in range(90)])
    assert sums(store).total.cost == 270 * most


def test_two_who_write_the_same_lines_wait_for_each_other(store, database_url):
    other = Store(database_url)
    both = threading.Barrier(2)
    failed = []

    def work(mine, name):
        try:
            both.wait()
            for round_ in range(20):
                put(
                    mine,
                    [made(n, end_user=f"user {n % 7}", tags=(f"tag {n % 3}",)) for n in range(10)],
                    f"{name}{round_}",
                )
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=args) for args in ((store, "a"), (other, "b"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    assert failed == []
    assert sums(store).total.requests == 400


def test_a_forgotten_end_user_is_in_no_table(store):
    put(store, [made(1, cost=Decimal(1)), made(2, end_user="bob"), made(3, at=NOON + DAY)])
    before = sums(store).total
    assert store.forget("alice", NOON + 2 * DAY) == 2
    assert stored(store) == ["req_2"]
    assert dict(sums(store, "user").lines)[""].requests == 2
    assert sums(store, "user").total == before  # what was spent stays spent
    with store.engine.connect() as connection:
        for table in schema.metadata.sorted_tables:
            for row in connection.execute(sa.select(table)):
                assert "alice" not in repr(row)


def test_what_a_journal_still_has_of_somebody_forgotten_is_counted_as_nobodys(store):
    store.forget("alice", NOON + 10)
    put(store, [made(5), made(11), made(6, end_user="bob")])
    assert stored(store) == ["req_6", "req_11"]  # she came back after it
    assert {name: line.requests for name, line in sums(store, "user").lines} == {"": 1, "alice": 1, "bob": 1}


def test_nobody_can_be_forgotten_who_is_not_known(store):
    put(store, [made(1, end_user=None)])
    assert store.forget("carol", NOON + DAY) == 0
    assert store.forget("", NOON + DAY) == 0
    assert stored(store) == ["req_1"]


def test_an_over_long_name_is_forgotten_under_the_name_it_was_given(store):
    put(store, [made(1, end_user="x" * 5000), made(2, end_user="x" * 5001)])
    assert store.forget("x" * 5000, NOON + DAY) == 1
    assert stored(store) == ["req_2"]


def test_records_expire_and_sums_stay(store, monkeypatch):
    monkeypatch.setattr("gateway.ledger.store.EXPIRE_ROWS", 2)
    put(store, [made(number, at=NOON - number * DAY) for number in range(10)])
    assert store.expire(NOON, None, None) == 0
    assert store.expire(NOON, retention_days=4, rollup_days=None) == 5
    assert stored(store) == [f"req_{number}" for number in (4, 3, 2, 1, 0)]
    assert sums(store).total.requests == 10
    store.expire(NOON, retention_days=None, rollup_days=7)
    assert sums(store).total.requests == 8
    assert sums(store).lines[0][0] == (date.fromordinal(date(2024, 10, 4).toordinal() - 7)).isoformat()


def test_a_segment_that_is_gone_is_remembered_no_longer(store):
    put(store, [made(1)], "one")
    store.drop("one")
    with store.engine.connect() as connection:
        assert connection.execute(sa.select(schema.segments)).all() == []


def test_the_migrations_make_what_the_tables_say(store):
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": schema.VERSION_TABLE})
        assert compare_metadata(context, [schema.metadata, keys_schema.keys_metadata]) == []
        assert context.get_current_revision() == schema.REVISIONS[-1]


def test_every_migration_is_known_and_the_last_is_the_newest(store):
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(database.Path(database.__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    scripts = ScriptDirectory.from_config(config)
    assert tuple(script.revision for script in scripts.walk_revisions())[::-1] == schema.REVISIONS


def test_preparing_again_changes_nothing(store):
    put(store, [made(1)])
    store.prepare()
    assert stored(store) == ["req_1"]


def test_many_may_prepare_a_database_at_once(database_url):
    failed = []
    ready = threading.Barrier(4)

    def work():
        one = Store(database_url)
        ready.wait()
        try:
            one.prepare()
        except Exception as error:
            failed.append(error)
        one.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_a_newer_schema_is_left_alone(store):
    with store.engine.begin() as connection:
        connection.execute(sa.text("UPDATE gateway_ledger_version SET version_num = '9999'"))
    with pytest.raises(database.SchemaMismatch, match=r"schema 9999, and this version knows 0003: upgrade the gateway"):
        store.prepare()


def test_a_downgrade_leaves_nothing(store):
    with store.engine.begin() as connection:
        from alembic import command
        from alembic.config import Config

        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(database.Path(database.__file__).parent / "migrations"))
        config.set_main_option("path_separator", "os")
        command.downgrade(config, "base")
    assert sa.inspect(store.engine).get_table_names() == [schema.VERSION_TABLE]


def test_a_record_is_read_as_it_was_written(store):
    record = made(7)._replace(tags=("a", "b"), dropped=("logit_bias",), attempts=3, estimated=True)
    put(store, [record])
    assert queries.records(store.engine).records == (record,)
