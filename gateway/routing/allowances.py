"""What the operator puts up with of each kind of failure: how many further attempts, and how many before a rest."""

from collections.abc import Mapping
from typing import Final

from gateway.config.failures import given
from gateway.config.model import RouterSettings
from gateway.routing.retrying import Rule

KINDS: Final[Mapping[str, str]] = {
    "credentials": "AuthenticationError",
    "missing": "NotFoundError",
    "limited": "RateLimitError",
    "timeout": "TimeoutError",
    "broken": "InternalServerError",
}
"""LiteLLM's names for rules. The others have none (403, 409), or are never tried again (400, 413, 422)."""


class Allowances:
    """What one configuration allows. A policy's word on a kind of failure comes first, then a deployment's, then the
    router's; an alias' policy stands in the place of that for all (as in LiteLLM)."""

    __slots__ = ("_fails", "_groups", "_retries", "usual")

    def __init__(self, router: RouterSettings) -> None:
        self.usual = router.num_retries
        """Further attempts where nobody says otherwise."""
        self._retries = router.retry_policy
        self._groups = router.model_group_retry_policy
        self._fails = {
            rule: most for rule, kind in KINDS.items() if (most := given(router.allowed_fails_policy, kind)) is not None
        }

    def __repr__(self) -> str:
        return f"<Allowances {self.usual} retries, {len(self._groups)} aliases with their own, {self._fails}>"

    def retries(self, rule: Rule, name: str, alias: str, own: int | None) -> int:
        """How many further attempts there may be in a group, after a failure.

        Args:
            name: what was asked for.
            alias: what serves it in the configuration: itself, or a wildcard.
            own: the failed deployment's `num_retries`.
        """
        policy = self._groups.get(name) or self._groups.get(alias) or self._retries
        said = given(policy, KINDS[rule.name]) if rule.name in KINDS else None
        if said is not None:
            return said
        return self.usual if own is None else own

    def fails(self, rule: Rule) -> int | None:
        """How many failures in a row that fall under a rule are put up with; None where no policy says."""
        return self._fails.get(rule.name)
