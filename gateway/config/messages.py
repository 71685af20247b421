"""What pydantic finds, said to an operator: what the value must be, never the value itself."""

from collections.abc import Callable, Mapping
from typing import Any, get_args

from pydantic import BaseModel

from gateway.config.limits import PERIOD
from gateway.config.source import closest


def describe(error: Mapping[str, Any], model: type[BaseModel]) -> str:
    """One of pydantic's errors (`ValidationError.errors()`) about `model`, as a message without the value."""
    said = _SAID.get(error["type"])
    if error["type"] == "extra_forbidden":
        return "unknown key" + closest(str(error["loc"][-1]), _fields(model, error["loc"][:-1]))
    return said(error.get("ctx", {})) if said else "has the wrong type or form"


def _fields(model: type[BaseModel], path: tuple[str | int, ...]) -> list[str]:
    """The names of the fields of the model that stands at `path` below `model`."""
    for part in path:
        field = model.model_fields.get(str(part))
        inner = [kind for kind in _leaves(field.annotation) if _is_model(kind)] if field else []
        if not inner:
            return []
        model = inner[0]
    return list(model.model_fields)


def _leaves(annotation: Any) -> list[Any]:
    args = get_args(annotation)
    return [leaf for arg in args for leaf in _leaves(arg)] if args else [annotation]


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def reads_scalar(model: type[BaseModel], field: str) -> bool:
    """Does `field` take numbers or truth values, and no text?"""
    leaves = _leaves(model.model_fields[field].annotation)
    return any(leaf in (int, float, bool) for leaf in leaves) and str not in leaves


def _one_of(ctx: Mapping[str, Any]) -> str:
    return f"must be {ctx['expected']!s}"


FORMS: Mapping[str, str] = {
    PERIOD: "a number and a unit: s, m, h, d, w or mo, such as 1d",
    r"^[A-Z]{2}$": "a country as two capital letters, such as US",
    r"^[A-Z][A-Z0-9_]{0,63}$": "at most 64 capital letters, digits and _, a letter first, such as EMPLOYEE_ID",
}
"""The patterns of this gateway's settings, in words; those of another package's guards are told as they are."""


def _form(ctx: Mapping[str, Any]) -> str:
    known = FORMS.get(ctx["pattern"])
    return f"must be {known}" if known else f"must fit the pattern {ctx['pattern']}"


def _at_least(ctx: Mapping[str, Any]) -> str:
    least = ctx["min_length"]
    return f"must be a list of {'one' if least == 1 else least} or more"


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) and abs(value) < 1e6 else str(value)


_SAID: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "missing": lambda _: "is required",
    "string_type": lambda _: "must be text; put it in quotes",
    "int_type": lambda _: "must be a whole number, without quotes",
    "int_from_float": lambda _: "must be a whole number",
    "float_type": lambda _: "must be a number, without quotes",
    "bool_type": lambda _: "must be true or false, without quotes",
    "finite_number": lambda _: "must be a finite number",
    "tuple_type": lambda _: "must be a list",
    "mapping_type": lambda _: "must be a mapping",
    "dict_type": lambda _: "must be a mapping",
    "model_type": lambda _: "must be a mapping",
    "model_attributes_type": lambda _: "must be a mapping",
    "literal_error": _one_of,
    "greater_than_equal": lambda ctx: f"must be at least {_number(ctx['ge'])}",
    "greater_than": lambda ctx: f"must be more than {_number(ctx['gt'])}",
    "less_than": lambda ctx: f"must be less than {_number(ctx['lt'])}",
    "less_than_equal": lambda ctx: f"must be at most {_number(ctx['le'])}",
    "string_too_short": lambda _: "must not be empty",
    "string_too_long": lambda ctx: f"must be at most {ctx['max_length']} characters long",
    "string_pattern_mismatch": _form,
    "too_short": _at_least,
    "too_long": lambda ctx: f"must be a list of at most {ctx['max_length']}",
    "value_error": lambda ctx: str(ctx["error"]),
}
