"""Servers that the tests end to end share: one real model, and one gateway in front of it."""

import os
from collections.abc import Iterator

import pytest

from tests.e2e import kit

REAL = """
model_list:
  - model_name: text
    litellm_params: {{model: text-completion-openai/smollm2, api_base: {base}, api_key: any, extra_params: allow}}
  - model_name: chat
    litellm_params:
      {{model: openai/smollm2, api_base: {base}, api_key: any, extra_params: allow, tokenizer: cl100k_base}}
  - model_name: llama
    litellm_params: {{model: text-completion-llama_cpp/smollm2, api_base: {base}}}
policies: []
"""


@pytest.fixture(scope="session")
def model_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of a real model behind a real server."""
    if not kit.MODEL_SERVER.exists():
        pytest.skip(f"there is no {kit.MODEL_SERVER.name} in the folder shared beside this checkout")
    python = os.environ.get(kit.MODEL_PYTHON)
    if not python:
        pytest.skip(f"{kit.MODEL_PYTHON} is not set: it names a Python with the model server's wheels")
    with kit.model(tmp_path_factory.mktemp("model"), python) as url:
        yield url


@pytest.fixture(scope="session")
def real_config(model_url: str) -> str:
    """YAML with the real model as a native text upstream (`text`, `llama`) and as one that only chats (`chat`)."""
    return REAL.format(base=model_url)


@pytest.fixture(scope="session")
def real(real_config: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[kit.Process]:
    """A gateway in front of the real model."""
    with kit.gateway(tmp_path_factory.mktemp("gateway"), real_config) as process:
        yield process
