"""Allowances in one process: reserved together or not at all, settled once, never more than is allowed."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ledger import seeding
from gateway.ledger.allowances import Amount, Refusal, Reservation, Rule
from gateway.ledger.allowances_memory import MemoryAllowances
from tests.ledger.counted import RULES, START, STEPS, Account, Clock, Ledger, budget, parallel, rate, run
from tests.ledger.kit import Log

NOTHING = Amount()


def made(clock: Callable[[], float], **options: Any) -> MemoryAllowances:
    """Allowances at a clock."""
    return MemoryAllowances(Log(), clock=clock, **options)


async def reserve(allowances: MemoryAllowances, *rules: Rule, amount: Amount = NOTHING) -> Reservation:
    """A reservation that is not refused."""
    found = await allowances.reserve(rules, amount)
    assert isinstance(found, Reservation)
    return found


async def refuse(allowances: MemoryAllowances, *rules: Rule, amount: Amount = NOTHING) -> Refusal:
    """A refusal."""
    found = await allowances.reserve(rules, amount)
    assert isinstance(found, Refusal)
    return found


async def left(allowances: MemoryAllowances, *rules: Rule) -> list[int]:
    """What is left of rules."""
    return [standing.left for standing in await allowances.standings(rules)]


def test_what_is_reserved_is_taken_off_and_settled_to_the_truth():
    async def work() -> None:
        allowances = made(Clock())
        rules = (rate(5), rate(100, "tokens"), budget(1_000), parallel(2))
        found = await reserve(allowances, *rules, amount=Amount(60, 400))
        assert [standing.left for standing in found.standings] == [4, 40, 600, 1]
        assert found.at == START
        after = await allowances.settle(found, Amount(25, 150))
        assert [standing.left for standing in after] == [850]
        assert await left(allowances, *rules) == [4, 75, 850, 2]

    run(work())


def test_settling_again_changes_nothing():
    async def work() -> None:
        allowances = made(Clock())
        rules = (rate(100, "tokens"), budget(1_000), parallel(2))
        found = await reserve(allowances, *rules, amount=Amount(60, 400))
        await allowances.settle(found, Amount(25, 150))
        assert [s.left for s in await allowances.settle(found, Amount(99, 999))] == [850]
        assert await left(allowances, *rules) == [75, 850, 2]

    run(work())


def test_what_was_used_beyond_the_estimate_goes_below_zero_and_time_pays_it_back():
    async def work() -> None:
        clock = Clock()
        allowances = made(clock)
        rule = rate(100, "tokens")
        found = await reserve(allowances, rule, amount=Amount(90))
        clock.micro += 5_000_000
        assert await allowances.settle(found, Amount(190)) == ()
        assert await left(allowances, rule) == [-90]
        refusal = await refuse(allowances, rule, amount=Amount(1))
        assert refusal.retry_after == 60.0
        clock.micro += 60_000_000
        await reserve(allowances, rule, amount=Amount(100))

    run(work())


def test_all_rules_are_taken_or_none_and_the_one_with_the_longest_wait_refuses():
    async def work() -> None:
        allowances = made(Clock())
        minute, second, tokens = rate(1), rate(1, period="1s"), rate(100, "tokens")
        await reserve(allowances, minute, second)
        refusal = await refuse(allowances, tokens, second, minute, amount=Amount(10))
        assert refusal.standing.rule == minute
        assert refusal.retry_after == 60.0
        assert [s.left for s in refusal.standings] == [100, 0, 0]
        assert await left(allowances, tokens) == [100]

    run(work())


@pytest.mark.parametrize(
    ("rule", "amount", "retry_after"),
    [
        (rate(100, "tokens"), Amount(101), None),
        (budget(100), Amount(0, 101), None),
        (budget(100, None), Amount(0, 101), None),
        (rate(0), NOTHING, None),
        (parallel(0), NOTHING, None),
        (budget(0), NOTHING, None),
    ],
)
def test_what_asks_for_more_than_is_ever_allowed_is_told_that_no_waiting_helps(rule, amount, retry_after):
    async def work() -> None:
        refusal = await refuse(made(Clock()), rule, amount=amount)
        assert refusal.retry_after is retry_after
        assert refusal.standing.left == rule.most

    run(work())


@pytest.mark.parametrize(
    ("rule", "wait", "reset"),
    [(budget(100), 10.0, 10.0), (budget(100, None), None, 0.0), (rate(100, "tokens"), 60.0, 60.0)],
)
def test_what_is_used_up_refuses_also_what_is_thought_to_use_nothing(rule, wait, reset):
    async def work() -> None:
        allowances = made(Clock())
        found = await reserve(allowances, rule, amount=Amount(100, 100))
        await allowances.settle(found, Amount(100, 100))
        refusal = await refuse(allowances, rule)
        assert (refusal.retry_after, refusal.standing.reset) == (wait, reset)

    run(work())


def test_places_are_free_again_when_requests_end():
    async def work() -> None:
        allowances = made(Clock())
        rule = parallel(2)
        first, _ = await reserve(allowances, rule), await reserve(allowances, rule)
        assert (await refuse(allowances, rule)).retry_after == 1.0
        await allowances.settle(first, NOTHING)
        await reserve(allowances, rule)

    run(work())


def test_a_bound_that_changes_goes_on_from_what_is_counted():
    async def work() -> None:
        allowances = made(Clock())
        await reserve(allowances, rate(2))
        await reserve(allowances, rate(2))
        await refuse(allowances, rate(2))
        found = await reserve(allowances, rate(3))
        assert found.standings[0].left == 0
        assert await left(allowances, rate(1)) == [-2]

    run(work())


def test_what_nobody_settles_is_free_when_its_lease_is_over():
    async def work() -> None:
        clock = Clock()
        allowances = made(clock, lease=30.0)
        rules = (budget(100, "1d"), parallel(1), rate(100, "tokens", "1d"), rate(5, period="1d"))
        await reserve(allowances, *rules, amount=Amount(80, 80))
        clock.micro += 29_999_999
        await refuse(allowances, *rules, amount=Amount(80, 80))
        clock.micro += 1
        assert await left(allowances, *rules) == [100, 1, 100, 4]

    run(work())


def test_what_is_settled_after_its_lease_counts_once():
    async def work() -> None:
        clock = Clock()
        allowances = made(clock, lease=30.0)
        rules = (budget(100, "1d"), parallel(1), rate(100, "tokens", "1d"))
        found = await reserve(allowances, *rules, amount=Amount(80, 80))
        clock.micro += 31_000_000
        assert await left(allowances, *rules) == [100, 1, 100]
        for _ in range(2):
            assert [s.left for s in await allowances.settle(found, Amount(30, 40))] == [60]
            assert await left(allowances, *rules) == [60, 1, 70]

    run(work())


def test_a_lease_that_is_renewed_begins_anew():
    async def work() -> None:
        clock = Clock()
        allowances = made(clock, lease=30.0)
        found, other = await reserve(allowances, parallel(2)), await reserve(allowances, parallel(2))
        clock.micro += 20_000_000
        await allowances.renew(found)
        clock.micro += 20_000_000
        assert await left(allowances, parallel(2)) == [1]
        await allowances.renew(other)
        assert await left(allowances, parallel(2)) == [1]
        clock.micro += 10_000_000
        assert await left(allowances, parallel(2)) == [2]

    run(work())


@given(st.lists(st.sampled_from(RULES), unique=True, min_size=1, max_size=5), STEPS)
def test_whatever_happens_no_stretch_holds_more_than_is_allowed(rules, steps):
    async def work() -> None:
        clock = Clock()
        allowances = made(clock)
        accounts = {rule: Account() for rule in rules}
        opened: list[Reservation] = []
        for step in steps:
            clock.micro += step.microseconds
            if step.what == "settle" and opened:
                found = opened.pop(step.pick % len(opened))
                # The truth is never above the estimate here: what is beyond it is another test's.
                used = Amount(
                    min(step.amount.tokens, found.amount.tokens), min(step.amount.picodollars, found.amount.picodollars)
                )
                await allowances.settle(found, used)
                for account in accounts.values():
                    account.taken = [
                        (at, used) if (at, amount) == (round(found.at * 1e6), found.amount) else (at, amount)
                        for at, amount in account.taken
                    ]
            elif step.what == "reserve":
                before = await allowances.standings(rules)
                got = await allowances.reserve(rules, step.amount)
                if isinstance(got, Refusal):
                    assert got.standings == before == await allowances.standings(rules)
                else:
                    opened.append(got)
                    assert all(s.left >= 0 for s in got.standings)
                for account in accounts.values():
                    account.note(clock.micro, got)
            for rule, account in accounts.items():
                if rule.kind == "rate":
                    assert account.most_in_any_stretch(rule) <= rule.most

    run(work())


@given(st.lists(st.sampled_from(RULES), unique=True, min_size=1, max_size=5), STEPS)
def test_who_waits_as_long_as_told_is_let_in(rules, steps):
    async def work() -> None:
        clock = Clock()
        allowances = made(clock)
        for step in steps:
            clock.micro += step.microseconds
            got = await allowances.reserve(rules, step.amount)
            if isinstance(got, Refusal) and got.retry_after is not None and got.standing.rule.kind != "parallel":
                clock.micro += round(got.retry_after * 1_000_000)
                got = await allowances.reserve(rules, step.amount)
                if isinstance(got, Refusal):  # only by a rule that no time opens
                    assert got.standing.rule.kind == "parallel" or got.retry_after is None

    run(work())


def test_two_hundred_side_by_side_never_pass_a_budget():
    async def work() -> None:
        allowances = made(Clock(), spent=_nothing_spent)
        rules = (budget(1_000), parallel(20))

        async def one(n: int) -> int:
            found = await allowances.reserve(rules, Amount(0, 30))
            if isinstance(found, Refusal):
                return 0
            for _ in range(n % 5):
                await asyncio.sleep(0)
            await allowances.settle(found, Amount(0, n % 31))
            return n % 31

        used = sum(await asyncio.gather(*(one(n) for n in range(200))))
        assert used <= 1_000
        assert await left(allowances, *rules) == [1_000 - used, 20]
        await allowances.close(0)

    run(work())


async def _nothing_spent(rule: Rule, since: float) -> Amount:
    await asyncio.sleep(0)
    return NOTHING


def test_rules_that_nobody_uses_are_forgotten():
    async def work() -> None:
        clock = Clock()
        allowances = made(clock)
        for n in range(3_000):
            clock.micro += 1_000_000
            user = f"user {n}"
            found = await reserve(
                allowances,
                rate(5, name=user),
                budget(100, "1m", name=user),
                parallel(2, name=user),
                amount=Amount(1, 1),
            )
            await allowances.settle(found, Amount(1, 1))
        assert len(allowances._counters) < 700
        assert len(allowances._open) == 0

    run(work())


def test_rules_in_use_are_never_forgotten():
    async def work() -> None:
        clock = Clock()
        allowances = made(clock, lease=1e6)
        kept = (rate(5, period="1h"), budget(100, "1d"), budget(100, None), parallel(2))
        await reserve(allowances, *kept, amount=Amount(1, 60))
        for n in range(500):
            clock.micro += 1_000_000
            await reserve(allowances, rate(5, name=f"user {n}"))
        assert await left(allowances, *kept) == [4, 40, 40, 1]

    run(work())


def test_a_budget_begins_with_what_the_ledger_knows_and_asks_once_for_all_who_come():
    async def work() -> None:
        ledger = Ledger(700)
        ledger.answer.clear()
        clock = Clock()
        allowances = made(clock, spent=ledger)
        rule = budget(1_000)
        several = [asyncio.ensure_future(allowances.reserve((rule,), Amount(0, 200))) for _ in range(5)]
        await ledger.reached.wait()
        assert not any(one.done() for one in several)
        ledger.answer.set()
        found = await asyncio.gather(*several)
        assert [isinstance(one, Reservation) for one in found] == [True, False, False, False, False]
        assert ledger.asked == [(rule, START - 3_590)]
        clock.micro += 10_000_000
        ledger.spent = 0
        assert await left(allowances, rule) == [1_000]
        assert ledger.asked[1:] == [(rule, START + 10)]
        await allowances.close(0)

    run(work())


def test_tokens_and_budgets_for_ever_are_asked_for_too_but_rates_are_not():
    async def work() -> None:
        ledger = Ledger(700)
        allowances = made(Clock(), spent=ledger)
        rules = (budget(1_000, None), budget(100, "1h", "tokens"), budget(5, "1h", "requests"), rate(5), parallel(3))
        assert await left(allowances, *rules) == [300, 30, 5, 5, 3]
        assert [since for _, since in ledger.asked] == [0.0, START - 3_590]
        await allowances.close(0)

    run(work())


def test_what_others_spent_is_found_when_the_ledger_is_asked_again():
    async def work() -> None:
        ledger = Ledger(0)
        clock = Clock()
        allowances = made(clock, spent=ledger)
        rule = budget(1_000)
        await reserve(allowances, rule, amount=Amount(0, 100))
        ledger.spent = 450
        assert allowances._seeding
        await allowances._seeding.again()
        assert await left(allowances, rule) == [550]
        ledger.spent = 50
        await allowances._seeding.again()
        assert await left(allowances, rule) == [550]
        clock.micro += 600_000_000  # nobody has touched it for ten minutes
        await allowances._seeding.again()
        assert len(ledger.asked) == 3
        await allowances.close(0)

    run(work())


def test_a_ledger_that_cannot_be_asked_stops_nobody_and_the_log_says_so_once():
    async def work() -> None:
        ledger = Ledger(700)
        ledger.fails = True
        log = Log()
        allowances = MemoryAllowances(log, clock=Clock(), spent=ledger)
        for n in range(3):
            await reserve(allowances, budget(1_000, name=f"user {n}"), amount=Amount(0, 900))
        assert log.events == [("budgets_not_seeded", {"error": "OSError"})]
        await reserve(allowances, budget(1_000, name="user 0"), amount=Amount(0, 100))
        assert len(ledger.asked) == 3
        ledger.fails = False
        assert allowances._seeding
        await allowances._seeding.again()
        assert len(ledger.asked) == 6
        await allowances.close(0)

    run(work())


def test_nobody_waits_long_for_a_ledger_and_its_answer_counts_when_it_comes(monkeypatch):
    monkeypatch.setattr(seeding, "PATIENCE_SECONDS", 0.0)

    async def work() -> None:
        ledger = Ledger(700)
        ledger.answer.clear()
        allowances = made(Clock(), spent=ledger)
        rule = budget(1_000)
        await reserve(allowances, rule, amount=Amount(0, 100))
        ledger.answer.set()
        assert allowances._seeding
        await asyncio.gather(*allowances._seeding._asking.values())
        assert await left(allowances, rule) == [300]
        await allowances.close(0)

    run(work())


def test_budgets_are_listed_as_they_stand_while_their_window_lasts():
    async def work() -> None:
        clock = Clock()
        allowances = made(clock)
        await reserve(allowances, budget(100, "1h"), budget(100, "1d"), rate(5), amount=Amount(0, 30))
        assert [(s.rule.period, s.left) for s in allowances.budgets()] == [("1h", 70), ("1d", 70)]
        clock.micro += 10_000_000
        assert [(s.rule.period, s.left) for s in allowances.budgets()] == [("1d", 70)]

    run(work())


def test_it_tells_its_state_in_one_line():
    async def work() -> None:
        allowances = made(Clock())
        await reserve(allowances, rate(5), parallel(2))
        assert repr(allowances) == "<MemoryAllowances 2 rules, 1 reservations>"

    run(work())
