"""What a rule for a kind of secret is, and the three ways to find one: by its beginning, after a word, near a word."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from gateway.guards.secrets_checks import anything, entropy, stands_in
from gateway.guards.shapes import Shape, shape

Place = Literal["at", "after", "near"]

NEAR = 48
"""Characters between a word and a secret it speaks of."""
ANCHOR = 16
"""Characters of a shape's beginning that are looked for as its keyword."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of secret.

    `place` says where `shapes` are read. `at`: where the keyword starts, case and all; the keyword is the beginning of
    the secret. `after`: where the keyword, in any case, ends. `near`: at every word that starts at most `NEAR`
    characters after the keyword, in any case.
    `entropy` is the least bits per character; None leaves that to the operator. `check` sees the whole value. `score`
    says how sure a finding is.
    """

    id: str
    category: str
    place: Place
    keywords: tuple[str, ...]
    shapes: tuple[Shape, ...]
    sources: tuple[str, ...]
    check: Callable[[str], bool] = anything
    entropy: float | None = 3.0
    score: float = 0.9

    def holds(self, value: str, least: float) -> bool:
        """Is a value of the right shape a secret? `least` is the operator's entropy."""
        floor = least if self.entropy is None else self.entropy
        return self.check(value) and entropy(value) >= floor and not stands_in(value)


def at(id_: str, category: str, *sources: str, check: Callable[[str], bool] = anything, score: float = 0.95) -> Rule:
    """A secret known by its beginning."""
    shapes = tuple(map(shape, sources))
    keywords = tuple(dict.fromkeys(each.opening[:ANCHOR] for each in shapes))
    return Rule(id_, category, "at", keywords, shapes, sources, check, score=score)


def after(
    id_: str,
    category: str,
    keywords: tuple[str, ...],
    *sources: str,
    check: Callable[[str], bool] = anything,
    entropy: float | None = 3.0,
    score: float = 0.9,
) -> Rule:
    """A secret that follows a word."""
    return Rule(id_, category, "after", keywords, tuple(map(shape, sources)), sources, check, entropy, score)


def near(
    id_: str,
    category: str,
    keywords: tuple[str, ...],
    *sources: str,
    check: Callable[[str], bool] = anything,
    score: float = 0.8,
) -> Rule:
    """A secret that shows no more than its length, close behind a word that says whose it is."""
    return Rule(id_, category, "near", keywords, tuple(map(shape, sources)), sources, check, score=score)
