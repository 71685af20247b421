"""The JSON Schema of policy documents, made from their models and from every guard's settings.

`policies/schema.json` is what this prints: `python -m gateway.guards.document_schema > policies/schema.json`.
"""

import json
import sys
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema

from gateway.guards.document import GuardStages, Policy
from gateway.guards.registry import GUARDS

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REF = "#/$defs/{model}"


class _Generator(GenerateJsonSchema):
    """Classes of our own (secrets) stand as text in a document."""

    def is_instance_schema(self, schema: Any) -> JsonSchemaValue:
        return {"type": "string"}


def document_schema() -> dict[str, Any]:
    """The schema: one object, a policy; `guards` lists objects with one key each, a guard's name."""
    models: list[type[BaseModel]] = [Policy, GuardStages, *(row.config for row in GUARDS.values())]
    _, shared = models_json_schema(
        [(model, "validation") for model in models], ref_template=_REF, schema_generator=_Generator
    )
    defs: dict[str, Any] = shared["$defs"]
    policy = defs.pop("Policy")
    for unused in ("GuardEntry", "Strict"):
        defs.pop(unused, None)
    policy["properties"]["guards"] |= {"items": _guards(), "minItems": 1}
    policy["properties"]["guards"].pop("default", None)
    narrowed = defs.pop("GuardStages")["properties"]
    for row in GUARDS.values():
        defs[row.config.__name__]["properties"] = {**narrowed, **defs[row.config.__name__].get("properties", {})}
    defs["Example"]["oneOf"] = [{"required": ["input"]}, {"required": ["output"]}]
    document = {"$schema": DIALECT, "title": "Policy", **policy, "$defs": dict(sorted(defs.items()))}
    return _plain(document)  # type: ignore[no-any-return]


def _guards() -> Mapping[str, Any]:
    settings = {name: {"$ref": _REF.format(model=row.config.__name__)} for name, row in GUARDS.items()}
    optional = {
        name: ref if _needs_settings(GUARDS[name].config) else {"anyOf": [ref, {"type": "null"}]}
        for name, ref in settings.items()
    }
    return {
        "type": "object",
        "properties": optional,
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }


def _needs_settings(config: type[BaseModel]) -> bool:
    return any(field.is_required() for field in config.model_fields.values())


def _plain(value: Any) -> Any:
    """`value` without the titles that only repeat a field's name, and without defaults that say `left out`."""
    if isinstance(value, Mapping):
        kept = {key: item for key, item in value.items() if not _noise(key, item, value)}
        return {key: _plain(item) for key, item in kept.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _noise(key: str, item: Any, inside: Mapping[str, Any]) -> bool:
    return (key == "title" and isinstance(item, str) and "$schema" not in inside) or (key == "default" and item is None)


def text() -> str:
    """The schema as the shipped file holds it."""
    return json.dumps(document_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
