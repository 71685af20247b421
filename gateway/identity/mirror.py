"""A copy in memory of what a store keeps, at most two seconds old, so that no request waits for a database.

It is looked after by the requests that read it: without requests nothing is asked. `fresh` lets a request go on with
what is known when that is young enough, and renews it beside the request when it is a second old. `look` is for what
was not found: it waits until the store has been asked since, so that a key made a moment ago by another worker works.
However many requests wait, the store answers one question at a time, and ten a second at most.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from time import monotonic
from typing import Generic

from gateway.errors import GatewayError, Unavailable
from gateway.principal import Changes, R

RENEW_SECONDS = 1.0
"""Age from which on a copy is renewed beside the requests that read it."""

STALE_SECONDS = 2.0
"""Age from which on a request waits for a newer one: no revocation takes longer to be known."""

GRACE_SECONDS = 60.0
"""How long the copy serves on when the store cannot be reached; after that requests are refused with 503."""

PATIENCE_SECONDS = 2.0
"""The longest a request waits for the store."""

GAP_SECONDS = 0.1
"""Between the beginnings of two questions to the store."""


class Mirror(Generic[R]):
    """The copy of one table.

    Args:
        what: what the table holds, for the message of a refusal.
        load: the records changed since a revision.
        take: takes changed records into the copy; its second argument says that the copy begins anew.
        clock: seconds; tests turn it.
    """

    def __init__(
        self,
        what: str,
        load: Callable[[int], Awaitable[Changes[R]]],
        take: Callable[[Sequence[R], bool], None],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._what = what
        self._load = load
        self._take = take
        self._clock = clock
        self._revision = 0
        self._as_of = float("-inf")  # when the last question that was answered was asked
        self._asked_at = float("-inf")
        self._failing = False
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        age = self._clock() - self._as_of
        return f"<Mirror {self._what} revision={self._revision} age={age:.1f}s{' failing' if self._failing else ''}>"

    @property
    def state(self) -> tuple[bool, str]:
        """Whether requests can be served from this copy, and in words whether the store could be reached last."""
        if not self._failing:
            return True, "ok"
        serves = self._clock() - self._as_of <= GRACE_SECONDS
        return serves, f"the {self._what} cannot be reached" + (": what was known of it serves on" if serves else "")

    async def fresh(self) -> None:
        """Return when the copy is at most `STALE_SECONDS` old.

        Raises:
            Unavailable: it is not, and the store has not answered for `GRACE_SECONDS`.
        """
        if self._clock() - self._as_of <= RENEW_SECONDS:
            return
        if not self._failing or self._clock() - self._asked_at > RENEW_SECONDS:
            task = self._renewing()
            if not self._failing and self._clock() - self._as_of > STALE_SECONDS:
                await asyncio.wait({task}, timeout=PATIENCE_SECONDS)
        if self._clock() - self._as_of > GRACE_SECONDS:
            raise self._unavailable()

    async def look(self) -> None:
        """Return when the store has answered a question asked after this call.

        Raises:
            Unavailable: it has not.
        """
        since = self._clock()
        for _ in range(2):  # a question under way may have been asked too early
            if not (self._failing and since - self._asked_at <= RENEW_SECONDS):
                await asyncio.wait({self._renewing()}, timeout=PATIENCE_SECONDS)
            if self._as_of >= since:
                return
        raise self._unavailable()

    def start(self) -> None:
        """Ask the store for the first time, on the running event loop, without waiting for it."""
        self._renewing()

    def apply(self, record: R) -> None:
        """Take what this process itself has just stored into the copy, at once."""
        self._take((record,), False)

    def close(self) -> None:
        """End the question that is under way."""
        if self._task is not None and not self._task.get_loop().is_closed():
            self._task.cancel()

    def _unavailable(self) -> Unavailable:
        return Unavailable(
            f"The gateway cannot reach its {self._what} now; send the request again in a moment.",
            code="keys_unavailable",
        )

    def _renewing(self) -> "asyncio.Task[None]":
        """The question that is under way on this event loop, or a new one."""
        task, loop = self._task, asyncio.get_running_loop()
        if task is None or task.done() or task.get_loop() is not loop:
            # In a context of its own: it outlives the request that began it, and is not about it.
            task = self._task = loop.create_task(self._renew(), context=Context())
        return task

    async def _renew(self) -> None:
        await asyncio.sleep(max(0.0, self._asked_at + GAP_SECONDS - self._clock()))
        asked_at = self._asked_at = self._clock()
        try:
            changes = await self._load(self._revision)
            again = changes.revision < self._revision  # an older store has taken this one's place
            if again:
                changes = await self._load(0)
        except GatewayError:
            self._failing = True
            return
        if again or changes.records:
            self._take(changes.records, again)
        self._revision, self._as_of, self._failing = changes.revision, asked_at, False
