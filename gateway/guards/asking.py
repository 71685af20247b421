"""Asking the guards that are not span guards: side by side, each with a deadline, whatever they do.

A guard that judges at once (`gateway.guards.base.AtOnce`) is called in place, for a task and its deadline cost more
than most such guards do; about a long text it is asked like the others.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import NamedTuple

from gateway.guards.base import Context, Finding, Guard, Text
from gateway.guards.policy import Run, is_sound
from gateway.guards.ports import GuardFailed
from gateway.guards.verdict import Status

AT_ONCE = 131_072
"""Characters that are judged in place. More of them are left to the guard's `check`, which may yield to the event loop,
and to the policy's deadline."""


class Answer(NamedTuple):
    """How it went, what was found, the class of what was raised (or a reason), and how many seconds it took."""

    status: Status
    found: list[Finding]
    raised: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Question:
    """A guard to be asked about some texts, for the policy whose record `run` is."""

    run: Run
    guard: Guard
    texts: Sequence[Text]
    number: int = 0
    """The guard's place among those of its policy that are waited for."""


def bound(guard: Guard, context: Context) -> Guard:
    """The guard as it judges this request: one that can be set `against` confidential texts is set against these."""
    if context.confidential:
        against: Callable[[Sequence[str]], Guard] | None = getattr(guard, "against", None)
        if against is not None:
            return against(context.confidential)
    return guard


async def ask_all(questions: Sequence[Question], context: Context) -> list[list[Finding] | None]:
    """What the guard of each question finds, None where it failed; its policy's record has the reason.

    A record's time grows by that of its guards that judge at once, and of the slowest of the others.
    """
    answers: dict[int, Answer] = {}
    waited_for: list[int] = []
    for place, question in enumerate(questions):
        find = getattr(question.guard, "find", None)
        if find is None or sum(len(text.value) for text in question.texts) > AT_ONCE:
            waited_for.append(place)
        else:
            answers[place] = _in_place(find, question.texts)
            question.run.duration += answers[place].seconds
    if waited_for:
        await _wait_for(waited_for, questions, context, answers)
    found: list[list[Finding] | None] = []
    for place, question in enumerate(questions):
        answer = answers[place]
        question.run.fail(answer.status, answer.raised and f"{question.guard.name}: {answer.raised}")
        found.append(answer.found if answer.status == "ok" else None)
    return found


async def _wait_for(
    places: Sequence[int], questions: Sequence[Question], context: Context, answers: dict[int, Answer]
) -> None:
    """Put the answers of guards that are waited for into `answers`; they are asked side by side."""
    waiting = (questions[place] for place in places)
    asked = [ask(one.guard, one.texts, context, one.run.policy.timeout) for one in waiting]
    late = [await asked[0]] if len(asked) == 1 else await asyncio.gather(*asked)
    slowest: dict[int, float] = {}
    for place, answer in zip(places, late, strict=True):
        answers[place] = answer
        run = questions[place].run
        before = slowest.get(id(run), 0.0)
        run.duration += max(answer.seconds - before, 0.0)
        slowest[id(run)] = max(before, answer.seconds)


async def ask(guard: Guard, texts: Sequence[Text], context: Context, seconds: float) -> Answer:
    """What `guard` finds in `texts` within `seconds`. Raises nothing but the caller's own cancellation.

    A guard that does not stop when its time is up is left behind, not waited for.
    """
    began = perf_counter()

    async def check() -> list[Finding]:
        return await guard.check(texts, context)

    task = asyncio.create_task(check())
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        if not task.done():
            task.cancel()
            task.add_done_callback(_forget)
    spent = perf_counter() - began
    if not task.done():
        return Answer("timeout", [], "TimeoutError", spent)
    if task.cancelled():
        return Answer("error", [], "CancelledError", spent)
    error = task.exception()
    return _failed(error, spent) if error is not None else _answer(task.result(), texts, spent)


def _in_place(find: Callable[[str, str], list[Finding]], texts: Sequence[Text]) -> Answer:
    """What a guard that judges at once finds."""
    began = perf_counter()
    found: list[Finding] = []
    try:
        for text in texts:
            here = find(text.value, text.path)
            if not is_sound(here, text.path, len(text.value)):
                return Answer("error", [], "nonsense", perf_counter() - began)
            found += here
    except Exception as error:  # the verdict tells it, and on_error says what follows
        return _failed(error, perf_counter() - began)
    return Answer("ok", found, "", perf_counter() - began)


def _failed(error: BaseException, seconds: float) -> Answer:
    reason = error.reason if isinstance(error, GuardFailed) else type(error).__name__
    return Answer("timeout" if isinstance(error, TimeoutError) else "error", [], reason, seconds)


def _answer(found: object, texts: Sequence[Text], seconds: float) -> Answer:
    """A guard's answer, if it is a list of findings that lie in these texts."""
    lengths = {text.path: len(text.value) for text in texts}
    if type(found) is list and all(type(finding) is Finding for finding in found):
        by_path: dict[str, list[Finding]] = {}
        for finding in found:
            by_path.setdefault(finding.path, []).append(finding)
        if all(path in lengths and is_sound(here, path, lengths[path]) for path, here in by_path.items()):
            return Answer("ok", found, "", seconds)
    return Answer("error", [], "nonsense", seconds)


def _forget(task: asyncio.Task[list[Finding]]) -> None:
    if not task.cancelled():
        task.exception()  # or the loop would log what nobody waits for any more
