"""JSON in and out: the one place that knows the JSON library (orjson: strict RFC 8259, UTF-8 only, no NaN)."""

from typing import Any

import orjson

JSONDecodeError = orjson.JSONDecodeError


def loads(data: bytes | str) -> Any:
    """The value of one JSON text. Of duplicate keys the last one counts.

    Raises:
        JSONDecodeError: not JSON, not UTF-8, nested deeper than 1,024, or a number outside a double's range.
    """
    return orjson.loads(data)


def dumps(value: Any) -> bytes:
    """`value` as compact UTF-8 JSON."""
    return orjson.dumps(value)
