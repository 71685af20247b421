"""A route for people: who may be called for a request, in which order, and why one may not. It changes nothing."""

from collections.abc import Sequence
from typing import Any

from gateway.errors import GatewayError
from gateway.routing.board import Board
from gateway.routing.groups import Entry, Group, Level
from gateway.routing.retrying import Chain
from gateway.routing.router import Router
from gateway.routing.selection import eligible
from gateway.types import CompletionRequest

_CHAINS: tuple[Chain, ...] = ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks")


def route(router: Router, request: CompletionRequest, tags: tuple[str, ...], strategy: str) -> dict[str, Any]:
    """The whole route of a request as it would be now.

    `deployments` come in the order in which they are considered, each with the share of first calls that its weight
    gives it among those of its order that are eligible, and why it is `left_out` where it is. `fallbacks` and its kin
    list the names that follow, each once, in their order, with their deployments' ids.

    Raises:
        ModelNotFound: nobody has that name.
    """
    board = router.board
    group = board.find(request.model)
    told: dict[str, Any] = {
        "strategy": strategy,
        "retries": board.allowances.usual,
        "deployments": _deployments(board, group, request, tags),
    }
    for kind in _CHAINS:
        if names := _chain(board, group, kind):
            told[kind] = [{"model": name, "deployments": _ids(board, name)} for name in names]
    return told


def _deployments(board: Board, group: Group, request: CompletionRequest, tags: tuple[str, ...]) -> list[dict[str, Any]]:
    try:
        levels: Sequence[Level] = eligible(group, request, tags if board.tagging else None, board.any_tag)
        refusal = None
    except GatewayError as error:
        levels, refusal = (), error.message
    allowed = {entry.bound.id for level in levels for entry in level}
    return [_row(entry, group, allowed, board.clock(), refusal) for entry in group.entries]


def _row(entry: Entry, group: Group, allowed: set[str], now: float, refusal: str | None) -> dict[str, Any]:
    level = next(level for level in group.levels if entry in level)
    total = sum(each.weight for each in level if each.bound.id in allowed)
    taken = entry.bound.id in allowed
    row: dict[str, Any] = {
        "id": entry.bound.id,
        "provider": entry.bound.provider,
        "model": entry.bound.model,
        "order": entry.terms.order,
        "weight": 0.0 if entry.terms.weight == 0 else entry.weight,
        "share": round(entry.weight / total, 4) if taken else 0.0,
        "health": entry.breaker.line(now),
    }
    if entry.limit:
        row["max_input_tokens"] = entry.limit
    if entry.terms.retries is not None:
        row["num_retries"] = entry.terms.retries
    if entry.terms.tags:
        row["tags"] = sorted(entry.terms.tags)
    if not taken:
        row["left_out"] = refusal or "it is for other tags, or for shorter prompts"
    elif entry.load.full(entry.terms, now) is not None:
        row["left_out"] = "it is at its bounds"
    return row


def _chain(board: Board, group: Group, kind: Chain) -> list[str]:
    """Every name of a chain and, for outages, of the chains of those, each once, depth first."""
    seen = [group.name]
    pending = list(board.chains.names(kind, group.name, group.alias, asked=True))
    while pending:
        name = pending.pop(0)
        if name in seen or board.target(name) is None:
            continue
        seen.append(name)
        target = board.target(name)
        if kind == "fallbacks" and target is not None:
            pending = [*board.chains.names(kind, name, target.alias, asked=False), *pending]
    return seen[1:]


def _ids(board: Board, name: str) -> list[str]:
    target = board.target(name)
    return [entry.bound.id for entry in target.entries] if target is not None else []
