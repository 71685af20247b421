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

Spend = Callable[[int, str], Awaitable[Mapping[str, Mapping[str, Any] | None] | None]]
"""At most so many end users from the one behind a name on, by the names that are kept of them: those something is laid
down for and those who have used something, with what that is. None where nobody counts."""

Forget = Callable[[str], Awaitable[int]]
"""Deletes what is recorded of one end user, and says how many records that were."""


class AllEndUsers:
    """Lists everybody something is laid down for, and everybody who has spent something, a page at a time (`limit`,
    `after` an end user's id).

    Args:
        end_users: those something is laid down for.
        spend: what they have spent; None where nobody counts, and then `spend` is null.
    """

    def __init__(self, end_users: EndUsers, spend: Spend | None = None) -> None:
        self.end_users = end_users
        self.spend = spend

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        admin.only_the_master(scope)
        asked = admin.parameters(scope, ("limit", "after"))
        limit, store = admin.limit(asked), self.end_users.store
        most, after = limit + 1, asked.get("after", "")
        spent = await self.spend(most, after) if self.spend else None
        if spent is None:
            records = await store.page(most, after)
            spent = {str(record.name): None for record in records}
        else:
            records = await store.named(list(spent))
        known = {record.name: administration.shown_end_user(record) for record in records}
        data = [{**(known.get(name) or _nothing(name)), "spend": used} for name, used in list(spent.items())[:limit]]
        await respond.plain(send, {"data": data, "after": data[-1]["id"] if len(spent) > limit else None})


def _nothing(name: str) -> dict[str, Any]:
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
