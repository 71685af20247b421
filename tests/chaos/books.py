"""Compares three books of a chaos run: what clients asked, what the ledger kept, and what providers would bill."""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.clients import PREFIX, Outcome
from tests.faults.upstream import Asked, Upstream

_READABLE = ("none", "slow")
"""Faults under which an answer that was made is also understood, so that its usage is known on both sides."""


@dataclass(frozen=True, slots=True)
class Row:
    """What the ledger has of one request; `cost` is in picodollars, as it is stored."""

    id: str
    status: int
    outcome: str
    attempts: int
    input_tokens: int
    output_tokens: int
    cost: int


@dataclass(frozen=True, slots=True)
class Books:
    """`lost` and `doubled` are ids of requests with no row, or several; `differing` those whose provider counted
    something else than the ledger, among the `compared` ones of which both know everything. `calls` is the number of
    calls to providers by request."""

    rows: int
    lost: tuple[str, ...]
    doubled: tuple[str, ...]
    strangers: tuple[str, ...]
    compared: int
    differing: tuple[str, ...]
    miscounted: tuple[str, ...]
    """Requests whose row names another number of attempts than reached the providers."""


def rows(database: Path) -> list[Row]:
    """The ledger of a gateway that has ended, from its SQLite file."""
    columns = "request_id, status, outcome, attempts, input_tokens, output_tokens, cost"
    with closing(sqlite3.connect(database)) as connection:
        found = connection.execute(f"SELECT {columns} FROM usage WHERE request_id LIKE ?", (f"{PREFIX}%",))  # noqa: S608
        return [Row(*values[:4], *(value or 0 for value in values[4:])) for values in found]


def compare(kept: Sequence[Row], outcomes: Iterable[Outcome], upstreams: Mapping[str, Upstream]) -> Books:
    """Hold the books against each other. A client that left may have done so before its request was read."""
    outcomes = list(outcomes)
    times = Counter(row.id for row in kept)
    asked = {outcome.id: outcome for outcome in outcomes}
    by_id = {row.id: row for row in kept}
    calls: defaultdict[str, list[tuple[Upstream, Asked]]] = defaultdict(list)
    for upstream in upstreams.values():
        for call in upstream.asked:
            calls[call.prompt.rpartition(" ")[2]].append((upstream, call))
    known = {name: made for name, made in calls.items() if name in by_id and _is_known(made, asked.get(name))}
    return Books(
        rows=len(kept),
        lost=tuple(name for name, outcome in asked.items() if outcome.end != "left" and not times[name]),
        doubled=tuple(name for name, number in times.items() if number > 1),
        strangers=tuple(name for name in times if name not in asked),
        compared=len(known),
        differing=tuple(name for name, made in known.items() if not _agrees(by_id[name], made)),
        miscounted=tuple(name for name, row in by_id.items() if row.attempts < len(calls[name])),
    )


def _is_known(calls: Iterable[tuple[Upstream, Asked]], outcome: Outcome | None) -> bool:
    """Whether nothing was cut on its way, on either side of the gateway."""
    if outcome is None or outcome.end != "whole":
        return False
    return all(
        call.state == "refused" or (call.state == "answered" and call.fault.name in _READABLE) for _, call in calls
    )


def _agrees(row: Row, calls: Iterable[tuple[Upstream, Asked]]) -> bool:
    told, written, cost = 0, 0, 0
    for upstream, call in calls:
        told, written = told + call.prompt_tokens, written + call.completion_tokens
        bill = call.prompt_tokens * upstream.price.input + call.completion_tokens * upstream.price.output
        cost += int(bill * 10**12)
    return (row.input_tokens, row.output_tokens, row.cost) == (told, written, cost)
