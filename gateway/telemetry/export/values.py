"""Any value as one that OTLP can hold: telemetry does not fail over what a client or a provider wrote."""

from typing import Any

from gateway.telemetry.span import Value

LEAST, GREATEST = -(2**63), 2**63 - 1
"""OTLP's whole numbers are signed 64-bit ones."""

_DIGITS_BITS = 4096
"""A number of more bits is named by its size: writing its digits would take long, or be refused by Python."""


def plain(value: Any) -> Value:
    """`value` itself wherever OTLP can hold it.

    Lone surrogates become U+FFFD, whole numbers beyond 64 bits become text, subclasses become what they derive from,
    and what has no place in OTLP becomes the name of its type.
    """
    if isinstance(value, str):
        return text(value)
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        if LEAST <= value <= GREATEST:
            return int(value)
        return str(int(value)) if value.bit_length() <= _DIGITS_BITS else f"a number of {value.bit_length()} bits"
    if isinstance(value, float):
        return float(value)
    if isinstance(value, tuple | list):
        return tuple(plain(each) for each in value)  # type: ignore[misc] # the conventions have lists of one kind only
    return type(value).__name__


def text(value: str) -> str:
    """`value` with surrogate pairs joined and lone surrogates replaced, so that it has a UTF-8 form."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return str(value)
