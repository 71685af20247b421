"""The gates of one process: one for completions as a whole, one for each deployment with a bound of its own."""

from collections.abc import Collection, Mapping, Sequence
from threading import Lock

from gateway.config.protection import ProtectionSettings
from gateway.routing.deployments import Bound
from gateway.routing.gate import Gate, Patience, Slot
from gateway.routing.line import Tenant

COMPLETIONS = "completions"
"""The name of the gate for completions as a whole, in metrics; the others have their deployment's id behind `CALLS`."""

CALLS = "calls:"

_FREE = Slot((), ("", ""), None)


class Gates:
    """They outlive configurations: who is inside stays counted through a reload."""

    def __init__(self) -> None:
        self._patience = Patience()
        self.completions = Gate(COMPLETIONS)
        self._calls: dict[str, Gate] = {}
        self._lock = Lock()

    def __repr__(self) -> str:
        return f"<Gates {self.told()}>"

    def use(self, settings: ProtectionSettings) -> None:
        """Other bounds from now on; those of deployments come with their next call."""
        patience = Patience(settings.max_queue, settings.queue_timeout)
        self._patience = patience
        self.completions.change(settings.max_concurrent, patience)
        for gate in list(self._calls.values()):
            gate.change(gate.most, patience)

    def prune(self, ids: Collection[str]) -> None:
        """Forget deployments that are gone, but for those that somebody is at."""
        for name, gate in list(self._calls.items()):
            if name not in ids and not (gate.running or gate.waiting):
                del self._calls[name]

    async def enter(self, bounds: Sequence[Bound], tenant: Tenant, left: float | None) -> tuple[Bound, Slot]:
        """A place for one call, which its `leave` gives back: at the first of some deployments that has one, else at
        whichever has one first. It costs nothing where the first takes any number of calls (`max_parallel_requests` is
        left out).

        Args:
            bounds: at least one; the others have bounds of their own.
            tenant: for whom, see `Exchange.tenant`.
            left: seconds until the client waits no longer, see `Exchange.time_left`.

        Raises:
            Unavailable: `overloaded`.
            UpstreamTimeout: the client's own time was over first.
        """
        first = bounds[0]
        if first.terms.parallel is None:
            return first, _FREE
        gates = [self._gate(bound, bound.terms.parallel) for bound in bounds]
        slot = Slot(gates, tenant, left)
        entered = await slot.enter()
        return next((bound for bound, gate in zip(bounds, gates, strict=True) if gate is entered), first), slot

    def enter_now(self, bound: Bound) -> Slot | None:
        """A place for one call that need not be made; None where there is none now."""
        if bound.terms.parallel is None:
            return _FREE
        slot = self._gate(bound, bound.terms.parallel).slot()
        return slot if slot.enter_now() else None

    def _gate(self, bound: Bound, most: int | None) -> Gate:
        gate = self._calls.get(bound.id)
        if gate is None:
            gate = self._calls[bound.id] = Gate(CALLS + bound.id, most, self._patience, self._lock)
        elif gate.most != most:
            gate.change(most, self._patience)
        return gate

    def depths(self) -> Mapping[tuple[str, ...], float]:
        """How many wait, by the name of the line: for `gateway.queue.depth`."""
        return {(gate.name,): float(gate.waiting) for gate in (self.completions, *list(self._calls.values()))}

    def told(self) -> str:
        """How full they are, in one line that names nobody."""
        calls = list(self._calls.values())
        said = f"{self.completions.told()}"
        if calls:
            running, waiting = sum(gate.running for gate in calls), sum(gate.waiting for gate in calls)
            said += f"; {running} calls at deployments with a bound, {waiting} wait for one"
        return said
