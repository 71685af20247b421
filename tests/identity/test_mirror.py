"""A copy of what a store keeps: how old it may be, who waits for it, and what happens when the store is away."""

import asyncio

import pytest

from gateway.errors import Unavailable
from gateway.identity.mirror import GRACE_SECONDS, RENEW_SECONDS, STALE_SECONDS, Mirror
from gateway.principal import KeyRecord
from tests.identity.kit import Clock, Shaky

RECORD = KeyRecord("key_1", "a", b"d" * 32, "h", 1, 1)


class Copy:
    """A mirror with its store, its clock, and what it has taken."""

    def __init__(self) -> None:
        self.store, self.clock = Shaky(), Clock()
        self.records: dict[str, KeyRecord] = {}
        self.mirror = Mirror("key store", self.store.changed_since, self.take, self.clock)

    def take(self, records, anew):
        if anew:
            self.records.clear()
        self.records |= {record.id: record for record in records}

    async def settled(self) -> None:
        """Let what goes on beside end."""
        if self.mirror._task is not None:
            await self.mirror._task


@pytest.fixture
def copy() -> Copy:
    return Copy()


def test_the_first_request_waits_for_the_store(copy):
    async def run():
        await copy.store.add(RECORD)
        await copy.mirror.fresh()
        assert list(copy.records) == ["key_1"]

    asyncio.run(run())


def test_a_young_copy_is_read_without_a_question(copy):
    async def run():
        await copy.mirror.fresh()
        for _ in range(100):
            copy.clock.now += RENEW_SECONDS / 100
            await copy.mirror.fresh()
        assert copy.store.asked == 1

    asyncio.run(run())


def test_a_copy_a_second_old_is_renewed_beside_the_request(copy):
    async def run():
        await copy.mirror.fresh()
        await copy.store.add(RECORD)
        copy.clock.now += RENEW_SECONDS + 0.1
        await copy.mirror.fresh()
        assert copy.records == {}
        await copy.settled()
        assert list(copy.records) == ["key_1"]

    asyncio.run(run())


def test_a_copy_two_seconds_old_is_waited_for(copy):
    async def run():
        await copy.mirror.fresh()
        await copy.store.add(RECORD)
        copy.clock.now += STALE_SECONDS + 0.1
        await copy.mirror.fresh()
        assert list(copy.records) == ["key_1"]

    asyncio.run(run())


def test_many_requests_share_one_question(copy):
    async def run():
        await asyncio.gather(*(copy.mirror.fresh() for _ in range(50)))
        assert copy.store.asked == 1

    asyncio.run(run())


def test_a_request_that_leaves_does_not_take_the_others_answer_along(copy):
    async def run():
        copy.store.gate = asyncio.Event()
        leaving, staying = asyncio.create_task(copy.mirror.fresh()), asyncio.create_task(copy.mirror.fresh())
        await asyncio.sleep(0)
        leaving.cancel()
        await copy.store.add(RECORD)
        copy.store.gate.set()
        await staying
        assert leaving.cancelled()

    asyncio.run(run())


def test_a_look_waits_for_an_answer_to_a_later_question(copy):
    async def run():
        copy.store.gate = asyncio.Event()
        early = asyncio.create_task(copy.mirror.fresh())
        await copy.store.entered.wait()
        await copy.store.add(RECORD)  # the question under way no longer sees it
        copy.clock.now += 1
        late = asyncio.create_task(copy.mirror.look())
        await asyncio.sleep(0)
        copy.store.gate.set()
        await asyncio.gather(early, late)
        assert (list(copy.records), copy.store.asked) == (["key_1"], 2)

    asyncio.run(run())


def test_when_the_store_goes_away_its_copy_serves_for_a_minute_and_no_longer(copy):
    async def run():
        await copy.store.add(RECORD)
        await copy.mirror.fresh()
        copy.store.down = True
        for _ in range(int(GRACE_SECONDS)):
            copy.clock.now += 1
            await copy.mirror.fresh()
            await copy.settled()
        assert copy.mirror.state == (True, "the key store cannot be reached: what was known of it serves on")
        copy.clock.now += 1
        with pytest.raises(Unavailable) as refused:
            await copy.mirror.fresh()
        assert (refused.value.status, refused.value.code) == (503, "keys_unavailable")
        assert copy.mirror.state == (False, "the key store cannot be reached")

    asyncio.run(run())


def test_a_store_that_is_away_is_asked_once_a_second_however_many_ask(copy):
    async def run():
        copy.store.down = True
        for _ in range(100):
            for question in (copy.mirror.fresh, copy.mirror.look):
                with pytest.raises(Unavailable):
                    await question()
        assert copy.store.asked == 1

    asyncio.run(run())


def test_a_store_that_comes_back_is_believed_again(copy):
    async def run():
        copy.store.down = True
        with pytest.raises(Unavailable):
            await copy.mirror.fresh()
        copy.store.down = False
        await copy.store.add(RECORD)
        copy.clock.now += RENEW_SECONDS + 0.1
        with pytest.raises(Unavailable):
            await copy.mirror.fresh()  # asks beside the request, which is not made to wait for a store that failed
        await copy.settled()
        await copy.mirror.fresh()
        assert (list(copy.records), copy.mirror.state) == (["key_1"], (True, "ok"))

    asyncio.run(run())


def test_a_store_that_was_set_back_is_read_anew(copy):
    async def run():
        await copy.store.add(RECORD)
        await copy.store.revoke("key_1", 5)
        await copy.mirror.fresh()
        copy.store._records, copy.store._revision = {}, 0  # a backup from before
        copy.clock.now += STALE_SECONDS + 0.1
        await copy.mirror.fresh()
        assert copy.records == {}

    asyncio.run(run())


def test_another_event_loop_can_use_it(copy):
    asyncio.run(copy.mirror.fresh())
    copy.clock.now += STALE_SECONDS + 0.1
    asyncio.run(copy.mirror.fresh())
    assert copy.store.asked == 2
    copy.mirror.close()


def test_its_repr_tells_an_operator_how_it_is(copy):
    asyncio.run(copy.mirror.fresh())
    copy.clock.now += 1.5
    assert repr(copy.mirror) == "<Mirror key store revision=0 age=1.5s>"
