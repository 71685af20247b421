"""The deployments behind one name: their weights, and the levels in which they are considered."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from math import inf

from gateway.routing.deployments import Bound
from gateway.routing.load import Load

Level = Sequence["Entry"]
"""Deployments that are alternatives to each other."""


class Entry:
    """One deployment of a group. `weight` is above 0; `limited` says whether its load has to be looked at."""

    __slots__ = ("_price", "bound", "breaker", "limit", "limited", "load", "terms", "weight")

    def __init__(self, bound: Bound, load: Load, weight: float) -> None:
        self.bound = bound
        self.load = load
        self.breaker = load.breaker
        self.terms = bound.terms
        self.weight = weight
        self.limited = bound.terms.bounded
        self.limit = bound.terms.max_input_tokens or bound.terms.window
        """Tokens of the longest prompt it takes, as far as anybody says."""
        fixed = bound.price is None or (len(bound.price.periods) == 1)
        self._price = _price(bound) if fixed else None

    def __repr__(self) -> str:
        return f"<Entry {self.bound.id} weight {self.weight:g}>"

    def price(self) -> float:
        """USD of one token in and one out, now; infinite where nobody knows."""
        return self._price if self._price is not None else _price(self.bound)


def _price(bound: Bound) -> float:
    if bound.price is None:
        return inf
    rates = bound.price.rates(0)
    return float(rates.input + rates.output)


class Group:
    """The deployments that a name stands for.

    `levels` are those that are considered one after the other: by `order`, and within one order those with a weight of
    0 after the others. `lone` is its one deployment, where there is only one and nothing but its health has to be
    looked at. `limit` is the lowest of the limits of prompts, None where there is none.
    """

    __slots__ = ("alias", "budget", "entries", "levels", "limit", "lone", "name", "tagged")

    def __init__(self, name: str, bounds: Sequence[Bound], loads: Sequence[Load]) -> None:
        """`loads` are those of `bounds`, which are at least one."""
        self.name = name
        self.alias = bounds[0].alias
        self.budget = loads[0].budget
        weights = _weights(bounds)
        made = [Entry(bound, load, weight or 1.0) for bound, load, weight in zip(bounds, loads, weights, strict=True)]
        ranks = {
            entry.bound.id: (entry.terms.order, weight <= 0.0) for entry, weight in zip(made, weights, strict=True)
        }
        self.entries = tuple(sorted(made, key=lambda entry: ranks[entry.bound.id]))
        self.levels: tuple[Level, ...] = tuple(
            tuple(level) for _, level in groupby(self.entries, key=lambda entry: ranks[entry.bound.id])
        )
        self.tagged = any(entry.terms.tags for entry in made)
        self.limit = min((entry.limit for entry in made if entry.limit), default=None)
        plain = len(made) == 1 and not (made[0].limited or self.tagged)
        self.lone = made[0] if plain else None

    def __repr__(self) -> str:
        levels = " | ".join(", ".join(f"{each.bound.id} {each.weight:g}" for each in level) for level in self.levels)
        return f"<Group {self.name}: {levels}; {self.budget!r}>"


def _weights(bounds: Iterable[Bound]) -> list[float]:
    """Each deployment's weight: of `weight`, `rpm` and `tpm` the first that any of the group has.

    One that does not say weighs as much as the others do on average, or 1 where it is `weight`: it is not left out.
    """
    every = [bound.terms for bound in bounds]
    for name in ("weight", "rpm", "tpm"):
        given = [getattr(terms, name) for terms in every]
        said = [float(each) for each in given if each is not None]
        if said:
            usual = 1.0 if name == "weight" else sum(said) / len(said)
            return [usual if each is None else float(each) for each in given]
    return [1.0] * len(every)
