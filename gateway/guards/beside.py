"""Guards of the input that are asked while the provider is being called already (`parallel: true`, policies.md §3).

Only guards that are waited for are asked so; what judges at once has judged before the call. The answer is held until
the verdict. A block cancels the call at once, wherever it is; since no byte has left, it is refused with a status.

A prompt that has been sent cannot be rewritten any more. So what such a guard would mask, redact or hash is a block; it
is one wherever the policy is asked, also in its tests and where nothing is called.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from time import perf_counter

from gateway.guards.asking import Question, ask_all
from gateway.guards.base import SEVERITY, Context, Finding, Guard
from gateway.guards.policy import Policy, Run
from gateway.guards.verdict import Verdict
from gateway.types import Delta

Noting = Callable[[Question, list[Finding]], None]
"""Takes what the guard of a question found into its policy's record."""

Stopped = Callable[[Verdict], Sequence[Delta]]
"""What is answered instead of a call that a verdict has stopped: deltas, or the error it raises."""


def may_wait(policy: Policy, guard: Guard, context: Context) -> bool:
    """Whether a guard may be asked beside the call: not one that judges at once."""
    return policy.parallel and context.stage == "input" and not hasattr(guard, "find")


def too_late(found: Sequence[Finding]) -> list[Finding]:
    """Findings of a guard that may be asked beside the call: what would rewrite the prompt blocks it."""
    rewriting = range(SEVERITY["flag"] + 1, SEVERITY["block"])
    return [replace(one, action="block") if SEVERITY[one.action] in rewriting else one for one in found]


class Beside:
    """The rest of one judgement of the input, under way.

    Args:
        runs: the records of all policies that concern the request.
        questions: who is asked about what.
        context: as for the whole judgement.
        noting: is given what was found.

    It is asked once `start` has been called; `close` must be.
    """

    __slots__ = ("_context", "_noting", "_runs", "_task", "_unanswered")

    def __init__(self, runs: Sequence[Run], questions: Sequence[Question], context: Context, noting: Noting) -> None:
        self._runs = runs
        self._unanswered = dict(enumerate(questions))
        self._context = context
        self._noting = noting
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        state = "not started" if self._task is None else "done" if self._task.done() else "under way"
        return f"<Beside {len(self._unanswered)} unanswered, {state}>"

    def start(self) -> None:
        """Ask, without waiting for an answer."""
        self._task = asyncio.create_task(self._ask())

    def close(self) -> None:
        """Stop asking. A policy whose guards have not all answered by now is `skipped` in the verdicts."""
        if self._task is not None:
            self._task.cancel()
        self._skip()

    def verdicts(self) -> tuple[Verdict, ...]:
        """One of each policy that concerns the request, of what is known by now."""
        return tuple([run.verdict(self._context.stage) for run in self._runs])

    async def wait(self) -> Verdict | None:
        """The verdict that blocks, as soon as there is one; None when every guard has answered and none does."""
        if self._task is not None:
            await self._task
        return self._blocked()

    async def held(self, deltas: AsyncIterator[Delta], stopped: Stopped) -> AsyncIterator[Delta]:
        """`deltas` from the verdict on: a filter of the answer (`gateway.exchange.Filter`).

        The answer is asked for at once and its first delta, or its failure, is held. A block ends the call where it is.

        Raises:
            Exception: what `stopped` makes.
        """
        try:
            first, failure = await self._first(deltas)
            blocked = await self.wait()
            if blocked is not None:
                for delta in stopped(blocked):
                    yield delta
                return
            if failure is not None:
                raise failure
            if first is not None:
                yield first
                async for delta in deltas:
                    yield delta
        finally:
            close = getattr(deltas, "aclose", None)
            if close is not None:
                await close()

    async def _first(self, deltas: AsyncIterator[Delta]) -> tuple[Delta | None, Exception | None]:
        """The first delta or what was raised instead; neither when there is none, or a verdict came that blocks."""
        if self._task is None or self._task.done():
            if self._blocked() is not None:
                return None, None
            return await anext(deltas, None), None
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(None) as scope:

                def settled(_: asyncio.Task[None]) -> None:
                    if self._blocked() is not None:
                        scope.reschedule(loop.time())

                self._task.add_done_callback(settled)
                try:
                    return await anext(deltas, None), None
                finally:
                    self._task.remove_done_callback(settled)
        except Exception as error:  # held as the answer is: a verdict that blocks is told instead
            return None, None if scope.expired() else error

    def _blocked(self) -> Verdict | None:
        return next((run.verdict(self._context.stage) for run in self._runs if run.blocks), None)

    async def _ask(self) -> None:
        """Ask all, side by side, until all have answered or one answer blocks."""
        began = perf_counter()
        before = {id(question.run): question.run.duration for question in self._unanswered.values()}

        async def ask(number: int, question: Question) -> None:
            (found,) = await ask_all([question], self._context)
            if self._unanswered.pop(number, None) is None:
                return  # it comes too late
            question.run.duration = before[id(question.run)] + perf_counter() - began
            if found is not None:
                self._noting(question, found)

        pending = {asyncio.create_task(ask(*one)) for one in self._unanswered.items()}
        try:
            while pending and self._blocked() is None:
                answered, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in answered:
                    task.result()  # raises nothing, or the request must fail
        finally:
            for task in pending:
                task.cancel()
            self._skip()

    def _skip(self) -> None:
        """Nobody waits for the answers that have not come."""
        for question in self._unanswered.values():
            question.run.fail("skipped")
        self._unanswered.clear()
