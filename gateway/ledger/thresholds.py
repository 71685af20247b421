"""When a budget comes to its end: 80 % and 100 % of it, each told once in each of its windows. No I/O."""

from collections.abc import Callable
from dataclasses import dataclass
from time import time
from typing import Final, Literal

from gateway.ledger import periods
from gateway.ledger.allowances import Rule, Standing

Percent = Literal[80, 100]

REMEMBERED: Final = 10_000
"""Windows that are remembered to have been told. One that is forgotten before it ends may be told again."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """A budget of which so many per cent are spent. `used` is in the rule's unit; `start` and `end` are those of its
    window, seconds since 1970, None for a budget for ever."""

    rule: Rule
    percent: Percent
    used: int
    at: float
    start: float | None
    end: float | None


class Thresholds:
    """Remembers what was told.

    Args:
        clock: seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float] = time) -> None:
        self._clock = clock
        self._told: dict[Rule, tuple[int, Percent]] = {}

    def __repr__(self) -> str:
        return f"<Thresholds {len(self._told)} told>"

    def look(self, standing: Standing, held: int, *, refused: bool = False) -> list[Crossing]:
        """What is to be told now of a budget.

        Args:
            standing: how it stands.
            held: how much of what is not left is only reserved.
            refused: a request was refused for it. Where nothing is reserved then and most of it is spent, the rest is
                too little to be of use, and the budget has come to its end.
        """
        rule = standing.rule
        used = rule.most - standing.left - held
        if used * 100 < rule.most * 80:
            return []
        ended = used >= rule.most or (refused and held <= 0)
        percent: Percent = 100 if ended else 80
        now = self._clock()
        start, end = periods.window(rule.period, int(now * periods.SECOND))
        known = self._told.get(rule)
        before: int = known[1] if known is not None and known[0] == start else 0
        if percent <= before:
            return []
        if len(self._told) >= REMEMBERED and rule not in self._told:
            del self._told[next(iter(self._told))]
        self._told[rule] = (start, percent)
        begun = None if rule.period is None else start / periods.SECOND
        until = None if rule.period is None else end / periods.SECOND
        reached: tuple[Percent, ...] = (80, 100)
        return [Crossing(rule, each, used, now, begun, until) for each in reached if before < each <= percent]
