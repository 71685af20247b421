"""What this version reads but does not do is said, not ignored."""

import pytest

from gateway.config.load import loads
from gateway.config.pending import PENDING

MODEL = "model_list: [{model_name: a, params: {model: x, %s}}]"
GIVEN = {
    "model_list[].litellm_params.tags": MODEL % "tags: [t]",
    "router_settings.health_check_interval": "router_settings: {health_check_interval: 30, cooldown_time: 0}",
    **{
        f"router_settings.retry_policy.{kind}Retries": f"router_settings: {{retry_policy: {{{kind}Retries: 1}}}}"
        for kind in ("BadRequestError", "ContentPolicyViolationError", "AuthenticationError", "NotFoundError")
    },
    **{
        f"router_settings.allowed_fails_policy.{kind}AllowedFails": (
            f"router_settings: {{allowed_fails_policy: {{{kind}AllowedFails: 0}}}}"
        )
        for kind in ("BadRequestError", "ContentPolicyViolationError")
    },
}


@pytest.mark.parametrize("row", PENDING, ids=lambda row: row.path)
def test_each_is_named_when_it_is_given_and_only_then(row):
    assert loads(GIVEN[row.path]).settings.warnings == (f"{row.path}: {row.effect}",)


def test_a_policy_of_one_alias_is_named_as_that_of_all_is():
    text = MODEL % "" + "\nrouter_settings: {model_group_retry_policy: {a: {BadRequestErrorRetries: 2}}}"
    (said,) = loads(text).settings.warnings
    assert said.startswith("router_settings.retry_policy.BadRequestErrorRetries: has no effect, of an alias neither")


def test_probes_have_no_effect_without_rests_however_these_are_turned_off():
    text = "router_settings: {health_check_interval: 30, disable_cooldowns: true}"
    assert loads(text).settings.warnings[0].startswith("router_settings.health_check_interval")


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
        MODEL % "num_retries: 0" + "\nrouter_settings: {model_group_retry_policy: {a: {RateLimitErrorRetries: 2}}}",
        "router_settings: {retry_policy: {BadRequestErrorRetries: 0, AuthenticationErrorRetries: 0}}",
        "router_settings: {retry_policy: {TimeoutErrorRetries: 3, InternalServerErrorRetries: 1}}",
        "router_settings: {allowed_fails_policy: {AuthenticationErrorAllowedFails: 0}, disable_cooldowns: true}",
        MODEL % "" + "\nrouter_settings: {fallbacks: [{'*': [a]}], default_fallbacks: [a]}",
        "end_users: {default_budget: {max_usd: 5}}",
        "general_settings: {redis_url: 'redis://127.0.0.1'}",
    ],
)
def test_what_is_done_or_not_asked_for_is_not_named(text):
    assert loads(text).settings.warnings == ()
