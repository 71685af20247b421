"""Which rules bind a request: those of its end user, its key, its tags, its model, and of all. Pure.

The most particular come first, so that of two that refuse for as long the caller is told of their own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from gateway.config.limits import Bound
from gateway.config.model import Settings
from gateway.ledger.allowances import Rule, Scope, Unit
from gateway.ledger.entry import DIGITS
from gateway.principal import Budget, Limits, Principal, fits
from gateway.types import MONEY

_RATES: Final[tuple[tuple[str, Unit, str], ...]] = (
    ("rpm", "requests", "1m"),
    ("rph", "requests", "1h"),
    ("rpd", "requests", "1d"),
    ("tpm", "tokens", "1m"),
    ("tph", "tokens", "1h"),
    ("tpd", "tokens", "1d"),
)
"""Each rate of `Limits`: what it counts, and in what time."""

_LARGEST = (1 << 63) - 1

Rules = tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Bounds:
    """The rules of one configuration, by whom they bind.

    `models` are by alias, wildcards among them, and `names` says which alias a further name stands for. The budgets and
    limits are those of keys and end users that have none of their own.
    """

    all: Rules = ()
    models: Mapping[str, Rules] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, Rules] = field(default_factory=dict)
    key_budget: Budget | None = None
    key_limits: Limits | None = None
    end_user_budget: Budget | None = None
    end_user_limits: Limits | None = None

    def __repr__(self) -> str:
        return f"<Bounds all={len(self.all)} models={len(self.models)} tags={len(self.tags)}>"

    def named(self) -> Rules:
        """Every rule that the configuration itself names someone for: of all, of models, of tags."""
        groups = (self.all, *self.models.values(), *self.tags.values())
        return tuple(rule for group in groups for rule in group)

    def of_all(self, model: str, tags: tuple[str, ...]) -> Rules:
        """The rules of a request's tags, of its model, and of all requests."""
        found = self.all
        if self.models:
            found = self._of_model(model) + found
        if self.tags and tags:
            found = tuple(rule for tag in tags for rule in self.tags.get(tag, ())) + found
        return found

    def of_key(self, principal: Principal | None) -> Rules:
        """The rules of a request's key. The master key has none, nor has a caller who is asked for no key."""
        if principal is None or principal.is_master:
            return ()
        budget, limits = principal.budget or self.key_budget, principal.limits or self.key_limits
        return made("key", principal.id, budget, limits) if budget or limits else ()

    def of_end_user(self, kept: str, budget: Budget | None, limits: Limits | None) -> Rules:
        """The rules of an end user by the name that is kept of them, with what is laid down for them, if anything."""
        budget, limits = budget or self.end_user_budget, limits or self.end_user_limits
        return made("end_user", kept, budget, limits) if budget or limits else ()

    @property
    def binds_end_users(self) -> bool:
        """Whether end users are bound for whom nothing is laid down."""
        return self.end_user_budget is not None or self.end_user_limits is not None

    def _of_model(self, model: str) -> Rules:
        """By the alias itself, else by the longest wildcard that fits it: one that serves a model serves all its names,
        and they count together."""
        alias = self.names.get(model, model)
        found = self.models.get(alias)
        if found is None:
            patterns = [pattern for pattern in self.models if "*" in pattern and fits(pattern, alias)]
            found = self.models[max(patterns, key=len)] if patterns else ()
        return found


def bounds(settings: Settings) -> Bounds:
    """The rules of a configuration."""
    limits, end_users = settings.limits, settings.end_users
    return Bounds(
        all=_bound("all", "", limits.all),
        models={name: _bound("model", name, bound) for name, bound in limits.models.items()},
        names=settings.router.model_group_alias,
        tags={name: _bound("tag", name, bound) for name, bound in limits.tags.items()},
        key_budget=limits.keys.budget.made() if limits.keys.budget else None,
        key_limits=limits.keys.made(),
        end_user_budget=end_users.default_budget.made() if end_users.default_budget else None,
        end_user_limits=end_users.default_limits.made() if end_users.default_limits else None,
    )


def _bound(scope: Scope, name: str, bound: Bound) -> Rules:
    return made(scope, name, bound.budget.made() if bound.budget else None, bound.made())


_REMEMBERED: Final = 8192
_made: Final[dict[tuple[Scope, str], tuple[Budget | None, Limits | None, Rules]]] = {}


def made(scope: Scope, name: str, budget: Budget | None, limits: Limits | None) -> Rules:
    """A budget and limits as rules of whoever has them.

    Remembered by whose they are, and good for as long as the budget and the limits are the very same objects: comparing
    those is a tenth of hashing all their values.
    """
    known = _made.get((scope, name))
    if known is not None and known[0] is budget and known[1] is limits:
        return known[2]
    rules = _rules(scope, name, budget, limits)
    if len(_made) >= _REMEMBERED:
        _made.clear()  # rare, and all of it is made again in microseconds
    _made[scope, name] = (budget, limits, rules)
    return rules


def _rules(scope: Scope, name: str, budget: Budget | None, limits: Limits | None) -> Rules:
    rules: list[Rule] = []
    if limits is not None:
        if limits.max_parallel is not None:
            rules.append(Rule(scope, name, "parallel", "requests", limits.max_parallel))
        for field_name, unit, period in _RATES:
            most = getattr(limits, field_name)
            if most is not None:
                rules.append(Rule(scope, name, "rate", unit, most, period))
    if budget is not None:
        if budget.max_usd is not None:
            # Down to a whole picodollar: never more than was laid down.
            picodollars = min(int(budget.max_usd.scaleb(DIGITS, MONEY)), _LARGEST)
            rules.append(Rule(scope, name, "budget", "picodollars", picodollars, budget.period))
        if budget.max_tokens is not None:
            rules.append(Rule(scope, name, "budget", "tokens", budget.max_tokens, budget.period))
    return tuple(rules)
