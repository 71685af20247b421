"""Every provider, read top to bottom: the literal table behind `provider/model` names (LiteLLM's prefixes)."""

from gateway.providers.base import Provider
from gateway.providers.demo import language as demo
from gateway.providers.openai_chat import language as openai_chat
from gateway.providers.openai_text import language as openai_text

PROVIDERS: dict[str, Provider] = {
    row.name: row
    for row in (
        Provider(
            "openai",
            openai_chat.OpenAIChat,
            openai_chat.SUPPORT,
            key_env=("OPENAI_API_KEY",),
            base_env=("OPENAI_BASE_URL", "OPENAI_API_BASE"),
        ),
        Provider(
            "text-completion-openai",
            openai_text.OpenAIText,
            openai_text.SUPPORT,
            key_env=("OPENAI_API_KEY",),
            base_env=("OPENAI_BASE_URL", "OPENAI_API_BASE"),
        ),
        Provider("demo", demo.chat, demo.CHAT, keyless=True, options=demo.OPTIONS),
        Provider("text-completion-demo", demo.text, demo.TEXT, keyless=True, options=demo.OPTIONS),
    )
}
