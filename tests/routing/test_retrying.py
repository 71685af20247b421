"""What is tried again, after how long, and how often: the table, the waits, and the budget."""

import random
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import (
    ClientDisconnected,
    GatewayError,
    InternalError,
    InvalidValue,
    PolicyBlocked,
    RateLimited,
    Unavailable,
    UpstreamConnectionError,
    UpstreamError,
    UpstreamInvalidResponse,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
    error_classes,
)
from gateway.routing.retrying import BASE, CAP, RESERVE, RULES, Budget, backoff, retry_after, rule
from tests.routing.routes import World, entry, http

README = (Path(__file__).parents[2] / "README.md").read_text()
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("error", "name"),
    [
        *((http(status), "request") for status in (400, 405, 406, 413, 415, 422, 451)),
        *((http(status), "credentials") for status in (401, 402)),
        *((http(status), "timeout") for status in (408, 504)),
        *((http(status), "broken") for status in (500, 502, 503, 520, 529)),
        (http(403), "forbidden"),
        (http(404), "missing"),
        (http(409), "conflict"),
        (http(429), "limited"),
        (UpstreamTimeout("x"), "timeout"),
        (UpstreamConnectionError("x"), "broken"),
        (UpstreamInvalidResponse("x"), "broken"),
        (UpstreamRateLimited("x"), "limited"),
        (UpstreamRejected("x", status=404), "missing"),
        (UpstreamRejected("x", status=400), "request"),
        (UpstreamError("x"), "broken"),
        (InvalidValue("x"), "unfit"),
        (Unavailable("x", code="overloaded"), "limited"),
        (Unavailable("x"), "ours"),
        (PolicyBlocked("x"), "ours"),
        (RateLimited("x"), "ours"),
        (InternalError("x"), "ours"),
        (ClientDisconnected("x"), "ours"),
    ],
    ids=lambda value: value if isinstance(value, str) else repr(value),
)
def test_every_failure_has_its_rule(error, name):
    assert rule(error).name == name


@pytest.mark.parametrize("error", [cls("x") for cls in error_classes() if cls.__name__ != "ConfigError"], ids=repr)
def test_no_error_is_without_a_rule(error: GatewayError):
    assert rule(error) in RULES


@pytest.mark.parametrize(
    "said",
    [
        "This model's maximum context length is 4097 tokens, however you requested 5000 tokens (4000 in your prompt; "
        "1000 for the completion). Please reduce your prompt; or completion length.",
        "prompt is too long: 208310 tokens > 200000 maximum",
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        "Input is too long for requested model.",
        "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 5000.",
        "Please reduce the length of the messages or completion.",
        "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
        "`inputs` must have less than 4095 tokens. Given: 5000",
        "the request exceeds the available context size, try increasing it",
    ],
)
def test_a_prompt_that_is_too_long_is_known_in_every_providers_words(said):
    assert rule(http(400, said)).name == "context"


@pytest.mark.parametrize(
    "said",
    [
        "Your request was rejected as a result of our safety system.",
        "Invalid prompt: your prompt was flagged as potentially violating our usage policy.",
        "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
        "Output blocked by content filtering policy",
        "Input data may contain inappropriate content.",
    ],
)
def test_a_prompt_that_a_providers_policy_forbids_is_known_too(said):
    assert rule(http(400, said)).name == "policy"


def test_other_refusals_are_neither():
    for said in ("temperature must be at most 2", "invalid model", "stop: too many sequences", "no"):
        assert rule(http(400, said)).name == "request"


def test_the_table_says_what_the_issue_asks_for():
    by_name = {each.name: each for each in RULES}
    never = {"context", "policy", "unfit", "credentials", "forbidden", "missing", "request", "ours"}
    assert {name for name, each in by_name.items() if each.same == "no"} == never
    assert {name for name, each in by_name.items() if not each.other} == {"context", "policy", "request", "ours"}
    assert {name for name, each in by_name.items() if each.mark == "open"} == {"credentials", "missing"}


def test_the_readme_has_the_whole_table():
    rows = re.findall(r"^\| `([a-z]+)` \| (.+?) \| (.+?) \| (.+?) \| (.+?) \|$", README, re.MULTILINE)
    told = {row[0]: row[1] for row in rows}
    assert {each.name: each.when for each in RULES} == {name: told.get(name) for name in (r.name for r in RULES)}


@given(st.integers(1, 10_000), st.integers(0, 999))
def test_waits_are_jittered_fully_and_bounded(attempt, seed):
    wait = backoff(attempt, random.Random(seed))  # noqa: S311
    assert 0.0 <= wait <= min(CAP, BASE * 2.0 ** min(attempt - 1, 30))


def test_waits_grow_with_the_attempts():
    rng = random.Random(1)  # noqa: S311
    means = [sum(backoff(attempt, rng) for _ in range(4000)) / 4000 for attempt in range(1, 8)]
    assert means == pytest.approx([min(CAP, BASE * 2**n) / 2 for n in range(7)], rel=0.1)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        (" 1.5 ", 1.5),
        ("Sun, 22 Nov 2026 12:00:30 GMT", 30.0),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0.0),
        ("Sun, 22 Nov 2026 12:00:30", 30.0),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("1e9", None),
        ("\uff19", None),
        ("9" * 400, None),
        ("Sun, 99 Nov 2026 99:00:30 GMT", None),
        ("Sun, 22 Nov 2026 12:00:30 +9999", None),
        ("Sun, 22 Nov 2026 12:00:30 +99999999999999999999", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(said, seconds):
    assert retry_after(http(429, headers={"retry-after": said}), lambda: NOW) == seconds


@given(st.text(max_size=40))
def test_no_retry_after_breaks_anything(said):
    found = retry_after(http(429, headers={"retry-after": said}), lambda: NOW)
    assert found is None or found >= 0.0


# the budget


def test_retries_are_a_share_of_what_goes_well():
    budget = Budget()
    while budget.take():
        pass
    for number in range(1000):
        budget.request(number * 0.01)
        budget.success()
    made = 0
    while budget.take():
        made += 1
    assert 95 <= made <= 105  # a reserve at most, with so little traffic


def test_the_reserve_is_as_large_as_the_traffic_is():
    budget = Budget()
    for number in range(20_000):
        budget.request(number * 0.001)
        budget.success()
    assert repr(budget) == "<Budget 2000.1 of 2000 retries>"
    for number in range(5):
        budget.request(100.0 + number)
    assert budget.most == RESERVE


def test_one_that_is_hardly_ever_called_gets_its_retries_back():
    budget = Budget()
    while budget.take():
        pass
    budget.request(1000.0)
    budget.request(1060.0)
    assert sum(budget.take() for _ in range(50)) == 6


@pytest.mark.parametrize("deployments", [1, 2, 3])
@pytest.mark.parametrize("requests", [1000, pytest.param(5000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("fallbacks", [[], [{"m": ["n"]}]], ids=["alone", "with a fallback"])
@pytest.mark.parametrize("status", [500, 429, 408])
def test_a_total_outage_is_made_worse_by_a_fifth_at_most(deployments, requests, fallbacks, status):
    world = World(*(entry("m", f"d{n}") for n in range(deployments)), entry("n", "f"), fallbacks=fallbacks)
    faults = {f"d{n}": http(status) for n in range(deployments)} | {"f": http(status)}
    calls = 0
    for _ in range(requests):
        calls += len(world.walk(faults)[0])
        world.clock.now += 0.005
    assert requests <= calls <= 1.2 * requests
