"""A call as a Bedrock Converse request, and where it goes.

Body: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from gateway.errors import ConfigError, UnsupportedParameter
from gateway.providers.base import Target
from gateway.types import Call

_ROUTE = re.compile(r"(?:converse/)?(?:(?P<region>[a-z]{2,3}(?:-[a-z]+)+-\d)/)?(?P<id>.+)", re.DOTALL)
_ARN = re.compile(r"arn:aws[a-z-]*:(?:bedrock|sagemaker):(?P<region>[a-z0-9-]+):")

_OWN_FIELDS = frozenset({
    "additionalModelResponseFieldPaths", "guardrailConfig", "performanceConfig", "requestMetadata", "serviceTier",
})  # fmt: skip
"""Fields of Converse itself that may come as extra parameters; every other one is the model's own."""

_NOT_THE_CLIENTS = frozenset({
    "messages", "system", "inferenceConfig", "promptVariables", "modelId", "additionalModelRequestFields", "stream",
    "prompt", "max_tokens", "toolConfig", "tools", "tool_choice",
})  # fmt: skip
"""What the gateway writes and has checked, under Converse's name and the models'; a text completion has no tools."""


@dataclass(frozen=True, slots=True)
class Place:
    """A model's id and the region it is called in, None when neither the target nor the model's name tells it."""

    model: str
    region: str | None


def place(target: Target) -> Place:
    """Where `target` is: its `aws_region_name`, else the region in its model's name.

    Read are LiteLLM's `converse/<id>` and `<region>/<id>`, and the region of an ARN.
    """
    route = _ROUTE.fullmatch(target.model)
    model, named = (route["id"], route["region"]) if route else (target.model, None)
    arn = _ARN.match(model)
    return Place(model, target.options.get("aws_region_name") or named or (arn["region"] if arn else None))


def region(target: Target) -> str:
    """The region of `target`.

    Raises:
        ConfigError: nothing names one.
    """
    found = place(target).region
    if found is None:
        raise ConfigError([f"The model {target.model} of the provider {target.provider} needs aws_region_name."])
    return found


def url(target: Target) -> str:
    """The URL of the model's Converse operation, without `-stream`.

    Raises:
        ConfigError: neither a base URL nor a region is known.
    """
    base = target.base_url or target.options.get("aws_bedrock_runtime_endpoint")
    base = base.rstrip("/") if base else f"https://bedrock-runtime.{region(target)}.amazonaws.com"
    return f"{base}/model/{quote(place(target).model, safe='')}/converse"


def body(call: Call, provider: str) -> dict[str, Any]:
    """The JSON body that asks for `call`; parameters the client left out are left out.

    Raises:
        UnsupportedParameter: an extra parameter that would overwrite what the gateway has checked, or that asks for
            tools.
    """
    sent: dict[str, Any] = {
        "messages": [
            {"role": message.role, "content": [{"text": message.content}]}
            for message in call.messages
            if message.role != "system"
        ]
    }
    system = [{"text": message.content} for message in call.messages if message.role == "system"]
    if system:
        sent["system"] = system
    inference = _inference(call)
    if inference:
        sent["inferenceConfig"] = inference
    models_own: dict[str, Any] = {}
    for name, value in call.extra.items():
        if name in _NOT_THE_CLIENTS:
            raise UnsupportedParameter(
                f"The parameter {name} cannot be set on a text completion for the provider {provider}; leave it out.",
                param=name,
            )
        (sent if name in _OWN_FIELDS else models_own)[name] = value
    if models_own:
        sent["additionalModelRequestFields"] = models_own
    return sent


def _inference(call: Call) -> Mapping[str, Any]:
    values = {
        "maxTokens": call.max_tokens,
        "temperature": call.temperature,
        "topP": call.top_p,
        "stopSequences": list(call.stop) or None,
    }
    return {name: value for name, value in values.items() if value is not None}
