"""`/admin/usage`: who used what, summed up or request by request, for the holder of the master key."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final, get_args

from starlette.types import Receive, Scope, Send

from gateway.endpoints import admin, respond
from gateway.errors import InvalidValue
from gateway.identity.end_users import Naming
from gateway.ledger import reports
from gateway.ledger.books import Books
from gateway.ledger.tally import By
from gateway.wire import json

FORMATS: Final = ("json", "csv")

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class Usage:
    """`GET /admin/usage?by=&from=&to=&format=`: sums by one dimension, over UTC days, the last one included.

    Args:
        books: where usage is recorded.
    """

    def __init__(self, books: Books) -> None:
        self.books = books

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        admin.only_the_master(scope)
        asked = admin.parameters(scope, ("by", "from", "to", "format"))
        by: By = chosen(asked, "by", get_args(By))  # type: ignore[assignment]  # one of these
        since, until = day(asked, "from"), day(asked, "to")
        form = chosen(asked, "format", FORMATS)
        if since is not None and until is not None and since > until:
            raise InvalidValue("`from` must not be later than `to`.", param="from")
        report = await self.books.asked().usage(by, since, until)
        # Of a million names this takes a second, in which others want the event loop.
        body = await asyncio.to_thread(_csv if form == "csv" else _json, report)
        kind = b"text/csv; charset=utf-8" if form == "csv" else b"application/json"
        own = [(b"content-type", kind), (b"content-length", b"%d" % len(body)), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": own})
        await send({"type": "http.response.body", "body": body})


def _json(report: reports.Report) -> bytes:
    return json.dumps(reports.usage_json(report))


def _csv(report: reports.Report) -> bytes:
    return reports.usage_csv(report).encode("utf-8", "replace")


class Records:
    """`GET /admin/usage/records?request_id=&user=&limit=&cursor=`: single records, the newest first.

    Args:
        books: where usage is recorded.
        naming: what stands for an end user's name there.
    """

    def __init__(self, books: Books, naming: Naming) -> None:
        self.books = books
        self.naming = naming

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        admin.only_the_master(scope)
        asked = admin.parameters(scope, ("request_id", "user", "limit", "cursor"))
        limit = admin.limit(asked)
        users = None
        if "user" in asked:
            users = tuple(dict.fromkeys((self.naming.given(asked["user"]), *self.naming.known(asked["user"]))))
        page = await self.books.asked().records(asked.get("request_id"), users, limit, asked.get("cursor"))
        data = [reports.record_json(record) for record in page.records]
        await respond.plain(send, {"data": data, "cursor": page.cursor}, headers={b"cache-control": b"no-store"})


async def spending(books: Books, most: int, after: str) -> Mapping[str, Mapping[str, Any] | None] | None:
    """At most so many end users from the one behind `after` on, by the names that are kept of them, with what each has
    used; None where nothing is recorded.

    Raises:
        Unavailable: the database cannot be used.
    """
    ledger = books.ledger
    if ledger is None:
        return None
    found = await ledger.end_users(most, after)
    return {one.name: None if one.used is None else reports.spend_json(one.used) for one in found}


async def forgetting(books: Books, name: str) -> int:
    """Delete the records of one end user by the name that is kept of them; how many there were.

    Raises:
        Unavailable: the database cannot be used, and nothing is deleted.
    """
    ledger = books.ledger
    return 0 if ledger is None else await ledger.forget(name)


def chosen(asked: Mapping[str, str], name: str, choices: Sequence[str]) -> str:
    """One of some words, the first of them when left out.

    Raises:
        InvalidValue: another word.
    """
    value = asked.get(name, choices[0])
    if value not in choices:
        raise InvalidValue(f"`{name}` must be one of {', '.join(choices)}.", param=name)
    return value


def day(asked: Mapping[str, str], name: str) -> date | None:
    """A UTC day, `YYYY-MM-DD`; None when left out.

    Raises:
        InvalidValue: not a day.
    """
    if name not in asked:
        return None
    if _DAY.fullmatch(asked[name]):
        try:
            return date.fromisoformat(asked[name])
        except ValueError as error:
            raise InvalidValue(f"`{name}` is not a day of the calendar.", param=name) from error
    raise InvalidValue(f"`{name}` must be a UTC day such as 2026-01-31.", param=name)
