"""`when`: a CEL expression over the request, compiled and type-checked when the policy is loaded.

The engine is Google's CEL for C++. An expression sees `request.model`, `request.tags`, … and nothing else; it cannot
loop for ever (comprehensions have a budget) and its `matches` is RE2, linear in the text.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from gateway.config.source import closest
from gateway.guards.base import Context

VARIABLES: Mapping[str, str] = {
    "request.model": "string",
    "request.tags": "list of string",
    "request.end_user": "string",
    "request.key": "string",
    "request.stage": "string",
    "request.stream": "bool",
    "request.max_tokens": "int",
}
"""What an expression may read, and its CEL type. `end_user` and `key` are empty texts for a request without one;
`model` is the alias the client asked for and `stage` is `input` or `output`."""

_PLACE = re.compile(r"<input>:(\d+):(\d+): (.*)")
_UNDECLARED = re.compile(r"undeclared reference to '([^']*)'")
_OVERLOAD = re.compile(r"found no matching overload for '([^']*)' applied to '([^']*)'")


class ConditionFault(ValueError):
    """An expression that is not CEL, uses a name that is not offered, or does not fit together."""


class ConditionError(Exception):
    """An expression could not be evaluated for a request: a division by zero, an index out of range."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled expression."""

    source: str
    _program: Any = field(repr=False)

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Is it true for a request with these `values` (see `request_values`)?

        Raises:
            ConditionError: it has no value; the policy's `on_error` says what follows.
        """
        try:
            value = self._program.eval(data=values)
        except RuntimeError as error:
            raise ConditionError("the condition could not be evaluated") from error
        if value.type().name() != "BOOL":
            raise ConditionError("the condition has no value for this request")
        return bool(value.value())


def request_values(context: Context) -> Mapping[str, Any]:
    """What expressions read of a request."""
    return {
        "request.model": context.model,
        "request.tags": list(context.tags),
        "request.end_user": context.end_user or "",
        "request.key": context.key or "",
        "request.stage": context.stage,
        "request.stream": context.stream,
        "request.max_tokens": context.max_tokens,
    }


def compiled(source: str) -> Condition:
    """The condition that `source` spells.

    Raises:
        ConditionFault: what is wrong with it, and where in the expression.
    """
    try:
        program = _environment().compile(source)
    except RuntimeError as error:
        raise ConditionFault(_said(str(error), source)) from error
    kind = program.return_type().name()
    if kind != "BOOL":
        raise ConditionFault(f"must be true or false, not {kind.lower()}")
    return Condition(source, program)


@lru_cache(maxsize=1)
def _environment() -> Any:
    """The CEL environment. Its library is 14 MB: it is loaded by the first policy that has a condition."""
    from cel_expr_python import cel  # type: ignore[import-untyped]

    kinds = {
        "string": cel.Type.STRING,
        "bool": cel.Type.BOOL,
        "int": cel.Type.INT,
        "list of string": cel.Type.List(cel.Type.STRING),
    }
    return cel.NewEnv(variables={name: kinds[kind] for name, kind in VARIABLES.items()})


def _said(error: str, source: str) -> str:
    """The first of the compiler's faults, in the house's words."""
    found = _PLACE.search(error)
    if not found:
        return "is not a CEL expression"
    line, column, message = int(found[1]), int(found[2]), found[3]
    place = f" (line {line} of the expression)" if "\n" in source.strip() else f" (character {column})"
    if unknown := _UNDECLARED.match(message):
        return f'unknown name "{unknown[1][:100]}"{closest(unknown[1], VARIABLES)}{place}'
    if overload := _OVERLOAD.match(message):
        return f"{overload[1].strip('_') or overload[1]} does not take {overload[2]}{place}"
    return f"is not a CEL expression{place}"
