"""Lengths of time such as `1m` or `3mo`, and the windows of a budget: stretches in UTC that follow each other.

Windows are the same for everybody who looks: seconds, minutes, hours and days count from the beginning of 1970, weeks
begin on Mondays, months with the first of the calendar's months (`3mo` are quarters, `12mo` years). All times are whole
microseconds since 1970, so that every process and Redis reckon alike.
"""

from datetime import UTC, datetime
from functools import lru_cache

SECOND = 1_000_000
DAY = 86_400 * SECOND
FOREVER = 1 << 53
"""The end of a window without an end, in the year 2255: the largest whole number that Lua tells from its neighbours."""

_UNITS = {"s": SECOND, "m": 60 * SECOND, "h": 3_600 * SECOND, "d": DAY, "w": 7 * DAY, "mo": 30 * DAY}
_MONDAY = 4 * DAY
"""1970 began on a Thursday; its first Monday was the fifth of January."""


@lru_cache(1024)
def parse(period: str) -> tuple[int, str]:
    """`15m` is (15, "m").

    Raises:
        ValueError: it is no length: a whole number above zero and one of s, m, h, d, w and mo.
    """
    digits = period.rstrip("smhdwo")
    unit = period[len(digits) :]
    if unit not in _UNITS or not (digits.isascii() and digits.isdecimal()) or digits[0] == "0":
        raise ValueError(f"{period!r} is not a period, such as 30s, 1m, 1h, 1d, 1w or 1mo")
    return int(digits), unit


@lru_cache(1024)
def length(period: str) -> int:
    """Microseconds in a period, for what slides; a month counts as thirty days.

    Raises:
        ValueError: it is no length.
    """
    count, unit = parse(period)
    return min(count * _UNITS[unit], FOREVER)


def window(period: str | None, now: int) -> tuple[int, int]:
    """The window that a time falls in: its start, and its end, which belongs to the next. None is one for ever.

    Raises:
        ValueError: `period` is no length.
    """
    if period is None:
        return 0, FOREVER
    count, unit = parse(period)
    if unit == "mo":
        return _months(count, now)
    step = count * _UNITS[unit]
    origin = _MONDAY if unit == "w" else 0
    start = (now - origin) // step * step + origin
    return max(start, 0), min(start + step, FOREVER)


def _months(count: int, now: int) -> tuple[int, int]:
    day = datetime.fromtimestamp(now // SECOND, UTC)
    month = (day.year - 1970) * 12 + day.month - 1
    first = month // count * count
    return _first_of(first), _first_of(first + count)


def _first_of(month: int) -> int:
    """When a month began, counted from January 1970."""
    if month >= 12 * 280:
        return FOREVER
    return int(datetime(1970 + month // 12, month % 12 + 1, 1, tzinfo=UTC).timestamp()) * SECOND
