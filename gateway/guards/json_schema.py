"""The guard `schema`: an answer must be JSON, and must fit a JSON Schema.

The schema's `$ref`s reach only into itself and into the metaschemas of JSON Schema: nothing is fetched, nothing is read
from a file. Patterns are of the linear kind (no look-around, no back-references).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import jsonschema_rs
from pydantic import AfterValidator, Field

from gateway.config.fields import Strict
from gateway.guards.base import Context, Finding, Scope, Text
from gateway.wire import json

CATEGORY = "schema"
NOT_JSON = "not-json"

_ANSWERS = ("text", "content")
"""Last parts of the paths of texts that are an answer; all others stand beside one."""


def _validator(schema: Mapping[str, Any]) -> Any:
    return jsonschema_rs.validator_for(
        dict(schema), validate_formats=True, offline=True, pattern_options=jsonschema_rs.RegexOptions()
    )


def _valid(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        _validator(schema)
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        said = str(error).partition("\n")[0]
        raise ValueError(f"is not a JSON Schema that can be used: {said}") from error
    return schema


class SchemaConfig(Strict):
    """Settings of the guard `schema`."""

    json_schema: Annotated[Mapping[str, Any], AfterValidator(_valid)] = Field(
        description="The JSON Schema (2020-12 unless $schema says otherwise). Formats are checked."
    )
    action: Literal["flag", "block"] = Field("block", description="What is done about an answer that does not fit.")


@dataclass(frozen=True, slots=True)
class SchemaGuard:
    """Judges whole answers. The rule of a finding is `not-json`, or the keyword of the schema that does not hold."""

    action: Literal["flag", "block"]
    validator: Any = field(repr=False)
    name: str = "schema"
    scope: Scope = "whole"
    pure: bool = True

    async def check(self, texts: Sequence[Text], context: Context) -> list[Finding]:
        """One finding for each answer that is not JSON or does not fit; reasoning and tool arguments are no answers."""
        answers = (text for text in texts if text.path.rpartition(".")[2] in _ANSWERS)
        judged = ((text.path, self._rule(text.value)) for text in answers)
        return [Finding(self.name, rule, CATEGORY, self.action, path, 0, 0) for path, rule in judged if rule]

    def _rule(self, answer: str) -> str | None:
        try:
            value = json.loads(answer)
        except json.JSONDecodeError:
            return NOT_JSON
        error = next(iter(self.validator.iter_errors(value)), None)
        return None if error is None else str(error.kind.name)


def build(config: SchemaConfig) -> SchemaGuard:
    """The guard for `config`."""
    return SchemaGuard(config.action, _validator(config.json_schema))
