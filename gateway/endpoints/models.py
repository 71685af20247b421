"""`GET /v1/models`: the aliases a caller may use, in OpenAI's list form."""

from collections.abc import Iterator

from starlette.types import Receive, Scope, Send

from gateway import exchange as exchanges
from gateway.endpoints import respond
from gateway.errors import ModelNotFound
from gateway.principal import Principal
from gateway.routing.deployments import Catalogue
from gateway.wire import completions


class Models:
    """Lists every alias that the caller may use, or shows one; wildcards are listed as they are written.

    A model that a key may not use is answered for as if it did not exist.

    Args:
        catalogue: the deployments by alias.
        created: seconds since the epoch at which the configuration was loaded.
    """

    def __init__(self, catalogue: Catalogue, created: int) -> None:
        self.catalogue = catalogue
        self.created = created

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        wanted = scope.get("path_params", {}).get("model")
        principal = exchanges.of(scope).principal
        if wanted is None:
            data = [self._entry(name) for name in self._usable(principal)]
            await respond.plain(send, {"object": "list", "data": data})
        elif principal is not None and not self._shows(principal, wanted):
            name = completions.READERS["model"]("model", wanted)
            raise ModelNotFound(
                f"There is no model {name[:120]} here. GET /v1/models lists what this key may use.", param="model"
            )
        elif wanted in self.catalogue.names():
            await respond.plain(send, self._entry(wanted))
        else:
            name = completions.READERS["model"]("model", wanted)
            self.catalogue.find(name)
            await respond.plain(send, self._entry(name))

    def _usable(self, principal: Principal | None) -> Iterator[str]:
        """The aliases a caller may use; of a wildcard that is only partly its own, the names its key spells out."""
        names = self.catalogue.names()
        if principal is None or not principal.models:
            yield from names
            return
        yield from (name for name in names if principal.may_use(name))
        for name in principal.models:
            if "*" not in name and name not in names and self._serves(name):
                yield name

    def _shows(self, principal: Principal, name: str) -> bool:
        """Whether the caller may use `name`, and may be told what there is instead when nothing has that name."""
        return not principal.models or (principal.may_use(name) and self._serves(name))

    def _serves(self, name: str) -> bool:
        if name in self.catalogue.names():
            return True
        try:
            self.catalogue.find(name)
        except ModelNotFound:
            return False
        return True

    def _entry(self, name: str) -> dict[str, object]:
        return {"id": name, "object": "model", "created": self.created, "owned_by": "guardrail-gateway"}
