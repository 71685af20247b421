"""Where and as whom Azure OpenAI is called; the bodies are OpenAI's.

Two surfaces are documented (https://learn.microsoft.com/azure/ai-foundry/openai/reference): dated versions, with the
deployment in the path and `api-version` in the query, and the undated `/openai/v1`, with the deployment as `model`.
"""

from urllib.parse import quote

from gateway.config.secret import Secret
from gateway.errors import ConfigError
from gateway.providers.base import JSON_HEADERS, Target

API_VERSION = "2024-10-21"
"""The newest dated version that is generally available; what came after it is the undated surface."""

_V1 = "/openai/v1"
_DEPLOYMENTS = "/openai/deployments/"
_USAGE_IN_STREAMS = "2024-09-01"
"""From here on chats take `stream_options` and `max_completion_tokens`; earlier versions refuse both by name."""


def url(target: Target, path: str) -> str:
    """The address of `path` (`chat/completions` or `completions`) for the target's deployment.

    `api_base` is the resource's root, or ends in `/openai/v1`, or names the deployment itself.

    Raises:
        ConfigError: no `api_base`.
    """
    base = _base(target)
    version = target.options.get("api_version")
    if _V1 in base:
        return f"{base}/{path}" + (f"?api-version={quote(str(version))}" if version else "")
    if _DEPLOYMENTS not in base:
        base = f"{base.removesuffix('/openai')}{_DEPLOYMENTS}{quote(target.model, safe='')}"
    return f"{base}/{path}?api-version={quote(str(version or API_VERSION))}"


def is_v1(target: Target) -> bool:
    """Whether the target is on the undated surface."""
    return _V1 in _base(target)


def is_recent(target: Target) -> bool:
    """Whether the target's version takes `stream_options` and `max_completion_tokens` in chats."""
    return is_v1(target) or str(target.options.get("api_version") or API_VERSION) >= _USAGE_IN_STREAMS


def headers(target: Target) -> dict[str, str]:
    """JSON content type, the credentials, and the operator's own headers.

    A Microsoft Entra token (option `azure_ad_token`) goes before the key.
    """
    token = target.options.get("azure_ad_token")
    credentials: dict[str, str] = {}
    if token:
        credentials = {"authorization": f"Bearer {token.reveal() if isinstance(token, Secret) else token}"}
    elif target.api_key:
        credentials = {"api-key": target.api_key.reveal()}
    return {**JSON_HEADERS, **credentials, **target.extra_headers}


def _base(target: Target) -> str:
    if target.base_url is None:
        raise ConfigError(
            [f"{target.provider}/{target.model}: Azure needs api_base, as in https://my-resource.openai.azure.com."]
        )
    return target.base_url.rstrip("/")
