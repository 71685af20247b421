"""Settings that are read and checked but have no effect as they are given: each is named in a warning.

A version that brings a feature deletes its row.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gateway.config.model import Settings


@dataclass(frozen=True, slots=True)
class Row:
    """`path` is the setting's place in the file; `given` says whether `settings` asks for more than the default."""

    path: str
    given: Callable[[Settings], bool]
    effect: str


def _tagged_for_nothing(settings: Settings) -> bool:
    return not settings.router.enable_tag_filtering and any(each.tags for each in settings.deployments)


def _probed_for_nothing(settings: Settings) -> bool:
    return settings.router.health_check_interval is not None and settings.router.cooldown_time <= 0


PENDING: tuple[Row, ...] = (
    Row(
        "model_list[].litellm_params.tags",
        _tagged_for_nothing,
        "have no effect without router_settings.enable_tag_filtering, as in LiteLLM",
    ),
    Row(
        "router_settings.health_check_interval",
        _probed_for_nothing,
        "has no effect with router_settings.cooldown_time: 0, by which no deployment ever rests",
    ),
)


def warnings(settings: Settings, rows: Iterable[Row] = PENDING) -> list[str]:
    """One sentence for each setting that is given and has no effect."""
    return [f"{row.path}: {row.effect}" for row in rows if row.given(settings)]
