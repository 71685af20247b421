"""A refusal, and how rules stand, in the words of clients: errors of contract §4 and rates of its headers (§5).

Nobody else is ever named: a rule is told as what it is to the caller, and amounts only where they are the caller's own.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import ceil
from time import time
from typing import Final

from gateway.errors import BudgetExceeded, GatewayError, RateLimited
from gateway.exchange import Rate
from gateway.ledger.allowances import Amount, Refusal, Rule, Scope, Standing
from gateway.ledger.entry import dollars
from gateway.ledger.limits import asked

WHOSE: Final[Mapping[Scope, str]] = {
    "all": "of this gateway",
    "key": "of this API key",
    "end_user": "of this end user",
    "tag": "of a tag of this request",
    "model": "of this model",
    "deployment": "of this model",
}

_OWN: Final = frozenset({"key", "end_user"})
"""Whose amounts a caller may know."""

_LENGTHS: Final[Mapping[str, str]] = {
    "s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week", "mo": "month"
}  # fmt: skip


def refusal(found: Refusal, amount: Amount) -> GatewayError:
    """The error that a refused request is answered with, which was thought to use `amount`; `retry-after` says when the
    same request may pass."""
    rule = found.standing.rule
    alone = asked(rule, amount) > rule.most
    headers = {} if found.retry_after is None else {"retry-after": str(max(ceil(found.retry_after), 1))}
    if rule.kind == "budget":
        return BudgetExceeded(_budget_said(rule, found.retry_after, alone), headers=headers)
    return RateLimited(_rate_said(rule, found.retry_after or 0.0, alone), headers=headers)


def _rate_said(rule: Rule, wait: float, alone: bool) -> str:
    whose = WHOSE[rule.scope]
    if rule.kind == "parallel":
        return f"The limit {whose} is {_count(rule)} at a time, and as many are under way; send the request again soon."
    limit = f"The limit {whose} is {_count(rule)} per {_length(rule.period)}"
    if alone:
        return f"{limit}, and this request alone may use more; send a shorter prompt, or a smaller max_tokens."
    return f"{limit}, and this request is beyond it; send it again in {_duration(wait)}."


def _budget_said(rule: Rule, wait: float | None, alone: bool) -> str:
    own = f" of {_count(rule)}" if rule.scope in _OWN else ""
    period = f" per {_length(rule.period)}" if own and rule.period else ""
    budget = f"The budget{own}{period} {WHOSE[rule.scope]}"
    if alone:
        return f"{budget} is less than this request alone may cost; send a shorter prompt, or a smaller max_tokens."
    if wait is not None:
        when = (datetime.fromtimestamp(time(), UTC) + timedelta(seconds=ceil(wait))).strftime("%Y-%m-%dT%H:%M:%SZ")
        return f"{budget} does not suffice for this request; it begins anew in {_duration(wait)}, at {when}."
    return f"{budget} does not suffice for this request, and it does not begin anew; ask the operator for more."


def _count(rule: Rule) -> str:
    if rule.unit == "picodollars":
        return f"{dollars(rule.most):f} USD"
    return f"{rule.most} {rule.unit if rule.most != 1 else rule.unit[:-1]}"


def _length(period: str | None) -> str:
    """`1d` is "day", `3mo` is "3 months"."""
    text = period or ""
    number = text.rstrip("smhdwo")
    unit = _LENGTHS[text[len(number) :]]
    return unit if number == "1" else f"{number} {unit}s"


def _duration(seconds: float) -> str:
    """A wait in words, the largest two units of it: "3 h 20 min"."""
    left = max(ceil(seconds), 1)
    parts: list[str] = []
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        if left >= size and len(parts) < 2:
            parts.append(f"{left // size} {unit}")
            left %= size
    return " ".join(parts)


def rates(standings: Sequence[Standing], refused: Standing | None = None) -> tuple[Rate, ...]:
    """The tightest rule of each unit that clients pace themselves by, requests and tokens: the one that refused, else
    the one with the least left, and of those the one that takes longest. Requests at a time are no such rule."""
    requests = tokens = None
    for standing in standings:
        rule = standing.rule
        if rule.kind == "parallel":
            continue
        if rule.unit == "requests":
            requests = standing if requests is None else _tighter(requests, standing)
        elif rule.unit == "tokens":
            tokens = standing if tokens is None else _tighter(tokens, standing)
    if refused is not None and refused.rule.kind != "parallel":
        if refused.rule.unit == "requests":
            requests = refused
        elif refused.rule.unit == "tokens":
            tokens = refused
    if requests is None or tokens is None:
        return tuple([_rate(one) for one in (requests, tokens) if one is not None])
    return _rate(requests), _rate(tokens)


def _tighter(one: Standing, other: Standing) -> Standing:
    return other if (other.left, -other.reset) < (one.left, -one.reset) else one


def _rate(standing: Standing) -> Rate:
    rule, left, reset = standing
    return Rate(rule.unit, rule.most, left if left > 0 else 0, reset if rule.period else None)
