"""An ASGI app behind steps of the gateway's: what those hold open begins and ends with the app."""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Protocol

from gateway.guards.policy import Policy
from gateway.middleware.foreign.observation import Telling
from gateway.wire.asgi import App, Message, Receive, Scope, Send

_DEEPEST = 64


class Closes(Protocol):
    """What a step holds open."""

    async def close(self) -> None:
        """Let go of it."""
        ...


class InTurn:
    """Several that are held open: closed in this order, all of them whatever becomes of one."""

    def __init__(self, *held: Closes) -> None:
        self._held = held

    async def close(self) -> None:
        """Let go of each."""
        async with AsyncExitStack() as stack:
            for one in reversed(self._held):
                stack.push_async_callback(one.close)


class Tells(Protocol):
    """What is told and recorded of requests."""

    telling: Telling

    def start(self) -> None:
        """Begin, on the running event loop; no app fails over it."""
        ...

    async def close(self) -> None:
        """Send what is left, for some seconds at most."""
        ...


class Front:
    """An app behind some steps. At the end of the app's lifespan, what they hold open is closed; an app that has none
    keeps them to the end of the process.

    Args:
        app: the app.
        stack: the steps around it.
        holds: what they hold open; None for nothing.
        tells: what is told of requests, and recorded.
        policies: those in force.
        start: called when the app has begun, on its event loop.
    """

    def __init__(
        self,
        app: App,
        stack: App,
        holds: Closes | None = None,
        tells: Tells | None = None,
        policies: Sequence[Policy] = (),
        start: Callable[[], None] | None = None,
    ) -> None:
        self.app = app
        self.policies = tuple(policies)
        self.tells = tells
        self._stack = stack
        self._holds = holds
        self._start = start

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {', '.join(policy.name for policy in self.policies)}>"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._stack(scope, receive, send)
            return
        begun = False

        async def send_noted(message: Message) -> None:
            nonlocal begun
            if message["type"] == "lifespan.startup.complete":
                begun = True
                if self.tells is not None:
                    self.tells.start()  # only now: where the app traces, it has begun to
                if self._start is not None:
                    self._start()
            elif begun and message["type"].startswith("lifespan.shutdown."):
                begun = False
                await self._close()  # before the server hears of it: then it may go at once
            await send(message)

        try:
            await self.app(scope, receive, send_noted)
        finally:
            if begun:
                await self._close()

    async def _close(self) -> None:
        if self.tells is not None:
            await self.tells.close()
        if self._holds is not None:
            await self._holds.close()


def telling_behind(app: object) -> Telling | None:
    """How requests are told of by a step behind this one, as Starlette and FastAPI nest what is added to them."""
    for _ in range(_DEEPEST):
        if isinstance(app, Front) and app.tells is not None:
            return app.tells.telling
        app = getattr(app, "app", None)
    return None
