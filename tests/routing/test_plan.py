"""The walk over deployments: whom it begins with, where it goes after a failure, and when it gives up."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import (
    ContextTooLong,
    InvalidValue,
    ModelNotFound,
    PolicyBlocked,
    RateLimited,
    Unavailable,
    UnsupportedParameter,
)
from gateway.ledger import tokens
from tests.routing.routes import World, entry, http, refused, silent, told

MANY = 20_000


def shares(world: World, count: int = MANY) -> dict[str, float]:
    found = Counter(world.picks() for _ in range(count))
    return {name: number / count for name, number in found.items()}


# whom it begins with


@pytest.mark.parametrize(
    ("params", "wanted"),
    [
        ([{}, {}, {}, {}], [0.25, 0.25, 0.25, 0.25]),
        ([{"weight": 1}, {"weight": 3}], [0.25, 0.75]),
        ([{"weight": 1}, {"weight": 2}, {}], [0.25, 0.5, 0.25]),
        ([{"weight": 0.5}, {"weight": 0}], [1.0, 0.0]),
        ([{"rpm": 100_000}, {"rpm": 300_000}], [0.25, 0.75]),
        ([{"rpm": 100_000}, {"rpm": 300_000}, {}], [1 / 6, 1 / 2, 1 / 3]),
        ([{"tpm": 10_000_000}, {"tpm": 40_000_000}], [0.2, 0.8]),
        ([{"weight": 1, "rpm": 90_000_000}, {"weight": 1, "rpm": 10_000_000}], [0.5, 0.5]),
    ],
)
def test_calls_spread_by_weight_else_by_rpm_else_by_tpm(params, wanted):
    world = World(*(entry("m", f"d{number}", **each) for number, each in enumerate(params)))
    found = shares(world)
    assert {f"d{number}": found.get(f"d{number}", 0.0) for number in range(len(wanted))} == pytest.approx(
        {f"d{number}": share for number, share in enumerate(wanted)}, abs=0.02
    )


def test_one_without_weight_stands_by_for_the_others():
    world = World(entry("m", "a", weight=1), entry("m", "spare", weight=0))
    world.trip("a")
    assert world.picks() == "spare"


def test_the_lowest_order_is_called_while_any_of_it_can_serve():
    world = World(entry("m", "late", order=2), entry("m", "b", order=1), entry("m", "c", order=1))
    assert {world.picks() for _ in range(50)} == {"b", "c"}
    world.trip("b")
    assert {world.picks() for _ in range(50)} == {"c"}
    world.trip("c")
    assert {world.picks() for _ in range(50)} == {"late"}


def test_a_name_nobody_has_is_not_found_and_an_id_is_no_name():
    world = World(entry("m", "a"))
    for name in ("nobody", "a"):
        with pytest.raises(ModelNotFound):
            world.route(name)


TAGGED = (
    entry("m", "free", tags=["free"]),
    entry("m", "paid", tags=["paid", "eu"]),
    entry("m", "usual", tags=["default"]),
    entry("m", "plain"),
)


@pytest.mark.parametrize(
    ("tags", "left", "wanted"),
    [
        (("free",), TAGGED, {"free"}),
        (("paid", "other"), TAGGED, {"paid"}),
        (("free", "eu"), TAGGED, {"free", "paid"}),
        (("other",), TAGGED, {"usual"}),
        ((), TAGGED, {"usual"}),
        ((), (TAGGED[0], TAGGED[3]), {"plain"}),
        ((), TAGGED[:2], {"free", "paid"}),
    ],
)
def test_tags_choose_among_a_group(tags, left, wanted):
    world = World(*left, enable_tag_filtering=True)
    assert {world.picks(tags=tags) for _ in range(100)} == wanted


def test_tags_nobody_is_for_are_refused_unless_tags_do_not_choose():
    with pytest.raises(InvalidValue) as refusal:
        World(*TAGGED[:2], enable_tag_filtering=True).route(tags=("secret-name",))
    assert refusal.value.param == "tags"
    assert "secret-name" not in refusal.value.message
    assert {World(*TAGGED, seed=n).picks(tags=("other",)) for n in range(60)} == {"free", "paid", "usual", "plain"}


def test_a_deployment_may_have_to_have_every_tag():
    world = World(*TAGGED, enable_tag_filtering=True, tag_filtering_match_any=False)
    assert world.picks(tags=("paid", "eu")) == "paid"
    assert world.picks(tags=("paid", "free")) == "usual"


# how long a prompt may be

SMALL = entry("m", "small", "openai/gpt-4o", {"max_input_tokens": 10})
LARGE = entry("m", "large", "openai/gpt-4o", {"max_input_tokens": 50})
WORDS = "one two three four five six seven eight nine ten eleven twelve"


def test_a_prompt_goes_where_it_fits():
    world = World(SMALL, LARGE)
    assert {world.picks() for _ in range(50)} == {"small", "large"}
    assert {world.picks(prompt=WORDS) for _ in range(50)} == {"large"}
    assert {world.picks(prompt=tuple(range(20))) for _ in range(50)} == {"large"}
    assert {world.picks(prompt=tuple(range(10))) for _ in range(50)} == {"small", "large"}


def test_a_prompt_that_fits_nowhere_is_refused_as_openai_does():
    with pytest.raises(ContextTooLong) as refusal:
        World(SMALL).route(prompt=WORDS)
    error = refusal.value
    assert (error.status, error.code, error.param) == (400, "context_length_exceeded", "prompt")


def test_a_prompt_that_fits_nowhere_goes_to_the_fallback_for_it():
    world = World(SMALL, entry("long", "far"), context_window_fallbacks=[{"m": ["long"]}])
    step = world.route(prompt=WORDS).first()
    assert (step.why, step.alias, step.bound.id) == ("fallback", "long", "far")


def test_a_prompt_far_beyond_every_limit_is_not_counted_to_its_end(monkeypatch):
    counted: list[int] = []
    real = tokens.estimate
    monkeypatch.setattr(tokens, "estimate", lambda text, encoding: counted.append(len(text)) or real(text, encoding))
    with pytest.raises(ContextTooLong):
        World(SMALL).route(prompt="word " * 1_000_000)
    assert sum(counted) < 20_000


def test_what_only_the_catalogue_says_is_advice():
    world = World(
        entry("m", "old", "openai/gpt-4"), entry("m", "new", "openai/gpt-4-turbo"), entry("lone", "one", "openai/gpt-4")
    )
    long = tuple(range(9000))
    assert {world.picks(prompt=long) for _ in range(50)} == {"new"}
    assert world.picks("lone", prompt=long) == "one"
    world.trip("new")
    assert world.picks(prompt=long) == "new"


def test_a_prompt_too_long_for_one_is_not_sent_there_after_a_failure_either():
    world = World(SMALL, LARGE, LARGE | {"model_info": {"id": "third", "max_input_tokens": 50}})
    steps, served = world.walk({"large": http(500), "third": http(500)}, prompt=WORDS)
    assert not served
    assert {step.bound.id for step in steps} == {"large", "third"}


# bounds of deployments


def test_one_at_its_bound_is_passed_over():
    world = World(entry("m", "a", max_parallel_requests=1), entry("m", "b", weight=0))
    ticket = world.router.begin(world.route().first().bound)
    assert world.picks() == "b"
    world.router.end(ticket, error=None, first_byte=0.1, tokens=1, cancelled=False)
    assert world.picks() == "a"


@pytest.mark.parametrize(("bound", "calls"), [({"rpm": 3}, 3), ({"tpm": 30}, 3)])
def test_all_at_their_bounds_is_429_with_a_time_that_is_true(bound, calls):
    world = World(entry("m", "a", **bound))
    for _ in range(calls):
        world.call(world.route().first().bound)
        world.clock.now += 1
    with pytest.raises(RateLimited) as refusal:
        world.route()
    error = refusal.value
    seconds = int(error.headers["retry-after"])
    assert (error.status, error.code) == (429, "rate_limit_exceeded")
    world.clock.now += seconds - 1.5
    with pytest.raises(RateLimited):
        world.route()
    world.clock.now += 1.5
    assert world.picks() == "a"


def test_all_at_their_bounds_is_no_reason_to_refuse_where_there_are_fallbacks():
    world = World(entry("m", "a", rpm=1), entry("n", "b"), fallbacks=[{"m": ["n"]}])
    world.call(world.route().first().bound)
    assert (world.route().first().why, world.picks()) == ("fallback", "b")


# after a failure


def test_what_fails_is_tried_elsewhere_at_once_and_then_again_after_a_wait():
    world = World(entry("m", "a"), entry("m", "b"), num_retries=3)
    steps, served = world.walk({"a": http(503), "b": http(503)})
    assert not served
    assert [step.why for step in steps] == ["first", "retry", "retry", "retry"]
    assert {step.bound.id for step in steps[:2]} == {"a", "b"}
    assert [step.wait > 0 for step in steps] == [False, False, True, True]


@pytest.mark.parametrize("retries", [0, 1, 4])
def test_there_are_as_many_retries_as_are_configured(retries):
    world = World(entry("m", "a"), num_retries=retries, allowed_fails=100)
    steps, _ = world.walk({"a": http(500)})
    assert len(steps) == 1 + retries


@pytest.mark.parametrize(
    "error",
    [http(400), http(413), http(422), http(405), PolicyBlocked("no"), RateLimited("no"), Unavailable("no")],
    ids=lambda error: f"{type(error).__name__} {error.status}",
)
def test_what_is_about_the_request_is_never_tried_again(error):
    world = World(entry("m", "a"), entry("m", "b"), entry("n", "c"), fallbacks=[{"m": ["n"]}])
    route = world.route()
    assert route.after(route.first(), error) is None


@pytest.mark.parametrize("status", [401, 402, 403, 404])
def test_what_is_about_the_deployment_is_tried_elsewhere_but_never_there_again(status):
    world = World(entry("m", "a", order=1), entry("m", "b", order=2), num_retries=5)
    assert world.walk({"a": http(status)}) != ([], False)
    world = World(entry("m", "a", order=1), entry("m", "b", order=2), num_retries=5)
    steps, _ = world.walk({"a": http(status), "b": http(status)})
    assert told(steps) == [("first", "a"), ("retry", "b")]
    assert told(World(entry("m", "a")).walk({"a": http(status)})[0]) == [("first", "a")]


def test_429_moves_on_at_once_and_waits_only_where_there_is_nobody_else():
    limited = http(429, headers={"retry-after": "7"})
    world = World(entry("m", "a", order=1), entry("m", "b", order=2), entry("n", "c"), fallbacks=[{"m": ["n"]}])
    steps, served = world.walk({"a": limited, "b": limited})
    assert served
    assert told(steps) == [("first", "a"), ("retry", "b"), ("fallback", "c")]
    assert [step.wait for step in steps] == [0, 0, 0]
    alone = World(entry("m", "a"))
    route = alone.route()
    alone.call(route.first().bound, limited)
    again = route.after(route.first(), limited)
    assert again is not None
    assert 7.0 <= again.wait <= 7.25


@pytest.mark.parametrize("said", ["31", "3600"])
def test_nobody_waits_as_long_as_a_provider_may_ask_for(said):
    world = World(entry("m", "a"))
    route = world.route()
    limited = http(429, headers={"retry-after": said})
    world.call(route.first().bound, limited)
    assert route.after(route.first(), limited) is None


def test_silence_goes_to_the_fallback_before_the_same_deployment_is_tried_again():
    world = World(entry("m", "a"), entry("n", "b"), fallbacks=[{"m": ["n"]}])
    assert told(world.walk({"a": silent(), "b": silent()})[0])[:2] == [("first", "a"), ("fallback", "b")]
    world = World(entry("m", "a"), entry("n", "b"), fallbacks=[{"m": ["n"]}])
    assert told(world.walk({"a": refused()})[0])[:2] == [("first", "a"), ("retry", "a")]


def test_no_step_begins_after_the_client_stopped_waiting():
    world = World(entry("m", "a"), num_retries=100, allowed_fails=1000)
    route = world.route(until=world.clock.now + 5)
    step = route.first()
    while step is not None:
        world.clock.now += step.wait
        assert world.clock.now < 1005
        world.call(step.bound, http(500), took=0.5)
        step = route.after(step, http(500))


def test_what_one_provider_cannot_be_asked_another_may_and_no_retry_is_counted():
    world = World(*(entry("m", f"d{n}") for n in range(5)), num_retries=0)
    route = world.route()
    step, seen = route.first(), set()
    while step is not None:
        seen.add(step.bound.id)
        step = route.after(step, UnsupportedParameter("no", param="suffix"))
    assert seen == {f"d{n}" for n in range(5)}


def test_the_parts_of_a_prompt_walk_on_by_themselves():
    world = World(entry("m", "a"), entry("m", "b"), num_retries=1, allowed_fails=100)
    route = world.route()
    first = route.first()
    for _ in range(6):
        step = route.after(first, http(500))
        assert step is not None
        assert step.bound.id != first.bound.id
        assert route.after(step, http(500)) is None


def test_a_second_call_beside_a_slow_one_goes_elsewhere():
    world = World(entry("m", "a"), entry("m", "b"))
    route = world.route()
    other = route.beside(route.first())
    assert other is not None
    assert {other.bound.id, route.first().bound.id} == {"a", "b"}
    assert route.beside(other) is None
    alone = World(entry("m", "a")).route()
    assert alone.beside(alone.first()) is None


# fallbacks


def test_each_name_is_tried_once_depth_first():
    chains = [{"m": ["b", "c"]}, {"b": ["d", "c"]}, {"d": ["e"]}]
    world = World(*(entry(name, name) for name in "mbcde"), fallbacks=chains, num_retries=0)
    steps, _ = world.walk({name: http(500) for name in "mbcde"})
    assert [step.alias for step in steps] == ["m", "b", "d", "e", "c"]
    assert [step.why for step in steps] == ["first"] + ["fallback"] * 4


@pytest.mark.parametrize(
    ("router", "wanted"),
    [
        ({"default_fallbacks": ["z"]}, ["m", "z"]),
        ({"fallbacks": [{"*": ["y"]}], "default_fallbacks": ["z"]}, ["m", "y"]),
        ({"fallbacks": [{"m": ["y"]}], "default_fallbacks": ["z"]}, ["m", "y"]),
        ({"fallbacks": [{"m": ["y-id"]}]}, ["m", "y-id"]),
        ({"fallbacks": [{"other": ["y"]}]}, ["m"]),
        ({"context_window_fallbacks": [{"m": ["y"]}]}, ["m"]),
    ],
)
def test_where_a_name_has_no_fallbacks_of_its_own_those_for_all_are_used(router, wanted):
    world = World(
        entry("m", "m-id"), entry("y", "y-id"), entry("z", "z-id"), entry("other", "o"), num_retries=0, **router
    )
    steps, _ = world.walk({name: http(500) for name in ("m-id", "y-id", "z-id")})
    assert [step.alias for step in steps] == wanted


def test_a_wildcard_falls_back_to_another_with_the_same_text():
    world = World(
        entry("openai/*", "o", "openai/*"),
        entry("eu/*", "e", "openai/eu-*"),
        fallbacks=[{"openai/*": ["eu/*"]}],
        num_retries=0,
    )
    steps, _ = world.walk({"o": http(500)}, "openai/gpt-4o")
    assert [(step.alias, step.bound.model) for step in steps] == [
        ("openai/gpt-4o", "gpt-4o"),
        ("eu/gpt-4o", "eu-gpt-4o"),
    ]


@pytest.mark.parametrize(
    ("error", "chain"),
    [
        (http(400, "This model's maximum context length is 10 tokens."), "context_window_fallbacks"),
        (http(400, "The response was filtered by our content management policy."), "content_policy_fallbacks"),
    ],
)
def test_a_refusal_with_fallbacks_of_its_own_takes_those_and_no_others(error, chain):
    world = World(entry("m", "a"), entry("m", "a2"), entry("n", "b"), entry("x", "c"), **{chain: [{"m": ["n"]}]})
    steps, served = world.walk({"a": error, "a2": error})
    assert served
    assert [step.bound.id for step in steps][1:] == ["b"]
    world = World(entry("m", "a"), entry("m", "a2"), entry("x", "c"), fallbacks=[{"m": ["x"]}])
    assert len(world.walk({"a": error, "a2": error})[0]) == 1


def test_such_fallbacks_are_no_retries_and_never_run_out():
    error = http(400, "maximum context length")
    world = World(entry("m", "a"), entry("n", "b"), context_window_fallbacks=[{"m": ["n"]}], num_retries=0)
    assert all(world.walk({"a": error})[1] for _ in range(1000))


def test_one_that_rests_is_passed_over_for_its_fallback_without_a_retry():
    world = World(entry("m", "a"), entry("n", "b"), fallbacks=[{"m": ["n"]}])
    world.trip("a")
    steps, served = world.walk({"a": http(500)})
    assert served
    assert told(steps) == [("fallback", "b")]


# where nobody is well


def test_a_lone_deployment_is_called_however_ill_it_is():
    for error in (http(500), http(401), http(429, headers={"retry-after": "60"})):
        world = World(entry("m", "a"))
        world.trip("a", error=error)
        assert told(world.walk({})[0]) == [("first", "a")]
        assert world.breaker("a").health == "closed"


def test_where_all_are_ill_they_are_called_all_the_same_and_the_first_to_answer_is_well():
    world = World(*(entry("m", name) for name in "abc"))
    world.trip("a", "b", "c")
    steps, served = world.walk({"a": http(500), "b": http(500)})
    assert served
    assert steps[-1].bound.id == "c"
    assert world.picks() == "c"


def test_where_all_were_refused_there_is_nobody_to_call():
    world = World(entry("m", "a"), entry("m", "b"), cooldown_time=5)
    world.trip("a", error=http(401))
    world.clock.now += 2
    world.trip("b", error=http(404))
    with pytest.raises(Unavailable) as refusal:
        world.route()
    error = refusal.value
    assert (error.status, error.code, error.headers["retry-after"]) == (503, "no_healthy_deployment", "3")
    world.clock.now += 3
    assert world.picks() == "a"


def test_the_fallback_that_is_ill_comes_after_the_group_that_is_ill():
    world = World(entry("m", "a"), entry("n", "b"), fallbacks=[{"m": ["n"]}])
    world.trip("a", "b")
    step = world.route().first()
    assert (step.why, step.bound.id) == ("first", "a")


# whatever happens

NAMES = [f"d{n}" for n in range(5)]
STATUS = st.sampled_from([400, 401, 403, 404, 408, 409, 429, 500, 502, 503, 504])
EVENTS = st.lists(st.tuples(st.sampled_from(NAMES), st.none() | STATUS, st.floats(0, 30)), max_size=40)


def worlds(seed: int, strategy: str) -> World:
    chains = [{"m": ["n"]}, {"n": ["o"]}]
    return World(
        entry("m", "d0", order=1),
        entry("m", "d1", weight=3),
        entry("m", "d2"),
        entry("n", "d3"),
        entry("o", "d4", max_parallel_requests=2),
        seed=seed,
        routing_strategy=strategy,
        fallbacks=chains,
        num_retries=2,
    )


STRATEGY = st.sampled_from(
    ["simple-shuffle", "least-busy", "latency-based-routing", "usage-based-routing", "cost-based-routing"]
)


@settings(max_examples=300, deadline=None)
@given(EVENTS, st.integers(0, 9), STRATEGY, st.sets(st.sampled_from(NAMES[:4]), max_size=3))
def test_a_request_is_served_while_anybody_who_may_serve_it_is_well(events, seed, strategy, down):
    world = worlds(seed, strategy)
    bounds = {e.bound.id: e.bound for group in world.router.board.groups.values() for e in group.entries}
    for name, status, seconds in events:
        world.call(bounds[name], None if status is None else http(status), took=seconds)
    world.clock.now += 120  # every cooldown is over
    for budget in world.book.budgets.values():
        budget.left = 100.0
    steps, served = world.walk({name: http(500) for name in down})
    assert served
    aliases = [step.alias for step in steps]
    assert [alias for alias in "mno" if alias in aliases] == list(dict.fromkeys(aliases))  # each at most once, in order


@settings(max_examples=200, deadline=None)
@given(EVENTS, st.integers(0, 9), STRATEGY)
def test_a_plan_is_never_empty_while_one_is_well(events, seed, strategy):
    world = worlds(seed, strategy)
    bounds = {e.bound.id: e.bound for group in world.router.board.groups.values() for e in group.entries}
    for name, status, seconds in events:
        world.call(bounds[name], None if status is None else http(status), took=seconds)
        well = {name for name in NAMES if world.breaker(name).health == "closed"}
        probes = {name for name in NAMES if world.breaker(name).probes(world.clock.now)}
        if well:
            assert world.picks() in well | probes


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(NAMES), min_size=2, max_size=5), st.integers(0, 99), st.randoms(use_true_random=False))
def test_a_walk_ends_whatever_fails_with_whatever(order, seed, chance: random.Random):
    world = worlds(seed, "simple-shuffle")
    errors = [http(s) for s in (400, 401, 403, 404, 408, 409, 429, 500, 503)] + [
        refused(),
        silent(),
        PolicyBlocked("x"),
    ]
    route = world.route()
    step, seen = route.first(), 0
    while step is not None:
        seen += 1
        error = chance.choice(errors)
        world.clock.now += step.wait
        world.call(step.bound, error)
        step = route.after(step, error)
    assert seen <= 9  # three names, three calls each
