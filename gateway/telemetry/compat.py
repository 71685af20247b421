"""Further attributes for tools that read other names than the conventions' (`telemetry.compat`): one table per tool.

Each takes what a span already says and says it again; nothing new is told, and nothing is taken away.

- `openinference`: Arize Phoenix reads the conventions, but neither that a server's span is a chain, nor content where
  it shows inputs and outputs, which for a session are those of its server spans, nor tokens of reasoning. It sums up
  costs by prices of its own, whatever spans say
  (https://arize-ai.github.io/openinference/spec/attributes/semantic-conventions.html).
- `langfuse`: so that cached tokens are not counted twice, and that guardrails are shown as what they are
  (https://langfuse.com/integrations/native/opentelemetry#property-mapping).
- `mlflow`: the cost as it was counted here, in place of MLflow's own estimate (`mlflow.tracing.constant.CostKey`).
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from gateway.telemetry import conventions as names
from gateway.telemetry.export.values import plain
from gateway.telemetry.span import Value
from gateway.wire import json

Attributes = dict[str, Value]
Add = Callable[[Attributes, int], None]
"""Adds to the attributes of a span that began so many nanoseconds after 1970."""

_OPENINFERENCE = (
    (names.REQUEST_MODEL, names.LLM_MODEL_NAME),
    (names.RESPONSE_MODEL, names.LLM_MODEL_NAME),
    (names.PROVIDER_NAME, names.LLM_PROVIDER),
    (names.USAGE_INPUT_TOKENS, names.LLM_TOKENS_PROMPT),
    (names.USAGE_OUTPUT_TOKENS, names.LLM_TOKENS_COMPLETION),
    (names.USAGE_CACHE_READ, names.LLM_TOKENS_CACHE_READ),
    (names.USAGE_CACHE_CREATION, names.LLM_TOKENS_CACHE_WRITE),
    (names.USAGE_CACHE_WRITE, names.LLM_TOKENS_CACHE_WRITE),
    (names.USAGE_REASONING, names.LLM_TOKENS_REASONING),
    (names.USAGE_COST, names.LLM_COST_TOTAL),
    (names.COST_INPUT, names.LLM_COST_PROMPT),
    (names.COST_OUTPUT, names.LLM_COST_COMPLETION),
    (names.INPUT_MESSAGES, names.INPUT_VALUE),
    (names.OUTPUT_MESSAGES, names.OUTPUT_VALUE),
)
_LANGFUSE = (
    (names.REQUEST_MODEL, names.LANGFUSE_MODEL),
    (names.RESPONSE_MODEL, names.LANGFUSE_MODEL),
    (names.INPUT_MESSAGES, names.LANGFUSE_INPUT),
    (names.OUTPUT_MESSAGES, names.LANGFUSE_OUTPUT),
)
_LANGFUSE_USAGE = (
    (names.USAGE_CACHE_READ, "input", "input_cached_tokens"),
    (names.USAGE_CACHE_CREATION, "input", "input_cache_creation"),
    (names.USAGE_CACHE_WRITE, "input", "input_cache_creation"),
    (names.USAGE_REASONING, "output", "output_reasoning_tokens"),
)
"""Parts of a count: Langfuse adds up what it is given, so each token is told once."""

_TYPES = ((names.INPUT_VALUE, names.INPUT_MIME_TYPE), (names.OUTPUT_VALUE, names.OUTPUT_MIME_TYPE))

_PARAMETERS = "gen_ai.request."


def _openinference(attributes: Attributes, _began: int) -> None:
    attributes[names.SPAN_KIND] = "LLM"
    for name, theirs in _OPENINFERENCE:
        if name in attributes:
            attributes[theirs] = attributes[name]
    _add_types(attributes)
    read, written = attributes.get(names.USAGE_INPUT_TOKENS), attributes.get(names.USAGE_OUTPUT_TOKENS)
    if isinstance(read, int) and isinstance(written, int):
        attributes[names.LLM_TOKENS_TOTAL] = read + written
    given = {
        name.removeprefix(_PARAMETERS): plain(value)
        for name, value in attributes.items()
        if name.startswith(_PARAMETERS) and name != names.REQUEST_MODEL
    }
    attributes[names.LLM_INVOCATION_PARAMETERS] = _dumped(given)


def _add_types(attributes: Attributes) -> None:
    for name, theirs in _TYPES:
        if name in attributes:
            attributes[theirs] = "application/json"


def _langfuse(attributes: Attributes, began: int) -> None:
    attributes[names.LANGFUSE_TYPE] = "generation"
    for name, theirs in _LANGFUSE:
        if name in attributes:
            attributes[theirs] = attributes[name]
    if names.USAGE_INPUT_TOKENS in attributes:
        details: dict[str, Any] = {
            "input": attributes[names.USAGE_INPUT_TOKENS],
            "output": attributes[names.USAGE_OUTPUT_TOKENS],
        }
        details["total"] = details["input"] + details["output"]
        for name, of, part in _LANGFUSE_USAGE:
            if name in attributes:
                details[part] = attributes[name]
                details[of] = max(details[of] - details[part], 0)
        attributes[names.LANGFUSE_USAGE] = _dumped(details)
    if cost := _cost(attributes, ("input", "output", "total")):
        attributes[names.LANGFUSE_COST] = _dumped(cost)
    first = attributes.get(names.RESPONSE_TIME_TO_FIRST_CHUNK)
    if isinstance(first, float):
        at = datetime.fromtimestamp(began / 1e9 + first, UTC)
        attributes[names.LANGFUSE_FIRST_TEXT] = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _mlflow(attributes: Attributes, _began: int) -> None:
    if cost := _cost(attributes, ("input_cost", "output_cost", "total_cost")):
        attributes[names.MLFLOW_COST] = _dumped(cost)


def _cost(attributes: Attributes, keys: tuple[str, str, str]) -> dict[str, Value]:
    """What a call cost, under a tool's own keys; nothing where no price is known."""
    if names.USAGE_COST not in attributes:
        return {}
    amounts = zip(keys, (names.COST_INPUT, names.COST_OUTPUT, names.USAGE_COST), strict=True)
    return {key: attributes[name] for key, name in amounts if name in attributes}


def _dumped(value: Mapping[str, Any]) -> str:
    return json.dumps(value).decode()


def _langfuse_server(attributes: Attributes, _began: int) -> None:
    attributes[names.LANGFUSE_TYPE] = "span"
    if names.TAGS in attributes:
        attributes[names.LANGFUSE_TAGS] = attributes[names.TAGS]


def _openinference_server(attributes: Attributes, _began: int) -> None:
    attributes[names.SPAN_KIND] = "CHAIN"


def _langfuse_guardrail(attributes: Attributes, _began: int) -> None:
    attributes[names.LANGFUSE_TYPE] = "guardrail"


SERVER: Mapping[str, Add] = {"openinference": _openinference_server, "langfuse": _langfuse_server}
INFERENCE: Mapping[str, Add] = {"openinference": _openinference, "langfuse": _langfuse, "mlflow": _mlflow}
GUARDRAIL: Mapping[str, Add] = {"langfuse": _langfuse_guardrail}
"""By the tool's name in `telemetry.compat`; guardrail spans have OpenInference's kind always."""

WHOLE: Mapping[str, tuple[str, str]] = {
    "openinference": (names.INPUT_VALUE, names.OUTPUT_VALUE),
    "langfuse": (names.LANGFUSE_INPUT, names.LANGFUSE_OUTPUT),
}
"""What tools that show a conversation by its server spans call the prompts and the answers of a request."""


def add_whole(attributes: Attributes, tools: Iterable[str], texts: tuple[str | None, str | None]) -> None:
    """Add the guarded prompts and answers of a request (`gateway.telemetry.content.whole`) to its server span."""
    for tool in tools:
        for name, text in zip(WHOLE.get(tool, ()), texts, strict=False):
            if text is not None:
                attributes[name] = text
    _add_types(attributes)
