"""One router per configuration, over what is known of deployments, which outlives it; and what it tells of them."""

import pytest

from gateway.assembly.dispatching import Dispatching
from gateway.config.load import from_mapping
from gateway.ledger import prices
from gateway.routing import call, explaining
from gateway.routing.deployments import Catalogue
from gateway.routing.load import Minute
from gateway.routing.upstream import Upstream
from gateway.telemetry import conventions as names
from gateway.telemetry.metrics import Metrics
from gateway.types import CompletionRequest
from tests.routing.routes import World, entry, http


def test_what_is_known_of_a_deployment_outlives_a_reload():
    old = World(entry("m", "a"), entry("m", "b"), entry("m", "gone"))
    old.trip("a")
    new = World(entry("m", "a", weight=5), entry("m", "b"), book=old.book, clock=old.clock, cooldown_time=7)
    assert {new.picks() for _ in range(50)} == {"b"}
    assert "gone" not in new.book.loads
    assert new.breaker("a").cooldown == 7.0


def test_a_deployment_that_moves_to_another_alias_takes_its_retries_from_the_budget_of_that():
    old = World(entry("m", "a"), entry("n", "b"))
    new = World(entry("n", "a"), entry("n", "b"), entry("m", "c"), book=old.book, clock=old.clock)
    groups = new.router.board.groups
    assert groups["m"].budget is not groups["n"].budget
    assert {id(new.book.loads[name].budget) for name in "ab"} == {id(groups["n"].budget)}


def test_one_that_asked_for_a_day_is_tried_again_once_it_has_rested_as_long_as_it_may():
    world = World(entry("m", "a"))
    bound = world.route().first().bound
    world.call(bound, http(429, headers={"retry-after": "86400"}))
    world.clock.now += 60
    steps, served = world.walk({"a": http(500)})
    assert ([step.bound.id for step in steps], served) == (["a", "a", "a"], False)


@pytest.mark.parametrize(
    "changed",
    [
        entry("m", "a", api_key="sk-another-one"),
        entry("m", "a", "openai/y"),
        entry("m", "a", api_base="http://127.0.0.1:9"),
    ],
    ids=["key", "model", "server"],
)
def test_another_deployment_under_the_same_id_begins_anew(changed):
    old = World(entry("m", "a"), entry("m", "b"))
    old.trip("a", error=http(401))
    new = World(changed, entry("m", "b"), book=old.book, clock=old.clock)
    assert new.breaker("a").health == "closed"


def test_a_call_that_was_under_way_during_a_reload_is_ended_where_it_began():
    old = World(entry("m", "a"))
    ticket = old.router.begin(old.route().first().bound)
    new = World(entry("m", "a"), book=old.book, clock=old.clock)
    assert new.book.loads["a"].in_flight == 1
    old.router.end(ticket, error=None, first_byte=0.1, tokens=5, cancelled=False)
    assert new.book.loads["a"].in_flight == 0
    assert repr(ticket) == "<Ticket a over>"


def test_all_models_of_a_wildcard_have_one_load():
    world = World(entry("openai/*", "w", "openai/*", max_parallel_requests=2), entry("openai/own", "o"))
    for name in ("openai/one", "openai/two"):
        world.router.begin(world.route(name).first().bound)
    assert world.book.loads["w"].in_flight == 2
    assert world.route("openai/own").first().bound.id == "o"


def test_a_further_name_of_an_alias_has_its_deployments_and_its_budget():
    world = World(entry("m", "a"), model_group_alias={"other": "m"})
    world.trip("a")
    assert world.route("other").first().bound.id == "a"
    assert list(world.book.budgets) == ["m"]


def test_each_says_in_one_line_how_it_stands():
    world = World(entry("m", "a", weight=2), entry("m", "b", order=3), entry("n", "c"), fallbacks=[{"m": ["n"]}])
    world.trip("b")
    group = world.router.board.groups["m"]
    assert repr(group) == "<Group m: a 2 | b 1; <Budget 100.0 of 100 retries>>"
    assert repr(world.route()) == "<Route m: first a of m>"
    assert repr(world.book) == (
        "<Book 3 deployments: <Breaker b open until 1005.000: 4 failures in a row, the last: HTTP 500>>"
    )
    assert repr(world.book.loads["a"]) == "<Load a 0 in flight, 0 ms, <Breaker a closed, 0 failed in a row>>"
    assert "1 fallbacks" in repr(world.router)


def test_a_minute_forgets_evenly_and_says_truly_when_there_is_room():
    minute = Minute()
    for second in range(60):
        minute.add(1000.0 + second, 1)
    assert [round(minute.used(1060.0 + after)) for after in (0, 30, 60)] == [60, 30, 0]
    minute = Minute()
    minute.add(1000.0, 10)
    wait = minute.wait(1001.0, 1, 10)
    assert minute.used(1001.0 + wait) == pytest.approx(9)


# what is told


class Spoken(list[tuple[str, str]]):
    """A log that keeps levels and events."""

    def __getattr__(self, level: str):
        return lambda event, **_: self.append((level, event))


def dispatching(
    world_of: list[object], upstream: Upstream | None = None
) -> tuple[Dispatching, call.Caller, Spoken, Metrics]:
    found = from_mapping({"model_list": world_of, "policies": []})
    log, metrics = Spoken(), Metrics()
    made = Dispatching(metrics, log)
    caller = call.make(Catalogue(found.settings, found.source), found.settings, upstream, made.book)
    made.use(caller)
    return made, caller, log, metrics


def broken(caller: call.Caller, alias: str, status: int, times: int = 4) -> None:
    for entry_ in caller.router.board.groups[alias].entries:
        for _ in range(times):
            ticket = caller.router.begin(entry_.bound)
            caller.router.end(ticket, error=http(status), first_byte=None, tokens=None, cancelled=False)


def test_readiness_names_what_cannot_be_served_and_fails_when_nothing_can():
    made, caller, log, _ = dispatching([entry("m", "a"), entry("m", "b"), entry("n", "c")])
    assert made.state == (True, "2 aliases")
    broken(caller, "m", 500)
    ready, line = made.state
    assert ready
    assert line.startswith("2 aliases, of which 1 have no deployment that is well (m: open 5.0 s more: 4 failures")
    broken(caller, "n", 401, 1)
    ready, line = made.state
    assert not ready
    assert "n: open 5.0 s more: HTTP 401" in line
    assert log == [("warning", "deployment_opened")] * 2 + [("error", "deployment_refused")]
    assert Dispatching(Metrics(), log).state == (False, "no model is configured")


def test_the_state_of_each_deployment_is_a_gauge():
    made, caller, _, metrics = dispatching([entry("m", "a"), entry("n", "c")])
    broken(caller, "m", 500)
    points = next(p for p in metrics.own().points if p.instrument.name == names.DEPLOYMENT_STATE)
    assert {labels for labels, values in points.series.items() if values == (1.0,)} == {("a", "open"), ("c", "closed")}
    assert made.book.loads.keys() == {"a", "c"}


def test_a_route_is_explained_without_changing_anything():
    world = World(
        entry("m", "a", weight=3),
        entry("m", "b"),
        entry("m", "small", info={"max_input_tokens": 1}, order=1),
        entry("m", "busy", order=2, rpm=1, num_retries=0),
        entry("n", "c"),
        entry("o", "d"),
        fallbacks=[{"m": ["n"]}, {"n": ["o"]}],
    )
    world.trip("b")
    world.clock.now += 60
    busy = next(e.bound for e in world.router.board.groups["m"].entries if e.bound.id == "busy")
    world.call(busy)
    told = explaining.route(world.router, CompletionRequest("m", ("one two three",)), (), "simple-shuffle")
    rows = {row["id"]: row for row in told["deployments"]}
    assert list(rows) == ["a", "b", "small", "busy"]
    assert (rows["a"]["share"], rows["b"]["share"]) == (0.75, 0.25)
    assert rows["b"]["health"].startswith("half-open")
    assert [name for name, row in rows.items() if "left_out" in row] == ["small", "busy"]
    assert {name: row["num_retries"] for name, row in rows.items() if "num_retries" in row} == {"busy": 0}
    assert told["fallbacks"] == [{"model": "n", "deployments": ["c"]}, {"model": "o", "deployments": ["d"]}]
    assert world.breaker("b").probes(world.clock.now)


@pytest.mark.parametrize(
    ("provider", "model", "base_model", "base", "tokens"),
    [
        ("openai", "gpt-4", None, None, 8192),
        ("azure", "my-deployment", "gpt-4", "https://x.openai.azure.com", 8192),
        ("hosted_vllm", "x", None, "http://127.0.0.1:9", None),
        ("hosted_vllm", "x", "openai/gpt-4", "http://127.0.0.1:9", 8192),
        ("openai", "nobody-knows-this", None, None, None),
    ],
)
def test_the_catalogue_knows_how_much_a_model_takes(provider, model, base_model, base, tokens):
    assert prices.window(provider, model, base_model=base_model, api_base=base) == tokens
