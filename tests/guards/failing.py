"""Guards of an operator's that fail in every way there is, for `test_failures_visible.py`."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

from gateway.guards.base import Context, Finding, Text

entered = threading.Event()
"""Set by a function that begins to hang."""
released = threading.Event()
"""Ends the functions that hang in a thread."""


def raises(texts: Sequence[Text], context: Context) -> list[Finding]:
    raise RuntimeError(texts[0].value)


async def raises_async(texts: Sequence[Text], context: Context) -> list[Finding]:
    await asyncio.sleep(0)
    raise LookupError(texts[0].value)


def raises_time_out(texts: Sequence[Text], context: Context) -> list[Finding]:
    raise TimeoutError(texts[0].value)


async def cancels_itself(texts: Sequence[Text], context: Context) -> list[Finding]:
    raise asyncio.CancelledError


def hangs(texts: Sequence[Text], context: Context) -> list[Finding]:
    entered.set()
    released.wait(30)
    return []


async def hangs_async(texts: Sequence[Text], context: Context) -> list[Finding]:
    entered.set()
    await asyncio.Event().wait()
    return []


async def hangs_and_will_not_stop(texts: Sequence[Text], context: Context) -> list[Finding]:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await asyncio.Event().wait()  # until the loop is closed
    return []


def _about(text: Text, action: Any = "block", start: int = 0, end: int = 0, path: str | None = None) -> Finding:
    return Finding("mine", "rule", "test", action, path or text.path, start, end)


def nothing(texts: Sequence[Text], context: Context) -> None:
    return None


def a_text(texts: Sequence[Text], context: Context) -> str:
    return texts[0].value


def things(texts: Sequence[Text], context: Context) -> list[Any]:
    return [object(), 3]


def outside(texts: Sequence[Text], context: Context) -> list[Finding]:
    return [_about(texts[0], "mask", 1, len(texts[0].value) + 1)]


def backwards(texts: Sequence[Text], context: Context) -> list[Finding]:
    return [_about(texts[0], "mask", 4, 2)]


def elsewhere(texts: Sequence[Text], context: Context) -> list[Finding]:
    return [_about(texts[0], path="prompt[99]")]


def unheard_of(texts: Sequence[Text], context: Context) -> list[Finding]:
    return [_about(texts[0], "shout")]
