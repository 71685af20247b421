"""What is asked of the ledger, and how it is told."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import InvalidValue
from gateway.ledger import queries, reports
from gateway.ledger.keys_sql import Tables
from gateway.wire import json
from tests.ledger.kit import put
from tests.ledger.records import DAY, NOON, made

TODAY = date(2024, 10, 4)


@pytest.fixture
def filled(store):
    put(
        store,
        [
            made(1, end_user="alice", tags=("a", "b"), cost=Decimal("0.5")),
            made(2, end_user="alice", outcome="error", cost=None, input_tokens=None, output_tokens=0, tags=()),
            made(3, end_user="bob", outcome="blocked", cost=Decimal("2"), model="other", provider="groq", tags=("a",)),
            made(4, end_user=None, at=NOON - DAY, key_alias=None, cost=Decimal("0.25"), outcome="cancelled", tags=()),
        ],
    )
    return store.engine


def lines(report):
    return [(name, sums.requests, str(sums.cost)) for name, sums in report.lines]


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("user", [("bob", 1, "2"), ("alice", 2, "0.5"), ("", 1, "0.25")]),
        ("model", [("other", 1, "2"), ("gpt-3.5-turbo-instruct", 3, "0.75")]),
        ("provider", [("groq", 1, "2"), ("openai", 3, "0.75")]),
        ("key", [("team", 3, "2.5"), ("", 1, "0.25")]),
        ("tag", [("a", 2, "2.5"), ("b", 1, "0.5"), ("", 2, "0.25")]),
        ("day", [("2024-10-03", 1, "0.25"), ("2024-10-04", 3, "2.5")]),
    ],
)
def test_usage_by_each_dimension_the_dearest_first(filled, by, expected):
    report = queries.usage(filled, by)
    assert lines(report) == expected
    assert (report.total.requests, report.total.cost) == (4, Decimal("2.75"))
    assert (report.total.errors, report.total.blocked, report.total.cancelled) == (1, 1, 1)


@pytest.mark.parametrize(
    ("since", "until", "requests"),
    [(TODAY, None, 3), (None, date(2024, 10, 3), 1), (date(2024, 10, 3), TODAY, 4), (date(2025, 1, 1), None, 0)],
)
@pytest.mark.parametrize("by", ["user", "day"])
def test_both_days_of_a_range_are_in_it(filled, by, since, until, requests):
    assert queries.usage(filled, by, since, until).total.requests == requests


def test_a_dimension_that_nobody_knows_is_refused(filled):
    with pytest.raises(InvalidValue, match="`by` must be one of user, model, provider, key, tag, day"):
        queries.usage(filled, "month")


def test_usage_reads_as_the_contract_says(filled):
    told = json.loads(json.dumps(reports.usage_json(queries.usage(filled, "user"))))
    assert list(told) == ["data", "total"]
    assert told["data"][0] == {
        "user": "bob",
        "requests": 1,
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "cost_usd": 2.0,
        "errors": 0,
        "blocked": 1,
    }
    assert told["total"]["cost_usd"] == 2.75


def test_csv_is_exact_and_harmless_in_a_spreadsheet(store):
    put(
        store, [made(1, end_user='=HYPERLINK("x")', cost=Decimal("0.000000000001")), made(2, end_user="a,b", cost=None)]
    )
    assert reports.usage_csv(queries.usage(store.engine, "user")).splitlines() == [
        "user,requests,prompt_tokens,completion_tokens,cost_usd,errors,blocked",
        '"\'=HYPERLINK(""x"")",1,100,20,0.000000000001,0,0',
        '"a,b",1,100,20,0,0,0',
    ]


def test_end_users_with_what_they_used(filled):
    alice, bob = queries.end_users(filled)
    assert (alice.name, alice.used.first, alice.used.last, alice.used.sums.requests) == ("alice", TODAY, TODAY, 2)
    assert reports.spend_json(bob.used)["cost_usd"] == 2.0
    assert [user.name for user in queries.end_users(filled, limit=1)] == ["alice"]
    assert [user.name for user in queries.end_users(filled, after="alice")] == ["bob"]


def test_records_of_one_request_and_of_one_user(filled):
    assert [one.request_id for one in queries.records(filled, request_id="req_3").records] == ["req_3"]
    assert [one.request_id for one in queries.records(filled, users=["alice"]).records] == ["req_2", "req_1"]
    assert queries.records(filled, request_id="req_3", users=["alice"]).records == ()


def test_a_record_reads_as_plain_json(filled):
    told = json.loads(json.dumps(reports.record_json(queries.records(filled, request_id="req_1").records[0])))
    assert (told["cost"], told["end_user"], told["tags"]) == (0.5, "alice", ["a", "b"])
    assert told["decisions"][0]["policy"] == "default"
    assert "inputs" not in told
    assert told["resumed"] == 0


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limit=st.integers(1, 30))
def test_pages_have_each_record_once_the_newest_first(store, limit):
    if not queries.records(store.engine).records:
        put(store, [made(number, at=NOON + number // 3) for number in range(25)])  # several at one time
    found, cursor = [], None
    while True:
        page = queries.records(store.engine, limit=limit, cursor=cursor)
        found += [record.request_id for record in page.records]
        cursor = page.cursor
        if cursor is None:
            break
    assert found == [f"req_{number}" for number in reversed(range(25))]


@pytest.mark.parametrize("cursor", ["", "1", ".", "1.x", "-1.2", "1.2.3", "9" * 30 + ".1", "1٣.2x"])
def test_a_cursor_that_no_page_had_is_refused(filled, cursor):
    with pytest.raises(InvalidValue, match="cursor"):
        queries.records(filled, cursor=cursor)


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_a_limit_out_of_range_is_refused(filled, limit):
    with pytest.raises(InvalidValue, match="`limit` must be from 1 to 1000"):
        queries.records(filled, limit=limit)


def test_nothing_is_found_in_an_empty_ledger(store):
    assert queries.usage(store.engine, "user") == reports.Report("user", (), reports.Sums())
    assert queries.records(store.engine) == reports.Page((), None)
    assert queries.end_users(store.engine) == ()


def test_end_users_come_page_by_page_whoever_knows_of_them(store, database_url):
    """Those something is laid down for, those who have used something, and those of whom both is true, each once."""
    put(store, [made(number, end_user=f"user {number:02}") for number in range(0, 30, 2)])
    tables = Tables(database_url)
    for number in range(0, 30, 3):
        tables.put_end_user(f"user {number:02}", lambda record: record)
    gone = tables.put_end_user("user 99", lambda record: record)
    assert tables.delete_end_user(str(gone.name))
    tables.close()
    for limit in (1, 7, 20, 1000):
        found: list[reports.EndUser] = []
        while page := queries.end_users(store.engine, limit, found[-1].name if found else ""):
            assert len(page) <= limit
            found += page
        assert [one.name for one in found] == [f"user {n:02}" for n in range(30) if n % 2 == 0 or n % 3 == 0]
        assert [one.used is not None for one in found] == [int(one.name[-2:]) % 2 == 0 for one in found]


def test_a_nul_in_a_question_is_no_fault_of_the_database(store, database_url):
    """PostgreSQL has none in texts; what is written down has a replacement character in its place."""
    put(store, [made(1, request_id="a\0b", end_user="c\0d")])
    assert [one.request_id for one in queries.records(store.engine, request_id="a\0b").records] == ["a\ufffdb"]
    assert [one.end_user for one in queries.records(store.engine, users=["c\0d"]).records] == ["c\ufffdd"]
    assert [one.name for one in queries.end_users(store.engine, after="c\0d")] == []
    assert [one.name for one in queries.end_users(store.engine, after="b\0")] == ["c\ufffdd"]
    assert store.forget("c\0d", NOON + DAY) == 1
    tables = Tables(database_url)
    tables.put_end_user("bob", lambda record: record)
    assert tables.page_of_keys(5, "key\0") is None
    assert tables.edit_key("key\0", lambda record: record) is None
    assert [record.name for record in tables.page_of_end_users(5, "a\0")] == ["bob"]
    assert tables.delete_end_user("bob\0") is False
    tables.close()
