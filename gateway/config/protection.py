"""What keeps the gateway and its providers from too much at once (`protection`), and answers that are used again."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Protocol

from pydantic import Field, PlainValidator, ValidationError

from gateway.config.fields import Count, Seconds, Strict
from gateway.config.source import Path_

DEFAULT_TTL = 300.0
"""Seconds that an answer is kept where nobody says how long."""

_MONTH = 31 * 86_400


class ProtectionSettings(Strict):
    """How much at once, who waits, and how much is kept (`protection`)."""

    max_concurrent: Count | None = Field(
        None, description="Completions served at one time by each worker process; the others wait in a line."
    )
    max_queue: int = Field(
        256, ge=0, le=1_000_000, description="Completions that may wait in a line; one more is answered 503."
    )
    queue_timeout: Seconds = Field(10.0, description="Seconds that a completion waits in a line before that is a 503.")
    cache_bytes: int = Field(
        67_108_864, ge=65_536, description="Answers kept in memory by each worker process, in bytes, without Redis."
    )


class CacheSettings(Strict):
    """How long answers are kept (`litellm_params.cache`)."""

    ttl: float = Field(DEFAULT_TTL, gt=0, le=_MONTH, description="Seconds that an answer is kept.")


def _caching(value: Any) -> bool | CacheSettings:
    if isinstance(value, bool | CacheSettings):
        return value
    if not isinstance(value, Mapping):
        raise ValueError("must be true, false, or a mapping such as {ttl: 60}")
    if unknown := value.keys() - {"ttl"}:
        raise ValueError(f"takes only ttl, not {', '.join(sorted(map(str, unknown)))}")
    try:
        return CacheSettings.model_validate(dict(value))
    except ValidationError:
        raise ValueError(f"must have a ttl in seconds, above 0 and at most {_MONTH}") from None


Caching = Annotated[bool | CacheSettings, PlainValidator(_caching)]
"""Whether answers are kept: true for the default time, or how long."""


def ttl(cache: bool | CacheSettings) -> float | None:
    """Seconds that answers are kept by a deployment's setting, None where they are not."""
    if isinstance(cache, bool):
        return DEFAULT_TTL if cache else None
    return cache.ttl


class _Deployment(Protocol):
    @property
    def alias(self) -> str: ...
    @property
    def path(self) -> Path_: ...


def disagreements(deployments: Sequence[_Deployment], params: str) -> Iterator[tuple[Path_, str]]:
    """Deployments that say otherwise than the first one of their alias whether answers are used again: answers belong
    to the alias, whichever deployment gave them. `params` is the key of the entry that both stand under."""
    first: dict[str, Any] = {}
    for deployment in deployments:
        leader = first.setdefault(deployment.alias, deployment)
        for name, said in (("cache", lambda one: ttl(one.cache)), ("coalesce", lambda one: one.coalesce)):
            if said(deployment) != said(leader):
                entry = leader.path[1] if len(leader.path) > 1 else 0
                yield (
                    (*deployment.path, params, name),
                    f"differs from model_list[{entry}], which has the same model_name; they share their answers",
                )
