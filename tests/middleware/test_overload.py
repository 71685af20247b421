"""So many completions at one time; the others wait, each tenant in turn, and not for ever."""

import asyncio

import pytest

from gateway.middleware.overload import OverloadMiddleware
from tests.routing.held_provider import MASTER, entry, turns, world


def test_no_more_than_the_bound_reach_the_provider(tmp_path):
    async def run():
        async with world(tmp_path, protection={"max_concurrent": 2}) as it:
            it.provider.hold = True
            asked = [it.ask() for _ in range(6)]
            await it.provider.arrived(2)
            await turns()
            assert len(it.provider.asked) == 2
            assert (await it.ready())["protection"] == "2 of 2 under way, 4 wait"
            assert it.gateway.protection.depths() == {("completions",): 4.0}
            it.provider.let_go(6)
            replies = await asyncio.gather(*asked)
            assert [reply.status for reply in replies] == [200] * 6
            assert it.provider.most == 2
            assert (await it.ready())["protection"] == "0 of 2 under way, 0 wait"

    asyncio.run(run())


def test_a_full_line_is_a_503_that_says_when_to_come_again(tmp_path):
    async def run():
        async with world(tmp_path, protection={"max_concurrent": 1, "max_queue": 1}) as it:
            it.provider.hold = True
            first, second = it.ask(), it.ask()
            await it.provider.arrived(1)
            await turns()
            reply = await it.ask()
            assert (reply.status, reply.error["type"], reply.error["code"]) == (
                503,
                "service_unavailable",
                "overloaded",
            )
            assert int(reply.headers["retry-after"]) >= 1
            it.provider.let_go(2)
            assert [(await one).status for one in (first, second)] == [200, 200]

    asyncio.run(run())


def test_a_wait_that_takes_too_long_is_a_503(tmp_path):
    async def run():
        async with world(tmp_path, protection={"max_concurrent": 1, "queue_timeout": 0.001}) as it:
            it.provider.hold = True
            it.ask()
            await it.provider.arrived(1)
            reply = await it.ask()
            assert (reply.status, reply.error["code"]) == (503, "overloaded")
            assert len(it.provider.asked) == 1

    asyncio.run(run())


def test_a_client_whose_own_time_is_over_while_it_waits_is_told_so(tmp_path):
    async def run():
        async with world(tmp_path, protection={"max_concurrent": 1}) as it:
            it.provider.hold = True
            it.ask()
            await it.provider.arrived(1)
            reply = await it.ask(headers={"x-gateway-timeout": "0.001"})
            assert (reply.status, reply.error["type"]) == (504, "timeout_error")
            assert "turn" in reply.error["message"]
            assert len(it.provider.asked) == 1

    asyncio.run(run())


def test_a_client_that_leaves_while_it_waits_is_out_of_the_line_at_once(tmp_path):
    async def run():
        async with world(tmp_path, protection={"max_concurrent": 1}) as it:
            it.provider.hold = True
            first = it.ask()
            await it.provider.arrived(1)
            leaving = asyncio.create_task(it.opened())
            await turns()
            assert it.gateway.protection.gates.completions.waiting == 1
            leaving.cancel()
            await asyncio.wait((leaving,))
            assert it.gateway.protection.gates.completions.waiting == 0
            it.provider.let_go()
            assert (await first).status == 200
            assert len(it.provider.asked) == 1

    asyncio.run(run())


def test_a_burst_of_one_key_starves_no_other(tmp_path):
    async def run():
        settings = {"master_key": MASTER}
        async with world(tmp_path, general_settings=settings, protection={"max_concurrent": 1}) as it:
            greedy, modest = await it.new_key("greedy"), await it.new_key("modest")
            it.provider.hold = True
            burst = [it.ask(greedy, prompt=f"g{number}") for number in range(8)]
            await it.provider.arrived(1)
            await turns(200)
            one = it.ask(modest, prompt="mine")
            await turns(200)
            it.provider.let_go(9)
            await asyncio.gather(one, *burst)
            assert [asked["prompt"] for asked in it.provider.asked].index("mine") == 2

    asyncio.run(run())


def test_a_stream_holds_its_place_to_its_last_byte(tmp_path):
    async def run():
        async with world(tmp_path, protection={"max_concurrent": 1}) as it:
            it.provider.hold = True
            it.provider.let_go(1)
            stream = await it.opened(stream=True)
            second = it.ask()
            await turns()
            assert len(it.provider.asked) == 1
            it.provider.let_go(3)
            assert (await stream.read()).endswith(b"[DONE]\n\n")
            assert (await second).status == 200

    asyncio.run(run())


def test_what_is_no_completion_needs_no_place(tmp_path):
    async def run():
        async with world(tmp_path, protection={"max_concurrent": 1}) as it:
            it.provider.hold = True
            it.ask()
            await it.provider.arrived(1)
            assert (await it.ready())["status"] == "ready"

    asyncio.run(run())


def test_a_reload_changes_the_bound_and_counts_those_inside(tmp_path):
    from gateway.config.load import from_mapping

    async def run():
        async with world(tmp_path, protection={"max_concurrent": 1}) as it:
            it.provider.hold = True
            asked = [it.ask() for _ in range(3)]
            await it.provider.arrived(1)
            database = it.gateway.database_url
            wider = {"model_list": [entry()], "policies": [], "general_settings": {"database_url": database}}
            found = from_mapping({**wider, "protection": {"max_concurrent": 2}})
            it.gateway.use(found.settings, found.source)
            await it.provider.arrived(2)
            await turns()
            assert len(it.provider.asked) == 2
            it.provider.let_go(3)
            await asyncio.gather(*asked)
            assert it.gateway.protection.gates.completions.running == 0

    asyncio.run(run())


class Door:
    most = None

    def slot(self, tenant, left):
        raise AssertionError("nobody is to be asked")


@pytest.mark.parametrize("door", [None, Door()])
@pytest.mark.parametrize("kind", ["http", "lifespan", "websocket"])
def test_without_a_bound_the_step_does_nothing(door, kind):
    passed = []

    async def app(scope, receive, send):
        passed.append(scope)

    scope = {"type": kind}
    asyncio.run(OverloadMiddleware(app, door)(scope, None, None))
    assert passed == [scope]
