"""Names are pinned: a backend's dashboards break when one changes, so that is done on purpose or not at all."""

from enum import Enum

import pytest
from opentelemetry.semconv._incubating.attributes import (
    error_attributes,
    gen_ai_attributes,
    http_attributes,
    server_attributes,
    service_attributes,
    session_attributes,
    url_attributes,
    user_agent_attributes,
    user_attributes,
)
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics
from opentelemetry.semconv.attributes import error_attributes as stable_error
from opentelemetry.semconv.attributes import http_attributes as stable_http

from gateway.telemetry import conventions

_MODULES = (
    error_attributes,
    gen_ai_attributes,
    gen_ai_metrics,
    http_attributes,
    server_attributes,
    service_attributes,
    session_attributes,
    stable_error,
    stable_http,
    url_attributes,
    user_agent_attributes,
    user_attributes,
)
THEIRS = {
    value for module in _MODULES for value in vars(module).values() if isinstance(value, str) and value.count(".") >= 1
}

OURS = {name: value for name, value in vars(conventions).items() if name.isupper() and isinstance(value, str)}

LATER = frozenset(
    {
        "gen_ai.usage.cost",
        "gen_ai.usage.cache_write.input_tokens",
        "gen_ai.token.modality",
        "gen_ai.guardrail.component.name",
        "gen_ai.guardrail.policy.id",
        "gen_ai.guardrail.policy.version",
        "gen_ai.guardrail.source",
        "gen_ai.guardrail.result",
        "gen_ai.guardrail.result.type",
        "gen_ai.guardrail.risk.category",
        "gen_ai.guardrail.risk.score",
        "gen_ai.client.operation.time_to_first_chunk",
        "gen_ai.client.inference.duration",
        "gen_ai.client.inference.time_to_first_chunk",
        "gen_ai.client.inference.operation.input_tokens",
        "gen_ai.client.inference.operation.output_tokens",
        "gen_ai.client.inference.usage.input_tokens",
        "gen_ai.client.inference.usage.output_tokens",
        "gen_ai.client.inference.usage.cache_read.input_tokens",
        "gen_ai.client.inference.usage.cache_write.input_tokens",
        "gen_ai.client.inference.usage.reasoning.output_tokens",
    }
)
"""Names of drafts, which the package of constants does not have (yet)."""


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_name_that_is_not_our_own_is_one_of_the_conventions(name: str) -> None:
    value = OURS[name]
    if value.startswith(("gen_ai.", "http.", "server.", "url.", "user", "session.", "error.", "service.")):
        assert value in THEIRS | LATER


def test_what_a_draft_has_by_now_is_no_longer_listed_as_later() -> None:
    assert not LATER & THEIRS - {"gen_ai.client.operation.time_to_first_chunk"}


def test_the_names_on_spans_and_in_usage_records_are_these() -> None:
    spans = {name for name in OURS.values() if name.startswith(("gateway.", "gen_ai.", "openinference."))}
    assert spans >= PINNED


PINNED = frozenset(
    {
        "gateway.attempt",
        "gateway.attempts",
        "gateway.resumed",
        "gateway.cost.input",
        "gateway.cost.output",
        "gateway.cost.price_version",
        "gateway.cost.source",
        "gateway.deployment",
        "gateway.dropped_params",
        "gateway.guardrail.action",
        "gateway.guardrail.enforced",
        "gateway.guardrail.findings",
        "gateway.guardrail.masked",
        "gateway.guardrail.status",
        "gateway.guardrails",
        "gateway.key.alias",
        "gateway.model",
        "gateway.outcome",
        "gateway.request.id",
        "gateway.tags",
        "gateway.usage.estimated",
        "gen_ai.conversation.id",
        "gen_ai.guardrail.component.name",
        "gen_ai.guardrail.policy.id",
        "gen_ai.guardrail.policy.version",
        "gen_ai.guardrail.result",
        "gen_ai.guardrail.result.type",
        "gen_ai.guardrail.risk.category",
        "gen_ai.guardrail.risk.score",
        "gen_ai.guardrail.source",
        "gen_ai.input.messages",
        "gen_ai.operation.name",
        "gen_ai.output.messages",
        "gen_ai.provider.name",
        "gen_ai.request.choice.count",
        "gen_ai.request.frequency_penalty",
        "gen_ai.request.max_tokens",
        "gen_ai.request.model",
        "gen_ai.request.presence_penalty",
        "gen_ai.request.seed",
        "gen_ai.request.stream",
        "gen_ai.request.temperature",
        "gen_ai.request.top_p",
        "gen_ai.response.finish_reasons",
        "gen_ai.response.id",
        "gen_ai.response.model",
        "gen_ai.response.time_to_first_chunk",
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_write.input_tokens",
        "gen_ai.usage.cost",
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.reasoning.output_tokens",
        "openinference.span.kind",
    }
)


def test_cost_is_a_value_and_never_an_object() -> None:
    assert "gen_ai.usage.cost.amount" not in OURS.values()


def test_providers_have_the_names_the_conventions_give_them() -> None:
    known: type[Enum] = gen_ai_attributes.GenAiProviderNameValues
    assert set(conventions.PROVIDERS.values()) <= {each.value for each in known}


def test_no_name_of_an_attribute_is_written_anywhere_else() -> None:
    from tests.test_architecture import FILES, own

    values = {value for value in OURS.values() if value.count(".") >= 2 and value.startswith(("gen_ai.", "gateway."))}
    for path in FILES:
        if own(path) == "telemetry/conventions.py":
            continue
        written = path.read_text()
        found = [value for value in values if f'"{value}"' in written]
        assert not found, f"{own(path)} writes {found}"
