"""A call as an Anthropic message request (https://platform.claude.com/docs/en/api/messages/create)."""

from typing import Any

from gateway.errors import UnsupportedParameter
from gateway.types import Call

DEFAULT_MAX_TOKENS = 4096
"""Sent when a call sets no limit: the API requires one, and every Claude 3 and later model allows this many."""

_NOT_THE_CLIENTS = frozenset({
    "model", "messages", "system", "max_tokens", "stream", "stop_sequences", "metadata",  # written by the gateway
    "tools", "tool_choice", "mcp_servers",  # a text completion can neither show nor answer a tool call
})  # fmt: skip


def body(call: Call, model: str, provider: str) -> dict[str, Any]:
    """The JSON body that asks for `call`; parameters the client left out are left out.

    Raises:
        UnsupportedParameter: an extra parameter that would overwrite what the gateway has checked, or that asks for
            tools.
    """
    sent: dict[str, Any] = {
        "model": model,
        "max_tokens": DEFAULT_MAX_TOKENS if call.max_tokens is None else call.max_tokens,
        "messages": [
            {"role": message.role, "content": message.content} for message in call.messages if message.role != "system"
        ],
    }
    system = [message.content for message in call.messages if message.role == "system"]
    if system:
        sent["system"] = "\n\n".join(system)
    if call.temperature is not None:
        sent["temperature"] = call.temperature
    if call.top_p is not None:
        sent["top_p"] = call.top_p
    if call.stop:
        sent["stop_sequences"] = list(call.stop)
    user = _user(call)
    if user is not None:
        sent["metadata"] = {"user_id": user}
    if call.stream:
        sent["stream"] = True
    return {**sent, **_extra(call, provider)}


def _user(call: Call) -> str | None:
    """Anthropic's one field for whom a request is made: the parameter meant for abuse detection comes first."""
    user = call.safety_identifier or call.user or (call.metadata or {}).get("user_id")
    return user if isinstance(user, str) else None


def _extra(call: Call, provider: str) -> dict[str, Any]:
    for name in call.extra:
        if name in _NOT_THE_CLIENTS:
            raise UnsupportedParameter(
                f"The parameter {name} cannot be set on a text completion for the provider {provider}; leave it out.",
                param=name,
            )
    return dict(call.extra)
