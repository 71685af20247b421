"""Settings that are read and checked but have no effect as they are given: each is named in a warning.

A version that brings a feature deletes its row.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gateway.config import failures
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
    router = settings.router
    return router.health_check_interval is not None and (router.cooldown_time <= 0 or router.disable_cooldowns)


def _asks_for(kind: str) -> Callable[[Settings], bool]:
    """Whether a retry policy asks for further attempts after failures of a kind."""

    def asked(settings: Settings) -> bool:
        policies = (settings.router.retry_policy, *settings.router.model_group_retry_policy.values())
        return any(failures.given(policy, kind) for policy in policies)

    return asked


def _puts_up_with(kind: str) -> Callable[[Settings], bool]:
    return lambda settings: failures.given(settings.router.allowed_fails_policy, kind) is not None


_REFUSED = {
    "BadRequestError": "context_window_fallbacks is for prompts that are too long",
    "ContentPolicyViolationError": "content_policy_fallbacks is for it",
}
_ELSEWHERE = ("AuthenticationError", "NotFoundError")


PENDING: tuple[Row, ...] = (
    Row(
        "model_list[].litellm_params.tags",
        _tagged_for_nothing,
        "have no effect without router_settings.enable_tag_filtering, as in LiteLLM",
    ),
    Row(
        "router_settings.health_check_interval",
        _probed_for_nothing,
        "has no effect with router_settings.cooldown_time: 0 or disable_cooldowns, by which no deployment ever rests",
    ),
    *(
        Row(
            f"router_settings.retry_policy.{kind}Retries",
            _asks_for(kind),
            f"has no effect, of an alias neither: a request that a provider refuses is never sent again; {instead}",
        )
        for kind, instead in _REFUSED.items()
    ),
    *(
        Row(
            f"router_settings.retry_policy.{kind}Retries",
            _asks_for(kind),
            "is for other deployments of the model, of an alias too: the one that has answered so is not asked again",
        )
        for kind in _ELSEWHERE
    ),
    *(
        Row(
            f"router_settings.allowed_fails_policy.{kind}AllowedFails",
            _puts_up_with(kind),
            "has no effect: a request that is refused says nothing of the deployment",
        )
        for kind in _REFUSED
    ),
)


def warnings(settings: Settings, rows: Iterable[Row] = PENDING) -> list[str]:
    """One sentence for each setting that is given and has no effect."""
    return [f"{row.path}: {row.effect}" for row in rows if row.given(settings)]
