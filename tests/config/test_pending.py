"""What this version reads but does not do is said, not ignored."""

import pytest

from gateway.config.load import loads
from gateway.config.pending import PENDING

MODEL = "model_list: [{model_name: a, params: {model: x, %s}}]"
GIVEN = {
    "model_list[].litellm_params.tags": MODEL % "tags: [t]",
    "router_settings.health_check_interval": "router_settings: {health_check_interval: 30, cooldown_time: 0}",
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
        "router_settings: {health_check_interval: 30}",
        MODEL % "timeout: 5",
        MODEL % "rpm: 1, tpm: 1, weight: 0, order: 0, max_parallel_requests: 1",
        MODEL % "tags: [t]" + "\nrouter_settings: {enable_tag_filtering: true}",
        "router_settings: {routing_strategy: least-busy, num_retries: 2, allowed_fails: 3, cooldown_time: 5}",
        MODEL % "" + "\nrouter_settings: {fallbacks: [{'*': [a]}], default_fallbacks: [a]}",
        "end_users: {default_budget: {max_usd: 5}}",
        "general_settings: {redis_url: 'redis://127.0.0.1'}",
    ],
)
def test_what_is_done_or_not_asked_for_is_not_named(text):
    assert loads(text).settings.warnings == ()
