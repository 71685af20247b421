"""`/health/live` and `/health/ready`: is the process alive, and can it serve? No key needed, nothing secret told."""

from collections.abc import Callable

from starlette.types import Receive, Scope, Send

from gateway.endpoints import respond

Check = Callable[[], tuple[bool, str]]
"""Looks at one dependency without waiting: (usable, one line about it)."""


class Live:
    """200 as long as the event loop turns."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await respond.plain(send, {"status": "ok"})


class Ready:
    """200 when every dependency is usable, else 503; one line per dependency."""

    def __init__(self, checks: dict[str, Check]) -> None:
        self.checks = checks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = {name: check() for name, check in self.checks.items()}
        usable = all(ok for ok, _ in found.values())
        lines = {name: line for name, (_, line) in found.items()}
        await respond.plain(send, {"status": "ready" if usable else "not ready", **lines}, 200 if usable else 503)
