"""Probes: deployments are found ill, and well again, without a client, against a server that fails as it is told to."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import pytest

from gateway.config.load import from_mapping
from gateway.errors import UpstreamError
from gateway.exchange import Exchange, new_id
from gateway.ledger.remote import Remote
from gateway.routing.board import Book
from gateway.routing.call import Caller
from gateway.routing.deployments import Bound, Catalogue
from gateway.routing.engines.pooled.pool import PooledUpstream
from gateway.routing.health import Breaker
from gateway.routing.probing import LOOK, Probing
from gateway.routing.router import Router
from gateway.telemetry import logs
from gateway.types import CompletionRequest
from gateway.wire import json
from tests.faults.faults import FAULTS, WELL, Fault, limited, stall_at
from tests.faults.gateway import asking, deployment
from tests.faults.plans import always
from tests.faults.upstream import Upstream, serving
from tests.ledger import redis
from tests.routing.routes import Clock

INTERVAL = 60.0
HANGS = stall_at(0)


class Probed:
    """One process that probes deployments, with a clock that the test moves; `told` is what it says of them."""

    def __init__(self, engine: PooledUpstream, clock: Clock, remote: Remote | None = None) -> None:
        self.engine, self.clock = engine, clock
        self.told: list[tuple[str, Mapping[str, Any]]] = []
        self.book = Book(self._tell)
        self.probing = Probing(self._tell, remote, clock=clock, rng=Random(1))  # noqa: S311 - the same each time

    def _tell(self, event: str, attributes: Mapping[str, Any]) -> None:
        self.told.append((event, attributes))

    def use(self, entries: list[Any], seconds: float | None = INTERVAL, **router: Any) -> "Probed":
        found = from_mapping({"model_list": entries, "policies": [], "router_settings": router})
        catalogue = Catalogue(found.settings, found.source)
        self.caller = Caller(Router(catalogue, found.settings, self.book, clock=self.clock), self.engine)
        self.probing.use(self.caller, seconds)
        return self

    @property
    def events(self) -> list[str]:
        return [event for event, _ in self.told]

    def breaker(self, name: str = "upstream") -> Breaker:
        return self.book.loads[name].breaker

    def bound(self, alias: str = "it") -> Bound:
        return self.caller.router.board.groups[alias].entries[0].bound

    async def look(self, later: float = 0.0) -> None:
        """Look after so many seconds, and let the probes that begin come to their end."""
        self.clock.now += later
        self.probing.look()
        await asyncio.gather(*self.probing.under_way.values())

    async def ask(self) -> None:
        """A client's completion."""
        asked = CompletionRequest("it", ("p",), max_tokens=2)
        async for _ in self.caller.begin(asked, Exchange(new_id("req_"), "POST", "")).deltas():
            pass


@asynccontextmanager
async def probed(
    upstream: Upstream, seconds: float | None = INTERVAL, params: Mapping[str, Any] | None = None, **router: Any
) -> AsyncIterator[Probed]:
    engine = PooledUpstream()
    made = Probed(engine, Clock()).use([deployment(upstream, **(params or {}))], seconds, **router)
    made.probing.look()  # sees them for the first time
    try:
        yield made
    finally:
        await made.probing.close()
        assert "0 in flight" in repr(engine)
        await engine.close()


def entries(upstream: Upstream, count: int) -> list[Any]:
    """So many deployments of one server."""
    made = [deployment(upstream, f"m{number}") for number in range(count)]
    return [{**entry, "model_info": {"id": f"d{number}"}} for number, entry in enumerate(made)]


@pytest.mark.parametrize("fault", ["server_error", "reset_at_0", "garbled", "empty_body", "gateway_timeout"])
def test_a_deployment_that_fails_is_opened_by_probes_without_a_client(fault):
    async def go() -> None:
        async with serving(always(FAULTS[fault])) as upstream, probed(upstream) as made:
            await made.look(INTERVAL)
            assert made.breaker().health == "closed"
            for _ in range(3):
                await made.look(1.0)
            assert made.breaker().health == "open"
            assert made.events == ["deployment_probed"] * 3 + ["deployment_opened", "deployment_probed"]
            before = len(upstream.asked)
            assert before >= 4
            await made.look(1.0)
            assert len(upstream.asked) == before  # it rests

    asyncio.run(go())


def test_one_that_is_back_is_closed_by_a_probe_as_soon_as_it_has_rested():
    async def go() -> None:
        async with serving(always(FAULTS["server_error"])) as upstream, probed(upstream) as made:
            for later in (INTERVAL, 1.0, 1.0, 1.0):
                await made.look(later)
            breaker = made.breaker()
            made.clock.now = breaker.until
            await made.look()
            assert (breaker.health, breaker.cause) == ("open", "the probe failed: HTTP 500")
            assert breaker.until - made.clock.now == 10.0
            upstream.plan = always()
            made.clock.now = breaker.until
            made.probing.look()
            assert not breaker.probes(made.clock.now)  # no client is the one to find out
            await made.look()
            assert breaker.health == "closed"
            assert made.events[-2:] == ["deployment_closed", "deployment_probed"]

    asyncio.run(go())


def test_it_is_probed_after_a_client_found_it_ill():
    async def go() -> None:
        async with serving(always(FAULTS["unauthorized"])) as upstream, probed(upstream) as made:
            with pytest.raises(UpstreamError):
                await made.ask()
            assert made.breaker().permanent
            upstream.plan = always()
            await made.look(4.9)
            assert made.breaker().health == "open"
            await made.look(0.2)
            assert made.breaker().health == "closed"

    asyncio.run(go())


def test_a_probe_is_one_token_and_what_it_costs_is_told():
    async def go() -> None:
        async with serving() as upstream, probed(upstream) as made:
            await made.look(INTERVAL)
            (asked,) = upstream.asked
            assert (asked.state, asked.body["max_tokens"], asked.body.get("stream")) == ("answered", 1, None)
            ((event, said),) = made.told
            assert (event, said["deployment"], said["outcome"]) == ("deployment_probed", "upstream", "well")
            assert said["gen_ai.usage.input_tokens"] == upstream.counts.prompt_tokens
            assert said["gen_ai.usage.output_tokens"] == 1
            assert said["gen_ai.usage.cost"] == pytest.approx(float(upstream.counts.cost))

    asyncio.run(go())


def test_what_clients_call_is_not_probed_and_what_they_leave_is_after_the_interval():
    async def go() -> None:
        async with serving() as upstream, probed(upstream) as made:
            for _ in range(5):
                await made.ask()
                await made.look(INTERVAL - 1)
            assert len(upstream.asked) == 5
            await made.look(1.1)
            await made.look(1.0)
            assert [asked.body["max_tokens"] for asked in upstream.asked] == [2, 2, 2, 2, 2, 1]
            await made.look(INTERVAL - 2)
            assert len(upstream.asked) == 6
            await made.look(INTERVAL * 0.1 + 2)
            assert len(upstream.asked) == 7  # a probe is no traffic

    asyncio.run(go())


def test_a_call_under_way_is_traffic_however_long_it_takes():
    async def go() -> None:
        async with serving() as upstream, probed(upstream) as made:
            ticket = made.caller.router.begin(made.bound())
            for _ in range(3):
                await made.look(INTERVAL * 2)
            assert not upstream.asked
            made.caller.router.end(ticket, error=None, first_byte=0.1, tokens=1, cancelled=False)

    asyncio.run(go())


@pytest.mark.parametrize(("seconds", "router"), [(None, {}), (INTERVAL, {"cooldown_time": 0})])
def test_nothing_is_probed_without_the_setting_or_where_nothing_ever_rests(seconds, router):
    async def go() -> None:
        async with serving(always(FAULTS["server_error"])) as upstream, probed(upstream, seconds, **router) as made:
            for _ in range(5):
                await made.look(INTERVAL * 2)
            assert not upstream.asked

    asyncio.run(go())


def test_the_setting_is_off_when_it_is_left_out():
    assert from_mapping({"policies": []}).settings.router.health_check_interval is None
    found = from_mapping({"policies": [], "router_settings": {"health_check_interval": 300}})
    assert (found.settings.router.health_check_interval, found.settings.warnings) == (300, ())


@pytest.mark.parametrize("fault", ["bad_request", "unprocessable"])
def test_one_that_refuses_the_probe_itself_is_well_and_is_not_asked_again_at_once(fault):
    async def go() -> None:
        async with serving(always(FAULTS[fault])) as upstream, probed(upstream) as made:
            for later in (INTERVAL, 1.0, 1.0, 1.0, 1.0, 1.0):
                await made.look(later)
            assert len(upstream.asked) == 1
            assert made.breaker().health == "closed"

    asyncio.run(go())


def test_one_that_asks_to_be_left_alone_is():
    async def go() -> None:
        async with serving(always(limited(30.0))) as upstream, probed(upstream) as made:
            await made.look(INTERVAL)
            for _ in range(5):
                await made.look(5.9)
            assert len(upstream.asked) == 1
            await made.look(1.0)
            assert len(upstream.asked) == 2

    asyncio.run(go())


def test_silence_is_a_failure():
    async def go() -> None:
        async with serving(always(HANGS)) as upstream, probed(upstream, params={"timeout": 0.05}) as made:
            for later in (INTERVAL, 1.0, 1.0, 1.0):
                await made.look(later)
            assert made.breaker().health == "open"
            assert made.breaker().cause.startswith("4 failures in a row, the last: ")
            assert made.breaker().cause.endswith(" timeout")

    asyncio.run(go())


def test_a_deployment_at_its_bounds_is_not_probed():
    async def go() -> None:
        async with serving() as upstream, probed(upstream, params={"rpm": 1}) as made:
            made.book.loads["upstream"].requests.add(made.clock.now + INTERVAL, 1)
            await made.look(INTERVAL)
            assert not upstream.asked
            await made.look(INTERVAL * 2)
            assert len(upstream.asked) == 1

    asyncio.run(go())


def test_a_server_that_hangs_stops_no_other_and_is_asked_once_at_a_time():
    async def go() -> None:
        async with AsyncExitStack() as stack:
            ill = await stack.enter_async_context(serving(always(HANGS), name="ill"))
            well = await stack.enter_async_context(serving())
            made = await stack.enter_async_context(probed(ill))
            made.use([deployment(ill), *entries(well, 6)])
            made.probing.look()
            made.clock.now += INTERVAL
            while len(well.asked) < 6:
                made.probing.look()
                assert len(made.probing.under_way) <= 4
                others = [task for name, task in made.probing.under_way.items() if name != "ill"]
                await asyncio.gather(*others)
            assert {
                name for event, said in made.told if event == "deployment_probed" for name in [said["deployment"]]
            } == {f"d{number}" for number in range(6)}
            made.clock.now += INTERVAL * 2
            made.probing.look()
            assert set(made.probing.under_way) >= {"ill"}
            await asyncio.gather(*(task for name, task in made.probing.under_way.items() if name != "ill"))
            assert len(ill.asked) == 1

    asyncio.run(go())


def test_at_most_four_are_asked_at_one_time():
    async def go() -> None:
        async with serving(always(HANGS)) as upstream, probed(upstream) as made:
            made.use(entries(upstream, 9))
            made.probing.look()
            made.clock.now += INTERVAL
            for _ in range(3):
                made.probing.look()
            assert len(made.probing.under_way) == 4
            assert repr(made.probing) == "<Probing 9 deployments every 60 s, 4 under way>"

    asyncio.run(go())


def test_those_that_rest_are_asked_before_those_that_are_idle():
    async def go() -> None:
        async with serving() as upstream, probed(upstream) as made:
            made.use(entries(upstream, 6))
            made.probing.look()
            bounds = [made.bound(f"m{number}") for number in (4, 5)]
            for bound in bounds:
                made.breaker(bound.id).rest(made.clock.now, made.breaker(bound.id).epoch, 5.0, "HTTP 429")
            made.clock.now += INTERVAL
            made.probing.look()
            assert list(made.probing.under_way)[:2] == ["d4", "d5"]
            await asyncio.gather(*made.probing.under_way.values())
            assert {made.breaker(bound.id).health for bound in bounds} == {"closed"}

    asyncio.run(go())


def test_closing_ends_the_task_and_the_probes_under_way_which_tell_nothing():
    async def go() -> None:
        heard = asyncio.Event()

        def plan(number: int) -> Fault:
            heard.set()
            return HANGS

        async with serving(plan) as upstream, probed(upstream) as made:
            made.clock.now += INTERVAL
            made.probing.start()
            await heard.wait()
            await made.probing.close()
            await upstream.idle.wait()  # the provider has seen that nobody waits any more
            assert not made.probing.under_way
            assert len(upstream.asked) == 1
            assert made.book.loads["upstream"].in_flight == 0
            assert (made.breaker().health, made.told) == ("closed", [])
            assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(go())


def test_a_half_open_deployment_whose_probe_was_ended_may_be_probed_again():
    async def go() -> None:
        async with serving(always(HANGS)) as upstream, probed(upstream) as made:
            breaker = made.breaker()
            breaker.rest(made.clock.now, breaker.epoch, 5.0, "HTTP 429")
            made.clock.now += 5
            made.probing.look()
            (task,) = made.probing.under_way.values()
            await asyncio.sleep(0)  # the task begins, and with it the call
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert breaker.probes(made.clock.now)

    asyncio.run(go())


def test_another_configuration_is_probed_by_its_own_interval():
    async def go() -> None:
        async with serving() as upstream, serving(name="other") as other, probed(upstream) as made:
            made.use([deployment(other)], 5.0)
            await made.look()
            await made.look(5.0)
            assert (len(upstream.asked), len(other.asked)) == (0, 1)
            made.use([deployment(other)], None)
            await made.look(INTERVAL)
            assert len(other.asked) == 1
            assert (made.probing.look(), repr(made.probing)) == (LOOK, "<Probing off>")

    asyncio.run(go())


def test_it_is_looked_again_when_the_next_one_is_due():
    async def go() -> None:
        async with serving() as upstream, probed(upstream) as made:
            breaker = made.breaker()
            breaker.rest(made.clock.now, breaker.epoch, 0.25, "HTTP 429")
            assert made.probing.look() == pytest.approx(0.25)
            breaker.forget()
            assert made.probing.look() == LOOK

    asyncio.run(go())


def test_a_gateway_probes_beside_requests_until_it_is_closed(tmp_path: Path):
    async def go() -> BytesIO:
        heard = asyncio.Event()

        def plan(number: int) -> Fault:
            if number == 1:
                heard.set()
            return WELL

        async with (
            serving(plan) as upstream,
            asking(tmp_path, [deployment(upstream)], {"health_check_interval": 0.01}) as made,
        ):
            made.gateway.dispatching.start()
            await heard.wait()
            await made.gateway.dispatching.close()
            return made.log

    lines = [json.loads(line) for line in asyncio.run(go()).getvalue().splitlines()]
    found = [line for line in lines if line["event"] == "deployment_probed"]
    assert found
    assert {(line["deployment"], line["outcome"], line["gen_ai.usage.output_tokens"]) for line in found} == {
        ("upstream", "well", 1)
    }
    assert not [line for line in lines if line["event"] == "request"]


@pytest.mark.skipif(redis.missing() is not None, reason=redis.missing() or "")
def test_of_the_processes_that_share_a_redis_one_probes_what_is_idle():
    async def go(url: str) -> None:
        async with serving() as upstream:
            engine, clock = PooledUpstream(), Clock()
            remotes = [Remote(url, logs.make("library"), connect=30.0, answer=30.0) for _ in range(2)]
            one, other = (Probed(engine, clock, remote).use([deployment(upstream)]) for remote in remotes)
            for made in (one, other):
                made.probing.look()

            async def probes() -> tuple[int, int]:
                clock.now += INTERVAL * 1.11
                await one.look()
                await other.look()
                counts = one.events.count("deployment_probed"), other.events.count("deployment_probed")
                one.told.clear()
                other.told.clear()
                return counts

            assert await probes() == (1, 0)
            assert await probes() == (1, 0)
            clock.now += INTERVAL * 0.9
            await other.ask()
            assert await probes() == (1, 0)
            for _ in range(3):
                clock.now += INTERVAL * 0.8
                await other.ask()
                clock.now += INTERVAL * 0.3
                await other.look()  # its clients call it: from now on it is for this one to probe
            assert await probes() == (0, 1)
            for made, remote in zip((one, other), remotes, strict=True):
                await made.probing.close()
                await remote.close()
            await engine.close()

    with redis.server() as server:
        asyncio.run(go(server.url))


def test_while_redis_is_away_each_probes_for_itself():
    async def go() -> None:
        async with serving() as upstream:
            engine, clock = PooledUpstream(), Clock()
            remote = Remote("redis://127.0.0.1:1", logs.make("library"))
            made = [Probed(engine, clock, remote).use([deployment(upstream)]) for _ in range(2)]
            for process in made:
                process.probing.look()
            clock.now += INTERVAL
            for process in made:
                await process.look()
            assert [process.events for process in made] == [["deployment_probed"]] * 2
            await remote.close()
            await engine.close()

    asyncio.run(go())
