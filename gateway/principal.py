"""Who is calling and for whom, as frozen values, and the ports behind which they are kept.

`gateway.identity` finds out who it is, `gateway.ledger` keeps keys and end users; neither knows the other, both know
these words. Times are whole seconds since 1970.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Any, Generic, Literal, Protocol, TypeVar

MAX_NAME = 256
"""Longest name of an end user, an alias, a tag or a session, in characters."""

MASTER = "master"
"""The alias of the master key, which no other key may have."""

Kind = Literal["master", "key", "jwt"]
KeyScope = Literal["completions", "metrics"]
"""What a key opens: everything under `/v1` and its twins, or `GET /metrics`."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be spent in a period; None where there is no bound. A budget without a period is for ever."""

    max_usd: Decimal | None = None
    max_tokens: int | None = None
    period: str | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be asked: requests and tokens per minute, hour and day, requests at a time; None where there is no
    bound."""

    rpm: int | None = None
    tpm: int | None = None
    max_parallel: int | None = None
    rph: int | None = None
    rpd: int | None = None
    tph: int | None = None
    tpd: int | None = None


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling: the master key, a virtual key, or the bearer of a token that somebody else has signed.

    `id` is stable and unique: a virtual key's id, or one made of a token's issuer and subject. `models` are the aliases
    it may use, globs among them; empty is every one. `end_user` is whom every request of it is for, whatever the
    request claims; `default_end_user` is whom a request is for that names nobody.
    """

    kind: Kind
    id: str
    alias: str
    models: tuple[str, ...] = ()
    scopes: frozenset[KeyScope] = frozenset({"completions"})
    tags: tuple[str, ...] = ()
    team: str | None = None
    end_user: str | None = None
    default_end_user: str | None = None
    budget: Budget | None = None
    limits: Limits | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def is_master(self) -> bool:
        """Whether it may administer."""
        return self.kind == "master"

    def may_use(self, model: str) -> bool:
        """Whether it may ask for this alias."""
        return not self.models or any(fits(pattern, model) for pattern in self.models)


MASTER_PRINCIPAL = Principal("master", MASTER, MASTER, scopes=frozenset({"completions", "metrics"}))


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A virtual key as it is kept: everything but the key itself, of which there is only a keyed hash.

    `hash_id` names the `HashKey` the digest was made with. `revision` is the store's, and grows with every change.
    """

    id: str
    alias: str
    digest: bytes = field(repr=False)
    hash_id: str
    created_at: int
    updated_at: int
    models: tuple[str, ...] = ()
    scopes: tuple[KeyScope, ...] = ("completions",)
    tags: tuple[str, ...] = ()
    end_user: str | None = None
    default_end_user: str | None = None
    budget: Budget | None = None
    limits: Limits | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    expires_at: int | None = None
    revoked_at: int | None = None
    revision: int = 0

    def is_valid(self, now: float) -> bool:
        """Whether the key works: not revoked, and not expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def principal(self) -> Principal:
        """Who calls with it."""
        return Principal(
            "key",
            self.id,
            self.alias,
            models=self.models,
            scopes=frozenset(self.scopes),
            tags=self.tags,
            end_user=self.end_user,
            default_end_user=self.default_end_user,
            budget=self.budget,
            limits=self.limits,
            metadata=self.metadata,
        )


@dataclass(frozen=True, slots=True)
class EndUserRecord:
    """What an operator has laid down for one end user.

    `name` is theirs, or their pseudonym where names are not kept; None in what is left of a deleted one, so that other
    workers learn of it. `id` is random.
    """

    id: str
    name: str | None
    created_at: int
    updated_at: int
    blocked: bool = False
    budget: Budget | None = None
    limits: Limits | None = None
    revision: int = 0


R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Changes(Generic[R]):
    """What has changed since a revision, and the revision there is now; one lower than asked for is another store."""

    revision: int
    records: Sequence[R]


class AliasTaken(Exception):
    """Another key that is not revoked has this alias."""


class KeyStore(Protocol):
    """Keeps virtual keys. Every method raises `gateway.errors.Unavailable` when the store cannot be reached."""

    async def add(self, record: KeyRecord) -> KeyRecord:
        """Keep a new key; gives it with its revision.

        Raises:
            AliasTaken: see there.
        """
        ...

    async def list(self) -> list[KeyRecord]:
        """Every key, revoked ones too, oldest first."""
        ...

    async def page(self, limit: int, after: str | None = None) -> Sequence[KeyRecord] | None:
        """At most so many keys, in the order of `list`, from the one behind the key with the id `after` on; None where
        there is no such key."""
        ...

    async def update(self, key_id: str, edit: Callable[[KeyRecord], KeyRecord]) -> KeyRecord | None:
        """Put what `edit` makes of a key in its place, nobody else changing it meanwhile; None when there is none.

        Raises:
            AliasTaken: see there.
        """
        ...

    async def revoke(self, key_id: str, at: int) -> KeyRecord | None:
        """End a key for ever; None when there is none. One that is revoked stays as it is."""
        ...

    async def changed_since(self, revision: int) -> Changes[KeyRecord]:
        """The keys that were added or changed after `revision`, revoked ones among them."""
        ...


class EndUserStore(Protocol):
    """Keeps what is laid down for end users. Every method raises `gateway.errors.Unavailable` as `KeyStore` does."""

    async def list(self) -> list[EndUserRecord]:
        """Every end user something is laid down for, by name."""
        ...

    async def page(self, limit: int, after: str = "") -> Sequence[EndUserRecord]:
        """At most so many of them, by name, from the one behind `after` on."""
        ...

    async def named(self, names: Sequence[str]) -> Sequence[EndUserRecord]:
        """Those of some names, at most a thousand or so, in any order."""
        ...

    async def put(self, name: str, edit: Callable[[EndUserRecord], EndUserRecord]) -> EndUserRecord:
        """Put what `edit` makes of an end user's record, or of an empty one, in its place."""
        ...

    async def delete(self, name: str) -> bool:
        """Forget an end user; False when nothing was laid down for them."""
        ...

    async def changed_since(self, revision: int) -> Changes[EndUserRecord]:
        """The records that changed after `revision`; those of deleted end users have no name."""
        ...


def fits(pattern: str, name: str) -> bool:
    """Does `name` fit `pattern`? A star is any run of characters, an empty one too; all else is itself."""
    return pattern == "*" or pattern == name or ("*" in pattern and _compiled(pattern).fullmatch(name) is not None)


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    """What stands between two stars takes its leftmost place and keeps it (an atomic group): the time is linear."""
    first, *middle, last = re.split(r"\*+", pattern)
    runs = "".join(f"(?>.*?{re.escape(run)})" for run in middle)
    return re.compile(f"{re.escape(first)}{runs}.*{re.escape(last)}", re.DOTALL)


def clean_name(text: str | None) -> str | None:
    """A name as it is kept and compared: composed (NFC), printable, stripped, at most `MAX_NAME` characters; None for
    one of which nothing is left. Cleaning a clean name leaves it as it is."""
    if not text:
        return None
    cut = text[:MAX_NAME]
    if not cut.isascii():
        cut = unicodedata.normalize("NFC", cut)[:MAX_NAME]
    if not cut.isprintable():
        cut = "".join(char for char in cut if char.isprintable())
        if not cut.isascii():
            cut = unicodedata.normalize("NFC", cut)  # what stood between two characters may have kept them apart
    return cut.strip() or None
