"""Which paths take a text completion."""

import pytest

from gateway.wire import paths


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/v1/completions", None),
        ("/completions", None),
        ("/engines/gpt/completions", "gpt"),
        ("/v1/engines/org/gpt/completions", "org/gpt"),
        ("/openai/deployments/my-gpt/completions", "my-gpt"),
    ],
)
def test_a_completion_path_is_one_and_may_name_a_model(path, model):
    assert paths.is_completion(path)
    assert paths.model_in(path) == model


@pytest.mark.parametrize(
    "path",
    ["/", "/v1/chat/completions", "/openai/deployments/m/chat/completions", "/engines//completions", "/v1/models"],
)
def test_another_path_is_none_and_a_chat_completion_least_of_all(path):
    assert not paths.is_completion(path)
