"""The kinds of values a setting can have, beyond numbers and plain text: secrets, addresses, headers, lists by name.

Each is a pydantic annotation: it validates, and it says how the value looks when a model is printed or dumped.
"""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from gateway.config.secret import Secret

HIDDEN = "**********"

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_USERINFO = re.compile(r"(?<=//)[^/@\s]*@")


class Strict(BaseModel):
    """Base of every settings class: frozen, no unknown fields, no conversions, no value in an error or a repr."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        hide_input_in_errors=True,
        arbitrary_types_allowed=True,
        allow_inf_nan=False,
    )

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, masked_url(value) if isinstance(value, str) else value


def masked_url(url: str) -> str:
    """`url` without the user and password it may hold."""
    return _USERINFO.sub(f"{HIDDEN}@", url)


def _secret(value: Any) -> Secret:
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str):
        raise ValueError("must be text; put it in quotes")
    if not value:
        raise ValueError("must not be empty")
    return Secret(value)


def _http_url(value: str) -> str:
    if not re.match(r"https?://[^/\s]", value) or _CONTROL.search(value) or " " in value:
        raise ValueError("must be a URL that starts with http:// or https:// and names a host")
    return value.rstrip("/")


def _otlp_url(value: str) -> str:
    if not re.match(r"(https?|grpcs?)://[^/\s]", value) or _CONTROL.search(value) or " " in value:
        raise ValueError("must be a URL that starts with http://, https://, grpc:// or grpcs:// and names a host")
    return value.rstrip("/")


def _database_url(value: str) -> str:
    if not re.match(r"(sqlite|postgres|postgresql)://", value):
        raise ValueError("must start with sqlite:/// or postgresql://")
    return value


def _redis_url(value: str) -> str:
    if not re.match(r"(redis|rediss|unix)://", value):
        raise ValueError("must start with redis://, rediss:// or unix://")
    return value


def _headers(value: Mapping[str, str]) -> Mapping[str, str]:
    for name, content in value.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError("has a name that is not an HTTP header name")
        if _CONTROL.search(content) or not content.isascii():
            raise ValueError("has a value that cannot stand in an HTTP header")
    return MappingProxyType(dict(value))


def _frozen(value: Mapping[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(dict(value))


def _by_name(value: Any) -> Any:
    """`[{a: [b]}, {c: [d]}]`, as LiteLLM writes it, or `{a: [b], c: [d]}`, as one mapping."""
    if isinstance(value, Mapping):
        return value
    if not isinstance(value, tuple | list) or not all(isinstance(item, Mapping) for item in value):
        raise ValueError("must be a list of mappings such as [{alias: [another, a-third]}]")
    merged: dict[Any, Any] = {}
    for item in value:
        if again := merged.keys() & item.keys():
            raise ValueError(f"names {', '.join(sorted(map(repr, again)))} twice")
        merged.update(item)
    return merged


SecretText = Annotated[Secret, BeforeValidator(_secret), PlainSerializer(str, return_type=str)]
"""Text that never prints."""
HttpUrl = Annotated[str, AfterValidator(_http_url), PlainSerializer(masked_url, return_type=str)]
"""An http or https address without a trailing slash."""
OtlpUrl = Annotated[str, AfterValidator(_otlp_url), PlainSerializer(masked_url, return_type=str)]
"""The address of an OpenTelemetry receiver, over HTTP or gRPC."""
DatabaseUrl = Annotated[str, AfterValidator(_database_url), PlainSerializer(masked_url, return_type=str)]
RedisUrl = Annotated[str, AfterValidator(_redis_url), PlainSerializer(masked_url, return_type=str)]
_Masked = PlainSerializer(lambda names: dict.fromkeys(names, HIDDEN), return_type=dict)

Headers = Annotated[Mapping[str, str], AfterValidator(_headers), _Masked]
"""HTTP headers; their values may hold keys and are not dumped."""
Hidden = Annotated[Mapping[str, str], AfterValidator(_frozen), _Masked]
"""Texts by name; the values may be secret and are not dumped."""
Options = Annotated[
    Mapping[str, Any],
    AfterValidator(_frozen),
    PlainSerializer(lambda m: {k: str(v) if isinstance(v, Secret) else v for k, v in m.items()}, return_type=dict),
]
"""A provider's own settings by name; those that are secret are `Secret`."""
Names = Annotated[Mapping[str, str], AfterValidator(_frozen), PlainSerializer(dict, return_type=dict)]
Chains = Annotated[
    Mapping[str, tuple[str, ...]],
    BeforeValidator(_by_name),
    AfterValidator(_frozen),
    PlainSerializer(dict, return_type=dict),
]
"""For each alias, others in order."""
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Price = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
