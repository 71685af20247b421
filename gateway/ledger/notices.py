"""Who is told that a budget comes to its end: the log, the numbers, and a webhook. No request ever waits for it.

A webhook gets a POST with a JSON object and two headers, by which its receiver knows that it is from here:

- `x-gateway-timestamp`: seconds since 1970, as digits;
- `x-gateway-signature`: `v1=` and the HMAC-SHA256, in hex, keyed with the shared secret in UTF-8, of the timestamp, a
  full stop and the body. Receivers compare in constant time and refuse old timestamps.

It is answered with 2xx. What is not is tried three times more within some minutes, with the same `id`; then it is given
up, and the log says so.
"""

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Mapping
from contextvars import Context
from datetime import UTC, datetime
from hashlib import sha256
from time import time
from typing import Any, Final

from gateway.config.limits import BudgetWebhook
from gateway.ledger.entry import dollars
from gateway.ledger.ports import Log
from gateway.ledger.seeding import cancel
from gateway.ledger.thresholds import Crossing
from gateway.wire import json

Send = Callable[[str, Mapping[str, str], bytes, float], Awaitable[int]]
"""POSTs a body to a URL with headers, for so many seconds at most: the HTTP status, 0 where there was no answer."""

First = Callable[[str, float], Awaitable[bool]]
"""Whether nobody has claimed a name yet, among all processes that count together; it is claimed for so many seconds."""

EVENT: Final = "budget.reached"
PAUSES: Final = (1.0, 10.0, 60.0)
"""Seconds before each further attempt."""

SECONDS: Final = 10.0
"""How long a receiver has."""

MOST: Final = 1_000
"""Notices on their way at one time; those beyond are only logged and counted."""

_FOREVER: Final = 366 * 86_400.0


class Notices:
    """Tells of budgets.

    Args:
        log: where it is told first.
        send: how a webhook is reached.
        count: counts one; None for nothing.
        first: tells which of several processes tells; None where there is one, or each counts for itself.
        sleep: waits for so many seconds.
    """

    def __init__(
        self,
        log: Log,
        send: Send,
        count: Callable[[Crossing], None] | None = None,
        first: First | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._log = log
        self._send = send
        self._count = count
        self._first = first
        self._sleep = sleep
        self._webhook: BudgetWebhook | None = None
        self._telling: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Notices {len(self._telling)} on their way{' to a webhook' if self._webhook else ''}>"

    def use(self, webhook: BudgetWebhook | None) -> None:
        """From now on this webhook is told."""
        self._webhook = webhook

    def tell(self, crossing: Crossing) -> None:
        """Tell of a budget, without waiting for anybody."""
        if len(self._telling) >= MOST:
            self._write(crossing)
            return
        task = asyncio.get_running_loop().create_task(self._tell(crossing), context=Context())
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def close(self, seconds: float) -> None:
        """Wait for notices on their way, for at most so many seconds; the others are given up, and so are those that
        are on their way on another event loop."""
        loop = asyncio.get_running_loop()
        if here := [task for task in self._telling if task.get_loop() is loop]:
            await asyncio.wait(here, timeout=seconds)
        for task in tuple(self._telling):
            cancel(task)

    async def _tell(self, crossing: Crossing) -> None:
        if self._first is not None and not await self._first(f"told:{identifier(crossing)}", _seconds(crossing)):
            return
        self._write(crossing)
        webhook = self._webhook
        if webhook is not None:
            await self._post(webhook, crossing)

    def _write(self, crossing: Crossing) -> None:
        said = told(crossing)
        self._log.warning("budget_reached", **{name: value for name, value in said.items() if name != "event"})
        if self._count is not None:
            self._count(crossing)

    async def _post(self, webhook: BudgetWebhook, crossing: Crossing) -> None:
        body = json.dumps(told(crossing))
        status = 0
        for pause in (0.0, *PAUSES):
            if pause:
                await self._sleep(pause)
            status = await self._send(webhook.url, signed(webhook, body, time()), body, SECONDS)
            if 200 <= status < 300:
                return
        self._log.error("budget_notice_lost", id=identifier(crossing), status=status, attempts=1 + len(PAUSES))


def told(crossing: Crossing) -> dict[str, Any]:
    """A crossing as it is told: amounts in USD or tokens, times as RFC 3339 writes them. `subject` is a key's id, an
    end user's name or pseudonym as the ledger has it, a tag, an alias; empty for all."""
    rule = crossing.rule
    money = rule.unit == "picodollars"
    return {
        "event": EVENT,
        "id": identifier(crossing),
        "at": _time(crossing.at),
        "percent": crossing.percent,
        "scope": rule.scope,
        "subject": rule.name,
        "unit": "usd" if money else rule.unit,
        "budget": float(dollars(rule.most)) if money else rule.most,
        "used": float(dollars(crossing.used)) if money else crossing.used,
        "period": rule.period,
        "resets_at": _time(crossing.end),
    }


def identifier(crossing: Crossing) -> str:
    """The same for the same budget, window and threshold, whoever tells of it; it gives away no name."""
    rule = crossing.rule
    parts = (rule.scope, rule.name, rule.unit, str(rule.period), str(rule.most), str(crossing.start))
    return sha256("\0".join((*parts, str(crossing.percent))).encode("utf-8", "replace")).hexdigest()[:32]


def signed(webhook: BudgetWebhook, body: bytes, now: float) -> dict[str, str]:
    """The headers of a notice that is sent at `now`, seconds since 1970."""
    timestamp = str(int(now))
    digest = hmac.digest(webhook.secret.reveal().encode(), timestamp.encode() + b"." + body, "sha256")
    return {
        "content-type": "application/json",
        "x-gateway-timestamp": timestamp,
        "x-gateway-signature": f"v1={digest.hex()}",
    }


def _seconds(crossing: Crossing) -> float:
    """How long it is remembered that it was told."""
    return _FOREVER if crossing.end is None else min(max(crossing.end - crossing.at, 1.0) + 60.0, _FOREVER)


def _time(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
