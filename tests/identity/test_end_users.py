"""Whom requests are for: blocked and unblocked, by name or by a pseudonym that outlives a change of secret."""

import asyncio
from dataclasses import replace

import pytest

from gateway.config.load import from_mapping
from gateway.errors import PermissionDenied
from gateway.identity import administration
from gateway.identity.end_users import naming
from gateway.identity.requests import EndUserChange
from gateway.principal import MASTER_PRINCIPAL, Principal
from tests.identity.kit import MASTER, callers
from tests.identity.memory import MemoryEndUsers


def named(general=None, **end_users):
    return naming(
        from_mapping({"general_settings": general or {"master_key": MASTER}, "end_users": end_users}).settings
    )


def blocked(record):
    return replace(record, blocked=True)


def test_names_are_kept_as_they_are_unless_that_is_not_wanted():
    assert named().kept("bob") == "bob"
    assert named().known("bob") == ("bob",)
    hidden = named(pseudonymize=True)
    assert hidden.kept("bob").startswith("eu-")
    assert "bob" not in hidden.kept("bob")
    assert hidden.known("bob") == (hidden.kept("bob"),)


def test_every_worker_and_every_start_makes_the_same_pseudonym():
    assert named(pseudonymize=True) == named(pseudonymize=True)
    other = named({"master_key": "another-master"}, pseudonymize=True)
    assert other.kept("bob") != named(pseudonymize=True).kept("bob")


def test_a_key_of_its_own_outlives_a_change_of_the_master_key():
    own = {"pseudonymize": True, "pseudonym_key": "a secret of its own"}
    assert named({"master_key": "another-master"}, **own) == named(**own)


def test_those_who_list_the_old_secret_still_know_whom_they_blocked():
    async def run():
        store = MemoryEndUsers()
        before = named(pseudonymize=True)
        await store.put(before.kept("bob"), blocked)
        who, _ = callers(end_users=store)
        changed = named({"master_key": "another-master"}, pseudonymize=True)
        assert await who.end_users.find("bob", changed) is None
        kept = named({"master_key": "another-master"}, pseudonymize=True, previous_pseudonym_keys=[MASTER])
        found = await who.end_users.find("bob", kept)
        assert found is not None
        assert found.blocked

    asyncio.run(run())


def test_an_operator_may_name_somebody_by_their_pseudonym_and_a_request_may_not():
    hidden = named(pseudonymize=True)
    pseudonym = hidden.kept("bob")
    assert hidden.given(pseudonym) == pseudonym == hidden.given("bob")
    assert hidden.kept(pseudonym) != pseudonym
    assert pseudonym not in hidden.known(pseudonym)


def test_without_any_secret_a_process_makes_up_its_own():
    hidden = named({}, pseudonymize=True)
    assert hidden.kept("bob").startswith("eu-")


@pytest.mark.parametrize("principal", [None, MASTER_PRINCIPAL, Principal("key", "k", "a")])
def test_a_blocked_end_user_is_refused_whoever_calls(principal):
    async def run():
        store = MemoryEndUsers()
        who, _ = callers(end_users=store)
        await who.check_end_user(principal, "bob")
        who.end_users.mirror.apply(await store.put("bob", blocked))
        with pytest.raises(PermissionDenied) as refused:
            await who.check_end_user(principal, "bob")
        assert (refused.value.status, refused.value.code) == (403, "end_user_blocked")
        assert "bob" not in refused.value.message
        await who.check_end_user(principal, "eve")
        who.end_users.mirror.apply(await store.put("bob", lambda record: replace(record, blocked=False)))
        await who.check_end_user(principal, "bob")

    asyncio.run(run())


def test_one_who_is_forgotten_is_no_longer_blocked():
    async def run():
        store = MemoryEndUsers()
        who, _ = callers(end_users=store)
        await store.put("bob", blocked)
        assert await who.end_users.find("bob", who.naming)
        await store.delete("bob")
        await who.end_users.mirror.look()
        assert await who.end_users.find("bob", who.naming) is None

    asyncio.run(run())


def test_what_is_laid_down_for_somebody_new_is_not_older_than_they_are():
    """The store notes when somebody came, a moment after it was decided what is laid down for them."""
    store = MemoryEndUsers()
    change = administration.change_end_user(store, "bob", EndUserChange(blocked=True), clock=lambda: 1.0)
    record = asyncio.run(change)
    assert record.created_at <= record.updated_at
