"""What the ledger answers: frozen values, and the JSON and CSV that clients read (contract §1)."""

import csv
import io
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from gateway.types import MONEY
from gateway.usage import UsageRecord

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a text begins that a spreadsheet would take for a formula (OWASP, CSV injection)."""

_LEFT_OUT = ("inputs", "outputs")


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over requests. `cost` is USD, exact, of those whose cost is known; `unpriced` counts those that used tokens
    and whose cost is not."""

    requests: int = 0
    errors: int = 0
    blocked: int = 0
    cancelled: int = 0
    unpriced: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost: Decimal = Decimal(0)

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            self.requests + other.requests,
            self.errors + other.errors,
            self.blocked + other.blocked,
            self.cancelled + other.cancelled,
            self.unpriced + other.unpriced,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
            MONEY.add(self.cost, other.cost),
        )


@dataclass(frozen=True, slots=True)
class Report:
    """Usage by one dimension: names with their sums, and the sums of all requests. `""` is who has no name."""

    by: str
    lines: tuple[tuple[str, Sums], ...]
    total: Sums


@dataclass(frozen=True, slots=True)
class Used:
    """What somebody used, from the first UTC day on which they did to the last."""

    first: date
    last: date
    sums: Sums


@dataclass(frozen=True, slots=True)
class EndUser:
    """One end user, and what they used; None for nothing that is known of."""

    name: str
    used: Used | None


@dataclass(frozen=True, slots=True)
class Page:
    """Records, the newest first, and the cursor of the next page; None on the last one."""

    records: tuple[UsageRecord, ...]
    cursor: str | None


def sums_json(sums: Sums) -> dict[str, Any]:
    """Sums under the contract's names."""
    return {
        "requests": sums.requests,
        "prompt_tokens": sums.input_tokens,
        "completion_tokens": sums.output_tokens,
        "cost_usd": float(sums.cost),
        "errors": sums.errors,
        "blocked": sums.blocked,
    }


def usage_json(report: Report) -> dict[str, Any]:
    """`{"data": [{<by>, requests, …}], "total": {…}}`."""
    data = [{report.by: name, **sums_json(sums)} for name, sums in report.lines]
    return {"data": data, "total": sums_json(report.total)}


def usage_csv(report: Report) -> str:
    """The lines of a report without its total, exact amounts, a header line first (RFC 4180)."""
    out = io.StringIO()
    write = csv.writer(out)
    write.writerow((report.by, *sums_json(Sums())))
    for name, sums in report.lines:
        shown = f"'{name}" if name.startswith(_FORMULA) else name
        write.writerow((shown, *{**sums_json(sums), "cost_usd": f"{sums.cost:f}"}.values()))
    return out.getvalue()


def spend_json(used: Used) -> dict[str, Any]:
    """What one end user used, and between which days."""
    return {**sums_json(used.sums), "first_day": used.first.isoformat(), "last_day": used.last.isoformat()}


def record_json(record: UsageRecord) -> dict[str, Any]:
    """One record, amounts as numbers of USD; lists and decisions as they are."""
    told: dict[str, Any] = {}
    for name in UsageRecord._fields:
        if name not in _LEFT_OUT:
            value = getattr(record, name)
            told[name] = float(value) if isinstance(value, Decimal) else value
    return told
