"""The providers' own settings that may stand in `litellm_params`, in one table: `Deployment.options` holds those given.

The names are LiteLLM's. Whether a provider reads an option is its registry row's to say, on a higher floor.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["text", "secret", "whole number"]


@dataclass(frozen=True, slots=True)
class Option:
    """What kind of value an option has, and what it is for."""

    kind: Kind
    description: str


OPTIONS: Mapping[str, Option] = {
    "organization": Option("text", "OpenAI: the organization that is billed."),
    "project": Option("text", "OpenAI: the project that is billed."),
    "api_version": Option("text", "Azure: the dated version of the API."),
    "azure_ad_token": Option("secret", "Azure: a Microsoft Entra token instead of a key."),
    "aws_access_key_id": Option("secret", "Bedrock: an access key; the AWS chain of credentials when left out."),
    "aws_secret_access_key": Option("secret", "Bedrock: the access key's secret."),
    "aws_session_token": Option("secret", "Bedrock: the session token of temporary credentials."),
    "aws_region_name": Option("text", "Bedrock: the region."),
    "aws_session_name": Option("text", "Bedrock: the name of the session when a role is assumed."),
    "aws_profile_name": Option("text", "Bedrock: the profile in the AWS configuration."),
    "aws_role_name": Option("text", "Bedrock: the role to assume."),
    "aws_external_id": Option("text", "Bedrock: the external id when a role is assumed."),
    "aws_sts_endpoint": Option("text", "Bedrock: the endpoint that roles are assumed at."),
    "aws_bedrock_runtime_endpoint": Option("text", "Bedrock: the endpoint that is called."),
    "vertex_project": Option("text", "Vertex AI: the project."),
    "vertex_location": Option("text", "Vertex AI: the location."),
    "vertex_credentials": Option("secret", "Vertex AI: path of a service account's JSON file, or that JSON."),
    "num_ctx": Option("whole number", "Ollama: tokens of context the model is loaded with."),
    "keep_alive": Option("text", "Ollama: how long the model stays loaded, such as 5m."),
}

DEMO_PREFIX = "demo_"
"""Switches of the built-in model; the provider itself says which there are."""


def is_option(name: str) -> bool:
    """Is `name` a provider's own setting?"""
    return name in OPTIONS or name.startswith(DEMO_PREFIX)
