"""Limits and budgets put together: the counters, who is told of budgets that end, what each configuration bounds."""

from collections.abc import Callable, Mapping
from time import time
from typing import Final

from gateway.config.model import Settings
from gateway.errors import Unavailable
from gateway.ledger.admission import Admission
from gateway.ledger.allowances import Allowances, Spent
from gateway.ledger.allowances_memory import MemoryAllowances
from gateway.ledger.allowances_redis import RedisAllowances
from gateway.ledger.counting import Counting
from gateway.ledger.notices import Notices, Send
from gateway.ledger.remote import Remote, Script
from gateway.ledger.rules import bounds
from gateway.ledger.thresholds import Crossing, Thresholds
from gateway.routing import reporting
from gateway.routing.deployments import Catalogue
from gateway.routing.estimating import estimator
from gateway.routing.upstream import Upstream
from gateway.telemetry import conventions as names
from gateway.telemetry.logs import Logger
from gateway.telemetry.metrics import Metrics

CLOSING_SECONDS: Final = 5.0
"""How long a gateway that closes waits for settlements and notices that are under way."""

_CLAIM: Final = Script("return redis.call('SET', KEYS[1], '1', 'NX', 'PX', ARGV[1]) and 1 or 0")

_UNITS: Final[Mapping[str, str]] = {"picodollars": "usd", "tokens": "tokens"}

_NAMED: Final = frozenset({"all", "model", "tag"})
"""Whose budgets are told by number: names that the configuration itself has, never a person's."""


class Admitting:
    """The counters of one gateway: in Redis where `general_settings.redis_url` says so, else in this process. They
    outlive a reload.

    Args:
        settings: the first configuration. Where the counters are stays with it.
        upstream: how a webhook is reached.
        metrics: counts budgets that end, and shows how they stand.
        log: where both, and trouble with the counters, are told.
        several: whether other processes serve the same configuration, which is worth a warning without Redis.
        spent: what the ledger knows of budgets, for counters that begin empty.
        clock: seconds since 1970. Counters in Redis go by its own.

    Raises:
        ConfigError: Redis is wanted, and its library is not installed or cannot read the address.
    """

    def __init__(
        self,
        settings: Settings,
        upstream: Upstream,
        metrics: Metrics,
        log: Logger,
        *,
        several: bool = False,
        spent: Spent | None = None,
        clock: Callable[[], float] = time,
    ) -> None:
        url = self.url = settings.general.redis_url
        self.remote = Remote(url, log) if url else None
        self._allowances: Allowances = (
            RedisAllowances(self.remote, log, spent=spent)
            if self.remote
            else MemoryAllowances(log, spent=spent, clock=clock)
        )
        self._notices = Notices(log, _sender(upstream), self._count, self._first if self.remote else None)
        shared, thresholds = self.remote is not None, Thresholds(clock)
        self._counting = Counting(self._allowances, self._notices.tell, shared=shared, thresholds=thresholds)
        self._reached = metrics.registry.numbers(names.BUDGET_REACHED)
        self._log = log
        metrics.watch(names.BUDGET_USED, self._used)
        if several and self.remote is None and _bounds_anybody(settings):
            log.warning("limits_count_per_worker", hint="each worker allows as much; set general_settings.redis_url")

    def __repr__(self) -> str:
        return f"<Admitting {self._counting!r} {self._notices!r}>"

    def using(self, settings: Settings, catalogue: Catalogue) -> Admission:
        """What a configuration bounds. Budgets that end are told to its webhook from now on."""
        self._notices.use(settings.limits.webhook)
        if settings.general.redis_url != self.url:
            self._log.warning("setting_waits_for_restart", setting="general_settings.redis_url")
        go_on = settings.limits.when_counters_fail == "go_on"
        return Admission(bounds(settings), estimator(catalogue), self._counting, go_on)

    @property
    def state(self) -> tuple[bool, str]:
        """How the counters are: one line of `/health/ready`. A gateway whose counters are away is ready all the same:
        no other that shares them could do better, and requests that nothing binds are served."""
        return True, "ok" if self.remote is None else self.remote.health()[1]

    async def close(self) -> None:
        """Settle and tell what is under way, within `CLOSING_SECONDS`."""
        await self._counting.close(CLOSING_SECONDS)
        await self._notices.close(CLOSING_SECONDS)
        if self.remote is not None:
            await self.remote.close()

    def _count(self, crossing: Crossing) -> None:
        self._reached.at((crossing.rule.scope, str(crossing.percent))).add()

    def _used(self) -> Mapping[tuple[str, ...], float]:
        return {
            (rule.scope, rule.name, _UNITS[rule.unit]): (rule.most - standing.left) / rule.most if rule.most else 1.0
            for standing in self._allowances.budgets()
            if (rule := standing.rule).scope in _NAMED and rule.unit in _UNITS
        }

    async def _first(self, name: str, seconds: float) -> bool:
        """One process of all that share the counters claims a name; each does where the claim cannot be made."""
        assert self.remote is not None  # noqa: S101 - only then is it asked
        try:
            return bool(await self.remote.run(_CLAIM, [f"gateway:{name}"], [round(seconds * 1000)]))
        except Unavailable:
            return True


def _sender(upstream: Upstream) -> Send:
    post = reporting.poster(upstream)

    async def send(url: str, headers: Mapping[str, str], body: bytes, seconds: float) -> int:
        return (await post(url, headers, body, seconds)).status

    return send


def _bounds_anybody(settings: Settings) -> bool:
    """Whether somebody is bound, or may come to be by a key of their own."""
    made = bounds(settings)
    own = made.key_budget or made.key_limits or made.binds_end_users
    return bool(made.named() or own or settings.general.master_key)
