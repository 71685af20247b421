"""Stores and clocks for the tests of who may call."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from gateway.config.load import from_mapping
from gateway.errors import Unavailable
from gateway.identity import administration
from gateway.identity.callers import Callers, Identity
from gateway.identity.requests import KeyRequest, made
from gateway.principal import Changes, KeyRecord
from gateway.types import HttpRequest
from tests.identity.memory import MemoryEndUsers, MemoryKeys

MASTER = "master-key-of-the-tests"


class Clock:
    """A clock that stands still until it is turned."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Shaky(MemoryKeys):
    """A store of keys that counts what it is asked, and can be out of reach or slow."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.down = False
        self.gate: asyncio.Event | None = None
        self.entered = asyncio.Event()

    async def changed_since(self, revision: int) -> Changes[KeyRecord]:
        self.asked += 1
        self.entered.set()
        if self.down:
            raise Unavailable("out of reach")
        found = await super().changed_since(revision)
        if self.gate is not None:
            await self.gate.wait()
        return found


async def nobody(_request: HttpRequest, _seconds: float) -> tuple[int, bytes]:
    raise AssertionError("nobody is to be asked")


def callers(
    store: MemoryKeys | None = None,
    end_users: MemoryEndUsers | None = None,
    call: Callable[[HttpRequest, float], Awaitable[tuple[int, bytes]]] = nobody,
    folder: Path = Path(),
    **general: Any,
) -> tuple[Callers, Identity]:
    """Who may call under a configuration with these general settings, and the master key of the tests."""
    identity = Identity(store or MemoryKeys(), end_users or MemoryEndUsers())
    config = {"general_settings": {"master_key": MASTER, **general}}
    return identity.using(from_mapping(config).settings, folder, call), identity


async def key_of(who: Callers, **asked: Any) -> tuple[KeyRecord, str]:
    """A new key."""
    assert who.keyring is not None
    request = made(KeyRequest, {"alias": "team-a", **asked})
    return await administration.create_key(who.keyring.store, who.hashes, request)


def answering(body: bytes, status: int = 200) -> Callable[[HttpRequest, float], Awaitable[tuple[int, bytes]]]:
    """A way out behind which one answer waits."""

    async def call(_request: HttpRequest, _seconds: float) -> tuple[int, bytes]:
        return status, body

    return call
