"""The breaker of a deployment: when it opens, who finds out whether it is well again, and how it comes back."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.routing.health import CLAIM, FAILING_CALLS, LONGEST, RAMP, RAMP_FROM, Breaker
from tests.routing.routes import World, entry, http, refused, silent


def failing(breaker: Breaker, now: float, times: int = 1) -> None:
    for _ in range(times):
        breaker.fail(now, breaker.epoch, "HTTP 500", probe=breaker.begin(now))


def opened(**how: float) -> Breaker:
    breaker = Breaker("a", 0, **how)
    failing(breaker, 100.0)
    return breaker


@pytest.mark.parametrize("allowed", [0, 1, 3])
def test_it_opens_after_more_failures_in_a_row_than_are_allowed(allowed):
    breaker = Breaker("a", allowed)
    failing(breaker, 100.0, allowed)
    assert repr(breaker) == f"<Breaker a closed, {allowed} failed in a row>"
    failing(breaker, 100.0)
    assert repr(breaker) == (f"<Breaker a open until 105.000: {allowed + 1} failures in a row, the last: HTTP 500>")


def test_a_success_in_between_begins_the_row_anew():
    breaker = Breaker("a", 3)
    for _ in range(3):
        failing(breaker, 100.0, 1)
        breaker.succeed(100.0, breaker.epoch)
    assert breaker.health == "closed"


def test_it_opens_when_half_of_its_calls_fail_whatever_succeeds_in_between():
    breaker = Breaker("a", 3)
    for number in range(FAILING_CALLS // 2):
        assert breaker.health == "closed"
        breaker.succeed(100.0 + number, breaker.epoch)
        failing(breaker, 100.0 + number)
    assert breaker.line(104.0) == "open 5.0 s more: 5 of 10 calls failed, the last: HTTP 500"


def test_failures_of_long_ago_are_no_share_of_now():
    breaker = Breaker("a", 3)
    for number in range(1000):
        breaker.succeed(number * 30.0, breaker.epoch)
        failing(breaker, number * 30.0)
    assert breaker.health == "closed"


def test_one_call_finds_out_whether_it_is_well():
    breaker = opened()
    assert not breaker.probes(104.9)
    assert breaker.probes(105.0)
    breaker.claim(105.0)
    assert not breaker.probes(105.0)
    assert breaker.begin(105.1)
    assert not breaker.begin(105.1)
    assert not breaker.probes(500.0)
    assert breaker.line(105.1) == "half-open: 1 failures in a row, the last: HTTP 500"


def test_a_probe_that_nobody_begins_goes_to_another():
    breaker = opened()
    breaker.claim(105.0)
    assert not breaker.probes(105.0 + CLAIM - 0.1)
    assert breaker.probes(105.0 + CLAIM)


def test_a_probe_that_is_cut_short_goes_to_another():
    breaker = opened()
    epoch = breaker.epoch
    assert breaker.begin(105.0)
    breaker.abandon(epoch)
    assert breaker.probes(105.0)


def test_each_cooldown_is_longer_until_the_longest():
    breaker = opened()
    now, waits = 100.0, []
    for _ in range(6):
        waits.append(breaker.until - now)
        now = breaker.until
        failing(breaker, now)
    assert waits == [5.0, 10.0, 20.0, 40.0, LONGEST, LONGEST]
    assert Breaker("b", 0, 300.0).cooldown == 300.0
    slow = opened(cooldown=300.0)
    assert slow.until == 400.0


def test_one_that_was_well_for_long_begins_with_the_first_cooldown():
    breaker = opened()
    failing(breaker, 105.0)
    breaker.begin(115.0)
    breaker.succeed(115.0, breaker.epoch)
    failing(breaker, 116.0)
    assert breaker.until - 116.0 == 20.0
    breaker.begin(136.0)
    breaker.succeed(136.0, breaker.epoch)
    failing(breaker, 136.0 + LONGEST)
    assert breaker.until - (136.0 + LONGEST) == 5.0


def test_it_comes_back_slowly():
    breaker = opened()
    breaker.begin(105.0)
    breaker.succeed(106.0, breaker.epoch)
    assert [breaker.share(106.0 + t * RAMP) for t in (0.0, 0.05, 0.5, 1.0)] == [RAMP_FROM, RAMP_FROM, 0.5, 1.0]
    assert breaker.well


def test_calls_begun_before_it_opened_tell_nothing_of_now():
    breaker = Breaker("a", 0)
    epoch = breaker.epoch
    failing(breaker, 100.0)
    until = breaker.until
    breaker.fail(101.0, epoch, "HTTP 500", probe=False)
    breaker.succeed(102.0, epoch)
    assert (breaker.health, breaker.until) == ("open", until)


def test_it_never_opens_without_a_cooldown():
    breaker = Breaker("a", 0, 0.0)
    failing(breaker, 100.0, 50)
    breaker.refuse(100.0, breaker.epoch, "HTTP 401")
    assert breaker.well


# what failures are, by the router


@pytest.mark.parametrize("status", [401, 402, 404])
def test_what_an_operator_must_mend_opens_at_once_and_loudly(status):
    world = World(entry("m", "a"), entry("m", "b"))
    world.call(world.router.board.groups["m"].entries[0].bound, http(status))
    assert world.told == [("deployment_refused", {"deployment": "a", "cause": f"HTTP {status}", "seconds": 5.0})]


def test_one_of_a_wildcards_models_that_nobody_has_says_nothing_of_the_others():
    world = World(entry("openai/*", "a", "openai/*"))
    bound = world.route("openai/made-up").first().bound
    for _ in range(20):
        world.call(bound, http(404))
    assert world.breaker("a").health == "closed"
    world.call(bound, http(401))
    assert world.breaker("a").health == "open"


@pytest.mark.parametrize("error", [http(500), http(403), http(408), http(409), silent(), refused()], ids=str)
def test_what_may_pass_counts_as_a_failure(error):
    world = World(entry("m", "a"))
    bound = world.route().first().bound
    for number in range(4):
        assert world.breaker("a").health == ("closed" if number < 4 else "open")
        world.call(bound, error)
    assert [event for event, _ in world.told] == ["deployment_opened"]


@pytest.mark.parametrize("error", [http(status) for status in (401, 403, 404, 408, 409, 429, 500)], ids=str)
def test_one_that_never_answers_is_passed_over_before_it_has_used_up_the_retries_of_its_group(error):
    world = World(entry("m", "a"), entry("m", "b"))
    for _ in range(600):
        assert world.walk({"a": error})[1]
        world.clock.now += 0.005


@pytest.mark.parametrize("error", [http(400), http(422)], ids=str)
def test_what_is_about_the_request_shows_that_the_deployment_is_well(error):
    world = World(entry("m", "a"))
    bound = world.route().first().bound
    for _ in range(3):
        world.call(bound, http(500))
    for _ in range(50):
        world.call(bound, error)
    assert repr(world.breaker("a")) == "<Breaker a closed, 0 failed in a row>"


@pytest.mark.parametrize(
    ("headers", "seconds"), [({}, 5.0), ({"retry-after": "12"}, 12.0), ({"retry-after": "900"}, 60)]
)
def test_429_is_a_rest_for_as_long_as_is_asked(headers, seconds):
    world = World(entry("m", "a"), entry("m", "b"))
    world.call(world.router.board.groups["m"].entries[0].bound, http(429, headers=headers))
    assert world.breaker("a").until - world.clock.now == seconds
    assert world.picks() == "b"


def test_a_deployment_called_in_an_outage_does_not_shout_each_time():
    world = World(entry("m", "a"))
    for _ in range(20):
        world.call(world.route().first().bound, http(401))
    assert len(world.told) == 1


def test_a_client_that_leaves_says_nothing_of_the_deployment():
    world = World(entry("m", "a"), entry("m", "b"))
    world.trip("a")
    world.clock.now += 5
    bound = world.route().first().bound
    assert bound.id == "a"
    ticket = world.router.begin(bound)
    world.router.end(ticket, error=None, first_byte=None, tokens=None, cancelled=True)
    world.router.end(ticket, error=None, first_byte=0.1, tokens=None, cancelled=False)  # a second end does nothing
    assert world.breaker("a").health == "half-open"
    assert world.picks() == "a"


def test_one_request_at_a_time_is_the_probe():
    world = World(entry("m", "a"), entry("m", "b"))
    world.trip("a")
    world.clock.now += 5
    assert [world.picks() for _ in range(20)] == ["a"] + ["b"] * 19


def test_one_that_is_back_takes_its_share_slowly():
    world = World(entry("m", "a"), entry("m", "b"))
    world.trip("a")
    world.clock.now += 5
    world.call(world.route().first().bound)
    found = []
    for _ in range(3):
        found.append(sum(world.picks() == "a" for _ in range(2000)) / 2000)
        world.clock.now += RAMP / 2
    assert found == pytest.approx([0.05, 0.25, 0.5], abs=0.04)


class Machine(RuleBasedStateMachine):
    """Whatever happens in whatever order, also with a clock that jumps back."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.breaker = Breaker("a", 2)
        self.calls: list[tuple[int, bool]] = []
        self.was: tuple[str, float, int] = ("closed", float("-inf"), self.breaker.epoch)

    @rule(seconds=st.floats(-5, 100))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def claim(self) -> None:
        if self.breaker.probes(self.now):
            self.breaker.claim(self.now)

    @rule()
    def begin(self) -> None:
        epoch = self.breaker.epoch
        self.calls.append((epoch, self.breaker.begin(self.now)))

    @rule(number=st.integers(0, 9), how=st.sampled_from(["ok", "fail", "refuse", "rest", "cut"]))
    def end(self, number: int, how: str) -> None:
        if not self.calls:
            return
        epoch, probe = self.calls.pop(number % len(self.calls))
        if how == "ok":
            self.breaker.succeed(self.now, epoch)
        elif how == "fail":
            self.breaker.fail(self.now, epoch, "x", probe=probe)
        elif how == "refuse":
            self.breaker.refuse(self.now, epoch, "HTTP 401")
        elif how == "rest":
            self.breaker.rest(self.now, epoch, 3.0, "HTTP 429")
        elif probe:
            self.breaker.abandon(epoch)

    @invariant()
    def there_is_one_probe_at_most(self) -> None:
        probes = [epoch for epoch, probe in self.calls if probe and epoch == self.breaker.epoch]
        assert len(probes) <= 1
        if probes:
            assert not self.breaker.probes(self.now + 1e6)
        elif self.breaker.health != "closed":
            assert self.breaker.probes(max(self.now, self.breaker.until) + 200)  # never for ever

    @invariant()
    def time_and_epochs_never_go_back(self) -> None:
        _, since, epoch = self.was
        assert self.breaker.since >= since
        assert self.breaker.epoch >= epoch
        assert self.breaker.until <= self.breaker.since + LONGEST
        self.was = (self.breaker.health, self.breaker.since, self.breaker.epoch)

    @invariant()
    def its_words_agree(self) -> None:
        breaker = self.breaker
        assert (breaker.health == "closed") == (breaker.cause == "")
        assert 0.0 <= breaker.share(self.now) <= 1.0
        assert (breaker.share(self.now) > 0.0) == (breaker.health == "closed")
        if breaker.well:
            assert breaker.health == "closed"


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
