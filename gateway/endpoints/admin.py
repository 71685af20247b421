"""What the admin endpoints share: who may ask them, and how their bodies are read."""

import asyncio

from starlette.types import Receive, Scope

from gateway import exchange as exchanges
from gateway.errors import AuthenticationError, RequestTimeout
from gateway.middleware.body import whole


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
