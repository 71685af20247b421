"""`/admin/end-users`: whom requests are for: listed, blocked, given a budget, and forgotten."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.types import Receive, Scope, Send

from gateway.endpoints import admin, respond
from gateway.errors import InvalidValue
from gateway.identity import administration
from gateway.identity.end_users import EndUsers, Naming
from gateway.identity.requests import EndUserChange, read
from gateway.principal import clean_name

Spend = Callable[[], Awaitable[Mapping[str, Mapping[str, Any]]]]
"""What each end user has spent, by the name that is kept of them."""

Forget = Callable[[str], Awaitable[int]]
"""Deletes what is recorded of one end user, and says how many records that were."""


class AllEndUsers:
    """Lists everybody something is laid down for, and everybody who has spent something.

    Args:
        end_users: those something is laid down for.
        spend: what they have spent; None where nobody counts, and then `spend` is null.
    """

    def __init__(self, end_users: EndUsers, spend: Spend | None = None) -> None:
        self.end_users = end_users
        self.spend = spend

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        admin.only_the_master(scope)
        known = {record.name: administration.shown_end_user(record) for record in await self.end_users.store.list()}
        spent = await self.spend() if self.spend else {}
        names = sorted({*known, *spent}, key=str)
        data = [{**(known.get(name) or _nothing(name)), "spend": spent.get(str(name))} for name in names]
        await respond.plain(send, {"data": data})


def _nothing(name: str | None) -> dict[str, Any]:
    """An end user nothing is laid down for."""
    return {"id": name, "blocked": False, "budget": None, "limits": None, "created_at": None, "updated_at": None}


class OneEndUser:
    """`PATCH` blocks or unblocks one end user, or sets their budget and limits; `DELETE` deletes what is kept of them.

    Args:
        end_users: those something is laid down for; what is changed here counts at once in this process.
        naming: what stands for a name where anything is kept.
        max_seconds: how long the client has to send its body.
        forget: deletes what is recorded of their requests; None where nobody records any.
    """

    def __init__(self, end_users: EndUsers, naming: Naming, max_seconds: float, forget: Forget | None = None) -> None:
        self.end_users = end_users
        self.naming = naming
        self.max_seconds = max_seconds
        self.forget = forget

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        admin.only_the_master(scope)
        name: str = scope["path_params"]["id"]
        if not name or clean_name(name) != name:
            raise InvalidValue("No request can be for an end user of this name; check it.", param="id")
        if scope["method"] == "DELETE":
            await self._delete(name, send)
            return
        asked = read(EndUserChange, await admin.body(receive, self.max_seconds))
        record = await administration.change_end_user(self.end_users.store, self.naming.given(name), asked)
        self.end_users.mirror.apply(record)
        await respond.plain(send, administration.shown_end_user(record))

    async def _delete(self, name: str, send: Send) -> None:
        """Under every name that may stand for them; nothing left to delete is what was asked for, and no fault."""
        found, records = False, 0
        for kept in dict.fromkeys((self.naming.given(name), *self.naming.known(name))):
            found |= await self.end_users.store.delete(kept)
            records += await self.forget(kept) if self.forget else 0
        await self.end_users.mirror.look()
        await respond.plain(send, {"id": name, "deleted": found or records > 0, "records": records})
