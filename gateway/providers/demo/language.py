"""The demo as two providers: OpenAI's chat language and its text language over the built-in model, without a key.

The model is an ASGI application, called at `asgi://demo/v1` without a socket. Its switches are settings of the
deployment (`demo_delay_ms: 200`, `demo_fault: status_429`), sent as private headers.
"""

import dataclasses

from gateway.errors import ConfigError, InvalidValue
from gateway.providers.base import Support, Target
from gateway.providers.demo import faults
from gateway.providers.openai_chat import language as openai_chat
from gateway.providers.openai_chat.language import OpenAIChat
from gateway.providers.openai_text import language as openai_text
from gateway.providers.openai_text.language import OpenAIText

ORIGIN = "asgi://demo"
"""Where the model is mounted in the gateway."""

BASE_URL = f"{ORIGIN}/v1"

OPTIONS = faults.OPTIONS
"""The settings of a deployment that it reads."""

CHAT: Support = openai_chat.SUPPORT
TEXT: Support = openai_text.SUPPORT


def chat(target: Target) -> OpenAIChat:
    """The provider `demo`.

    Raises:
        ConfigError: a switch with a value it cannot have.
    """
    return OpenAIChat(_switched(target), base_url=BASE_URL, dialect=openai_chat.OPENAI)


def text(target: Target) -> OpenAIText:
    """The provider `text-completion-demo`.

    Raises:
        ConfigError: a switch with a value it cannot have.
    """
    return OpenAIText(_switched(target), base_url=BASE_URL)


def _switched(target: Target) -> Target:
    """`target` with its switches as headers, checked now rather than at the first request."""
    switches = {
        faults.header_name(name): str(target.options[name]) for name in OPTIONS if target.options.get(name) is not None
    }
    try:
        faults.from_headers((name.encode(), value.encode()) for name, value in switches.items())
    except InvalidValue as error:
        raise ConfigError([f"deployment of {target.provider}: {error.message}"]) from error
    return dataclasses.replace(target, extra_headers={**target.extra_headers, **switches})
