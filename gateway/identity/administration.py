"""What an administrator does with keys and end users, over HTTP and on the command line alike."""

from collections.abc import Callable
from dataclasses import asdict, replace
from time import time
from typing import Any

from gateway.errors import InvalidValue, RequestError, Unavailable
from gateway.hashing import HashKey
from gateway.identity.keyring import new_key, new_key_id
from gateway.identity.requests import EndUserChange, KeyChange, KeyRequest, time_text
from gateway.principal import AliasTaken, Budget, EndUserRecord, EndUserStore, KeyRecord, KeyStore, Limits

Clock = Callable[[], float]


def unknown(what: str) -> RequestError:
    """The refusal of an id that nothing has."""
    return RequestError(f"There is no {what} with this id.", status=404, code="not_found")


async def create_key(
    store: KeyStore, hashes: tuple[HashKey, ...], asked: KeyRequest, clock: Clock = time
) -> tuple[KeyRecord, str]:
    """Make a key: its record, and the key itself, which is nowhere else and never shown again.

    Raises:
        InvalidValue: another key has the alias, or the fields contradict each other.
        Unavailable: it could not be stored, or there is no secret to hash it with.
    """
    if not hashes:
        raise Unavailable(
            "Virtual keys need general_settings.master_key; configure one first.", code="keys_unavailable"
        )
    key, now = new_key(), int(clock())
    fields = asked.fields()
    bare = KeyRecord(new_key_id(), asked.alias, hashes[0].digest(key), hashes[0].id, now, now)
    record = _consistent(replace(bare, **fields), fields, now)
    try:
        return await store.add(record), key
    except AliasTaken:
        raise _taken() from None


async def change_key(store: KeyStore, key_id: str, asked: KeyChange, clock: Clock = time) -> KeyRecord:
    """Change what is given of a key.

    Raises:
        RequestError: there is no such key, it is revoked, another has the alias, or fields contradict each other.
        Unavailable: it could not be stored.
    """
    fields, now = asked.fields(), int(clock())

    def edit(record: KeyRecord) -> KeyRecord:
        if record.revoked_at is not None:
            raise InvalidValue("This key is revoked and stays so; create another.")
        return _consistent(replace(record, **fields, updated_at=now), fields, now)

    try:
        record = await store.update(key_id, edit)
    except AliasTaken:
        raise _taken() from None
    if record is None:
        raise unknown("key")
    return record


async def revoke_key(store: KeyStore, key_id: str, clock: Clock = time) -> KeyRecord:
    """End a key for ever.

    Raises:
        RequestError: there is no such key. Unavailable: it could not be stored.
    """
    record = await store.revoke(key_id, int(clock()))
    if record is None:
        raise unknown("key")
    return record


async def change_end_user(store: EndUserStore, name: str, asked: EndUserChange, clock: Clock = time) -> EndUserRecord:
    """Lay down what is given for an end user.

    Raises:
        Unavailable: it could not be stored.
    """
    fields, now = asked.fields(), int(clock())
    return await store.put(name, lambda record: replace(record, **fields, updated_at=max(now, record.created_at)))


def _consistent(record: KeyRecord, fields: dict[str, Any], now: int) -> KeyRecord:
    if record.end_user is not None and record.default_end_user is not None:
        raise InvalidValue(
            "A key has an end_user, whom all its requests are for, or a default_end_user, not both.",
            param="default_end_user",
        )
    if fields.get("expires_at") is not None and fields["expires_at"] <= now:
        raise InvalidValue("expires_at is past; name a time to come, or revoke the key.", param="expires_at")
    return record


def _taken() -> InvalidValue:
    return InvalidValue("Another key has this alias; choose another, or revoke that key first.", param="alias")


def shown_key(record: KeyRecord) -> dict[str, Any]:
    """A key as lists show it: all of its record but the hash."""
    return {
        "id": record.id,
        "alias": record.alias,
        "models": list(record.models),
        "scopes": list(record.scopes),
        "tags": list(record.tags),
        "end_user": record.end_user,
        "default_end_user": record.default_end_user,
        "expires_at": time_text(record.expires_at),
        "budget": _budget(record.budget),
        "limits": _limits(record.limits),
        "metadata": dict(record.metadata),
        "created_at": time_text(record.created_at),
        "updated_at": time_text(record.updated_at),
        "revoked_at": time_text(record.revoked_at),
    }


def shown_end_user(record: EndUserRecord) -> dict[str, Any]:
    """An end user as lists show them. `id` is their name, or the pseudonym that is kept in its place."""
    return {
        "id": record.name,
        "blocked": record.blocked,
        "budget": _budget(record.budget),
        "limits": _limits(record.limits),
        "created_at": time_text(record.created_at),
        "updated_at": time_text(record.updated_at),
    }


def _budget(budget: Budget | None) -> dict[str, Any] | None:
    if budget is None:
        return None
    usd = None if budget.max_usd is None else float(budget.max_usd)
    return {"max_usd": usd, "max_tokens": budget.max_tokens, "period": budget.period}


def _limits(limits: Limits | None) -> dict[str, Any] | None:
    return None if limits is None else asdict(limits)
