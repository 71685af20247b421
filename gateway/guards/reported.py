"""Findings reported by code that is not ours, an operator's function or a webhook, held to the letter."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError

from gateway.config.fields import Strict
from gateway.config.messages import describe
from gateway.guards.base import Action, Finding, Text
from gateway.guards.ports import GuardFailed

MAX_FINDINGS = 1_000
MAX_NAME = 64


def is_plain(value: str) -> bool:
    """May `value` be a rule or a category in a log? Up to 64 characters, none of them a space."""
    return 0 < len(value) <= MAX_NAME and value.isascii() and all(c.isalnum() or c in "_.:/-" for c in value)


def _plain(value: str) -> str:
    if not is_plain(value):
        raise ValueError(f"must be at most {MAX_NAME} letters, digits and _ . : / -")
    return value


Plain = Annotated[str, AfterValidator(_plain)]
"""A rule or category as logs and metrics take it: too narrow for a matched text."""


class Reported(Strict):
    """One finding as it is reported. `start` and `end` are characters (code points) of the text at `path`, both 0
    when it is about the whole text; without an `action` the guard's own is taken."""

    rule: Plain
    category: Plain = "custom"
    action: Action | None = None
    path: str
    start: int = Field(0, ge=0)
    end: int = Field(0, ge=0)
    score: float = Field(1.0, ge=0, le=1)


def findings(guard: str, rows: Any, texts: Sequence[Text], action: Action) -> list[Finding]:
    """`rows` as findings about `texts`.

    Args:
        guard: the name of the guard that was told.
        rows: a list or tuple of mappings with the fields of `Reported`, or of `Finding`s.
        action: what is done about a finding that does not say.

    Raises:
        GuardFailed: `rows` is anything else, or one of them is about no place in `texts`.
    """
    if not isinstance(rows, list | tuple):
        raise GuardFailed("must report a list of findings")
    if len(rows) > MAX_FINDINGS:
        raise GuardFailed(f"reports more than {MAX_FINDINGS} findings")
    lengths = {text.path: len(text.value) for text in texts}
    return [_finding(guard, _reported(row, index), lengths, action, index) for index, row in enumerate(rows)]


def _reported(row: Any, index: int) -> Reported:
    if isinstance(row, Finding):
        row = {name: value for name, value in asdict(row).items() if name != "guard"}
    if not isinstance(row, Mapping):
        raise GuardFailed(f"findings[{index}] must be a mapping")
    try:
        return Reported.model_validate(dict(row))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        known = str(first["loc"][0]) if first["loc"] and first["loc"][0] in Reported.model_fields else "a key"
        said = "is unknown" if first["type"] == "extra_forbidden" else describe(first, Reported)
        raise GuardFailed(f"findings[{index}]: {known} {said}") from None


def _finding(guard: str, row: Reported, lengths: Mapping[str, int], action: Action, index: int) -> Finding:
    if row.path not in lengths:
        raise GuardFailed(f"findings[{index}]: path is none of the texts'")
    if (row.start or row.end) and not row.start < row.end <= lengths[row.path]:
        raise GuardFailed(f"findings[{index}]: start and end are no part of the text")
    return Finding(guard, row.rule, row.category, row.action or action, row.path, row.start, row.end, float(row.score))
