"""LiteLLM's policies: further attempts, and failures before a rest, by the kind of failure."""

from typing import Any

import pytest

from gateway.config.model import RouterSettings
from gateway.errors import GatewayError
from gateway.routing.allowances import KINDS, Allowances
from gateway.routing.retrying import RULES
from tests.routing.routes import World, entry, http, refused, silent

TWO = (entry("m", "a"), entry("m", "b"))
ALL = {
    f"{kind}Retries": 5
    for kind in (
        "BadRequestError", "AuthenticationError", "NotFoundError", "TimeoutError", "RateLimitError",
        "ContentPolicyViolationError", "InternalServerError",
    )
}  # fmt: skip


def attempts(error: GatewayError, *entries: Any, **router: Any) -> int:
    """How many calls a request for `m` makes where all fail."""
    world = World(*(entries or TWO), **router)
    steps, served = world.walk(dict.fromkeys(world.book.loads, error))
    assert not served
    return len(steps)


@pytest.mark.parametrize(
    ("error", "key"),
    [
        (http(429), "RateLimitErrorRetries"),
        (http(408), "TimeoutErrorRetries"),
        (http(504), "TimeoutErrorRetries"),
        (silent(), "TimeoutErrorRetries"),
        (http(500), "InternalServerErrorRetries"),
        (http(503), "InternalServerErrorRetries"),
        (refused(), "InternalServerErrorRetries"),
    ],
    ids=["429", "408", "504", "silence", "500", "503", "refused"],
)
@pytest.mark.parametrize("retries", [0, 1, 4])
def test_a_policy_says_how_many_further_attempts_follow_its_kind_of_failure(error, key, retries):
    assert attempts(error, retry_policy={key: retries}) == retries + 1
    other = next(name for name in ALL if name != key)
    assert attempts(error, retry_policy={other: retries}) == 3  # num_retries is 2


def test_the_failure_at_hand_says_how_many_attempts_there_may_be_now():
    world = World(*TWO, entry("m", "c"), retry_policy={"RateLimitErrorRetries": 0, "TimeoutErrorRetries": 9})
    first = world.picks()
    second, third = sorted({"a", "b", "c"} - {first})
    faults = {first: silent(), second: http(429), third: http(429)}
    route = world.route()
    while route.first().bound.id != first:
        route = world.route()
    following = route.after(route.first(), faults[first])
    assert following is not None
    assert route.after(following, http(429)) is None


@pytest.mark.parametrize("error", [http(400), http(400, "maximum context length"), http(413), http(422)])
def test_what_a_provider_refuses_is_asked_for_once_whatever_a_policy_says(error):
    assert attempts(error, retry_policy=ALL) == 1


@pytest.mark.parametrize(
    ("error", "key"), [(http(401), "AuthenticationErrorRetries"), (http(404), "NotFoundErrorRetries")]
)
def test_what_is_wrong_with_one_deployment_is_tried_at_the_others_at_most(error, key):
    five = [entry("m", name) for name in "abcde"]
    assert attempts(error, *five, retry_policy={key: 0}) == 1
    assert attempts(error, *five, retry_policy={key: 3}) == 4
    assert attempts(error, *five, num_retries=1, retry_policy=ALL) == 5
    assert attempts(error, retry_policy=ALL) == 2


def test_fallbacks_follow_where_no_further_attempt_may():
    world = World(*TWO, entry("n", "c"), fallbacks=[{"m": ["n"]}], retry_policy={"InternalServerErrorRetries": 0})
    steps, served = world.walk({"a": http(500), "b": http(500)})
    assert ([step.why for step in steps], served) == (["first", "fallback"], True)


def test_an_alias_own_policy_stands_in_the_place_of_the_routers_as_a_whole():
    router = {
        "retry_policy": {"RateLimitErrorRetries": 0, "TimeoutErrorRetries": 0},
        "model_group_retry_policy": {"m": {"RateLimitErrorRetries": 4}},
    }
    assert attempts(http(429), **router) == 5
    assert attempts(silent(), **router) == 3
    world = World(entry("other", "x"), entry("m", "a"), **router)
    steps, _ = world.walk({"x": silent()}, model="other")
    assert len(steps) == 1


def test_a_policy_of_a_wildcard_is_for_every_name_it_serves():
    world = World(
        entry("openai/*", "w", "openai/*"), model_group_retry_policy={"openai/*": {"InternalServerErrorRetries": 4}}
    )
    steps, _ = world.walk({"w": http(500)}, model="openai/gpt-x")
    assert len(steps) == 5


def test_a_deployments_own_number_comes_before_the_routers_and_after_a_policys():
    own = (entry("m", "a", num_retries=0), entry("m", "b", num_retries=0))
    assert attempts(http(500), *own) == 1
    assert attempts(http(500), entry("m", "a", num_retries=5)) == 6
    assert attempts(http(500), *own, retry_policy={"InternalServerErrorRetries": 3}) == 4
    assert attempts(http(500), *own, retry_policy={"TimeoutErrorRetries": 3}) == 1


def test_a_policy_stays_within_the_budget_of_retries():
    world = World(*TWO, retry_policy={"InternalServerErrorRetries": 50})
    world.walk({"a": http(500), "b": http(500)})
    calls = 0
    for _ in range(200):
        steps, _ = world.walk({"a": http(500), "b": http(500)})
        calls += len(steps)
    assert calls <= 200 * 1.05 + 100


def test_kinds_are_rules():
    assert KINDS.keys() <= {rule.name for rule in RULES}
    assert repr(Allowances(RouterSettings())) == "<Allowances 2 retries, 0 aliases with their own, {}>"


# failures before a rest


def fails(world: World, error: GatewayError, times: int, name: str = "a") -> str:
    """How a deployment is after so many failures in a row."""
    bound = next(e.bound for group in world.router.board.groups.values() for e in group.entries if e.bound.id == name)
    for _ in range(times):
        world.call(bound, error)
    return world.breaker(name).health


@pytest.mark.parametrize(
    ("error", "key"),
    [
        (http(500), "InternalServerErrorAllowedFails"),
        (refused(), "InternalServerErrorAllowedFails"),
        (silent(), "TimeoutErrorAllowedFails"),
        (http(429), "RateLimitErrorAllowedFails"),
        (http(401), "AuthenticationErrorAllowedFails"),
        (http(404), "NotFoundErrorAllowedFails"),
    ],
    ids=["500", "refused", "silence", "429", "401", "404"],
)
@pytest.mark.parametrize("most", [0, 1, 30])
def test_a_policy_says_how_many_failures_of_its_kind_are_put_up_with(error, key, most):
    world = World(*TWO, allowed_fails_policy={key: most})
    assert fails(world, error, most) == "closed"
    assert fails(world, error, 1) == "open"


def test_a_success_in_between_counts_them_anew():
    world = World(*TWO, allowed_fails_policy={"InternalServerErrorAllowedFails": 5})
    assert fails(world, http(500), 5) == "closed"
    world.call(world.router.board.groups["m"].entries[0].bound)
    assert fails(world, http(500), 5) == "closed"
    assert fails(world, http(500), 1) == "open"


def test_each_kind_is_counted_by_itself():
    world = World(*TWO, allowed_fails=3, allowed_fails_policy={"TimeoutErrorAllowedFails": 100})
    assert fails(world, silent(), 50) == "closed"
    assert fails(world, http(500), 3) == "closed"
    assert fails(world, http(500), 1) == "open"


def test_what_is_for_an_operator_to_mend_is_told_loudly_once_no_more_of_it_is_put_up_with():
    world = World(*TWO, allowed_fails_policy={"AuthenticationErrorAllowedFails": 2})
    fails(world, http(401), 2)
    assert world.told == []
    fails(world, http(401), 1)
    assert [event for event, _ in world.told] == ["deployment_refused"]


def test_a_probe_that_fails_is_no_failure_to_put_up_with():
    world = World(*TWO, allowed_fails_policy={"InternalServerErrorAllowedFails": 2})
    assert fails(world, http(500), 3) == "open"
    world.clock.now += 5
    assert fails(world, http(500), 1) == "open"
    assert not world.breaker("a").probes(world.clock.now)


def test_no_deployment_rests_where_cooldowns_are_disabled():
    world = World(*TWO, disable_cooldowns=True)
    assert [fails(world, error, 50) for error in (http(500), http(401), http(429))] == ["closed"] * 3


def test_what_rests_is_well_at_once_where_cooldowns_are_disabled_in_a_reload():
    old = World(*TWO)
    old.trip("a")
    new = World(*TWO, book=old.book, clock=old.clock, disable_cooldowns=True)
    assert new.breaker("a").health == "closed"
