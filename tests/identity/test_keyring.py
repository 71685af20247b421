"""Virtual keys: minted from 256 random bits, found by a keyed hash, and refused in one way whatever the reason."""

import asyncio
import hmac
from base64 import urlsafe_b64decode
from dataclasses import replace

import pytest

from gateway.errors import AuthenticationError, InvalidValue, Unavailable
from gateway.identity import administration, keyring
from gateway.identity.callers import BAD_KEY
from gateway.identity.keyring import Keyring, has_shape, new_key
from gateway.identity.requests import KeyChange, made
from gateway.principal import MASTER_PRINCIPAL
from tests.identity.kit import MASTER, Clock, Shaky, callers, key_of

LIVE, EXPIRED, REVOKED, WRONG, UNKNOWN = "live", "expired", "revoked", "wrong", "unknown"


def test_a_key_is_256_random_bits_behind_its_prefix():
    found = {new_key() for _ in range(100)}
    assert len(found) == 100
    for key in found:
        assert has_shape(key)
        assert len(urlsafe_b64decode(key.removeprefix("gk-") + "=")) == 32


@pytest.mark.parametrize("text", ["", "gk-", "gk-" + "a" * 42, "gk-" + "a" * 44, "GK-" + "a" * 43, "gk-" + "é" * 43,
                                  "gk-" + "a" * 43 + "\n", " gk-" + "a" * 43])  # fmt: skip
def test_nothing_else_looks_like_one(text):
    assert not has_shape(text)


def test_a_key_says_who_calls_and_what_they_may():
    async def run():
        who, _ = callers()
        record, key = await key_of(who, models=["demo"], tags=["a"], end_user="bob", limits={"rpm": 5})
        principal = await who.principal(key)
        assert (principal.kind, principal.id, principal.alias) == ("key", record.id, "team-a")
        assert (principal.models, principal.tags, principal.end_user) == (("demo",), ("a",), "bob")
        assert principal.limits is not None
        assert principal.limits.rpm == 5
        assert await who.principal(MASTER) == MASTER_PRINCIPAL

    asyncio.run(run())


async def tried(which: str) -> tuple[str, AuthenticationError]:
    """A key that does not work, and how it is refused."""
    store = Shaky()
    who, identity = callers(store)
    clock = Clock(1_000_000.0)
    assert who.keyring is not None
    who.keyring._clock = clock
    record, key = await administration.create_key(
        store, who.hashes, made(administration.KeyRequest, {"alias": "a", "expires_at": "1970-02-01T00:00:00Z"}), clock
    )
    if which == EXPIRED:
        clock.now = 60 * 86_400.0
    if which == REVOKED:
        await store.revoke(record.id, 1_000_001)
    if which == WRONG:
        key = key[:-8] + ("B" if key[-8] == "A" else "A") + key[-7:]
    if which == UNKNOWN:
        key = new_key()
    with pytest.raises(AuthenticationError) as refused:
        await who.principal(key)
    identity.close()
    return key, refused.value


@pytest.mark.parametrize("which", [EXPIRED, REVOKED, WRONG, UNKNOWN])
def test_every_key_that_does_not_work_is_refused_in_the_same_words(which):
    key, refused = asyncio.run(tried(which))
    assert (refused.status, refused.code, refused.param) == (401, "invalid_api_key", None)
    assert refused.message == BAD_KEY
    assert key not in repr(refused) + str(refused.body())


@pytest.mark.parametrize("which", [EXPIRED, REVOKED, WRONG, UNKNOWN])
def test_every_key_that_does_not_work_takes_the_same_way(which, monkeypatch):
    """The same functions, as often, on the same lengths: what is called is noted, and nothing of it is replaced."""
    walked: list[tuple[str, object]] = []
    compare, matching = hmac.compare_digest, Keyring._matching

    def noted_compare(one, other):
        walked.append(("compare", (len(one), len(other))))
        return compare(one, other)

    def noted_matching(self, digests):
        walked.append(("match", len(digests)))
        return matching(self, digests)

    monkeypatch.setattr(keyring.hmac, "compare_digest", noted_compare)
    monkeypatch.setattr(Keyring, "_matching", noted_matching)
    asyncio.run(tried(which))
    once = [("match", 1), ("compare", (32, 32))]
    assert walked == [("compare", (32, 32)), *once, *once]  # the master key, what is known, and after a look again


def test_what_is_no_key_at_all_costs_the_store_nothing():
    async def run():
        store = Shaky()
        who, _ = callers(store)
        for text in ("x", "gk-short", "sk-" + "a" * 48, "gk-" + "a" * 43 + "b", "'; DROP TABLE virtual_keys; --"):
            with pytest.raises(AuthenticationError):
                await who.principal(text)
        assert store.asked == 1

    asyncio.run(run())


def test_a_key_another_worker_has_just_made_works_at_once():
    async def run():
        store = Shaky()
        here, _ = callers(store)
        there, _ = callers(store)
        _, first = await key_of(there)
        assert (await here.principal(first)).alias == "team-a"
        _, second = await key_of(there, alias="team-b")
        assert (await here.principal(second)).alias == "team-b"

    asyncio.run(run())


def test_a_revocation_counts_at_once_here_and_within_two_seconds_elsewhere():
    async def run():
        store, clock = Shaky(), Clock()
        here, _ = callers(store)
        there, _ = callers(store)
        there.keyring.mirror._clock = clock
        record, key = await key_of(here)
        assert await there.principal(key)
        assert await here.principal(key)
        here.keyring.mirror.apply(await administration.revoke_key(store, record.id))
        with pytest.raises(AuthenticationError):
            await here.principal(key)
        clock.now += 2.01
        with pytest.raises(AuthenticationError):
            await there.principal(key)

    asyncio.run(run())


def test_an_answer_from_before_does_not_bring_a_revoked_key_back():
    async def run():
        store = Shaky()
        who, _ = callers(store)
        record, key = await key_of(who)
        await who.principal(key)
        live = await administration.change_key(store, record.id, made(KeyChange, {"tags": ["a"]}))
        who.keyring.mirror.apply(await administration.revoke_key(store, record.id))
        who.keyring._take([live], False)  # read before the revocation, arrived after it
        assert who.keyring._matching([record.digest]) is None

    asyncio.run(run())


def test_a_key_expires_at_its_second():
    async def run():
        clock = Clock(1_000_000.0)
        ring = Keyring(Shaky(), clock)
        who, _ = callers()
        record, key = await key_of(who)
        await ring.store.add(replace(record, expires_at=1_000_010))
        clock.now = 1_000_009.9
        assert await ring.find(key, who.hashes)
        clock.now = 1_000_010.0
        assert await ring.find(key, who.hashes) is None

    asyncio.run(run())


def test_while_the_store_is_away_known_keys_work_and_it_is_not_said_of_others_that_they_are_wrong():
    async def run():
        store = Shaky()
        who, _ = callers(store)
        _, key = await key_of(who)
        await who.principal(key)
        store.down = True
        assert await who.principal(key)
        with pytest.raises(Unavailable):
            await who.principal(new_key())
        assert await who.principal(MASTER) is MASTER_PRINCIPAL

    asyncio.run(run())


@pytest.mark.parametrize(
    ("after", "works"),
    [
        ({}, True),
        ({"master_key": "another-master"}, False),
        ({"master_key": "another-master", "previous_key_secrets": [MASTER]}, True),
        ({"key_secret": "a secret of its own"}, False),
        ({"key_secret": "a secret of its own", "previous_key_secrets": ["x-x-x-x", MASTER]}, True),
    ],
)
def test_keys_live_as_long_as_the_secret_they_are_hashed_with_is_known(after, works):
    async def run():
        store = Shaky()
        who, _ = callers(store)
        _, key = await key_of(who)
        later, _ = callers(store, **after)
        if works:
            assert (await later.principal(key)).alias == "team-a"
        else:
            with pytest.raises(AuthenticationError):
                await later.principal(key)
        assert later.keyring.foreign(later.hashes) == (0 if works else 1)

    asyncio.run(run())


def test_the_hash_of_a_key_is_worth_nothing_without_the_secret():
    async def run():
        store = Shaky()
        who, _ = callers(store)
        record, _ = await key_of(who)
        for stolen in (record.digest.hex(), record.digest.decode("latin-1"), record.hash_id, record.id):
            with pytest.raises(AuthenticationError):
                await who.principal(stolen)
        assert record.digest.hex() not in repr(record) + repr(who.keyring)

    asyncio.run(run())


def test_without_a_master_key_there_are_no_keys():
    async def run():
        who, _ = callers(master_key=None)
        assert not who.asks
        with pytest.raises(Exception, match="master_key"):
            await administration.create_key(Shaky(), who.hashes, made(administration.KeyRequest, {"alias": "a"}))

    asyncio.run(run())


def test_what_a_key_has_of_its_own_is_its_own_until_it_is_revoked():
    async def run():
        store = Shaky()
        who, _ = callers(store)
        record, key = await key_of(who, tags=["payroll"], end_user="bob")
        _, other = await key_of(who, alias="team-b")
        mine, theirs = await who.principal(key), await who.principal(other)
        ring = who.keyring
        assert (ring.is_anothers_tag("payroll", mine), ring.is_anothers_tag("payroll", theirs)) == (False, True)
        assert (ring.is_anothers_end_user("bob", mine), ring.is_anothers_end_user("bob", theirs)) == (False, True)
        ring.mirror.apply(await administration.revoke_key(store, record.id))
        assert not ring.is_anothers_tag("payroll", theirs)
        assert not ring.is_anothers_end_user("bob", theirs)

    asyncio.run(run())


def test_a_revoked_key_is_not_changed_back():
    async def run():
        store = Shaky()
        who, _ = callers(store)
        record, _ = await key_of(who)
        await administration.revoke_key(store, record.id)
        with pytest.raises(InvalidValue, match="revoked"):
            await administration.change_key(store, record.id, made(KeyChange, {"tags": ["a"]}))

    asyncio.run(run())
