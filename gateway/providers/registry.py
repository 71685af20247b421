"""Every provider, read top to bottom: the literal table behind `provider/model` names (LiteLLM's prefixes)."""

from gateway.providers.base import Provider
from gateway.providers.openai_chat import language as openai_chat

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
    )
}
