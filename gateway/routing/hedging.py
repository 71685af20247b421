"""A second call beside one that is slow: the first to answer is used, the other is ended at once, both are paid for."""

import asyncio
from collections.abc import Callable, Mapping

from gateway.errors import GatewayError
from gateway.routing.attempt import Attempt


async def quicker(
    slow: Attempt, other: Callable[[], Attempt | None], seconds: float
) -> tuple[Attempt, GatewayError | None]:
    """Open `slow` and, where it has neither answered nor failed by then, another one after so many seconds.

    Args:
        other: makes the other one; None where there is nobody else to call.

    Returns:
        The attempt that answered, opened, and None; where all failed, the last to begin and its error: its step knows
        of all that were called.
    """
    opening = {asyncio.create_task(slow.open()): slow}
    answered: Attempt | None = None
    failed: dict[Attempt, GatewayError] = {}
    try:
        _, pending = await asyncio.wait(opening, timeout=seconds)
        if pending and (further := other()) is not None:
            opening[asyncio.create_task(further.open())] = further
        pending = set(opening)
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                try:
                    task.result()
                except GatewayError as error:
                    failed[opening[task]] = error
                else:
                    answered = opening[task]
                    return answered, None
        *_, last = opening.values()
        return last, failed[last]
    finally:
        await _end(opening, answered)


async def _end(opening: Mapping["asyncio.Task[None]", Attempt], answered: Attempt | None) -> None:
    """End all but the one that answered; that one too where whoever waits for it leaves meanwhile."""
    lost = [task for task, attempt in opening.items() if attempt is not answered]
    for task in lost:
        task.cancel()
    try:
        await asyncio.gather(*lost, return_exceptions=True)
    except asyncio.CancelledError:
        lost = list(opening)
        raise
    finally:
        for task in lost:
            await opening[task].close()
