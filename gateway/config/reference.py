"""Every key of a configuration with its type, default and meaning, derived from the settings classes."""

import json
from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from gateway.config.ledger import LedgerSettings
from gateway.config.limits import LimitSettings
from gateway.config.model import (
    Defaults,
    Deployment,
    EndUserSettings,
    GeneralSettings,
    RouterSettings,
    Settings,
)
from gateway.config.options import OPTIONS
from gateway.config.protection import ProtectionSettings
from gateway.config.secret import Secret
from gateway.config.telemetry import TelemetrySettings

Row = tuple[str, str, str, str]
"""Path, type, default, description."""

_PARAMS = "model_list[].litellm_params"
_PLACES = {
    "id": "model_list[].model_info.id",
    "alias": "model_list[].model_name",
    "base_model": "model_list[].model_info.base_model",
    "max_input_tokens": "model_list[].model_info.max_input_tokens",
}
_INNER = frozenset({"provider", "defaults", "options", "path"})
"""Fields of a deployment that are no keys: parts of others, or told key by key."""
_SECTIONS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("router_settings", RouterSettings),
    ("general_settings", GeneralSettings),
    ("end_users", EndUserSettings),
    ("limits", LimitSettings),
    ("ledger", LedgerSettings),
    ("protection", ProtectionSettings),
    ("telemetry", TelemetrySettings),
)
_TOP = {
    "drop_params": "litellm_settings.drop_params",
    "policies": "policies",
    "environment_variables": "environment_variables",
}
_TYPES: dict[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    Secret: "secret",
}


def reference() -> list[Row]:
    """Path, type, default and description of every key, in the order of the file."""
    return [*_deployment(), *_rest()]


def _deployment() -> Iterator[Row]:
    for name, field in Deployment.model_fields.items():
        if name not in _INNER:
            default = "alias and position" if name == "id" else _default(field)
            yield _PLACES.get(name, f"{_PARAMS}.{name}"), _type(field.annotation), default, field.description or ""
    yield from _fields(_PARAMS, Defaults)
    for name, option in OPTIONS.items():
        yield f"{_PARAMS}.{name}", option.kind, "", option.description


def _rest() -> Iterator[Row]:
    for path, model in _SECTIONS:
        yield from _fields(path, model)
    for name, place in _TOP.items():
        field = Settings.model_fields[name]
        yield place, _type(field.annotation), _default(field), field.description or ""


def _fields(path: str, model: type[BaseModel]) -> Iterator[Row]:
    for name, field in model.model_fields.items():
        kinds = get_args(field.annotation) or (field.annotation,)
        inner = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if inner and get_origin(field.annotation) is not Mapping:
            yield from _fields(f"{path}.{name}", inner[0])
        else:
            yield f"{path}.{name}", _type(field.annotation), _default(field), field.description or ""


def _type(annotation: Any) -> str:
    """A type in words."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " | ".join(map(str, args))
    if origin in (Union, UnionType):
        return " or ".join(_type(arg) for arg in args if arg is not type(None))
    if origin is tuple:
        return f"list of {_type(args[0])}"
    if hasattr(annotation, "__metadata__"):
        return _type(annotation.__origin__)
    return _TYPES.get(annotation, "mapping")


def _default(field: FieldInfo) -> str:
    """A default as it would stand in the file; empty where leaving the key out has a meaning of its own."""
    if field.is_required():
        return "required"
    return "" if field.default is None else json.dumps(field.default)
