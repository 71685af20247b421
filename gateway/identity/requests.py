"""What an operator may lay down about a key or an end user: strict, bounded, and every name as requests give it."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, Field, ValidationError

from gateway.config.document import frozen
from gateway.config.fields import Strict
from gateway.config.limits import Budget, Rates
from gateway.config.messages import describe
from gateway.errors import InvalidJson, InvalidType, InvalidValue, MissingParameter, RequestError
from gateway.principal import MASTER, MAX_NAME, KeyScope, clean_name
from gateway.wire import json

MAX_LISTED = 256
MAX_METADATA = 32

M = TypeVar("M", bound=Strict)


def _clean(name: str) -> str:
    if clean_name(name) != name:
        raise ValueError("must be printable characters in composed form (NFC), without spaces at its ends")
    return name


def _alias(name: str) -> str:
    if name.lower() in (MASTER, "jwt") or name.lower().startswith("jwt:"):
        raise ValueError("must not be master, jwt, or begin with jwt: the gateway itself uses these")
    return name


def _time(text: str) -> str:
    if seconds(text) is None:
        raise ValueError("must be a time with its zone, such as 2030-01-31T00:00:00Z")
    return text


def _metadata(value: Mapping[str, Any]) -> Mapping[str, Any]:
    if len(value) > MAX_METADATA or any(len(name) > 64 for name in value):
        raise ValueError(f"must have at most {MAX_METADATA} entries with names of at most 64 characters")
    return dict(value)


Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME), AfterValidator(_clean)]
Alias = Annotated[Name, AfterValidator(_alias)]
Names = Annotated[tuple[Name, ...], Field(max_length=MAX_LISTED)]
Time = Annotated[str, Field(max_length=40), AfterValidator(_time)]
_Short = Annotated[str, Field(max_length=512)]
Metadata = Annotated[Mapping[str, _Short | int | float | bool | None], AfterValidator(_metadata)]


class KeyChange(Strict):
    """Body of `PATCH /admin/keys/{id}`: what is not given stays, null takes it away."""

    alias: Alias | None = None
    models: Names | None = None
    scopes: Annotated[tuple[KeyScope, ...], Field(min_length=1)] | None = None
    tags: Names | None = None
    end_user: Name | None = None
    default_end_user: Name | None = None
    expires_at: Time | None = None
    budget: Budget | None = None
    limits: Rates | None = None
    metadata: Metadata | None = None

    def fields(self) -> dict[str, Any]:
        """The fields of a `KeyRecord` that are given, in its kinds of values.

        Raises:
            InvalidValue: fields that contradict each other, or an alias that is taken away.
        """
        given = {name: getattr(self, name) for name in self.model_fields_set}
        if "alias" in given and self.alias is None:
            raise InvalidValue("alias must not be null; a key keeps a name.", param="alias")
        for name, nothing in _NOTHING.items():
            if name in given:
                given[name] = tuple(dict.fromkeys(given[name])) if given[name] else nothing
        if "metadata" in given:
            given["metadata"] = given["metadata"] or {}
        if self.expires_at is not None:
            given["expires_at"] = seconds(self.expires_at)
        given |= bounds(self, given)
        return given


class KeyRequest(KeyChange):
    """Body of `POST /admin/keys`."""

    alias: Alias


class EndUserChange(Strict):
    """Body of `PATCH /admin/end-users/{id}`: what is not given stays, null takes it away."""

    blocked: bool | None = None
    budget: Budget | None = None
    limits: Rates | None = None

    def fields(self) -> dict[str, Any]:
        """The fields of an `EndUserRecord` that are given, in its kinds of values."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        if "blocked" in given:
            given["blocked"] = bool(self.blocked)
        return given | bounds(self, given)


_NOTHING: Mapping[str, tuple[str, ...]] = {"models": (), "tags": (), "scopes": ("completions",)}


def bounds(asked: KeyChange | EndUserChange, given: Mapping[str, Any]) -> dict[str, Any]:
    """The budget and the limits that are given, as values; an empty one bounds nothing and is none."""
    made: dict[str, Any] = {}
    if "budget" in given:
        made["budget"] = asked.budget.made() if asked.budget else None
    if "limits" in given:
        made["limits"] = asked.limits.made() if asked.limits else None
    return made


def seconds(text: str) -> int | None:
    """A time as RFC 3339 writes it in whole seconds since 1970; None for anything else, and for a time that is not of
    the years 1 to 9999 in UTC, in which times are shown."""
    try:
        when = datetime.fromisoformat(text)
        return None if when.tzinfo is None else int(when.astimezone(UTC).timestamp())
    except (ValueError, OverflowError):
        return None


def time_text(at: int | None) -> str | None:
    """Seconds since 1970 as RFC 3339 writes them."""
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def read(model: type[M], body: bytes) -> M:
    """The request in a body.

    Raises:
        RequestError: with `param` naming the field; no message holds a value.
    """
    try:
        value = json.loads(body)
    except json.JSONDecodeError:
        raise InvalidJson("The body is not valid JSON; send an object.") from None
    if not isinstance(value, dict):
        raise InvalidJson("The body must be a JSON object.")
    return made(model, value)


def made(model: type[M], value: Mapping[str, Any]) -> M:
    """The request that a mapping holds; raises as `read` does."""
    try:
        return model.model_validate(frozen(value))
    except ValidationError as error:
        raise _refusal(error.errors(include_url=False, include_input=False)[0], model) from None


def _refusal(fault: Mapping[str, Any], model: type[Strict]) -> RequestError:
    path = ".".join(str(part) for part in fault["loc"] if not str(part).startswith(("function-", "constrained-")))[:80]
    if fault["type"] == "missing":
        return MissingParameter(f"The field {path} is required.", param=path)
    if fault["type"] == "extra_forbidden":
        return InvalidValue(f"{path} is not a field here.", param=path)
    kind = InvalidType if fault["type"].endswith("_type") else InvalidValue
    said = re.sub("; put it in quotes|, without quotes", "", describe(fault, model))  # a configuration's, in YAML
    return kind(f"{path} {said}.", param=path)
