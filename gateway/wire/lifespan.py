"""The start-up and shutdown of an ASGI app, run in process (ASGI specification, "Lifespan Protocol" 2.0)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from gateway.wire.asgi import App, Message

_GRACE = 0.1  # seconds an app has to raise the reason of a failure it has reported


@asynccontextmanager
async def lifespan(app: App) -> AsyncIterator[dict[str, Any]]:
    """Run an app's start-up before the block and its shutdown after it; yields the state it made.

    Give each request a copy: `request(app, …, extras={"state": dict(state)})`. An app that raises on a lifespan scope
    does not have one, which the specification allows; the block runs all the same. The app's lifespan is one task of
    its own from beginning to end, as its cancel scopes need it.

    Raises:
        RuntimeError: the app reported that its start-up or shutdown failed, with its message.
    """
    state: dict[str, Any] = {}
    inbox: asyncio.Queue[Message] = asyncio.Queue()
    outbox: asyncio.Queue[Message] = asyncio.Queue()
    scope: dict[str, Any] = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": state}
    task = asyncio.ensure_future(app(scope, inbox.get, outbox.put))
    try:
        supported = await _step(task, inbox, outbox, "startup")
        try:
            yield state
        finally:
            if supported:
                await _step(task, inbox, outbox, "shutdown")
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def _step(
    task: asyncio.Task[None], inbox: asyncio.Queue[Message], outbox: asyncio.Queue[Message], name: str
) -> bool:
    """One step of the protocol; False when the app has no lifespan."""
    inbox.put_nowait({"type": f"lifespan.{name}"})
    answer = asyncio.ensure_future(outbox.get())
    try:
        await asyncio.wait((task, answer), return_when=asyncio.FIRST_COMPLETED)
        message = answer.result() if answer.done() else None
    finally:
        answer.cancel()
    if message is not None and message["type"] == f"lifespan.{name}.complete":
        return True
    if message is not None:
        await asyncio.wait((task,), timeout=_GRACE)  # frameworks raise the reason right after they reported it
    error = task.exception() if task.done() and not task.cancelled() else None
    if message is None and (name == "startup" or error is None):
        return False
    said = f": {message['message']}" if message and message.get("message") else ""
    raise RuntimeError(f"the app failed in its {name}{said}") from error
