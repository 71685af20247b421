"""`/admin/keys`: virtual keys made, listed, changed and revoked, by the holder of the master key."""

from starlette.types import Receive, Scope, Send

from gateway.endpoints import admin, respond
from gateway.errors import InvalidValue
from gateway.hashing import HashKey
from gateway.identity import administration
from gateway.identity.keyring import Keyring
from gateway.identity.requests import KeyChange, KeyRequest, read

_NO_STORE = {b"cache-control": b"no-store"}


class Keys:
    """`GET` lists the keys, the oldest first, revoked ones too, a page at a time (`limit`, `after` the id of a key);
    `POST` makes one and shows it, this once.

    Args:
        keyring: the keys; what is changed here counts at once in this process.
        hashes: what keys are hashed with; none where there is no master key.
        max_seconds: how long the client has to send its body.
    """

    def __init__(self, keyring: Keyring, hashes: tuple[HashKey, ...], max_seconds: float) -> None:
        self.keyring = keyring
        self.hashes = hashes
        self.max_seconds = max_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        admin.only_the_master(scope)
        if scope["method"] != "POST":
            await self._list(scope, send)
            return
        asked = read(KeyRequest, await admin.body(receive, self.max_seconds))
        record, key = await administration.create_key(self.keyring.store, self.hashes, asked)
        self.keyring.mirror.apply(record)
        shown = administration.shown_key(record)
        await respond.plain(send, {"id": shown.pop("id"), "key": key, **shown}, 201, _NO_STORE)

    async def _list(self, scope: Scope, send: Send) -> None:
        asked = admin.parameters(scope, ("limit", "after"))
        limit = admin.limit(asked)
        found = await self.keyring.store.page(limit + 1, asked.get("after"))
        if found is None:
            raise InvalidValue("`after` must be the id of a key, the last of the page before.", param="after")
        data = [administration.shown_key(record) for record in found[:limit]]
        await respond.plain(send, {"data": data, "after": data[-1]["id"] if len(found) > limit else None})


class Key:
    """`PATCH` changes what is given of one key; `DELETE` revokes it.

    Args:
        keyring: the keys; what is changed here counts at once in this process.
        max_seconds: how long the client has to send its body.
    """

    def __init__(self, keyring: Keyring, max_seconds: float) -> None:
        self.keyring = keyring
        self.max_seconds = max_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        admin.only_the_master(scope)
        key_id: str = scope["path_params"]["id"]
        if scope["method"] == "DELETE":
            record = await administration.revoke_key(self.keyring.store, key_id)
        else:
            asked = read(KeyChange, await admin.body(receive, self.max_seconds))
            record = await administration.change_key(self.keyring.store, key_id, asked)
        self.keyring.mirror.apply(record)
        await respond.plain(send, administration.shown_key(record))
