"""What tests of allowances share: rules, a clock that stands, and an independent account of what was counted."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from gateway.ledger.allowances import Amount, Refusal, Reservation, Rule
from gateway.ledger.periods import length

START = 1_772_359_190.0
"""A time ten seconds before the end of a minute, and of an hour."""


class Clock:
    """Stands until it is moved."""

    def __init__(self) -> None:
        self.micro = int(START * 1_000_000)

    def __call__(self) -> float:
        return self.micro / 1_000_000


def rate(most: int, unit: str = "requests", period: str = "1m", name: str = "k") -> Rule:
    """A rate of a key."""
    return Rule("key", name, "rate", unit, most, period)  # type: ignore[arg-type]


def budget(most: int, period: str | None = "1h", unit: str = "picodollars", name: str = "u") -> Rule:
    """A budget of an end user."""
    return Rule("end_user", name, "budget", unit, most, period)  # type: ignore[arg-type]


def parallel(most: int, name: str = "k") -> Rule:
    """Requests of a key at a time."""
    return Rule("key", name, "parallel", "requests", most)


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Bounded, on a loop of its own."""
    return asyncio.run(asyncio.wait_for(work, 60))


class Ledger:
    """Knows what was spent; counts how often it is asked."""

    def __init__(self, spent: int) -> None:
        self.spent = spent
        self.asked: list[tuple[Rule, float]] = []
        self.fails = False
        self.reached = asyncio.Event()
        self.answer = asyncio.Event()
        self.answer.set()

    async def __call__(self, rule: Rule, since: float) -> Amount:
        self.asked.append((rule, since))
        self.reached.set()
        await self.answer.wait()
        if self.fails:
            raise OSError("no database")
        return Amount(self.spent // 10, self.spent)


@dataclass(frozen=True)
class Step:
    """Something that happens: time passes, then one of reserve, settle, renew, a change of bounds."""

    microseconds: int
    what: str
    pick: int
    amount: Amount


GAPS = (0, 0, 1, 59_999_999, 60_000_000, 99_999_999, 100_000_000, 120_000_000)
"""Times at which something ends: a rate's period, a lease of 100 s."""

AMOUNTS = st.builds(Amount, st.integers(0, 60), st.integers(0, 60))
STEPS = st.lists(
    st.builds(
        Step,
        st.one_of(st.sampled_from(GAPS), st.integers(0, 3_000_000), st.integers(0, 70_000_000)),
        st.sampled_from(["reserve", "reserve", "reserve", "settle", "settle", "again", "renew", "look", "most"]),
        st.integers(0, 1_000),
        AMOUNTS,
    ),
    max_size=40,
)
RULES = [
    rate(5),
    rate(100, "tokens"),
    rate(150, "tokens", "2m"),
    budget(200),
    budget(120, "1m"),
    budget(900, None),
    budget(250, "1h", "tokens"),
    parallel(3),
]


@dataclass
class Account:
    """What an observer writes down: at what time what was taken of a rate."""

    taken: list[tuple[int, Amount]] = field(default_factory=list)

    def note(self, at: int, found: Reservation | Refusal) -> None:
        """After a reserve."""
        if isinstance(found, Reservation):
            self.taken.append((at, found.amount))

    def most_in_any_stretch(self, rule: Rule) -> int:
        """The most that any stretch as long as the period holds, wherever it begins."""
        span = length(rule.period or "")
        sizes = [(at, 1 if rule.unit == "requests" else amount.tokens) for at, amount in self.taken]
        return max((sum(size for at, size in sizes if first <= at < first + span) for first, _ in sizes), default=0)
