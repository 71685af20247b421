"""Whether a deployment is well: a circuit breaker per deployment (closed, open, half-open), without a clock of its own.

Closed: calls go to it. It opens after more than `allowed` failures in a row, or when half of a minute's calls fail, or
at once when what is wrong is not going to pass by itself: its key, its account, its model's name. Open: it is passed
over for the cooldown, which doubles each time it opens again without having been well for a while in between. Then it
is half-open: one call, the probe, finds out. If that goes well it closes, and takes up its share of the calls slowly.

Passed over is not forbidden. Where every deployment that could serve a request is open, those are called all the same
(`gateway.routing.plan`), and the first that answers closes: a breaker never makes an outage of its own.

All times are seconds of one clock that the caller reads; one that goes backwards is taken to stand still.
"""

from collections.abc import Callable, Mapping
from typing import Literal

Health = Literal["closed", "open", "half-open"]
HEALTHS: tuple[Health, ...] = ("closed", "open", "half-open")

Tell = Callable[[str, Mapping[str, str | int | float]], None]
"""Hears of what happens to deployments: an event's name and its attributes."""

PERIOD = 60.0
"""Seconds over which the share of failures is counted, about: between one and two halves of it are looked at."""

FAILING_SHARE = 0.5
"""Share of failures from which on a deployment is taken for ill, whatever succeeds in between."""

FAILING_CALLS = 10
"""Calls that are needed to speak of a share."""

GROWTH = 2.0
"""By what each cooldown is longer than the one before."""

LONGEST = 60.0
"""Seconds of the longest cooldown, where the configured one is not longer. It is also how long a deployment must have
been well for the next cooldown to be the first again."""

RAMP = 10.0
"""Seconds over which a deployment that is back takes up its share of the calls."""

RAMP_FROM = 0.1
"""The part of its share that it begins with."""

CLAIM = 2.0
"""Seconds for which a request that was given the probe may take to begin it, before another gets it."""


_NEVER = float("-inf")


def silent(_event: str, _attributes: Mapping[str, str | int | float]) -> None:
    """A `Tell` that nobody listens to."""


class Breaker:
    """One deployment's breaker.

    Args:
        deployment: its id.
        allowed: failures in a row that are put up with.
        cooldown: seconds of the first cooldown; 0 for a breaker that never opens.
        tell: hears `deployment_opened`, `deployment_closed`, and `deployment_refused` for what an operator must mend.
    """

    __slots__ = (
        "_bad",
        "_bad_before",
        "_calls",
        "_calls_before",
        "_claimed",
        "_half_ends",
        "_in_a_row",
        "_kinds",
        "_opened",
        "_probing",
        "_tell",
        "allowed",
        "asked",
        "cause",
        "cooldown",
        "epoch",
        "failed",
        "health",
        "heard",
        "id",
        "permanent",
        "since",
        "until",
        "well",
    )

    def __init__(self, deployment: str, allowed: int = 3, cooldown: float = 5.0, tell: Tell = silent) -> None:
        self.id = deployment
        self.allowed = allowed
        self.cooldown = cooldown
        self._tell = tell
        self.epoch = 0
        """Counts openings and closings: what was begun before the last one tells nothing of now."""
        self.forget()

    def forget(self) -> None:
        """Begin anew, as for a deployment that nobody has called yet."""
        self.epoch += 1
        self.health: Health = "closed"
        self.cause = ""
        self.well = True
        """Whether it is closed and has its whole share: what is asked for every request."""
        self.permanent = False
        """Whether it is open for something that does not pass by itself."""
        self.since = _NEVER
        """When it last opened or closed."""
        self.until = _NEVER
        """When its cooldown is over."""
        self.failed = _NEVER
        """When a call to it last failed."""
        self.heard = False
        """Whether it is open only because another process says so."""
        self.asked = _NEVER
        """Until when the provider asked to be left alone."""
        self._opened = 0
        self._half_ends = _NEVER
        self._fresh()

    def tune(self, allowed: int, cooldown: float) -> None:
        """Go on with other settings."""
        self.allowed, self.cooldown = allowed, cooldown
        if cooldown <= 0 and self.health != "closed":
            self.forget()

    @property
    def suspect(self) -> bool:
        """Whether more than one call in a row has failed."""
        return self._in_a_row > 1

    def _fresh(self) -> None:
        self._probing = False
        self._claimed = _NEVER
        self._in_a_row = 0
        self._kinds: dict[str, int] = {}
        self._calls = self._bad = self._calls_before = self._bad_before = 0

    def __repr__(self) -> str:
        if self.health == "closed":
            return f"<Breaker {self.id} closed, {self._in_a_row} failed in a row>"
        return f"<Breaker {self.id} {self.health} until {self.until:.3f}: {self.cause}>"

    def line(self, now: float) -> str:
        """How it stands, for people: `closed`, `open 4.2 s more: 4 failures in a row`."""
        if self.health == "closed":
            return "closed" if self.share(now) == 1.0 else f"closed, taking {self.share(now):.0%} of its share"
        left = self.until - now
        if self.health == "open" and left > 0:
            return f"open {left:.1f} s more: {self.cause}"
        return f"half-open: {self.cause}"

    def share(self, now: float) -> float:
        """The part of its share of the calls that a closed one takes, up to 1.0; 0.0 for one that is not closed."""
        if self.well:
            return 1.0
        if self.health != "closed":
            return 0.0
        if now >= self.since + RAMP:
            self.well = True
            return 1.0
        return max(RAMP_FROM, (now - self.since) / RAMP)

    def probes(self, now: float) -> bool:
        """Whether its cooldown is over and nobody is finding out yet how it is."""
        return self.health != "closed" and now >= self.until and not self._probing and now >= self._claimed

    def claim(self, now: float) -> None:
        """Give the probe to the request at hand, which begins it within `CLAIM` seconds or loses it."""
        self.health = "half-open"
        self._claimed = now + CLAIM

    def begin(self, now: float) -> bool:
        """A call begins: whether it is the probe."""
        if self.health == "closed" or self._probing or now < self.until:
            return False
        self.health = "half-open"
        self._probing = True
        return True

    def abandon(self, epoch: int) -> None:
        """The probe begun in `epoch` was ended before it told anything: the next call may be one."""
        if epoch == self.epoch:
            self._probing = False
            self._claimed = _NEVER

    def succeed(self, now: float, epoch: int) -> None:
        """A call begun in `epoch` went well."""
        if self.health != "closed":
            if epoch == self.epoch:
                self._close(now)
            return
        self._in_a_row = 0
        self._kinds.clear()
        if now >= self._half_ends:
            self._turn(now)
        self._calls += 1

    def bears(self, now: float, epoch: int, kind: str, most: int) -> bool:
        """Whether a failure of a kind, of which so many in a row are put up with by themselves, is one of those."""
        self.failed = max(now, self.failed)
        if self.health != "closed" or epoch != self.epoch:
            return False
        self._kinds[kind] = count = self._kinds.get(kind, 0) + 1
        return count <= most

    def give_up(self, now: float, epoch: int, cause: str) -> None:
        """A call begun in `epoch` failed, and no further failure of its kind is put up with."""
        if epoch == self.epoch and self.health == "closed":
            self._open(now, f"more failures in a row than are allowed of their kind, the last: {cause}")

    def fail(self, now: float, epoch: int, cause: str, *, probe: bool) -> None:
        """A call begun in `epoch` failed; `probe` as `begin` said."""
        self.failed = max(now, self.failed)
        if epoch != self.epoch:
            return
        if self.health != "closed":
            if probe:
                self._open(now, f"the probe failed: {cause}")
            return
        self._in_a_row += 1
        if now >= self._half_ends:
            self._turn(now)
        self._calls += 1
        self._bad += 1
        calls, bad = self._calls + self._calls_before, self._bad + self._bad_before
        if self._in_a_row > self.allowed:
            self._open(now, f"{self._in_a_row} failures in a row, the last: {cause}")
        elif calls >= FAILING_CALLS and bad >= calls * FAILING_SHARE:
            self._open(now, f"{bad} of {calls} calls failed, the last: {cause}")

    def refuse(self, now: float, epoch: int, cause: str) -> None:
        """A call begun in `epoch` was refused for something an operator must mend: open at once, and loudly."""
        self.failed = max(now, self.failed)
        if epoch == self.epoch:
            self._open(now, cause, permanent=True)

    def ask(self, now: float, seconds: float) -> None:
        """It asked not to be called again for so many seconds, of which it is believed as many as it may rest: a quota
        of a day, or nonsense, is not to keep it from ever being tried again."""
        self.asked = max(self.asked, now + min(seconds, max(LONGEST, self.cooldown)))

    def rest(self, now: float, epoch: int, seconds: float, cause: str) -> None:
        """It asked to be left alone for so many seconds: no failure, and the next cooldown is no longer for it."""
        self.failed = max(now, self.failed)
        if epoch == self.epoch and seconds > 0:
            self._open(now, cause, seconds=min(seconds, max(LONGEST, self.cooldown)))

    def hear(self, now: float, seconds: float, cause: str) -> None:
        """Another process has found it ill, for so many seconds more."""
        if self.health == "closed" and self.cooldown > 0 and seconds > 0:
            self._open(now, cause, seconds=min(seconds, max(LONGEST, self.cooldown)))
            self.heard = True

    def unhear(self, now: float) -> None:
        """No other process says any more that it is ill: where that was all, it is time to find out."""
        if self.heard and self.health == "open":
            self.until = min(self.until, max(now, self.since))

    def _open(self, now: float, cause: str, *, seconds: float | None = None, permanent: bool = False) -> None:
        if self.cooldown <= 0:
            return
        now = max(now, self.since)
        news = self.health == "closed" or self._probing or permanent != self.permanent
        if seconds is None:
            if self.health == "closed" and now >= self.since + LONGEST:
                self._opened = 0
            seconds = min(self.cooldown * GROWTH ** min(self._opened, 64), max(LONGEST, self.cooldown))
            self._opened += 1
        self.health, self.cause, self.permanent, self.well = "open", cause, permanent, False
        self.since, self.until, self.heard = now, now + seconds, False
        self.epoch += 1
        self._fresh()
        if news:
            said: Mapping[str, str | float] = {"deployment": self.id, "cause": cause, "seconds": round(seconds, 3)}
            self._tell("deployment_refused" if permanent else "deployment_opened", said)

    def _close(self, now: float) -> None:
        self.health, self.cause, self.permanent, self.heard = "closed", "", False, False
        self.since = max(now, self.since)
        self.epoch += 1
        self._fresh()
        self._tell("deployment_closed", {"deployment": self.id})

    def _turn(self, now: float) -> None:
        """Begin another half of the period in which calls are counted."""
        late = now >= self._half_ends + PERIOD / 2
        self._calls_before, self._bad_before = (0, 0) if late else (self._calls, self._bad)
        self._calls = self._bad = 0
        self._half_ends = now + PERIOD / 2
