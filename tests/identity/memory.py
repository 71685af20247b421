"""Keys and end users kept in this process's memory and gone with it: what the stores in databases are held against."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from secrets import token_hex
from time import time

from gateway.principal import AliasTaken, Changes, EndUserRecord, KeyRecord


class MemoryKeys:
    """A `KeyStore`."""

    def __init__(self) -> None:
        self._records: dict[str, KeyRecord] = {}
        self._revision = 0

    async def add(self, record: KeyRecord) -> KeyRecord:
        return self._put(record)

    async def list(self) -> list[KeyRecord]:
        return sorted(self._records.values(), key=lambda record: (record.created_at, record.id))

    async def page(self, limit: int, after: str | None = None) -> Sequence[KeyRecord] | None:
        known = await self.list()
        places = [place for place, record in enumerate(known) if record.id == after]
        if after is not None and not places:
            return None
        return known[places[0] + 1 if places else 0 :][:limit]

    async def update(self, key_id: str, edit: Callable[[KeyRecord], KeyRecord]) -> KeyRecord | None:
        record = self._records.get(key_id)
        return None if record is None else self._put(edit(record))

    async def revoke(self, key_id: str, at: int) -> KeyRecord | None:
        record = self._records.get(key_id)
        if record is None or record.revoked_at is not None:
            return record
        return self._put(replace(record, revoked_at=at, updated_at=at))

    async def changed_since(self, revision: int) -> Changes[KeyRecord]:
        changed = (record for record in self._records.values() if record.revision > revision)
        return Changes(self._revision, sorted(changed, key=lambda record: record.revision))

    def _put(self, record: KeyRecord) -> KeyRecord:
        for other in self._records.values():
            if (
                other.alias == record.alias
                and other.id != record.id
                and {other.revoked_at, record.revoked_at} == {None}
            ):
                raise AliasTaken(record.alias)
        self._revision += 1
        kept = self._records[record.id] = replace(record, revision=self._revision)
        return kept


class MemoryEndUsers:
    """An `EndUserStore`."""

    def __init__(self) -> None:
        self._records: dict[str, EndUserRecord] = {}
        self._revision = 0

    async def list(self) -> list[EndUserRecord]:
        named = (record for record in self._records.values() if record.name is not None)
        return sorted(named, key=lambda record: record.name or "")

    async def page(self, limit: int, after: str = "") -> Sequence[EndUserRecord]:
        return [record for record in await self.list() if (record.name or "") > after][:limit]

    async def named(self, names: Sequence[str]) -> Sequence[EndUserRecord]:
        return [record for record in await self.list() if record.name in names]

    async def put(self, name: str, edit: Callable[[EndUserRecord], EndUserRecord]) -> EndUserRecord:
        now = int(time())
        record = self._find(name) or EndUserRecord(f"eu_{token_hex(12)}", name, now, now)
        return self._put(edit(record))

    async def delete(self, name: str) -> bool:
        record = self._find(name)
        if record is not None:
            self._put(EndUserRecord(record.id, None, record.created_at, int(time())))
        return record is not None

    async def changed_since(self, revision: int) -> Changes[EndUserRecord]:
        changed = (record for record in self._records.values() if record.revision > revision)
        return Changes(self._revision, sorted(changed, key=lambda record: record.revision))

    def _find(self, name: str) -> EndUserRecord | None:
        return next((record for record in self._records.values() if record.name == name), None)

    def _put(self, record: EndUserRecord) -> EndUserRecord:
        self._revision += 1
        kept = self._records[record.id] = replace(record, revision=self._revision)
        return kept
