"""Everything a walk looks at: the groups behind the names of one configuration, its chains, and how one is chosen."""

import random
from collections.abc import Callable, Sequence
from functools import lru_cache

from gateway.config.model import Settings
from gateway.errors import ModelNotFound
from gateway.routing.allowances import Allowances
from gateway.routing.chains import Chains
from gateway.routing.deployments import Bound, Catalogue
from gateway.routing.groups import Group
from gateway.routing.health import Breaker, Tell, silent
from gateway.routing.load import Load
from gateway.routing.retrying import Budget
from gateway.routing.strategies import STRATEGIES

Clock = Callable[[], float]
"""Seconds that never go backwards."""


class Book:
    """Load and health of deployments, by their ids, and budgets of retries, by alias: what outlives a configuration.

    Args:
        tell: hears what happens to deployments, see `gateway.routing.health`.
    """

    def __init__(self, tell: Tell = silent) -> None:
        self.loads: dict[str, Load] = {}
        self.budgets: dict[str, Budget] = {}
        self._tell = tell
        self.hurry: Callable[[], None] | None = None
        """Called where it is pressing to hear what other processes have counted; None for a process alone."""

    def __repr__(self) -> str:
        ill = ", ".join(repr(load.breaker) for load in self.loads.values() if load.breaker.health != "closed")
        return f"<Book {len(self.loads)} deployments{': ' if ill else ''}{ill}>"

    def _hurried(self) -> None:
        if self.hurry is not None:
            self.hurry()

    def prune(self, ids: set[str], aliases: set[str]) -> None:
        """Forget those that are gone."""
        for name in self.loads.keys() - ids:
            del self.loads[name]
        for alias in self.budgets.keys() - aliases:
            del self.budgets[alias]

    def load(self, name: str, alias: str) -> Load:
        """The load of the deployment with the id `name`, of `alias`; an idle one for one that is new."""
        budget = self.budgets.setdefault(alias, Budget())
        found = self.loads.get(name)
        if found is None:
            found = self.loads[name] = Load(name, Breaker(name, tell=self._tell), budget, self._hurried)
        found.budget = budget  # another alias' where it has moved
        return found


class Board:
    """What the walks of one configuration share.

    Args:
        book: what is known of its deployments from before.
        clock: the time.
        rng: chance.
    """

    def __init__(self, catalogue: Catalogue, settings: Settings, book: Book, clock: Clock, rng: random.Random) -> None:
        router = settings.router
        self.book = book
        self.clock = clock
        self.rng = rng
        self.strategy = STRATEGIES[router.routing_strategy]
        self.allowances = Allowances(router)
        self.chains = Chains(router)
        self.tagging = router.enable_tag_filtering
        self.any_tag = router.tag_filtering_match_any
        self.counting = router.routing_strategy == "usage-based-routing"
        self._catalogue = catalogue
        book.prune({each.id for each in settings.deployments}, {each.alias for each in settings.deployments})
        cooldown = 0.0 if router.disable_cooldowns else router.cooldown_time
        for deployment in settings.deployments:
            book.load(deployment.id, deployment.alias).breaker.tune(router.allowed_fails, cooldown)
        self.names = tuple(catalogue.names())
        self.groups = {name: self._group(name) for name in self.names if "*" not in name}
        entries = [entry for group in self.groups.values() for entry in group.entries]
        self._single = {entry.bound.id: self._made(entry.bound.id, (entry.bound,)) for entry in entries}
        self._expand = lru_cache(maxsize=1024)(self._group)

    def __repr__(self) -> str:
        return f"<Board {len(self.groups)} groups, {self.chains!r}, {self.book!r}>"

    def find(self, name: str) -> Group:
        """The group behind a name that a client asks for.

        Raises:
            ModelNotFound: no alias and no wildcard fits.
        """
        return self.groups.get(name) or self._expand(name)

    def target(self, name: str) -> Group | None:
        """The group behind a name in a chain, where that may be a deployment's id too; None where there is none."""
        found = self.groups.get(name) or self._single.get(name)
        if found is not None:
            return found
        try:
            return self._expand(name)
        except ModelNotFound:
            return None  # a wildcard's text that no wildcard serves

    def _group(self, name: str) -> Group:
        return self._made(name, self._catalogue.find(name))

    def _made(self, name: str, bounds: Sequence[Bound]) -> Group:
        loads = [self.book.load(bound.id, bound.alias) for bound in bounds]
        for bound, load in zip(bounds, loads, strict=True):
            load.become(bound.terms.identity)
            load.counted = self.counting or bound.terms.rpm is not None or bound.terms.tpm is not None
        return Group(name, bounds, loads)
