"""What was used under a budget, counted twice: by the database, and here record by record."""

import asyncio
import tempfile
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.ledger.allowances import Amount, Rule
from gateway.ledger.spent import spent
from gateway.ledger.store import Store
from tests.ledger import kit
from tests.ledger.kit import Log, put
from tests.ledger.records import DAY, NOON, made

SECOND = 10**9
MIDNIGHT = NOON - DAY // 2


def rule(scope, name=""):
    return Rule(scope, name, "budget", "picodollars", 10**12, "1d")


EACH = Amount(120, 190_000_000)


def times(count):
    return Amount(EACH.tokens * count, EACH.picodollars * count)


@pytest.fixture
def filled(store):
    put(
        store,
        [
            made(1, at=MIDNIGHT - 1),
            made(2, at=MIDNIGHT),
            made(3, at=NOON, end_user="bob", key_id="key_2", tags=("prod", "x")),
            made(4, at=NOON + SECOND, model="other", tags=()),
            made(5, at=NOON + 3 * DAY, key_id=None, end_user=None),
            made(6, at=NOON, cost=None, input_tokens=None, output_tokens=0),
            made(7, at=NOON, model="nobody", error_type="model_not_found", cost=None, input_tokens=None),
        ],
    )
    return store


@pytest.mark.parametrize(
    ("asked", "since", "count"),
    [
        (rule("all"), 0, 5),
        (rule("all"), (NOON + DAY // 2) / SECOND, 1),
        (rule("all"), NOON / SECOND, 3),
        (rule("all"), (NOON + 4 * DAY) / SECOND, 0),
        (rule("key", "key_1"), 0, 3),
        (rule("key", "key_1"), NOON / SECOND, 1),
        (rule("key", "key_2"), NOON / SECOND, 1),
        (rule("key", "team"), 0, 0),
        (rule("end_user", "bob"), 0, 1),
        (rule("end_user", "bob"), NOON / SECOND, 1),
        (rule("tag", "x"), 0, 1),
        (rule("tag", "x"), NOON / SECOND, 1),
        (rule("tag", "prod"), NOON / SECOND, 2),
        (rule("model", "oth*"), 0, 1),
        (rule("model", "*"), NOON / SECOND, 3),
        (rule("model", "n*"), 0, 0),
        (rule("model", "other"), 0, 1),
        (rule("model", "other"), (NOON + SECOND) / SECOND, 1),
        (rule("model", "other"), (NOON + 2 * SECOND) / SECOND, 0),
    ],
)
def test_what_is_counted_under_a_rule_since_a_time(filled, asked, since, count):
    found = spent(filled.engine, asked, since)
    assert found.picodollars == times(count).picodollars
    if asked.scope != "all" and asked.name not in ("prod", "key_1", "*"):
        assert found.tokens == times(count).tokens


@pytest.mark.parametrize("tag", ['"', ",", '","', "\\", "[", "%", "_", "名前", "a'b", '\\"', "]"])
def test_a_tag_is_itself_whatever_it_is_written_with(store, tag):
    put(store, [made(1, at=NOON, tags=(tag,)), made(2, at=NOON, tags=("a", "b")), made(3, at=NOON, tags=(f"{tag}x",))])
    for since in (0, NOON / SECOND):
        assert spent(store.engine, rule("tag", tag), since) == EACH


def test_nothing_is_recorded_by_a_deployment(store):
    with pytest.raises(ValueError, match="deployment"):
        spent(store.engine, rule("deployment", "d"), 0)


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(-3 * 48, 3 * 48), st.sampled_from(["alice", "bob"]), st.integers(0, 9)), max_size=20
    ),
    st.integers(-3 * 48, 3 * 48),
)
def test_whole_days_and_the_part_of_one_make_the_same_as_every_record_alone(uses, half_hours):
    half_hour = DAY // 48
    records = [
        made(number, at=NOON + moment * half_hour, end_user=user, output_tokens=tokens, cost=Decimal(tokens))
        for number, (moment, user, tokens) in enumerate(uses)
    ]
    since = NOON + half_hours * half_hour
    with tempfile.TemporaryDirectory() as folder:
        store = Store(f"sqlite:///{folder}/gateway.db")
        store.prepare()
        put(store, records)
        found = spent(store.engine, rule("end_user", "bob"), since / SECOND)
        store.close()
    counted = [record for record in records if record.end_user == "bob" and record.at >= since]
    assert found == Amount(
        sum(100 + record.output_tokens for record in counted), sum(int(record.cost) for record in counted) * 10**12
    )


def test_what_still_waits_in_the_journal_counts(tmp_path):
    async def work():
        ledger = kit.ledger(tmp_path, Log())
        for number in range(3):
            ledger.append(made(number))
        found = await ledger.spent(rule("key", "key_1"), 0)
        await ledger.close(10)
        return found

    assert asyncio.run(work()) == times(3)
