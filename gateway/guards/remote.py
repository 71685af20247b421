"""One call to a guard that is elsewhere: JSON out, JSON back, within the policy's time."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from gateway.errors import UpstreamTimeout
from gateway.guards.ports import Caller, GuardFailed
from gateway.types import HttpRequest
from gateway.wire import json

MAX_ANSWER_BYTES = 1_048_576

T = TypeVar("T")


async def ask(call: Caller, request: HttpRequest, seconds: float) -> dict[str, Any]:
    """The JSON object that answers `request`.

    Raises:
        GuardFailed: any other answer; the message holds its status and nothing of its body.
        TimeoutError: no answer within `seconds`.
    """
    try:
        async with asyncio.timeout(seconds):
            status, body = await call(request, seconds)
    except UpstreamTimeout as error:
        raise TimeoutError from error
    if status != 200:
        raise GuardFailed(f"the answer's status is {status}, not 200")
    if len(body) > MAX_ANSWER_BYTES:
        raise GuardFailed(f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
    try:
        value = json.loads(body)
    except json.JSONDecodeError:
        # Not chained: the decoder's error holds the whole answer, which may quote judged text.
        raise GuardFailed("the answer is not JSON") from None
    if not isinstance(value, dict):
        raise GuardFailed("the answer is not a JSON object")
    return value


async def together(jobs: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """What `jobs` return, in order. The first that raises stops the others, and what it raised is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(job) for job in jobs]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]
