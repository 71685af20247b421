"""Settings that are read and checked but have no effect in this version: each is named in a warning.

A version that brings a feature deletes its row.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from gateway.config.model import Deployment, Settings


@dataclass(frozen=True, slots=True)
class Row:
    """`path` is the setting's place in the file; `given` says whether `settings` asks for more than the default."""

    path: str
    given: Callable[[Settings], bool]
    effect: str


def _set(section: str, *names: str) -> Callable[[Settings], bool]:
    """One of `names` was written down in `section`."""
    return lambda settings: bool(getattr(settings, section).model_fields_set & set(names))


def _differs(section: str, name: str, default: Any) -> Callable[[Settings], bool]:
    return lambda settings: getattr(getattr(settings, section), name) != default


def _any(test: Callable[[Deployment], Any]) -> Callable[[Settings], bool]:
    return lambda settings: any(test(deployment) for deployment in settings.deployments)


_ONE_ATTEMPT = "not applied by this version: each request gets one attempt at one deployment"

PENDING: tuple[Row, ...] = (
    Row("end_users.default_budget", _differs("end_users", "default_budget", None), "not enforced by this version"),
    Row(
        "telemetry.compat",
        lambda settings: "litellm" in settings.telemetry.compat,
        "the headers of litellm are not written by this version",
    ),
    Row("general_settings.redis_url", _differs("general", "redis_url", None), "nothing is shared by this version"),
    Row("model_list[].litellm_params.rpm", _any(lambda d: d.rpm), "not enforced by this version"),
    Row("model_list[].litellm_params.tpm", _any(lambda d: d.tpm), "not enforced by this version"),
    Row("model_list[].litellm_params.weight", _any(lambda d: d.weight is not None), "not applied by this version"),
    Row("model_list[].litellm_params.order", _any(lambda d: d.order is not None), "not applied by this version"),
    Row("model_list[].litellm_params.tags", _any(lambda d: d.tags), "not applied by this version"),
    Row(
        "model_list[].litellm_params.max_parallel_requests",
        _any(lambda d: d.max_parallel_requests),
        "not enforced by this version",
    ),
    Row(
        "model_list[].model_info.max_input_tokens",
        _any(lambda d: d.max_input_tokens),
        "not enforced by this version",
    ),
    Row("router_settings.routing_strategy", _set("router", "routing_strategy"), "not applied by this version"),
    Row("router_settings.num_retries", _set("router", "num_retries"), _ONE_ATTEMPT),
    Row("router_settings.allowed_fails", _set("router", "allowed_fails"), _ONE_ATTEMPT),
    Row("router_settings.cooldown_time", _set("router", "cooldown_time"), _ONE_ATTEMPT),
    Row("router_settings.fallbacks", _set("router", "fallbacks"), _ONE_ATTEMPT),
    Row("router_settings.context_window_fallbacks", _set("router", "context_window_fallbacks"), _ONE_ATTEMPT),
    Row("router_settings.content_policy_fallbacks", _set("router", "content_policy_fallbacks"), _ONE_ATTEMPT),
    Row("router_settings.default_fallbacks", _set("router", "default_fallbacks"), _ONE_ATTEMPT),
)


def warnings(settings: Settings, rows: Iterable[Row] = PENDING) -> list[str]:
    """One sentence for each setting that is given and has no effect."""
    return [f"{row.path}: {row.effect}" for row in rows if row.given(settings)]
