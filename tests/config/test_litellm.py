"""Configurations as people write them for LiteLLM's proxy, in every form its documentation shows, read unchanged."""

from pathlib import Path

import pytest

from gateway.config.load import load, loads
from gateway.config.secret import Secret
from gateway.errors import ConfigError

EXAMPLES = Path(__file__).parent / "examples"
ENVIRON = {
    name: f"value-of-{name}"
    for name in (
        "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GROQ_API_KEY", "GEMINI_API_KEY", "LITELLM_MASTER_KEY", "AZURE_API_KEY",
        "AZURE_API_KEY_EU", "AZURE_AD_TOKEN", "CUSTOM_AWS_ACCESS_KEY_ID", "CUSTOM_AWS_SECRET_ACCESS_KEY",
    )
} | {"AZURE_API_BASE": "https://x.openai.azure.com", "AZURE_API_BASE_CA": "https://ca.openai.azure.com/"}  # fmt: skip


def example(name):
    return load(EXAMPLES / f"{name}.yaml", ENVIRON).settings


def one_warning(settings):
    found = [warning for warning in settings.warnings if warning.startswith("LiteLLM")]
    assert len(found) <= 1
    return found[0].partition(": ")[2].split(", ") if found else []


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_example_loads_and_no_secret_prints(path):
    loaded = load(path, ENVIRON)
    assert loaded.settings.deployments
    shown = repr(loaded) + str(loaded.settings.model_dump()) + loaded.settings.model_dump_json()
    assert not [value for name, value in ENVIRON.items() if "BASE" not in name and value in shown]
    assert "sk-uj6F" not in shown
    assert "eYVX71" not in shown


def test_several_providers():
    settings = example("several_providers")
    assert [(d.alias, d.provider, d.model) for d in settings.deployments] == [
        ("instruct", "text-completion-openai", "gpt-3.5-turbo-instruct"),
        ("fast", "openai", "gpt-4o-mini"),
        ("claude", "anthropic", "claude-sonnet-4-5"),
        ("local", "openai", "facebook/opt-125m"),
        ("mistral-7b", "ollama", "mistral"),
    ]
    fast, claude, local = settings.deployments[1:4]
    assert fast.api_key == Secret("value-of-OPENAI_API_KEY")
    assert fast.options == {"organization": "org-research"}
    assert fast.defaults.model_dump(exclude_none=True) == {"temperature": 0.2, "max_tokens": 200}
    assert claude.extra_headers == {"anthropic-beta": "context-1m-2025-08-07"}
    assert (local.api_base, local.rpm) == ("http://0.0.0.0:8000/v1", 1440)
    assert settings.general.master_key.reveal() == "value-of-LITELLM_MASTER_KEY"
    assert (settings.drop_params, settings.router.timeout, settings.telemetry.log_format) == (True, 600, "json")


def test_what_has_no_use_here_is_named_in_one_warning_in_the_order_of_the_file():
    assert one_warning(example("several_providers")) == [
        "model_list[1].model_info.mode",
        "model_list[1].model_info.supports_vision",
        "model_list[3].model_info.version",
        "litellm_settings.set_verbose",
        "litellm_settings.success_callback",
        "litellm_settings.failure_callback",
        "litellm_settings.cache",
        "litellm_settings.cache_params",
        "litellm_settings.telemetry",
        "general_settings.store_model_in_db",
        "general_settings.proxy_batch_write_at",
        "general_settings.alerting",
        "general_settings.database_connection_pool_limit",
    ]


def test_wildcards():
    settings = example("wildcards")
    assert [(d.alias, d.provider, d.model) for d in settings.deployments] == [
        ("*", "*", "*"),
        ("anthropic/*", "anthropic", "*"),
        ("groq/*", "groq", "*"),
        ("my-*", "openai", "*"),
    ]
    assert settings.router.default_fallbacks == ("anthropic/claude-haiku-4-5",)
    assert settings.router.context_window_fallbacks == {"my-small": ("groq/llama-3.3-70b-versatile",)}


def test_azure_with_shared_credentials():
    europe, canada, batch, instruct = example("azure").deployments
    assert (europe.id, canada.id) == ("gpt-4o-1", "gpt-4o-2")
    assert (europe.tpm, europe.base_model, europe.options) == (80_000, "azure/gpt-4o", {"api_version": "2024-10-21"})
    assert canada.api_base == "https://ca.openai.azure.com"
    assert canada.options["azure_ad_token"] == Secret("value-of-AZURE_AD_TOKEN")
    assert (canada.timeout, canada.stream_timeout) == (300, 60)
    assert (batch.api_key, batch.options["api_version"]) == (Secret("value-of-AZURE_API_KEY_EU"), "2024-10-21")
    assert instruct.options["api_version"] == "2024-06-01"


def test_bedrock_and_vertex():
    keyed, profiled, vertex, gemini = example("bedrock_vertex").deployments
    assert keyed.model == "us.anthropic.claude-haiku-4-5-20251001-v1:0"
    assert keyed.options["aws_secret_access_key"] == Secret("value-of-CUSTOM_AWS_SECRET_ACCESS_KEY")
    assert keyed.options["aws_region_name"] == "us-west-2"
    assert profiled.model.startswith("arn:aws:bedrock:us-east-1:")
    assert vertex.options["vertex_credentials"] == Secret("/etc/keys/service_account.json")
    assert (gemini.input_cost_per_token, gemini.output_cost_per_token) == (3e-7, 0.0000025)


def test_load_balancing_and_the_precedence_of_router_settings():
    settings = example("load_balancing")
    first, second, turbo, large = settings.deployments
    assert (first.rpm, second.rpm, second.tpm, second.weight) == (60, 600, 1000, 3)
    assert (first.api_base, second.api_base) == ("http://127.0.0.1:8001", "http://127.0.0.1:8002")
    assert (turbo.tpm, turbo.rpm) == (20_000, 3)
    assert (large.order, large.max_parallel_requests) == (2, 10)
    router = settings.router
    assert (router.num_retries, router.timeout, router.routing_strategy) == (2, 30, "usage-based-routing")
    assert router.fallbacks == {"zephyr": ("turbo",)}
    assert router.context_window_fallbacks == {"zephyr": ("turbo-16k",), "turbo": ("turbo-16k",)}
    assert router.model_group_alias == {"gpt-4": "turbo"}
    assert router.retry_policy.model_dump(exclude_none=True) == {"TimeoutErrorRetries": 3}
    assert router.allowed_fails_policy.model_dump(exclude_none=True) == {"RateLimitErrorAllowedFails": 10_000}
    assert settings.environment_variables["REDIS_PORT"] == "6329"


def test_fallbacks_to_ids_and_settings_that_live_elsewhere_here():
    settings = example("fallbacks")
    assert [d.id for d in settings.deployments] == ["the-original", "2", "claude-1"]
    assert settings.router.fallbacks == {"gpt-4": ("claude", "the-original"), "*": ("claude",)}
    assert settings.router.cooldown_time == 30
    assert settings.end_users.require is True
    assert settings.general.max_request_bytes == 2 * 1_048_576
    assert one_warning(settings) == ["guardrails"]


def test_a_provider_may_be_named_beside_the_model():
    text = "model_list: [{model_name: a, params: {model: groq/x/y, custom_llm_provider: groq}}]"
    (deployment,) = loads(text).settings.deployments
    assert (deployment.provider, deployment.model) == ("groq", "x/y")


def test_params_and_litellm_params_are_one_key():
    a, b = loads(
        "model_list: [{model_name: a, params: {model: x}}, {model_name: a, litellm_params: {model: x}}]"
    ).settings.deployments
    assert (a.provider, a.model) == (b.provider, b.model)
    with pytest.raises(ConfigError, match="is the same key as litellm_params"):
        loads("model_list: [{model_name: a, params: {model: x}, litellm_params: {model: x}}]")


def test_the_key_of_the_documentation_s_examples_is_too_short():
    with pytest.raises(ConfigError) as caught:
        loads("general_settings: {master_key: sk-1234}")
    assert caught.value.faults == ("config:1: general_settings.master_key: must be at least 8 characters long",)


def test_a_file_that_includes_others_is_refused_rather_than_half_read():
    with pytest.raises(ConfigError, match="include: is not supported"):
        loads("include: [models.yaml]")
