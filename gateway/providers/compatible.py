"""Every provider that speaks OpenAI's language with differences in data only, read top to bottom.

Names, key variables and base variables are LiteLLM's, so that a configuration carries over. What a provider takes is
what its documentation (`source`) lists: a parameter it does not list, or says it ignores, is not sent.
"""

from gateway.providers.base import Provider
from gateway.providers.compatible_self_hosted import SELF_HOSTED
from gateway.providers.compatible_text import TEXT_COMPLETION
from gateway.providers.openai_chat.request import Dialect
from gateway.providers.row import EVERYTHING, PENALTIES, Row, takes

_COMPLETION_TOKENS = Dialect(max_tokens="max_completion_tokens")
_UNASKED_USAGE = Dialect(stream_options=False)
"""Providers that document no `stream_options`: usage comes with the last chunk anyway."""

HOSTED: tuple[Row, ...] = (
    # logprobs, logit_bias and n > 1 are a 400 there; both penalties are "not yet supported by any of our models".
    Row(
        "groq",
        "https://api.groq.com/openai/v1",
        "https://console.groq.com/docs/api-reference#chat-create",
        ("GROQ_API_KEY",),
        takes("seed", "user"),
        _COMPLETION_TOKENS,
    ),
    Row(
        "together_ai",
        "https://api.together.xyz/v1",
        "https://docs.together.ai/reference/chat-completions-1",
        ("TOGETHER_API_KEY", "TOGETHERAI_API_KEY", "TOGETHER_AI_API_KEY", "TOGETHER_AI_TOKEN"),
        takes("n", *PENALTIES, "seed", "logit_bias", logprobs=20, extra=True),
        Dialect(stream_options=False, counted_logprobs=True),
    ),
    Row(
        "fireworks_ai",
        "https://api.fireworks.ai/inference/v1",
        "https://docs.fireworks.ai/api-reference/post-chatcompletions",
        ("FIREWORKS_API_KEY", "FIREWORKS_AI_API_KEY", "FIREWORKSAI_API_KEY", "FIREWORKS_AI_TOKEN"),
        takes(*EVERYTHING, logprobs=5, extra=True),
        Dialect(stream_options=False, model_prefix="accounts/fireworks/models/"),
        bases=("FIREWORKS_API_BASE",),
    ),
    Row(
        "mistral",
        "https://api.mistral.ai/v1",
        "https://docs.mistral.ai/api/#tag/chat",
        ("MISTRAL_API_KEY",),
        takes("n", *PENALTIES, "seed", ranges={"temperature": (0, 1.5)}),
        Dialect(names={"seed": "random_seed"}, stream_options=False),
    ),
    Row(
        "codestral",
        "https://codestral.mistral.ai/v1",
        "https://docs.mistral.ai/api/#tag/chat",
        ("CODESTRAL_API_KEY",),
        takes("n", *PENALTIES, "seed", ranges={"temperature": (0, 1.5)}),
        Dialect(names={"seed": "random_seed"}, stream_options=False),
    ),
    Row(
        "deepseek",
        "https://api.deepseek.com",
        "https://api-docs.deepseek.com/api/create-chat-completion",
        ("DEEPSEEK_API_KEY",),
        takes(*PENALTIES, logprobs=20, stop=16),
    ),
    # Penalties and stop are refused there by its reasoning models.
    Row(
        "xai",
        "https://api.x.ai/v1",
        "https://docs.x.ai/docs/api-reference#chat-completions",
        ("XAI_API_KEY",),
        takes("n", *PENALTIES, "seed", "user", logprobs=8),
        _COMPLETION_TOKENS,
    ),
    # Further parameters are those of its search (search_domain_filter, return_images, …) and top_k.
    Row(
        "perplexity",
        "https://api.perplexity.ai",
        "https://docs.perplexity.ai/api-reference/chat-completions-post",
        ("PERPLEXITYAI_API_KEY", "PERPLEXITY_API_KEY"),
        takes(*PENALTIES, stop=0, extra=True),
        _UNASKED_USAGE,
    ),
    # It passes on what the chosen model's host takes; HTTP-Referer and X-Title are the operator's extra_headers.
    Row(
        "openrouter",
        "https://openrouter.ai/api/v1",
        "https://openrouter.ai/docs/api/reference/parameters",
        ("OPENROUTER_API_KEY", "OR_API_KEY"),
        takes(*PENALTIES, "seed", "logit_bias", "user", logprobs=20, extra=True),
    ),
    # Penalties and logit_bias are a 400 there.
    Row(
        "cerebras",
        "https://api.cerebras.ai/v1",
        "https://inference-docs.cerebras.ai/api-reference/chat-completions",
        ("CEREBRAS_API_KEY",),
        takes("seed", "user", logprobs=20, ranges={"temperature": (0, 1.5)}),
        _COMPLETION_TOKENS,
    ),
    # n, seed, logprobs and logit_bias are "not yet supported by our models".
    Row(
        "sambanova",
        "https://api.sambanova.ai/v1",
        "https://docs.sambanova.ai/docs/en/api-reference/chat/create-chat-based-completion",
        ("SAMBANOVA_API_KEY",),
        takes(*PENALTIES, extra=True),
    ),
    # What each hosted model takes differs; these are common to all.
    Row(
        "nvidia_nim",
        "https://integrate.api.nvidia.com/v1",
        "https://docs.api.nvidia.com/nim/reference/llm-apis",
        ("NVIDIA_NIM_API_KEY",),
        takes(*PENALTIES, "seed"),
    ),
    # n is bounded below OpenAI's, so the gateway makes the calls itself; logprobs come without alternatives.
    Row(
        "deepinfra",
        "https://api.deepinfra.com/v1/openai",
        "https://docs.deepinfra.com/api-reference/openai-chat-completions-1",
        ("DEEPINFRA_API_KEY",),
        takes(*PENALTIES, "seed", "user", logprobs=0, extra=True),
    ),
    Row(
        "hyperbolic",
        "https://api.hyperbolic.xyz/v1",
        "https://docs.hyperbolic.xyz/docs/rest-api",
        ("HYPERBOLIC_API_KEY",),
        takes(*EVERYTHING, logprobs=20, extra=True, ranges={"frequency_penalty": (0, 1)}),
    ),
    Row(
        "nebius",
        "https://api.tokenfactory.nebius.com/v1",
        "https://docs.tokenfactory.nebius.com/api-reference/inference/create-chat-completion",
        ("NEBIUS_API_KEY",),
        takes("n", *PENALTIES, "logit_bias", "user", logprobs=20),
    ),
    Row(
        "novita",
        "https://api.novita.ai/openai/v1",
        "https://novita.ai/docs/api-reference/model-apis-llm-create-chat-completion",
        ("NOVITA_API_KEY",),
        takes("n", *PENALTIES, "seed", "logit_bias", logprobs=20, extra=True),
    ),
    # n is at most 5 there, and 1 near temperature 0, so the gateway makes the calls itself.
    Row(
        "moonshot",
        "https://api.moonshot.ai/v1",
        "https://platform.moonshot.ai/docs/api/chat",
        ("MOONSHOT_API_KEY",),
        takes(*PENALTIES, stop=5, ranges={"temperature": (0, 1)}),
        _COMPLETION_TOKENS,
    ),
    # n is at most 4 there and for some models only; temperature ends below 2.
    Row(
        "dashscope",
        "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        "https://www.alibabacloud.com/help/en/model-studio/qwen-api-via-openai-chat-completions",
        ("DASHSCOPE_API_KEY",),
        takes("presence_penalty", "seed", logprobs=5, extra=True, ranges={"temperature": (0, 1.99)}),
    ),
    # Its user_id wants 6 to 128 characters, which a client's `user` need not have.
    Row(
        "zai",
        "https://api.z.ai/api/paas/v4",
        "https://docs.z.ai/api-reference/llm/chat-completion",
        ("ZAI_API_KEY",),
        takes(stop=1, extra=True, ranges={"temperature": (0, 1), "top_p": (0.01, 1)}),
        _UNASKED_USAGE,
    ),
    # Penalties and logit_bias are ignored there, temperature is above 0, and reasoning_split keeps thought out of the
    # text.
    Row(
        "minimax",
        "https://api.minimax.io/v1",
        "https://platform.minimax.io/docs/api-reference/text-openai-api",
        ("MINIMAX_API_KEY",),
        takes(stop=0, ranges={"temperature": (0.01, 1)}),
        Dialect(max_tokens="max_completion_tokens", constant={"reasoning_split": True}),
    ),
    Row(
        "github",
        "https://models.github.ai/inference",
        "https://docs.github.com/en/rest/models/inference",
        ("GITHUB_API_KEY",),
        takes(*PENALTIES, "seed", ranges={"temperature": (0, 1)}),
        Dialect(headers={"accept": "application/vnd.github+json", "x-github-api-version": "2022-11-28"}),
    ),
    Row(
        "huggingface",
        "https://router.huggingface.co/v1",
        "https://huggingface.co/docs/inference-providers/tasks/chat-completion",
        ("HUGGINGFACE_API_KEY", "HF_TOKEN"),
        takes(*PENALTIES, "seed", logprobs=5),
        bases=("HF_API_BASE", "HUGGINGFACE_API_BASE"),
    ),
    # https://<workspace>/serving-endpoints; n is for provisioned throughput only.
    Row(
        "databricks",
        "",
        "https://docs.databricks.com/en/machine-learning/foundation-model-apis/api-reference.html",
        ("DATABRICKS_API_KEY", "DATABRICKS_TOKEN"),
        takes(logprobs=20, extra=True),
        _UNASKED_USAGE,
    ),
    # https://api.cloudflare.com/client/v4/accounts/<account>/ai/v1
    Row(
        "cloudflare",
        "",
        "https://developers.cloudflare.com/workers-ai/configuration/open-ai-compatibility/",
        ("CLOUDFLARE_API_KEY",),
        takes(*PENALTIES, "seed", stop=0, extra=True),
        _UNASKED_USAGE,
    ),
    # n is at most 16 there and not for streams, so the gateway makes the calls itself.
    Row(
        "ai21",
        "https://api.ai21.com/studio/v1",
        "https://docs.ai21.com/reference/jamba-1-6-api-ref",
        ("AI21_API_KEY",),
        takes(),
        _UNASKED_USAGE,
    ),
    Row(
        "ai21_chat",
        "https://api.ai21.com/studio/v1",
        "https://docs.ai21.com/reference/jamba-1-6-api-ref",
        ("AI21_API_KEY",),
        takes(),
        _UNASKED_USAGE,
        bases=("AI21_API_BASE",),
    ),
    # The model gateway, https://<region>.ml.cloud.ibm.com/ml/gateway/v1. The key is an IAM access token.
    Row(
        "watsonx",
        "",
        "https://www.ibm.com/docs/en/watsonx/saas?topic=preview-accessing-models-through-model-gateway",
        ("WATSONX_TOKEN",),
        takes(*EVERYTHING, logprobs=20),
    ),
    Row(
        "volcengine",
        "https://ark.cn-beijing.volces.com/api/v3",
        "https://www.volcengine.com/docs/82379/1494384",
        ("VOLCENGINE_API_KEY", "ARK_API_KEY"),
        takes(*PENALTIES, "logit_bias", logprobs=20),
    ),
    Row(
        "featherless_ai",
        "https://api.featherless.ai/v1",
        "https://featherless.ai/docs/completions",
        ("FEATHERLESS_AI_API_KEY", "FEATHERLESS_API_KEY"),
        takes(*PENALTIES, "seed", extra=True),
        bases=("FEATHERLESS_API_BASE", "FEATHERLESS_AI_API_BASE"),
    ),
    Row(
        "friendliai",
        "https://api.friendli.ai/serverless/v1",
        "https://friendli.ai/docs/openapi/serverless/chat-completions",
        ("FRIENDLIAI_API_KEY", "FRIENDLI_TOKEN"),
        takes("n", *PENALTIES, "seed", "logit_bias", logprobs=20, extra=True),
        bases=("FRIENDLI_API_BASE",),
    ),
    Row(
        "baseten",
        "https://inference.baseten.co/v1",
        "https://docs.baseten.co/reference/inference-api/chat-completions",
        ("BASETEN_API_KEY",),
        takes(*PENALTIES, "seed", "user"),
    ),
    # frequency_penalty, n, top_logprobs, logit_bias and user are listed as not supported.
    Row(
        "scaleway",
        "https://api.scaleway.ai/v1",
        "https://www.scaleway.com/en/docs/generative-apis/api-cli/using-chat-api/",
        ("SCW_SECRET_KEY",),
        takes("presence_penalty", "seed", logprobs=0),
    ),
)

ROWS: tuple[Provider, ...] = tuple(row.provider() for row in (*HOSTED, *SELF_HOSTED, *TEXT_COMPLETION))
"""What the registry takes over."""
