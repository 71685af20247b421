"""What is added up by day: pure functions from rows to the lines of `usage_daily`.

There is one sum per day and name in each of the dimensions people ask for, not one per combination: a year of traffic
is then 366 lines for each name that is busy every day. Days are UTC.
"""

from collections.abc import Iterable, Mapping
from datetime import date
from operator import add, itemgetter
from typing import Any, Literal, NamedTuple

from gateway.ledger import entry
from gateway.wire import json

By = Literal["user", "model", "provider", "key", "tag", "day"]
"""What usage is asked by."""

ALL = "all"
"""The dimension with one name, `""`: whole days."""

NOBODY = ""
"""The name of what has none: requests without an end user, a key, a tag."""

SUMS = (
    "requests", "errors", "blocked", "cancelled", "unpriced",
    "input_tokens", "output_tokens", "cached_tokens", "cost",
)  # fmt: skip
"""The columns that are added up. `cost` is that of the requests whose cost is known, `unpriced` counts the others that
used tokens."""

KEY_ID = "key_id"
"""The dimension of virtual keys by their ids, for budgets. People ask by alias, which several may have had in turn."""

_NANOSECONDS = 86_400 * 10**9
_EPOCH = date(1970, 1, 1).toordinal()

Key = tuple[str, str, date]
"""Dimension, name, day: the key of a line."""


def day(at: int) -> date:
    """The UTC day of a time in nanoseconds since 1970."""
    return date.fromordinal(_EPOCH + at // _NANOSECONDS)


def tallies(rows: Iterable[Mapping[str, Any]]) -> dict[Key, tuple[int, ...]]:
    """What `rows` add to the roll-ups: for each line the amounts in the order of `SUMS`, keys in order.

    The order is the same for everybody who writes, so that two who write the same lines do not wait for each other in
    a circle. A model that nobody serves is counted under no name: its names are what anybody may make up.
    """
    # Most rows of a batch are of few callers and models: those that add to the same lines are added up first.
    alike: dict[_Whose, tuple[int, ...]] = {}
    for row in rows:
        unserved = row["error_type"] == "model_not_found"
        whose = _Whose(row["at"] // _NANOSECONDS, unserved, *_names(row))
        amounts, known = _amounts(row), alike.get(whose)
        alike[whose] = amounts if known is None else tuple(map(add, known, amounts))
    found: dict[Key, tuple[int, ...]] = {}
    for whose, amounts in alike.items():
        for key in _keys(whose):
            known = found.get(key)
            found[key] = amounts if known is None else tuple(map(add, known, amounts))
    return dict(sorted(found.items()))


class _Whose(NamedTuple):
    """What decides which lines a row adds to: its day, whether its model is one that nobody serves, its names."""

    day: int
    unserved: bool
    user: str | None
    model: str | None
    provider: str | None
    key: str | None
    key_id: str | None
    tags: str


_names = itemgetter("end_user", "model", "provider", "key_alias", KEY_ID, "tags")


def _keys(whose: _Whose) -> list[Key]:
    when = date.fromordinal(_EPOCH + whose.day)
    keys = [
        (ALL, NOBODY, when),
        ("user", whose.user or NOBODY, when),
        ("model", NOBODY if whose.unserved else whose.model or NOBODY, when),
        ("provider", whose.provider or NOBODY, when),
        ("key", whose.key or NOBODY, when),
    ]
    if whose.key_id:
        keys.append((KEY_ID, whose.key_id, when))
    tags = {entry.name(tag) for tag in json.loads(whose.tags)} if whose.tags != "[]" else ()
    keys.extend(("tag", tag, when) for tag in (tags or (NOBODY,)))
    return keys


def _amounts(row: Mapping[str, Any]) -> tuple[int, ...]:
    outcome, tokens, cost = row["outcome"], row["input_tokens"], row["cost"]
    return (
        1,
        outcome == "error",
        outcome == "blocked",
        outcome == "cancelled",
        cost is None and tokens is not None,
        tokens or 0,
        row["output_tokens"],
        row["cached_tokens"],
        cost or 0,
    )
