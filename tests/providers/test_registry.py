"""The registry: every name unique, every setting known to the configuration and read by somebody."""

import pytest

from gateway.config.options import OPTIONS, is_option
from gateway.providers.registry import PROVIDERS

ROWS = list(PROVIDERS.values())


def test_every_setting_of_the_configuration_is_read_by_some_provider():
    assert set(OPTIONS) <= {option for row in ROWS for option in row.options}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_providers_settings_can_be_configured(row):
    assert all(map(is_option, row.options))
    assert set(row.option_env) <= set(row.options)
    assert set(row.credentials) <= set(row.options)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_provider_says_how_it_is_authorised(row):
    assert row.key_env or row.keyless or row.authorizer


def test_the_languages_of_the_contract_are_all_there():
    named = """
        openai text-completion-openai azure azure_text anthropic gemini vertex_ai bedrock cohere ollama
        text-completion-codestral groq together_ai fireworks_ai mistral deepseek xai perplexity openrouter cerebras
        sambanova nvidia_nim deepinfra hyperbolic nebius novita moonshot dashscope zai minimax github huggingface
        databricks cloudflare ai21 hosted_vllm llamafile lm_studio llama_cpp tgi watsonx demo
    """
    assert set(named.split()) <= set(PROVIDERS)
