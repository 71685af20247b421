"""What callers are allowed: rates, budgets and requests at a time, as rules; and the port behind which they count.

A request reserves an estimate of what it will use before its call and settles to the truth after it (design.md,
decision 8). All its rules are reserved together or none is. Amounts are whole: requests, tokens, and picodollars
(1e-12 USD, see `gateway.ledger.entry`).

These values are named tuples, not frozen dataclasses as elsewhere: every request makes a dozen of them and looks
counters up by them, and a tuple is made in half the time and hashed in a fifth of it.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, NamedTuple, Protocol

Scope = Literal["all", "key", "end_user", "tag", "model", "deployment"]
"""Whose a rule is; for `all` the name is empty."""

Unit = Literal["requests", "tokens", "picodollars"]

Kind = Literal["rate", "budget", "parallel"]
"""`rate`: so much in any stretch of `period`, given back as time passes. `budget`: so much in each period, all of it
free again when the next begins. `parallel`: so many at one time, whatever the period."""


class Rule(NamedTuple):
    """One bound: at most `most` of `unit`. `period` is a length such as `1m`, `1d` or `1mo`; None where there is none:
    a budget for ever, requests at a time. `name` is what the ledger knows the one by whom it binds."""

    scope: Scope
    name: str
    kind: Kind
    unit: Unit
    most: int
    period: str | None = None


class Amount(NamedTuple):
    """What a request uses, or is thought to use at most. `picodollars` is 0 where nobody knows a price."""

    tokens: int = 0
    picodollars: int = 0


class Standing(NamedTuple):
    """How a rule stands: what is left of it, spent and reserved taken off, and the seconds until it is whole again.

    `left` is below zero where requests used more than they had reserved. `reset` is 0 where it is whole, and where no
    time makes it so: a budget for ever, and requests at a time."""

    rule: Rule
    left: int
    reset: float


class Reservation(NamedTuple):
    """What was set aside for one request, until it is settled or its lease is over. `standings` are those of all rules
    right after it, in their order."""

    id: str
    rules: tuple[Rule, ...]
    amount: Amount
    at: float
    standings: tuple[Standing, ...]


class Refusal(NamedTuple):
    """Nothing was set aside, because of the rule that `standing` shows; `retry_after` is the seconds after which the
    same request may pass, None where no waiting helps (it asks for more than the rule ever allows, or the budget is
    for ever). Of several rules that refuse, `standing` is the one with the longest wait."""

    standing: Standing
    retry_after: float | None
    standings: tuple[Standing, ...]


Spent = Callable[[Rule, float], Awaitable[Amount]]
"""What the ledger knows was spent under a budget since a time (seconds since 1970; 0 for a budget for ever), by
requests that began then or later. It raises what it likes where it cannot say."""


class Allowances(Protocol):
    """Counts what is used. `reserve`, `settle`, `renew` and `standings` raise `gateway.errors.Unavailable` where the
    counters cannot be reached."""

    async def reserve(self, rules: Sequence[Rule], amount: Amount) -> Reservation | Refusal:
        """Set aside one request and `amount` under all `rules`, or nothing at all. A rule that is used up refuses also
        what is thought to use nothing of it."""
        ...

    async def settle(self, reservation: Reservation, used: Amount) -> tuple[Standing, ...]:
        """Put what was `used` in place of what was reserved; a request that came to nothing used `Amount()`. It counts
        once: a second call changes nothing. After the lease is over, what was used is counted all the same. Gives how
        the budgets among the rules stand afterwards; nobody asks about rates then.

        Where it raises `Unavailable`, it is not lost: it is done in the background as soon as the counters are back.
        """
        ...

    async def renew(self, reservation: Reservation) -> None:
        """Let the lease begin anew, for a request that takes longer than it; nothing where it is settled or over."""
        ...

    async def standings(self, rules: Sequence[Rule]) -> tuple[Standing, ...]:
        """How `rules` stand now; nothing is set aside."""
        ...

    def budgets(self) -> tuple[Standing, ...]:
        """How the budgets this process has seen in their present period stood when it last did; asks nobody."""
        ...

    async def close(self, seconds: float) -> None:
        """Settle what is not settled yet, for at most so many seconds."""
        ...
