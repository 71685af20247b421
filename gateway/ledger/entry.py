"""A usage record as a line of the journal, as a row of the database, and back.

A line is one JSON object whose keys are the columns of `usage`, so that shipping it is reading it. Guarded texts
(`inputs`, `outputs`) are not kept: the ledger is about numbers, and what telemetry may keep it keeps elsewhere.

Amounts are whole picodollars (1e-12 USD): every catalogue price per token is a whole number of them, they add up
without rounding, and 63 bits hold nine million dollars. A finer amount is rounded once, half to even, when it is
written down.
"""

import hashlib
from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from operator import itemgetter
from typing import Any

from gateway.types import MONEY
from gateway.usage import Decision, UsageRecord
from gateway.wire import json

DIGITS = 12
"""Decimal digits of a dollar that are kept."""

MOST_USD = 100_000
MOST_TOKENS = 1 << 40
"""The most that is believed of one request. More is written down as this much: it is a fault of prices or of a
provider, and sums must stay sums."""

LONGEST_NAME = 512
"""Characters of a name that stands in an index, which PostgreSQL bounds at some 2,700 bytes."""

_NAMES = ("request_id", "key_alias", "key_id", "end_user", "model", "provider")
_DIGEST = 64
_MOST = MOST_USD * 1_000_000_000_000
_LARGEST = (1 << 63) - 1
_LATEST = 4_000_000_000 * 10**9

_TEXT, _MAYBE, _COUNT, _MAYBE_COUNT = (str,), (str, type(None)), (int,), (int, type(None))
_FLAG, _SECONDS, _MAYBE_SECONDS = (bool,), (float, int), (float, int, type(None))
_KINDS: dict[str, tuple[type, ...]] = {
    "at": _COUNT, "request_id": _TEXT, "trace_id": _TEXT, "span_id": _TEXT, "method": _TEXT, "path": _TEXT,
    "route": _TEXT, "status": _COUNT, "outcome": _TEXT, "error_type": _MAYBE, "duration": _SECONDS,
    "overhead": _SECONDS, "time_to_first_chunk": _MAYBE_SECONDS, "key_alias": _MAYBE, "key_id": _MAYBE,
    "end_user": _MAYBE, "session": _MAYBE, "model": _MAYBE, "stream": _FLAG, "provider": _MAYBE, "deployment": _MAYBE,
    "served_model": _MAYBE, "response_model": _MAYBE, "attempts": _COUNT, "input_tokens": _MAYBE_COUNT,
    "output_tokens": _COUNT, "cached_tokens": _COUNT, "cache_write_tokens": _COUNT, "reasoning_tokens": _COUNT,
    "estimated": _FLAG, "cost": _MAYBE_COUNT, "input_cost": _MAYBE_COUNT, "output_cost": _MAYBE_COUNT,
    "cost_source": _MAYBE, "price_version": _MAYBE, "resumed": _COUNT,
}  # fmt: skip
"""What a line holds in each column of one value."""

_LATER: dict[str, Any] = {"resumed": 0}
"""What columns hold that lines of older versions of this program do not have."""

LISTS = ("tags", "dropped", "finish_reasons", "decisions")
"""Columns that hold a list, as JSON text."""

COLUMNS = (*_KINDS, *LISTS)


def picodollars(amount: Decimal | None) -> int | None:
    """An amount of USD as it is kept, at most `MOST_USD`; None for one that is unknown, or is no number."""
    if amount is None or not amount.is_finite():
        return None
    whole = int(amount.scaleb(DIGITS, MONEY).to_integral_value(ROUND_HALF_EVEN, MONEY))
    return whole if -_MOST <= whole <= _MOST else max(-_MOST, min(whole, _MOST))


def dollars(amount: int) -> Decimal:
    """A kept amount in USD, without trailing zeros."""
    return MONEY.scaleb(Decimal(amount), -DIGITS).normalize(MONEY) if amount else Decimal(0)


def name(text: str) -> str:
    """A name as it is kept: an over-long one keeps its beginning and gets a hash of the whole, so that two stay two."""
    if "\0" in text:
        text = without_nul(text)
    if len(text) <= LONGEST_NAME:
        return text
    return text[: LONGEST_NAME - _DIGEST] + hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def line(record: UsageRecord) -> bytes:
    """The record as one line of the journal, its newline included. Measured: 3 µs.

    It does not fail: text that is not Unicode (a lone surrogate) is written with a replacement character.
    """
    values = _values(record)
    try:
        return json.dumps(values) + b"\n"
    except (TypeError, ValueError):
        return json.dumps(_sane(values)) + b"\n"


def _values(record: UsageRecord) -> dict[str, Any]:
    values = dict(zip(COLUMNS, _kept(record), strict=True))
    for column in _TOKENS:
        value = values[column]
        if value is not None and value > MOST_TOKENS:
            values[column] = MOST_TOKENS
    for column in _AMOUNTS:
        values[column] = picodollars(values[column])
    return values


_TOKENS = ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")
_AMOUNTS = ("cost", "input_cost", "output_cost")
_kept = itemgetter(*[UsageRecord._fields.index(column) for column in COLUMNS])


def _sane(value: Any) -> Any:
    """`value` as JSON can say it."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {key: _sane(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_sane(item) for item in value]
    if isinstance(value, Decision):
        return {name: _sane(getattr(value, name)) for name in Decision.__slots__}
    return value


def row(text: bytes) -> dict[str, Any]:
    """The row that a line of the journal stands for, every column present.

    Raises:
        ValueError: the line is not one that was written whole by `line`.
    """
    made: Any = json.loads(text)
    if b"\\u0000" in text:
        made = without_nul(made)
    if not isinstance(made, dict):
        raise ValueError("not an object")
    if (*made, *map(type, made.values())) not in _SEEN:
        made = _checked(made)
    for column, most in _BOUNDS:
        value = made[column]
        if value is not None and not -most <= value <= most:
            raise ValueError(column)
    tags = made["tags"]
    if made["at"] < 0 or not all(type(tag) is str for tag in tags):
        raise ValueError("at or tags")
    for column in LISTS:
        found = made[column]
        made[column] = json.dumps(found).decode() if found else "[]"
    for column in _NAMES:
        value = made[column]
        if value is not None and len(value) > LONGEST_NAME:
            made[column] = name(value)
    return made  # type: ignore[no-any-return]  # a line's keys are texts


def _checked(values: dict[str, Any]) -> dict[str, Any]:
    """The columns of a line in their order, each with a value of its kind. Lines of the same keys and kinds of values
    need not be checked again: there are a few dozen of them, and a column at a time takes longer than all the rest.

    Raises:
        ValueError: names a column that has another kind of value, or none.
    """
    made = {column: values.get(column, _LATER.get(column)) for column in COLUMNS}
    for column, value in made.items():
        if type(value) not in _KINDS.get(column, (list,)):
            raise ValueError(column)
    if len(_SEEN) < _MOST_SEEN:
        _SEEN.add((*made, *map(type, made.values())))
    return made


_SEEN: set[tuple[object, ...]] = set()
_MOST_SEEN = 1024
_BOUNDS = tuple(
    (column, _LATEST if column == "at" else _LARGEST) for column, kinds in _KINDS.items() if int in kinds[:1]
)


def without_nul(value: Any) -> Any:
    """`value` with a replacement character for each NUL: PostgreSQL has none in texts."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, dict):
        return {key: without_nul(item) for key, item in value.items()}
    return [without_nul(item) for item in value] if isinstance(value, list) else value


def record(row: Mapping[str, Any]) -> UsageRecord:
    """The record that a row of the database stands for; texts are not kept, amounts are to `DIGITS` digits."""
    values = {column: row[column] for column in _KINDS}
    for column in _AMOUNTS:
        amount = values[column]
        values[column] = None if amount is None else dollars(amount)
    for column in LISTS:
        values[column] = tuple(json.loads(row[column]))
    values["decisions"] = tuple(Decision(**decision) for decision in values["decisions"])
    return UsageRecord(**values)


def lines(texts: Iterable[bytes]) -> tuple[list[dict[str, Any]], int]:
    """The rows of some lines, and how many lines were damaged: no power failure may stop those after it."""
    rows, damaged = [], 0
    for text in texts:
        try:
            rows.append(row(text))
        except ValueError:
            damaged += 1
    return rows, damaged
