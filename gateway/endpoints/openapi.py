"""`GET /openapi.json`: the description of this API that ships with the package."""

from functools import cache
from importlib import resources

from starlette.types import Receive, Scope, Send

from gateway.endpoints import respond
from gateway.version import __version__
from gateway.wire import json


@cache
def description() -> dict[str, object]:
    """The OpenAPI 3.1 description, with this version's number."""
    found = json.loads((resources.files("gateway.endpoints") / "openapi.json").read_bytes())
    found["info"]["version"] = __version__
    return found  # type: ignore[no-any-return]


class OpenApi:
    """Answers with the description."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await respond.plain(send, description())
