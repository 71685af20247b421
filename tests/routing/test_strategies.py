"""How one of several deployments is chosen, and that nobody is left out for ever."""

import random
from collections import Counter
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.model import RoutingStrategy
from gateway.routing.strategies import STRATEGIES
from tests.benchmarks.routing import simulate
from tests.routing.routes import World, entry, http


def test_there_is_one_for_each_word_of_the_configuration():
    assert set(STRATEGIES) == set(RoutingStrategy.__args__)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=6), st.integers(0, 99))
def test_shuffling_never_leaves_the_group(weights, seed):
    entries = [SimpleNamespace(weight=weight) for weight in weights]
    assert STRATEGIES["simple-shuffle"](entries, 0.0, random.Random(seed)) in entries  # noqa: S311


def test_least_busy_has_the_fewest_calls_under_way_for_its_weight():
    world = World(entry("m", "a", weight=1), entry("m", "b", weight=3), routing_strategy="least-busy")
    for _ in range(40):
        world.router.begin(world.route().first().bound)
    assert {name: load.in_flight for name, load in world.book.loads.items()} == {"a": 10, "b": 30}


def test_the_quickest_gets_the_most_and_the_slow_one_is_tried_again_in_time():
    world = World(entry("m", "quick"), entry("m", "slow"), routing_strategy="latency-based-routing")
    took = {"quick": 0.1, "slow": 2.0}
    found: Counter[str] = Counter()
    for _ in range(2000):
        bound = world.route().first().bound
        found[bound.id] += 1
        world.call(bound, took=took[bound.id])
    assert found["quick"] > 40 * found["slow"]
    assert found["slow"] > 2
    took = {"quick": 2.0, "slow": 0.1}
    later = Counter()
    for _ in range(2000):
        bound = world.route().first().bound
        later[bound.id] += 1
        world.call(bound, took=took[bound.id])
    assert later["slow"] > 1500


def test_while_one_call_finds_out_about_a_slow_one_the_others_do_not():
    world = World(entry("m", "quick"), entry("m", "slow"), routing_strategy="latency-based-routing")
    for name, seconds in (("quick", 0.1), ("slow", 5.0)):
        bound = next(e.bound for e in world.router.board.groups["m"].entries if e.bound.id == name)
        world.call(bound, took=seconds)
    world.clock.now += 300
    quick = next(e.bound for e in world.router.board.groups["m"].entries if e.bound.id == "quick")
    world.call(quick, took=0.1)
    first = world.route().first().bound
    assert first.id == "slow"
    world.router.begin(first)
    assert [world.picks() for _ in range(20)] == ["quick"] * 20


def test_failing_quickly_is_not_being_quick():
    world = World(
        entry("m", "a"), entry("m", "b"), routing_strategy="latency-based-routing", allowed_fails=100, cooldown_time=0
    )
    bounds = {e.bound.id: e.bound for e in world.router.board.groups["m"].entries}
    world.call(bounds["a"], took=0.2)
    world.call(bounds["b"], took=0.2)
    world.call(bounds["b"], http(500), took=0.001)
    assert [world.picks() for _ in range(10)] == ["a"] * 10


def test_the_least_used_share_of_requests_or_tokens_per_minute_is_taken():
    world = World(
        entry("m", "a", rpm=100), entry("m", "b", rpm=300), entry("m", "c"), routing_strategy="usage-based-routing"
    )
    found: Counter[str] = Counter()
    for _ in range(350):
        bound = world.route().first().bound
        found[bound.id] += 1
        world.call(bound)
    assert found == {"a": 50, "b": 150, "c": 150}
    world = World(entry("m", "a", tpm=1000), entry("m", "b", tpm=1000), routing_strategy="usage-based-routing")
    bounds = {e.bound.id: e.bound for e in world.router.board.groups["m"].entries}
    world.call(bounds["a"], tokens=500)
    assert [world.picks() for _ in range(10)] == ["b"] * 10
    world.clock.now += 120
    assert {world.picks() for _ in range(50)} == {"a", "b"}


def test_the_cheapest_is_taken_and_one_without_a_price_last():
    price = {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}
    world = World(
        entry("m", "dear", **{name: value * 2 for name, value in price.items()}),
        entry("m", "cheap", **price),
        entry("m", "cheap-too", **price),
        entry("m", "unknown", "hosted_vllm/x", api_base="http://127.0.0.1:9/v1"),
        routing_strategy="cost-based-routing",
    )
    assert {world.picks() for _ in range(60)} == {"cheap", "cheap-too"}
    world.trip("cheap", "cheap-too")
    assert world.picks() == "dear"
    world.trip("dear")
    assert world.picks() == "unknown"


@pytest.mark.parametrize("strategy", [name for name in STRATEGIES if name != "cost-based-routing"])
@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0.05, 3.0), min_size=2, max_size=6), st.integers(0, 99))
def test_nobody_starves(strategy, times, seed):
    names = [f"d{n}" for n in range(len(times))]
    world = World(*(entry("m", name) for name in names), routing_strategy=strategy, seed=seed)
    found = set()
    for _ in range(4000):
        bound = world.route().first().bound
        found.add(bound.id)
        world.call(bound, took=times[names.index(bound.id)])
        if len(found) == len(names):
            break
    assert found == set(names)
    again = set()
    for _ in range(8000):
        bound = world.route().first().bound
        again.add(bound.id)
        world.call(bound, took=times[names.index(bound.id)])
        if len(again) == len(names):
            break
    assert again == set(names)


@pytest.mark.parametrize("strategy", ["least-busy", "latency-based-routing"])
def test_one_slow_deployment_hurts_the_tail_less_than_by_chance(strategy):
    by_chance, better = simulate("simple-shuffle", calls=6000), simulate(strategy, calls=6000)
    assert better.p95 < 0.6 * by_chance.p95
    assert better.p99 < 0.8 * by_chance.p99
