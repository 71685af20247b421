"""Every provider, read top to bottom: the literal table behind `provider/model` names (LiteLLM's prefixes)."""

from gateway.providers.anthropic import language as anthropic
from gateway.providers.azure import language as azure
from gateway.providers.base import Provider
from gateway.providers.bedrock import language as bedrock
from gateway.providers.bedrock import signing as bedrock_signing
from gateway.providers.codestral import language as codestral
from gateway.providers.cohere import language as cohere
from gateway.providers.compatible import ROWS as COMPATIBLE
from gateway.providers.demo import language as demo
from gateway.providers.gemini import language as gemini
from gateway.providers.ollama import language as ollama
from gateway.providers.openai_chat import language as openai_chat
from gateway.providers.openai_text import language as openai_text
from gateway.providers.vertex import auth as vertex_auth
from gateway.providers.vertex import language as vertex

_OPENAI_BASE = ("OPENAI_BASE_URL", "OPENAI_API_BASE")
_AZURE_KEY = ("AZURE_API_KEY", "AZURE_OPENAI_API_KEY")
_AZURE_BASE = ("AZURE_API_BASE", "AZURE_OPENAI_ENDPOINT")
_AZURE_ENV = {
    "api_version": ("AZURE_API_VERSION", "OPENAI_API_VERSION"),
    "azure_ad_token": ("AZURE_AD_TOKEN", "AZURE_OPENAI_AD_TOKEN"),
}
_COHERE_KEY = ("COHERE_API_KEY", "CO_API_KEY")
_COHERE_BASE = ("COHERE_API_BASE", "CO_API_URL")
_OLLAMA_BASE = ("OLLAMA_API_BASE", "OLLAMA_HOST")

_ROWS = (
    Provider(
        "openai",
        openai_chat.OpenAIChat,
        openai_chat.SUPPORT,
        ("OPENAI_API_KEY",),
        _OPENAI_BASE,
        options=openai_chat.OPTIONS,
    ),
    Provider(
        "text-completion-openai",
        openai_text.OpenAIText,
        openai_text.SUPPORT,
        ("OPENAI_API_KEY",),
        _OPENAI_BASE,
        options=openai_chat.OPTIONS,
        elsewhere=openai_text.ELSEWHERE,
    ),
    Provider(
        "azure",
        azure.AzureChat,
        azure.SUPPORT,
        _AZURE_KEY,
        _AZURE_BASE,
        needs_base=True,
        options=azure.OPTIONS,
        option_env=_AZURE_ENV,
        credentials=("azure_ad_token",),
    ),
    Provider(
        "azure_text",
        azure.AzureText,
        azure.TEXT_SUPPORT,
        _AZURE_KEY,
        _AZURE_BASE,
        needs_base=True,
        options=azure.OPTIONS,
        option_env=_AZURE_ENV,
        credentials=("azure_ad_token",),
    ),
    Provider(
        "anthropic",
        anthropic.AnthropicMessages,
        anthropic.SUPPORT,
        ("ANTHROPIC_API_KEY",),
        ("ANTHROPIC_BASE_URL", "ANTHROPIC_API_BASE"),
    ),
    Provider(
        "bedrock",
        bedrock.BedrockConverse,
        bedrock.SUPPORT,
        ("AWS_BEARER_TOKEN_BEDROCK",),
        keyless=True,
        authorizer=bedrock_signing.authorizer,
        options=bedrock_signing.OPTIONS,
        option_env={"aws_region_name": ("AWS_REGION_NAME", "AWS_REGION", "AWS_DEFAULT_REGION")},
    ),
    Provider("gemini", gemini.bind, gemini.SUPPORT, ("GEMINI_API_KEY", "GOOGLE_API_KEY"), ("GEMINI_API_BASE",)),
    Provider(
        "vertex_ai",
        vertex.bind,
        vertex.SUPPORT,
        base_env=("VERTEXAI_API_BASE",),
        keyless=True,
        authorizer=vertex_auth.authorizer,
        options=vertex.OPTIONS,
        option_env={
            "vertex_project": ("VERTEXAI_PROJECT", "GOOGLE_CLOUD_PROJECT"),
            "vertex_location": ("VERTEXAI_LOCATION", "GOOGLE_CLOUD_LOCATION"),
            "vertex_credentials": ("VERTEXAI_CREDENTIALS",),
        },
    ),
    Provider("cohere", cohere.Cohere, cohere.SUPPORT, _COHERE_KEY, _COHERE_BASE),
    Provider("cohere_chat", cohere.Cohere, cohere.SUPPORT, _COHERE_KEY, _COHERE_BASE),
    Provider(
        "ollama", ollama.Ollama, ollama.SUPPORT, ("OLLAMA_API_KEY",), _OLLAMA_BASE, keyless=True, options=ollama.OPTIONS
    ),
    Provider(
        "ollama_chat",
        ollama.chat,
        ollama.CHAT_SUPPORT,
        ("OLLAMA_API_KEY",),
        _OLLAMA_BASE,
        keyless=True,
        options=ollama.OPTIONS,
    ),
    Provider(
        "text-completion-codestral",
        codestral.Codestral,
        codestral.SUPPORT,
        ("CODESTRAL_API_KEY", "MISTRAL_API_KEY"),
    ),
    Provider("text-completion-deepseek", openai_text.deepseek, openai_text.DEEPSEEK, ("DEEPSEEK_API_KEY",)),
    *COMPATIBLE,
    Provider("demo", demo.chat, demo.CHAT, keyless=True, options=demo.OPTIONS),
    Provider("text-completion-demo", demo.text, demo.TEXT, keyless=True, options=demo.OPTIONS),
)

PROVIDERS: dict[str, Provider] = {row.name: row for row in _ROWS}
