"""`GET /v1/models`: the aliases clients may use, in OpenAI's list form."""

from starlette.types import Receive, Scope, Send

from gateway.endpoints import respond
from gateway.routing.deployments import Catalogue
from gateway.wire import completions


class Models:
    """Lists every alias, or shows one; wildcards are listed as they are written.

    Args:
        catalogue: the deployments by alias.
        created: seconds since the epoch at which the configuration was loaded.
    """

    def __init__(self, catalogue: Catalogue, created: int) -> None:
        self.catalogue = catalogue
        self.created = created

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        wanted = scope.get("path_params", {}).get("model")
        if wanted is None:
            data = [self._entry(name) for name in self.catalogue.names()]
            await respond.plain(send, {"object": "list", "data": data})
        elif wanted in self.catalogue.names():
            await respond.plain(send, self._entry(wanted))
        else:
            name = completions.READERS["model"]("model", wanted)
            self.catalogue.find(name)
            await respond.plain(send, self._entry(name))

    def _entry(self, name: str) -> dict[str, object]:
        return {"id": name, "object": "model", "created": self.created, "owned_by": "guardrail-gateway"}
