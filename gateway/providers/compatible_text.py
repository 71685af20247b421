"""Native text completion at servers other than OpenAI's, where their documentation has a `/completions`.

LiteLLM reaches these as `text-completion-openai` with an `api_base`, which works here too; a name of its own says what
the server takes beyond or short of OpenAI.
"""

from gateway.providers.base import Level
from gateway.providers.openai_text.language import ELSEWHERE
from gateway.providers.row import Row

_FOREIGN = ELSEWHERE.but(extra=True)

TEXT_COMPLETION: tuple[Row, ...] = (
    Row(
        "text-completion-hosted_vllm",
        "",
        "https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html#completions-api",
        ("HOSTED_VLLM_API_KEY",),
        _FOREIGN,
        bases=("HOSTED_VLLM_API_BASE",),
        keyless=True,
    ),
    # echo and suffix are errors there, n > 1 works in recent builds only, user is ignored.
    Row(
        "text-completion-llama_cpp",
        "http://127.0.0.1:8080/v1",
        "https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md",
        ("LLAMA_CPP_API_KEY",),
        _FOREIGN.but(n=Level.EMULATED, echo=Level.EMULATED, user=Level.REFUSED),
        bases=("LLAMA_CPP_API_BASE",),
        keyless=True,
    ),
    # "A single string is currently supported" as the prompt.
    Row(
        "text-completion-deepinfra",
        "https://api.deepinfra.com/v1/openai",
        "https://docs.deepinfra.com/api-reference/openai-completions-1",
        ("DEEPINFRA_API_KEY",),
        _FOREIGN.but(n=Level.EMULATED, logit_bias=Level.REFUSED, token_prompts=False),
        bases=("DEEPINFRA_API_BASE",),
    ),
    Row(
        "text-completion-novita",
        "https://api.novita.ai/openai/v1",
        "https://novita.ai/docs/api-reference/model-apis-llm-create-completion",
        ("NOVITA_API_KEY",),
        _FOREIGN.but(best_of=Level.NATIVE, echo=Level.EMULATED, user=Level.REFUSED, token_prompts=False),
        bases=("NOVITA_API_BASE",),
    ),
)
