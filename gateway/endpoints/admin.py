"""What the admin endpoints share: who may ask them, and how their bodies and their queries are read."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope

from gateway import exchange as exchanges
from gateway.errors import AuthenticationError, InvalidValue, RequestTimeout
from gateway.middleware.body import whole

MOST: Final = 1_000
"""Rows of one page."""

DEFAULT: Final = 100

_COUNT = re.compile(r"[0-9]{1,9}")


def only_the_master(scope: Scope) -> None:
    """Let the holder of the master key go on, and a caller in process.

    Raises:
        AuthenticationError: anybody else; without a master key that is everybody.
    """
    principal = exchanges.of(scope).principal
    if not (scope.get(exchanges.LOCAL_KEY) or (principal is not None and principal.is_master)):
        raise AuthenticationError("The admin routes need the master key; configure general_settings.master_key.")


async def body(receive: Receive, seconds: float) -> bytes:
    """The whole body of a request.

    Raises:
        RequestTimeout: it did not come within so many seconds. ClientDisconnected: it did not come at all.
    """
    try:
        async with asyncio.timeout(seconds):
            return await whole(receive)
    except TimeoutError:
        raise RequestTimeout(f"The body did not arrive within {seconds:g} seconds; send the request again.") from None


def parameters(scope: Scope, known: Sequence[str]) -> dict[str, str]:
    """The parameters of a request's query; one that is empty counts as left out.

    Raises:
        InvalidValue: one that the path does not take, or takes once and was given twice.
    """
    found: dict[str, str] = {}
    for name, value in parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True):
        if name not in known:
            raise InvalidValue(f"This path takes {', '.join(known)}, and not what the request names.", param=name[:64])
        if name in found:
            raise InvalidValue(f"`{name}` was given twice.", param=name)
        found[name] = value
    return {name: value for name, value in found.items() if value}


def limit(asked: Mapping[str, str]) -> int:
    """How many rows of a page a query asks for; `DEFAULT` when left out.

    Raises:
        InvalidValue: not a number from 1 to `MOST`.
    """
    text = asked.get("limit", str(DEFAULT))
    if not _COUNT.fullmatch(text) or not 1 <= int(text) <= MOST:
        raise InvalidValue(f"`limit` must be a whole number from 1 to {MOST}.", param="limit")
    return int(text)
