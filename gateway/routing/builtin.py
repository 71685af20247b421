"""What is served without a configuration file: the demo model, and every provider whose key the environment holds."""

from gateway.config import environment
from gateway.config.model import Deployment, Settings, default_settings
from gateway.providers.registry import PROVIDERS

DEMO_ALIAS = "demo"

_OPENAI_TEXT = ("gpt-3.5-turbo-instruct", "davinci-002", "babbage-002")
_OPENAI_CHAT = ("gpt-*", "chatgpt-*", "o1", "o1-*", "o3", "o3-*", "o4-*", "ft:*")
"""OpenAI's models by their plain names: those with a text-completion endpoint of their own, and the others."""

_VARIABLES = tuple(dict.fromkeys(name for row in PROVIDERS.values() for name in (*row.key_env, *row.base_env)))


def settings() -> Settings:
    """The default settings with the alias `demo`, and `openai/*`, `anthropic/*`, … for each provider with a key.

    With OpenAI's key its models are served under their plain names too, as its own API would.
    """
    found = [Deployment(id="demo", alias=DEMO_ALIAS, provider="demo", model="demo")]
    keyed = providers()
    found += [Deployment(id=name, alias=f"{name}/*", provider=name, model="*") for name in keyed]
    if "openai" in keyed:
        found += [
            Deployment(id=alias, alias=alias, provider="text-completion-openai", model=name)
            for name in _OPENAI_TEXT
            for alias in (name, f"openai/{name}")
        ]
        found += [Deployment(id=name, alias=name, provider="openai", model=name) for name in _OPENAI_CHAT]
    return default_settings().model_copy(update={"deployments": tuple(found)})


def providers() -> list[str]:
    """The providers whose key is in the environment and who need nothing else, in the registry's order."""
    return [
        row.name
        for row in PROVIDERS.values()
        if not (row.keyless or row.needs_base) and any(environment.get(name) for name in row.key_env)
    ]


def state() -> int:
    """A number that changes when the environment's keys and addresses of providers do."""
    return hash(tuple(map(environment.get, _VARIABLES)))
