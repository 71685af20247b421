"""Servers that people run themselves and that speak OpenAI's chat language; the other half of `compatible.py`."""

from gateway.providers.row import EVERYTHING, PENALTIES, Row, takes

SELF_HOSTED: tuple[Row, ...] = (
    Row(
        "hosted_vllm",
        "",
        "https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html#chat-api",
        ("HOSTED_VLLM_API_KEY",),
        takes(*EVERYTHING, logprobs=20, extra=True),
        keyless=True,
    ),
    # n > 1 only in recent builds; user is ignored.
    Row(
        "llama_cpp",
        "http://127.0.0.1:8080/v1",
        "https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md",
        ("LLAMA_CPP_API_KEY",),
        takes(*PENALTIES, "seed", "logit_bias", logprobs=20, extra=True),
        keyless=True,
    ),
    Row(
        "llamafile",
        "http://127.0.0.1:8080/v1",
        "https://github.com/mozilla-ai/llamafile/blob/main/llama.cpp/server/README.md",
        ("LLAMAFILE_API_KEY",),
        takes(*PENALTIES, "seed", "logit_bias", extra=True),
        keyless=True,
    ),
    Row(
        "lm_studio",
        "http://127.0.0.1:1234/v1",
        "https://lmstudio.ai/docs/developer/openai-compat/chat-completions",
        ("LM_STUDIO_API_KEY",),
        takes(*PENALTIES, "seed", "logit_bias", extra=True),
        keyless=True,
    ),
    # n and logit_bias are marked unused.
    Row(
        "tgi",
        "",
        "https://huggingface.github.io/text-generation-inference/",
        ("TGI_API_KEY",),
        takes(*PENALTIES, "seed", logprobs=5, extra=True),
        keyless=True,
    ),
    Row(
        "litellm_proxy",
        "",
        "https://docs.litellm.ai/docs/providers/litellm_proxy",
        ("LITELLM_PROXY_API_KEY",),
        takes(*EVERYTHING, logprobs=20, extra=True),
        keyless=True,
    ),
    # Any other server: OpenAI's own parameters, and what it says to them.
    Row(
        "openai_like",
        "",
        "https://platform.openai.com/docs/api-reference/chat/create",
        ("OPENAI_LIKE_API_KEY",),
        takes(*EVERYTHING, logprobs=20),
        keyless=True,
    ),
)
