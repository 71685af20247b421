"""What is added up by day: pure functions from rows to the lines of `usage_daily`.

There is one sum per day and name in each of the dimensions people ask for, not one per combination: a year of traffic
is then 366 lines for each name that is busy every day. Days are UTC.
"""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, Literal

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

_COLUMNS = {"user": "end_user", "model": "model", "provider": "provider", "key": "key_alias"}
_NANOSECONDS = 86_400 * 10**9
_EPOCH = date(1970, 1, 1).toordinal()

Key = tuple[str, str, date]
"""Dimension, name, day: the key of a line."""


def day(at: int) -> date:
    """The UTC day of a time in nanoseconds since 1970."""
    return date.fromordinal(_EPOCH + at // _NANOSECONDS)


def tallies(rows: Iterable[Mapping[str, Any]]) -> dict[Key, list[int]]:
    """What `rows` add to the roll-ups: for each line the amounts in the order of `SUMS`, keys in order.

    The order is the same for everybody who writes, so that two who write the same lines do not wait for each other in
    a circle. A model that nobody serves is counted under no name: its names are what anybody may make up.
    """
    found: dict[Key, list[int]] = {}
    for row in rows:
        amounts = _amounts(row)
        when = day(row["at"])
        for key in _keys(row, when):
            line = found.get(key)
            if line is None:
                found[key] = list(amounts)
            else:
                for index, amount in enumerate(amounts):
                    line[index] += amount
    return dict(sorted(found.items()))


def _keys(row: Mapping[str, Any], when: date) -> list[Key]:
    keys = [(ALL, NOBODY, when)]
    for dimension, column in _COLUMNS.items():
        name = row[column] or NOBODY
        if dimension == "model" and row["error_type"] == "model_not_found":
            name = NOBODY
        keys.append((dimension, name, when))
    if row[KEY_ID]:
        keys.append((KEY_ID, row[KEY_ID], when))
    tags = row["tags"]
    keys.extend(("tag", tag, when) for tag in ({entry.name(tag) for tag in json.loads(tags)} or {NOBODY}))
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
