"""Virtual keys and end users in the database: opened in a thread, once there is something to read or to write.

A gateway that has only a master key needs no writable disk: as long as the SQLite file of its configuration does not
exist, nothing is in it, and nothing is made or imported to find that out. The first key makes the file.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

from gateway.errors import GatewayError, Unavailable
from gateway.ledger.urls import sqlite_file
from gateway.principal import AliasTaken, Changes, EndUserRecord, KeyRecord

if TYPE_CHECKING:
    from gateway.ledger.keys_sql import Tables

T = TypeVar("T")


class Database:
    """The database that keys and end users are in.

    Args:
        url: `general_settings.database_url`.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._file = sqlite_file(url)
        self._tables: Tables | None = None
        self._lock = Lock()

    def __repr__(self) -> str:
        return f"<Database {self._url.partition(':')[0]} {'open' if self._tables else 'not opened'}>"

    async def read(self, work: "Callable[[Tables], T]", nothing: T) -> T:
        """What `work` reads, or `nothing` where there is no database yet.

        Raises:
            Unavailable: the database cannot be used; the message says why, without data or addresses.
        """
        if self._tables is None and self._file is not None and not self._file.exists():
            return nothing
        return await asyncio.to_thread(self._do, work)

    async def write(self, work: "Callable[[Tables], T]") -> T:
        """What `work` gives back, once it is stored; raises as `read` does."""
        return await asyncio.to_thread(self._do, work)

    async def close(self) -> None:
        """Close the connections; what is asked later opens them again."""
        if self._tables is not None:
            await asyncio.to_thread(self._tables.close)

    def _do(self, work: "Callable[[Tables], T]") -> T:
        try:
            return work(self._opened())
        except (AliasTaken, GatewayError):
            raise
        except Exception as error:
            from gateway.ledger import database

            raise Unavailable(
                f"The store of keys and end users cannot be used: {database.reason(error)}.", code="keys_unavailable"
            ) from error

    def _opened(self) -> "Tables":
        from gateway.ledger.keys_sql import Tables

        with self._lock:
            if self._tables is None:
                self._tables = Tables(self._url)
            return self._tables


class SqlKeys:
    """A `gateway.principal.KeyStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, record: KeyRecord) -> KeyRecord:
        return await self._database.write(lambda tables: tables.add_key(record))

    async def list(self) -> list[KeyRecord]:
        return await self._database.read(lambda tables: tables.list_keys(), [])

    async def page(self, limit: int, after: str | None = None) -> Sequence[KeyRecord] | None:
        return await self._database.read(lambda tables: tables.page_of_keys(limit, after), None if after else [])

    async def update(self, key_id: str, edit: Callable[[KeyRecord], KeyRecord]) -> KeyRecord | None:
        return await self._database.read(lambda tables: tables.edit_key(key_id, edit), None)

    async def revoke(self, key_id: str, at: int) -> KeyRecord | None:
        def revoked(record: KeyRecord) -> KeyRecord:
            return record if record.revoked_at is not None else replace(record, revoked_at=at, updated_at=at)

        return await self.update(key_id, revoked)

    async def changed_since(self, revision: int) -> Changes[KeyRecord]:
        return await self._database.read(lambda tables: tables.keys_since(revision), Changes(0, ()))


class SqlEndUsers:
    """A `gateway.principal.EndUserStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self) -> list[EndUserRecord]:
        return await self._database.read(lambda tables: tables.list_end_users(), [])

    async def page(self, limit: int, after: str = "") -> Sequence[EndUserRecord]:
        return await self._database.read(lambda tables: tables.page_of_end_users(limit, after), [])

    async def named(self, names: Sequence[str]) -> Sequence[EndUserRecord]:
        return await self._database.read(lambda tables: tables.end_users_named(names), [])

    async def put(self, name: str, edit: Callable[[EndUserRecord], EndUserRecord]) -> EndUserRecord:
        return await self._database.write(lambda tables: tables.put_end_user(name, edit))

    async def delete(self, name: str) -> bool:
        return await self._database.read(lambda tables: tables.delete_end_user(name), False)

    async def changed_since(self, revision: int) -> Changes[EndUserRecord]:
        return await self._database.read(lambda tables: tables.end_users_since(revision), Changes(0, ()))
