"""Equal requests at one time: one call, heard by all, for as long as anybody listens."""

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import GatewayError, InternalError, UpstreamError, UpstreamRejected, UpstreamTimeout
from gateway.exchange import Exchange
from gateway.routing.reuse.flights import AHEAD, Flights, Parted
from gateway.types import Cost, Delta, Opening, Usage


class Provider:
    """A provider whose answer comes piece by piece, as the test says."""

    def __init__(self) -> None:
        self.calls = self.cut = self.given = 0
        self._pieces: asyncio.Queue[str | BaseException | None] = asyncio.Queue()

    def say(self, *pieces: str | BaseException | None) -> None:
        for piece in pieces:
            self._pieces.put_nowait(piece)

    def make(self, exchange: Exchange):
        return lambda: self._answer(exchange)

    async def _answer(self, exchange: Exchange) -> AsyncGenerator[Delta, None]:
        self.calls += 1
        exchange.provider, exchange.deployment, exchange.served_model = "p", "d", "m"
        exchange.opening, exchange.dropped = Opening("id"), ("x",)
        exchange.confidential += ("own words",)
        try:
            while (piece := await self._pieces.get()) is not None:
                if isinstance(piece, BaseException):
                    raise piece
                yield Delta(0, piece)
                self.given += 1
        except (GeneratorExit, asyncio.CancelledError):
            self.cut += 1
            raise
        finally:
            exchange.usage = Usage(3, 4)
            exchange.cost = Cost(Decimal(1), "config")


class Client:
    """One request, and what it has been given."""

    def __init__(self, flights: Flights, provider: Provider, last: bool = False, timeout: float | None = None) -> None:
        self.exchange = Exchange("req", "POST", "/")
        self.exchange.timeout = timeout
        self.texts: list[str] = []
        self.error: BaseException | None = None
        self.paid: Decimal | None = None
        self._flights, self._provider, self._last = flights, provider, last
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        flight = self._flights.find("k")
        deltas = (
            self._flights.lead("k", self._provider.make(self.exchange), self.exchange)
            if flight is None
            else self._flights.follow(flight, self.exchange, self._last)
        )
        try:
            async with aclosing(deltas):
                async for delta in deltas:
                    self.texts.append(delta.text)
        except (GatewayError, Parted) as error:
            self.error = error
        finally:
            cost = self.exchange.cost
            self.paid = None if cost is None else cost.total  # as its record has it


async def turns(count: int = 8) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def scene(test):
    async def run():
        flights = Flights()
        await test(flights, Provider())
        assert repr(flights) == "<Flights 0 under way>"

    asyncio.run(run())


def test_one_call_is_made_and_all_hear_it_from_its_beginning():
    async def test(flights, provider):
        one = Client(flights, provider)
        await turns()
        provider.say("a", "b")
        await turns()
        other = Client(flights, provider)
        await turns()
        assert other.texts == ["a", "b"]
        provider.say("c", None)
        await asyncio.gather(one.task, other.task)
        assert one.texts == other.texts == ["a", "b", "c"]
        assert provider.calls == 1

    scene(test)


def test_the_first_one_pays_and_the_others_know_who_served_them():
    async def test(flights, provider):
        one = Client(flights, provider)
        await turns()
        other = Client(flights, provider)
        await turns()
        provider.say("a", None)
        await asyncio.gather(one.task, other.task)
        assert one.exchange.cost == Cost(Decimal(1), "config")
        found = other.exchange
        assert found.cost == Cost(Decimal(0), "coalesced", None, Decimal(0), Decimal(0))
        assert (found.usage, found.provider, found.deployment, found.served_model) == (Usage(3, 4), "p", "d", "m")
        assert (found.opening, found.dropped, found.confidential) == (Opening("id"), ("x",), ("own words",))
        assert (found.attempts, found.calls) == (0, [])

    scene(test)


def test_the_first_one_leaving_keeps_nobody_from_the_rest():
    async def test(flights, provider):
        one = Client(flights, provider)
        await turns()
        other = Client(flights, provider)
        provider.say("a")
        await turns()
        one.task.cancel()
        await turns()
        assert not one.task.done()  # it stays until its call is paid for
        provider.say("b", None)
        await asyncio.wait((one.task, other.task))
        assert other.texts == ["a", "b"]
        assert one.task.cancelled()
        assert (provider.cut, one.exchange.cost) == (0, Cost(Decimal(1), "config"))

    scene(test)


def test_the_last_one_out_ends_the_call():
    async def test(flights, provider):
        clients = []
        for _ in range(3):
            clients.append(Client(flights, provider))
            await turns()
        provider.say("a")
        await turns()
        for client in clients:
            assert provider.cut == 0
            client.task.cancel()
            await turns()
        await asyncio.wait([client.task for client in clients])
        assert provider.cut == 1
        assert clients[0].exchange.usage == Usage(3, 4)

    scene(test)


def test_a_second_call_begins_when_the_first_is_over():
    async def test(flights, provider):
        provider.say("a", None, "b", None)
        one = Client(flights, provider)
        await one.task
        other = Client(flights, provider)
        await other.task
        assert (one.texts, other.texts, provider.calls) == (["a"], ["b"], 2)

    scene(test)


def test_one_that_listens_inherits_a_call_whose_own_request_may_not_stay():
    async def test(flights, provider):
        clients = []
        for _ in range(3):
            clients.append(Client(flights, provider))
            await turns()
        one, other, third = clients
        provider.say("a")
        one.task.cancel()
        await turns()
        one.task.cancel()  # as a server does that closes
        await asyncio.wait((one.task,))
        assert one.paid is None
        provider.say("b", None)
        await asyncio.gather(other.task, third.task)
        assert (other.texts, third.texts, provider.cut) == (["a", "b"], ["a", "b"], 0)
        assert sorted([other.paid, third.paid]) == [0, 1]

    scene(test)


def test_the_last_of_those_who_inherit_a_call_pays_for_what_it_ends():
    async def test(flights, provider):
        one = Client(flights, provider)
        await turns()
        other = Client(flights, provider)
        await turns()
        one.task.cancel()
        await turns()
        one.task.cancel()
        await turns()
        other.task.cancel()
        await asyncio.wait((one.task, other.task))
        assert (provider.cut, one.paid, other.paid) == (1, None, 1)

    scene(test)


@pytest.mark.parametrize(
    ("error", "shared"),
    [
        (UpstreamRejected("No.", param="prompt", status=400, code="x"), True),
        (UpstreamError("Broken."), False),
        (UpstreamTimeout("Slow."), False),
        (ZeroDivisionError(), False),
    ],
)
def test_a_failure_is_shared_where_another_call_would_fail_the_same(error, shared):
    async def test(flights, provider):
        one = Client(flights, provider)
        await turns()
        other = Client(flights, provider)
        final = Client(flights, provider, last=True)
        await turns()
        provider.say(error)
        await asyncio.gather(one.task, other.task, final.task, return_exceptions=True)
        assert isinstance(other.error, type(error) if shared else Parted)
        expected = type(error) if isinstance(error, GatewayError) else InternalError
        assert type(final.error) is expected
        if shared:
            assert other.error is not error  # each is told in its own way
            assert (other.error.body(), other.error.status) == (error.body(), error.status)

    scene(test)


def test_a_failure_after_the_first_text_is_everybodys():
    async def test(flights, provider):
        one = Client(flights, provider)
        await turns()
        other = Client(flights, provider)
        await turns()
        provider.say("a", UpstreamError("Broken."))
        await asyncio.gather(one.task, other.task)
        assert [client.texts for client in (one, other)] == [["a"], ["a"]]
        assert [type(client.error) for client in (one, other)] == [UpstreamError, UpstreamError]

    scene(test)


def test_a_listener_waits_no_longer_than_its_client():
    async def test(flights, provider):
        one = Client(flights, provider)
        await turns()
        other = Client(flights, provider, timeout=0.001)
        await asyncio.wait((other.task,))
        assert isinstance(other.error, UpstreamTimeout)
        assert other.error.which == "total"
        provider.say("a", None)
        await one.task
        assert (one.texts, provider.cut) == (["a"], 0)

    scene(test)


def test_nobody_takes_the_answer_and_the_call_waits():
    async def test(flights, provider):
        exchange = Exchange("req", "POST", "/")
        deltas = flights.lead("k", provider.make(exchange), exchange)
        provider.say(*("x" * 200), None)
        await anext(deltas)
        await turns(1000)
        assert provider.given == AHEAD  # the one after these is at hand, and waits for its reader
        rest = [delta async for delta in deltas]
        assert len(rest) == 199

    scene(test)


def test_who_waits_for_another_waits_for_a_provider():
    async def test(flights, provider):
        Client(flights, provider)
        await turns()
        other = Client(flights, provider)
        await turns()
        assert other.exchange._waiting == 1
        provider.say("a", None)
        await other.task
        assert other.exchange._waiting == 0

    scene(test)


@settings(max_examples=100)
@given(st.integers(0, 2**32))
def test_whoever_stays_hears_everything_and_no_call_outlives_its_listeners(seed):
    rng = random.Random(seed)  # noqa: S311
    text = [str(number) for number in range(10)]

    class Many(Provider):
        """Each call says the whole text, in its own time."""

        running = 0

        async def _answer(self, exchange: Exchange) -> AsyncGenerator[Delta, None]:
            self.calls += 1
            self.running += 1
            try:
                for piece in text:
                    await turns(rng.randrange(5))
                    yield Delta(0, piece)
            finally:
                self.running -= 1
                exchange.usage, exchange.cost = Usage(3, 4), Cost(Decimal(1), "config")

    async def test(flights, _):
        provider = Many()
        clients: list[Client] = []
        for _ in range(15):
            clients.append(Client(flights, provider))
            await turns(rng.randrange(6))
            if rng.random() < 0.5:
                rng.choice(clients).task.cancel()
            if provider.running > 1:
                await turns(3)  # one that nobody hears any more may be on its way out
                assert provider.running == 1
        await asyncio.wait([client.task for client in clients])
        assert provider.running == 0
        assert 1 <= provider.calls <= len(clients)
        assert sum(client.paid for client in clients if client.paid) == provider.calls
        for client in clients:
            assert client.error is None
            assert client.texts == text or client.task.cancelled()

    scene(test)
