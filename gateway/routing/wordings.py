"""The gateway's own words to models, by the alias that is asked for: what no answer to it may repeat."""

from collections.abc import Iterator
from typing import get_args

from gateway.providers.translation import INFILL_PROMPT
from gateway.routing.board import Board
from gateway.routing.groups import Group
from gateway.routing.retrying import Chain


def wordings(board: Board, model: str) -> tuple[str, ...]:
    """The system messages that the deployments of `model` and of its fallbacks are given, each once.

    They are looked up before it is known who answers: the policies of the answer are made ready by then.
    """
    found: dict[str, None] = {}
    for group in _reached(board, model):
        for entry in group.entries:
            shape = entry.bound.shape
            if shape.continuation is not None:
                found[shape.continuation] = None
            if shape.emulate_suffix:
                found[INFILL_PROMPT] = None
    return tuple(found)


def _reached(board: Board, model: str) -> Iterator[Group]:
    """The group of `model`, and those of every name that may stand in for it."""
    pending, seen = [model], {model}
    while pending:
        name = pending.pop()
        group = board.target(name)
        if group is None:
            continue
        yield group
        for kind in get_args(Chain):
            further = board.chains.names(kind, name, group.alias, asked=name == model)
            pending += [each for each in further if each not in seen]
            seen.update(further)
