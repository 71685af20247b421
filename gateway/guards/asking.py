"""Asking the guards that are waited for: side by side, each with a deadline, whatever they do."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

from gateway.guards.base import Context, Finding, Guard, Text
from gateway.guards.policy import Run, is_sound
from gateway.guards.verdict import Status

Answer = tuple[Status, list[Finding], str]
"""How it went, what was found, and what was raised, by its class."""


@dataclass(frozen=True, slots=True)
class Question:
    """A guard to be asked about some texts, for the policy whose record `run` is."""

    run: Run
    guard: Guard
    texts: Sequence[Text]


async def ask(guard: Guard, texts: Sequence[Text], context: Context, seconds: float) -> Answer:
    """What `guard` finds in `texts` within `seconds`. Raises nothing but the caller's own cancellation.

    A guard that does not stop when its time is up is left behind, not waited for.
    """

    async def check() -> list[Finding]:
        return await guard.check(texts, context)

    task = asyncio.create_task(check())
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        if not task.done():
            task.cancel()
            task.add_done_callback(_forget)
    if not task.done():
        return "timeout", [], "TimeoutError"
    if task.cancelled():
        return "error", [], "CancelledError"
    if (error := task.exception()) is not None:
        return "timeout" if isinstance(error, TimeoutError) else "error", [], type(error).__name__
    found = task.result()
    return ("ok", found, "") if _is_answer(found, texts) else ("error", [], "nonsense")


async def ask_all(questions: Sequence[Question], context: Context) -> list[list[Finding] | None]:
    """What the guard of each question finds, None where it failed; its policy's record has the reason.

    They run side by side. A record's time grows by the time of its slowest guard.
    """
    began = perf_counter()
    spent: dict[int, float] = {}

    async def one(question: Question) -> Answer:
        run = question.run
        answer = await ask(question.guard, question.texts, context, run.policy.timeout)
        spent[id(run)] = perf_counter() - began
        return answer

    answers = await asyncio.gather(*map(one, questions))
    for run in {id(question.run): question.run for question in questions}.values():
        run.duration += spent[id(run)]
    found: list[list[Finding] | None] = []
    for question, (status, findings, raised) in zip(questions, answers, strict=True):
        question.run.fail(status, raised and f"{question.guard.name}: {raised}")
        found.append(findings if status == "ok" else None)
    return found


def _is_answer(found: object, texts: Sequence[Text]) -> bool:
    """Whether this is a list of findings that lie in these texts."""
    if type(found) is not list or not all(type(finding) is Finding for finding in found):
        return False
    by_path: dict[str, list[Finding]] = {}
    for finding in found:
        by_path.setdefault(finding.path, []).append(finding)
    lengths = {text.path: len(text.value) for text in texts}
    return all(path in lengths and is_sound(here, path, lengths[path]) for path, here in by_path.items())


def _forget(task: asyncio.Task[list[Finding]]) -> None:
    if not task.cancelled():
        task.exception()  # or the loop would log what nobody waits for any more
