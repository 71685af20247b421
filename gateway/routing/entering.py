"""A place for a call, before it is made: where a deployment takes only so many at one time."""

from gateway.exchange import Exchange
from gateway.routing.gate import Slot
from gateway.routing.gates import Gates
from gateway.routing.pieces import Fitted, Piece, elsewhere


async def entered(gates: Gates, piece: Piece, fitted: Fitted, exchange: Exchange) -> tuple[Fitted, Slot]:
    """A place at the deployment of a step, or at one that is waited for as well; what is asked there; and the place. It
    is for the provider that one waits.

    Raises:
        Unavailable: `overloaded`.
        UpstreamTimeout: the client's own time was over first.
    """
    step = fitted.step
    if not step.instead and (slot := gates.enter_now(step.bound)) is not None:
        return fitted, slot
    bounds = [step.bound, *step.instead]
    while True:
        exchange.waiting()
        try:
            bound, slot = await gates.enter(bounds, exchange.tenant, exchange.time_left())
        finally:
            exchange.waited()
        found = elsewhere(piece, fitted, bound)
        if found is not None:
            return found, slot
        slot.leave()
        bounds.remove(bound)  # it cannot be asked for this, and that of the step can
