"""`max_parallel_requests`: calls at one time at a deployment, and where the others wait."""

import asyncio

import pytest

from gateway.errors import RateLimited
from gateway.routing.gates import Gates
from tests.routing import routes
from tests.routing.held_provider import entry, turns, world


def test_a_step_where_nobody_has_room_names_all_that_are_worth_waiting_for():
    bounds = [routes.entry("m", name, max_parallel_requests=most) for name, most in (("a", 1), ("b", 2), ("c", 1))]
    found = routes.World(*bounds, routes.entry("m", "spare", order=5, max_parallel_requests=1))
    tickets = [found.router.begin(found.route().first().bound) for _ in range(5)]
    assert {ticket.bound.id for ticket in tickets} == {"a", "b", "c", "spare"}
    step = found.route().first()
    assert {bound.id for bound in (step.bound, *step.instead)} == {"a", "b", "c"}  # of the lowest order
    assert (step.wait, step.why) == (0.0, "first")


def test_a_deployment_over_its_rate_is_not_worth_waiting_for():
    found = routes.World(routes.entry("m", "a", max_parallel_requests=1, rpm=1))
    found.router.begin(found.route().first().bound)
    with pytest.raises(RateLimited):
        found.route()


def test_calls_over_the_bound_wait_and_none_is_refused(tmp_path):
    async def run():
        async with world(tmp_path, model_list=[entry(id="d", max_parallel_requests=2)]) as it:
            it.provider.hold = True
            asked = [it.ask() for _ in range(6)]
            await it.provider.arrived(2)
            await turns()
            assert len(it.provider.asked) == 2
            assert it.gateway.protection.depths() == {("completions",): 0.0, ("calls:d",): 4.0}
            line = (await it.ready())["protection"]
            assert line == "no bound, 0 wait; 2 calls at deployments with a bound, 4 wait for one"
            it.provider.let_go(6)
            replies = await asyncio.gather(*asked)
            assert [reply.status for reply in replies] == [200] * 6
            assert it.provider.most == 2
            assert [gate.running for gate in it.gateway.protection.gates._calls.values()] == [0]

    asyncio.run(run())


def test_a_reload_forgets_the_gates_of_deployments_that_are_gone_and_nobody_is_at():
    gates = Gates()
    free, held, kept = (
        routes.World(routes.entry("m", name, max_parallel_requests=1)).route().first().bound for name in "abc"
    )
    places = [gates.enter_now(bound) for bound in (free, held, kept)]
    for place in (places[0], places[2]):
        assert place is not None
        place.leave()
    gates.prune({"c"})
    assert set(gates.depths()) == {("completions",), ("calls:b",), ("calls:c",)}


def test_a_deployment_with_room_is_called_before_anybody_waits_and_a_wait_is_for_whichever_is_free_first(tmp_path):
    async def run():
        models = [entry(id="a", max_parallel_requests=1), entry(id="b", max_parallel_requests=1)]
        async with world(tmp_path, model_list=models) as it:
            it.provider.hold = True
            first = [it.ask() for _ in range(2)]
            await it.provider.arrived(2)
            rest = [it.ask() for _ in range(2)]
            await turns()
            waiting = [gate.waiting for gate in it.gateway.protection.gates._calls.values()]
            assert waiting == [2, 2]  # each of both waits at both
            it.provider.let_go(4)
            replies = await asyncio.gather(*first, *rest)
            assert {reply.headers["x-gateway-deployment"] for reply in replies[:2]} == {"a", "b"}
            assert {reply.headers["x-gateway-deployment"] for reply in replies[2:]} == {"a", "b"}
            assert it.provider.most == 2

    asyncio.run(run())


def test_a_full_line_is_a_503_that_says_when_to_come_again(tmp_path):
    async def run():
        config = {"model_list": [entry(max_parallel_requests=1)], "protection": {"max_queue": 0}}
        async with world(tmp_path, **config) as it:
            it.provider.hold = True
            it.ask()
            await it.provider.arrived(1)
            reply = await it.ask()
            assert (reply.status, reply.error["code"]) == (503, "overloaded")
            assert int(reply.headers["retry-after"]) >= 1

    asyncio.run(run())


def test_a_fallback_with_room_comes_before_a_wait(tmp_path):
    async def run():
        models = [entry(max_parallel_requests=1, id="a"), entry("other", "b")]
        router = {"num_retries": 0, "fallbacks": [{"m": ["other"]}]}
        async with world(tmp_path, model_list=models, router_settings=router) as it:
            it.provider.hold = True
            first = it.ask()
            await it.provider.arrived(1)
            second = it.ask()
            await it.provider.arrived(2)
            it.provider.let_go(2)
            assert [(await one).headers["x-gateway-deployment"] for one in (first, second)] == ["a", "b"]

    asyncio.run(run())


def test_a_client_that_leaves_gives_its_call_and_its_place_back(tmp_path):
    async def run():
        async with world(tmp_path, model_list=[entry(max_parallel_requests=1)]) as it:
            it.provider.hold = True
            it.provider.let_go(1)
            stream = await it.opened(stream=True)
            second = it.ask()
            await turns()
            assert len(it.provider.asked) == 1
            await stream.close()
            it.provider.let_go(1)
            assert (await second).status == 200
            assert it.provider.left == 1

    asyncio.run(run())


def test_a_client_waits_no_longer_than_it_said(tmp_path):
    async def run():
        async with world(tmp_path, model_list=[entry(max_parallel_requests=1)]) as it:
            it.provider.hold = True
            it.ask()
            await it.provider.arrived(1)
            reply = await it.ask(headers={"x-gateway-timeout": "0.001"})
            assert (reply.status, reply.error["type"]) == (504, "timeout_error")
            assert len(it.provider.asked) == 1

    asyncio.run(run())


def test_the_prompts_of_one_request_keep_to_the_bound_too(tmp_path):
    async def run():
        async with world(tmp_path, model_list=[entry(max_parallel_requests=2)]) as it:
            reply = await it.ask(prompt=[f"p{number}" for number in range(7)])
            assert (reply.status, len(reply.json["choices"])) == (200, 7)
            assert it.provider.most <= 2

    asyncio.run(run())
