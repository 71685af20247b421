"""What this version reads but does not do is said, not ignored."""

import pytest

from gateway.config.load import loads
from gateway.config.pending import PENDING

MODEL = "model_list: [{model_name: a, params: {model: x, %s}}]"
GIVEN = {
    "end_users.default_budget": "end_users: {default_budget: {max_usd: 5}}",
    "telemetry.compat": "telemetry: {compat: [litellm]}",
    "general_settings.redis_url": "general_settings: {redis_url: 'redis://127.0.0.1'}",
    "model_list[].litellm_params.rpm": MODEL % "rpm: 1",
    "model_list[].litellm_params.tpm": MODEL % "tpm: 1",
    "model_list[].litellm_params.weight": MODEL % "weight: 0",
    "model_list[].litellm_params.order": MODEL % "order: 0",
    "model_list[].litellm_params.tags": MODEL % "tags: [t]",
    "model_list[].litellm_params.max_parallel_requests": MODEL % "max_parallel_requests: 1",
    "model_list[].model_info.max_input_tokens": MODEL % "max_input_tokens: 4096",
    "router_settings.routing_strategy": "router_settings: {routing_strategy: least-busy}",
    "router_settings.num_retries": "litellm_settings: {num_retries: 2}",
    "router_settings.allowed_fails": "router_settings: {allowed_fails: 3}",
    "router_settings.cooldown_time": "router_settings: {cooldown_time: 5}",
    "router_settings.fallbacks": MODEL % "" + "\nrouter_settings: {fallbacks: [{'*': [a]}]}",
    "router_settings.context_window_fallbacks": MODEL % ""
    + "\nrouter_settings: {context_window_fallbacks: [{'*': [a]}]}",
    "router_settings.content_policy_fallbacks": MODEL % ""
    + "\nrouter_settings: {content_policy_fallbacks: [{'*': [a]}]}",
    "router_settings.default_fallbacks": MODEL % "" + "\nrouter_settings: {default_fallbacks: [a]}",
}


@pytest.mark.parametrize("row", PENDING, ids=lambda row: row.path)
def test_each_is_named_when_it_is_given_and_only_then(row):
    assert loads(GIVEN[row.path]).settings.warnings == (f"{row.path}: {row.effect}",)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "policies: []",
        "telemetry: {log_format: console, sample_ratio: 1}",
        "router_settings: {timeout: 5}",
        MODEL % "timeout: 5",
    ],
)
def test_what_is_done_or_not_asked_for_is_not_named(text):
    assert loads(text).settings.warnings == ()
