"""Routing put together: what is known of deployments beyond one configuration, and who is told of it."""

from collections.abc import Mapping
from time import perf_counter
from typing import Final

from gateway.ledger.remote import Remote
from gateway.routing.board import Book
from gateway.routing.call import Caller
from gateway.routing.health import HEALTHS
from gateway.routing.probing import Probing
from gateway.routing.router import Router
from gateway.routing.shared_usage import SharedUsage
from gateway.routing.sharing import Sharing
from gateway.telemetry import conventions as names
from gateway.telemetry.logs import Logger
from gateway.telemetry.metrics import Metrics

_NAMED: Final = 5
"""Names in the line of `/health/ready`; of more only the number is told."""


class Dispatching:
    """Load and health of the deployments of one gateway. They outlive a reload.

    Args:
        metrics: shows each deployment's state.
        log: where it is told that one opens or closes.
        remote: the Redis through which processes tell each other; None for a process alone.
    """

    def __init__(self, metrics: Metrics, log: Logger, remote: Remote | None = None) -> None:
        self._log = log
        self.book = Book(self._tell)
        self._shared: tuple[Sharing | SharedUsage, ...] = ()
        if remote is not None:
            self._shared = (
                Sharing(self.book, remote, perf_counter, self._tell),
                SharedUsage(self.book, remote, perf_counter, self._tell),
            )
        self._probing = Probing(self._tell, remote)
        self._router: Router | None = None
        metrics.watch(names.DEPLOYMENT_STATE, self._states)

    def __repr__(self) -> str:
        return f"<Dispatching {self.book!r}>"

    def use(self, caller: Caller, interval: float | None = None) -> None:
        """Tell of the aliases of a configuration that is served from now on, and probe its deployments.

        Args:
            caller: its router has this `book`.
            interval: `router_settings.health_check_interval`; None for no probes.
        """
        self._router = caller.router
        self._probing.use(caller, interval)

    def start(self) -> None:
        """Begin to probe, and to share what is known, on the running event loop."""
        self._probing.start()
        for part in self._shared:
            part.start()

    async def close(self) -> None:
        """End that."""
        await self._probing.close()
        for part in self._shared:
            await part.close()

    @property
    def state(self) -> tuple[bool, str]:
        """How the models are: one line of `/health/ready`. A gateway is ready while any deployment of any of them is
        well, and one that has none is not."""
        found = self._router.ill(perf_counter()) if self._router is not None else {}
        count = len(self._router.names) if self._router is not None else 0
        if not count:
            return False, "no model is configured"
        said = f"{count} aliases"
        if found:
            told = "; ".join(f"{name}: {line}" for name, line in list(found.items())[:_NAMED])
            more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
            said = f"{said}, of which {len(found)} have no deployment that is well ({told}{more})"
        return any(load.breaker.health == "closed" for load in self.book.loads.values()), said

    def _states(self) -> Mapping[tuple[str, ...], float]:
        return {
            (name, state): float(load.breaker.health == state)
            for name, load in self.book.loads.items()
            for state in HEALTHS
        }

    def _tell(self, event: str, attributes: Mapping[str, str | int | float]) -> None:
        if event == "deployment_refused":
            hint = "check this deployment's key, account, model and address"
            self._log.error(event, **attributes, hint=hint)
        elif event == "background_failed":
            self._log.exception(event, **attributes)
        elif event in ("deployment_opened", "deployment_not_probed"):
            self._log.warning(event, **attributes)
        else:
            self._log.info(event, **attributes)
