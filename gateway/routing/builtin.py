"""What is served without a configuration file: the demo model, and every provider whose key the environment holds."""

from gateway.config import environment
from gateway.config.model import Deployment, Settings, default_settings
from gateway.providers.registry import PROVIDERS

DEMO_ALIAS = "demo"


def settings() -> Settings:
    """The default settings with the alias `demo`, and `openai/*`, `anthropic/*`, … for each provider with a key."""
    demo = Deployment(id="demo", alias=DEMO_ALIAS, provider="demo", model="demo")
    return default_settings().model_copy(update={"deployments": (demo, *(_wildcard(name) for name in providers()))})


def providers() -> list[str]:
    """The providers whose key is in the environment and who need nothing else, in the registry's order."""
    return [
        row.name
        for row in PROVIDERS.values()
        if not (row.keyless or row.needs_base) and any(environment.get(name) for name in row.key_env)
    ]


def _wildcard(provider: str) -> Deployment:
    return Deployment(id=provider, alias=f"{provider}/*", provider=provider, model="*")
