"""What is known of a deployment's load: calls under way, requests and tokens of the last minute, how quick it is.

One `Load` per deployment lives as long as the process, through reloads of the configuration, with its breaker.
Measured: begin and end of a call take 1 µs together where nothing has to be counted.
"""

from collections.abc import Callable
from math import exp, inf

from gateway.routing.health import Breaker
from gateway.routing.retrying import Budget
from gateway.routing.terms import Terms

MINUTE = 60.0

SMOOTHING = 0.3
"""The part of a new time to the first byte in the average."""

FORGETTING = 15.0
"""Seconds after which a time nobody has measured again counts for 1/e of itself, so that a deployment that was slow is
tried again, however slow it was."""

PENALTY = 2.0
"""How many times its average a failed call counts for, at least: failing quickly is not being quick."""


SOON = 0.1
"""Seconds after which it is known, at the latest, what other processes have counted, while they can be asked."""

_ROUNDING = 1e-6


class Minute:
    """What was used in the last sixty seconds, from two counts: this minute's, and the part of the last one's that the
    sixty seconds still cover. It is exact where use is even, and forgets everything within two minutes."""

    __slots__ = ("_before", "_began", "_now", "unsaid")

    def __init__(self) -> None:
        self._began = -inf
        self._now = 0
        self._before = 0
        self.unsaid = 0
        """What other processes have not been told of."""

    def __repr__(self) -> str:
        return f"<Minute {self._now} and {self._before} before>"

    def add(self, now: float, amount: int) -> None:
        """Count `amount`."""
        if now >= self._began + MINUTE:
            self._turn(now)
        self._now += amount
        self.unsaid += amount

    def agree(self, began: float, now: int, before: int, said: int) -> None:
        """What all processes together have counted in the minute that began then and in the one before, `said` of it
        being this one's news."""
        self.unsaid -= said
        self._began, self._now, self._before = began, now + self.unsaid, before

    def used(self, now: float) -> float:
        """What the last sixty seconds have used."""
        if now >= self._began + MINUTE:
            self._turn(now)
        if not self._before:
            return self._now
        return self._now + self._before * (1.0 - max(0.0, now - self._began) / MINUTE)

    def wait(self, now: float, amount: float, most: int) -> float:
        """Seconds until `amount` more is within `most`, if nothing else is used meanwhile; 0.0 where it is now.

        More than `most` can never be: then it is the time until everything is free.
        """
        room = max(0.0, most - amount)
        if self.used(now) <= room + _ROUNDING:
            return 0.0
        age = max(0.0, now - self._began)
        if self._now <= room:
            return MINUTE * (1.0 - (room - self._now) / self._before) - age
        return MINUTE - age + MINUTE * (1.0 - room / self._now)

    def _turn(self, now: float) -> None:
        self._before = self._now if now < self._began + 2 * MINUTE else 0
        self._now = 0
        self._began = now if now >= self._began + 2 * MINUTE else self._began + MINUTE


class Load:
    """One deployment's load and health.

    `in_flight` is calls under way, `last` is when one ended last. `latency` is the average time to the first byte, in
    seconds, 0.0 where none is known, and `measured` when it last came. `average` is the average number of tokens a call
    uses. `counted` says whether requests and tokens are counted. Where they are counted together with other processes
    (`gateway.routing.shared_usage`), `others` is how many call it too, and `known` whether they know of this one.
    """

    __slots__ = (
        "_hurry", "average", "breaker", "budget", "counted", "id", "identity", "in_flight", "known", "last", "latency",
        "measured", "others", "requests", "tokens",
    )  # fmt: skip

    def __init__(
        self, deployment: str, breaker: Breaker, budget: Budget, hurry: Callable[[], None] = lambda: None
    ) -> None:
        """`deployment` is its id, `budget` that of the retries of its alias; `hurry` is called where it is pressing to
        hear what other processes have counted."""
        self.id = deployment
        self._hurry = hurry
        self.others = 0
        self.known = False
        self.identity = 0
        self.breaker = breaker
        self.budget = budget
        self.counted = False
        self.in_flight = 0
        self.last = -inf
        self.requests = Minute()
        self.tokens = Minute()
        self.latency = 0.0
        self.measured = -inf
        self.average = 0.0

    def __repr__(self) -> str:
        return f"<Load {self.id} {self.in_flight} in flight, {self.latency * 1000:.0f} ms, {self.breaker!r}>"

    def become(self, identity: int) -> None:
        """Forget how well and how quick it was, where it is another deployment under the same id."""
        if identity != self.identity and self.identity:
            self.breaker.forget()
            self.latency, self.measured, self.average = 0.0, -inf, 0.0
        self.identity = identity

    def full(self, terms: Terms, now: float) -> float | None:
        """None where `terms` let one more call through; else the seconds until they may, 0.0 where nobody knows."""
        if terms.parallel is not None and self.in_flight >= terms.parallel:
            return 0.0
        wait = 0.0
        if terms.rpm is not None:
            wait = self._wait(self.requests, now, 1, self.requests.unsaid, terms.rpm)
        if terms.tpm is not None:
            under_way = self.average * self.in_flight
            expected = under_way + self.average or 1.0  # of the calls under way and one more
            wait = max(wait, self._wait(self.tokens, now, expected, self.tokens.unsaid + under_way, terms.tpm))
        return wait or None

    def _wait(self, minute: Minute, now: float, amount: float, own: float, most: int) -> float:
        """Seconds until `amount` more is within `most`, where each of the others has done as much meanwhile as this
        process on its `own`."""
        wait = minute.wait(now, min(amount, most), most)
        if wait or not (self.others and own):
            return wait
        if not minute.wait(now, min(amount + own * self.others, most), most):
            return 0.0
        self._hurry()
        return SOON

    def count(self, now: float) -> None:
        """A call begins, where they are counted."""
        self.requests.add(now, 1)
        if self.requests.unsaid == 1:
            self._hurry()

    def reserved(self, now: float) -> float:
        """Tokens of the last minute, with those that the calls under way are thought to use."""
        used = self.tokens.used(now)
        return used + self.average * self.in_flight if self.in_flight else used

    def slowness(self, now: float) -> float:
        """The time to the first byte to be expected: its average times those who would wait for it.

        An average is forgotten with age only where nobody is finding out already, so that not everybody tries again at
        once what was slow; for the same reason nothing is expected to be slower than what one call is finding out.
        """
        if self.in_flight:
            return self.latency * (self.in_flight + 1) if self.measured > -inf else inf
        return self.latency * exp(min(0.0, self.measured - now) / FORGETTING)

    def time(self, now: float, seconds: float) -> None:
        """A first byte came after so many seconds."""
        old = now - self.measured
        kept = (1.0 - SMOOTHING) * (exp(-old / FORGETTING) if old > 0.0 else 1.0)
        self.latency = self.latency * kept + seconds * (1.0 - kept)
        self.measured = max(now, self.measured)

    def penalise(self, now: float, seconds: float) -> None:
        """A call failed after so many seconds."""
        self.time(now, max(seconds, self.latency * PENALTY))

    def spend(self, now: float, tokens: int) -> None:
        """A call used so many tokens."""
        self.tokens.add(now, tokens)
        self.average += (tokens - self.average) * SMOOTHING
