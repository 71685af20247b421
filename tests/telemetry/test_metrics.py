"""What a finished request counts, and that nobody outside can make it count more kinds of thing than there are."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import (
    ClientDisconnected,
    GatewayError,
    ModelNotFound,
    PolicyBlocked,
    Unavailable,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
    error_classes,
)
from gateway.telemetry import conventions as names
from gateway.telemetry.instruments import COMMON, LATEST, RELEASED, Kind, table
from gateway.telemetry.metrics import ERROR_TYPES, MAX_CATEGORIES, MAX_LENGTH, MAX_SERVED, error_type
from gateway.telemetry.registry import OTHER
from gateway.types import Cost, Usage
from tests.telemetry.metrics_kit import (
    ALIAS,
    MODEL,
    UNPRICED,
    called,
    counts,
    judged,
    metrics,
    request,
    series,
    verdict,
)


def test_a_request_is_counted_by_route_alias_status_class_and_error():
    counted = metrics()
    counted.observe(request())
    counted.observe(request())
    refused = request(status=404, alias="nobody/knows-this")
    refused.error = ModelNotFound("no")
    counted.observe(refused)
    assert counts(counted.own(), names.REQUESTS) == {
        ("/v1/completions", ALIAS, "2xx", ""): 2,
        ("/v1/completions", OTHER, "4xx", "model_not_found"): 1,
    }


def test_answers_that_are_used_again_are_counted_by_what_became_of_that():
    counted = metrics()
    for reused in ("hit", "hit", "miss", "coalesced", "bypass", None):
        one = request()
        one.reused = reused
        counted.observe(one)
    unknown = request(alias="of/a-wildcard")
    unknown.reused = "hit"
    counted.observe(unknown)
    assert counts(counted.own(), names.CACHE_LOOKUPS) == {
        ("hit", ALIAS): 2,
        ("miss", ALIAS): 1,
        ("coalesced", ALIAS): 1,
        ("bypass", ALIAS): 1,
        ("hit", OTHER): 1,
    }


def test_a_request_whose_body_was_never_read_has_no_model_and_no_duration_of_a_completion():
    counted = metrics()
    counted.observe(request(status=401, alias=None))
    assert counts(counted.own(), names.REQUESTS) == {("/v1/completions", "", "4xx", ""): 1}
    assert not series(counted.own(), names.REQUEST_DURATION)


def test_a_request_that_was_never_answered_has_no_status_class():
    counted = metrics()
    counted.observe(request(status=0))
    assert counts(counted.own(), names.REQUESTS) == {("/v1/completions", ALIAS, "", ""): 1}


@pytest.mark.parametrize("path", ["/metrics", "/health/live", "/health/ready", "/openapi.json"])
def test_probes_and_scrapes_are_not_counted(path):
    counted = metrics()
    probe = request(path, alias=None)
    counted.begin(probe)
    assert counts(counted.own(), names.IN_FLIGHT) == {(): 0}
    counted.observe(probe)
    counted.end(probe)
    assert not series(counted.own(), names.REQUESTS)


def test_requests_in_flight_go_up_and_down():
    counted = metrics()
    one, other = request(), request()
    counted.begin(one)
    counted.begin(other)
    assert counts(counted.own(), names.IN_FLIGHT) == {(): 2}
    counted.end(one)
    counted.end(other)
    assert counts(counted.own(), names.IN_FLIGHT) == {(): 0}


def test_a_completion_has_its_duration_and_its_overhead():
    counted = metrics()
    done = request()
    called(done)
    counted.observe(done)
    assert counts(counted.own(), names.REQUEST_DURATION) == {("text_completion", "openai", ALIAS, ""): 1}
    assert counts(counted.own(), names.OVERHEAD_DURATION) == {("text_completion",): 1}


@pytest.mark.parametrize("latest", [False, True])
def test_calls_for_a_chat_completion_are_chats_and_told_apart_from_others_of_the_same_model(latest):
    counted = metrics(latest=latest)
    for path in ("/v1/chat/completions", "/v1/completions", "/v1/chat/completions"):
        done = request(path)
        called(done, served="x", usage=Usage(100, 20), first_chunk=0.01, cost=UNPRICED)
        called(done, served="x", usage=Usage(100, 20), first_chunk=0.01)
        counted.observe(done)
    told = [
        (each.instrument.name, labels, values)
        for each in counted.own().points
        for labels, values in each.series.items()
        if each.instrument.labels[:1] == (names.OPERATION_NAME,)
    ]
    assert {name for name, labels, _ in told if labels[0] == "chat"} == {name for name, *_ in told}
    durations = counts(counted.own(), names.INFERENCE_DURATION if latest else names.OPERATION_DURATION)
    assert {labels[0]: count for labels, count in durations.items()} == {"chat": 4, "text_completion": 2}


def test_a_chat_completion_of_a_foreign_app_is_told_as_one():
    counted = metrics()
    counted.observe(request("/api/v1/chat/completions"))
    assert list(counts(counted.own(), names.REQUEST_DURATION)) == [("chat", "", ALIAS, "")]
    assert list(counts(counted.own(), names.REQUESTS)) == [("/v1/chat/completions", ALIAS, "2xx", "")]


def test_a_call_has_its_duration_its_first_chunk_its_tokens_and_its_cost():
    counted = metrics()
    done = request()
    called(done, served="gpt-3.5-turbo-instruct-0914", usage=Usage(100, 20), seconds=0.5, first_chunk=0.03)
    counted.observe(done)
    snapshot, labels = counted.own(), ("text_completion", "openai", MODEL, "gpt-3.5-turbo-instruct-0914")
    assert counts(snapshot, names.OPERATION_DURATION) == {(*labels, ""): 1}
    assert series(snapshot, names.OPERATION_DURATION)[*labels, ""][-1] == pytest.approx(0.5)
    assert series(snapshot, names.TIME_TO_FIRST_CHUNK)[labels][-1] == pytest.approx(0.03)
    tokens = series(snapshot, names.TOKEN_USAGE)
    assert (tokens[*labels, "input"][-1], tokens[*labels, "output"][-1]) == (100, 20)
    assert series(snapshot, names.USAGE_COST)[labels][-1] == pytest.approx(0.00019)
    assert not series(snapshot, names.UNPRICED_REQUESTS)


def test_billed_tokens_are_counted_where_a_provider_bills_others_than_it_counts():
    counted = metrics()
    done = request()
    called(done, usage=Usage(100, 20, billed=(90, 10)))
    counted.observe(done)
    assert [values[-1] for values in series(counted.own(), names.TOKEN_USAGE).values()] == [90, 10]


def test_a_call_that_has_nothing_to_pay_counts_no_tokens_and_no_cost():
    counted = metrics()
    done = request(status=429)
    called(done, error=UpstreamRateLimited("slow down"))
    counted.observe(done)
    assert list(series(counted.own(), names.OPERATION_DURATION)) == [
        ("text_completion", "openai", MODEL, "", "rate_limit_exceeded")
    ]
    assert not series(counted.own(), names.TOKEN_USAGE)
    assert not series(counted.own(), names.USAGE_COST)


def test_a_request_whose_price_nobody_knows_is_counted_once_however_many_prompts_it_has():
    counted = metrics()
    done = request()
    for first in range(3):
        called(done, usage=Usage(1, 1), cost=UNPRICED, first=first)
    counted.observe(done)
    assert counts(counted.own(), names.UNPRICED_REQUESTS) == {("openai", MODEL): 1}
    assert not series(counted.own(), names.USAGE_COST)


@pytest.mark.parametrize("nonsense", ["-1", "NaN", "Infinity", "-Infinity"])
def test_a_cost_that_is_none_does_not_spoil_the_sum(nonsense):
    counted = metrics()
    for total in (Decimal("0.25"), Decimal(nonsense), Decimal("0.5")):
        done = request()
        called(done, usage=Usage(1, 1), cost=Cost(total, "provider"))
        counted.observe(done)
    (values,) = series(counted.own(), names.USAGE_COST).values()
    assert (sum(values[:-1]), values[-1]) == (2, 0.75)


def test_a_call_that_is_asked_again_is_a_retry_and_one_under_another_alias_a_fallback():
    counted = metrics()
    done = request()
    late = called(done, error=UpstreamTimeout("late"))
    limited = called(done, provider="azure", error=UpstreamRateLimited("slow down"), why="retry", instead_of=late)
    broken = called(done, provider="azure", error=UpstreamTimeout("late"), why="fallback", instead_of=limited)
    called(done, "claude-3-haiku", provider="anthropic", usage=Usage(1, 1), why="resume", instead_of=broken)
    called(done, "claude-3-haiku", provider="anthropic", usage=Usage(1, 1), why="hedge")
    counted.observe(done)
    assert counts(counted.own(), names.UPSTREAM_RETRIES) == {
        ("openai", MODEL, "upstream_timeout"): 1,
        ("azure.ai.openai", MODEL, "upstream_timeout"): 1,
    }
    assert counts(counted.own(), names.UPSTREAM_FALLBACKS) == {("azure.ai.openai", MODEL, "rate_limit_exceeded"): 1}


def test_calls_for_several_prompts_are_not_retries():
    counted = metrics()
    done = request()
    for first in range(4):
        called(done, usage=Usage(1, 1), first=first)
    counted.observe(done)
    assert not series(counted.own(), names.UPSTREAM_RETRIES)
    assert not series(counted.own(), names.UPSTREAM_FALLBACKS)


def test_decisions_findings_and_durations_are_counted_per_policy():
    counted = metrics()
    done = judged(
        request(),
        verdict("pii", "mask", categories=["pii", "pii"]),
        verdict("topics", "flag", enforced=False, stage="output", categories=["topic"]),
        verdict("moderation", status="skipped"),
    )
    counted.observe(done)
    snapshot = counted.own()
    assert counts(snapshot, names.GUARDRAIL_DECISIONS) == {
        ("moderation", "input", "allow", "true", "skipped"): 1,
        ("pii", "input", "mask", "true", "ok"): 1,
        ("topics", "output", "flag", "false", "ok"): 1,
    }
    assert counts(snapshot, names.GUARDRAIL_FINDING_COUNT) == {
        ("pii", "input", "pii", "mask"): 2,
        ("topics", "output", "topic", "flag"): 1,
    }
    assert counts(snapshot, names.GUARDRAIL_DURATION) == {("pii", "input"): 1, ("topics", "output"): 1}


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (None, ""),
        (PolicyBlocked("no"), "policy_blocked"),
        (ClientDisconnected("gone"), "client_disconnected"),
        (Unavailable("closing", code="overloaded"), "overloaded"),
        (UpstreamRejected("no", code="a-code-of-the-provider's-own"), "upstream_rejected"),
    ],
)
def test_an_error_is_told_by_a_code_of_ours(error, told):
    assert error_type(error) == told


def test_every_error_of_the_tree_has_its_type():
    for cls in error_classes():
        assert cls.code in ERROR_TYPES
        assert error_type(GatewayError("x", code=cls.code)) == cls.code


def test_a_code_that_somebody_made_up_becomes_the_one_of_the_error_class():
    class Particular(UpstreamRejected):
        code = "particular"

    assert error_type(Particular("x", code="made up 4711")) == "particular"


HOSTILE = st.text(st.characters(), max_size=300)  # lone surrogates too, which have no UTF-8 form


@given(st.lists(st.tuples(HOSTILE, HOSTILE, HOSTILE), min_size=1, max_size=60))
def test_no_name_of_a_client_or_a_provider_makes_more_series_than_the_bounds_say(chosen):
    counted = metrics()
    for alias, model, served in chosen:
        done = judged(request(f"/v1/{alias}/completions", alias=alias), verdict("pii", "mask", categories=[served]))
        called(done, model, served=served, usage=Usage(1, 1))
        counted.observe(done)
    snapshot = counted.own()
    assert {labels[0] for labels in series(snapshot, names.REQUESTS)} <= {
        "/v1/completions",
        "/v1/chat/completions",
        "/v1/engines/{model}/completions",
        OTHER,
    }
    assert {labels[1] for labels in series(snapshot, names.REQUESTS)} <= {ALIAS, OTHER}
    calls = series(snapshot, names.USAGE_COST)
    assert {labels[2] for labels in calls} <= {MODEL, "claude-3-haiku", OTHER}
    assert len({labels[3] for labels in calls}) <= MAX_SERVED + 2
    assert len(series(snapshot, names.GUARDRAIL_FINDING_COUNT)) <= MAX_CATEGORIES + 1
    for points in snapshot.points:
        for labels in points.series:
            assert all(len(value) <= MAX_LENGTH and value.encode() is not None for value in labels)


def test_ten_thousand_names_of_models_are_a_few_series_and_a_few_entries():
    counted = metrics()
    for number in range(10_000):
        done = request(f"/v1/engines/model-{number}/completions", alias=f"model-{number}")
        called(done, f"model-{number}", served=f"served-{number}", usage=Usage(1, 1))
        counted.observe(done)
    snapshot = counted.own()
    assert sum(len(points.series) for points in snapshot.points) < 100
    assert counts(snapshot, names.REQUESTS) == {("/v1/engines/{model}/completions", OTHER, "2xx", ""): 10_000}
    assert len(series(snapshot, names.USAGE_COST)) == MAX_SERVED + 1
    assert len(counted._called) <= MAX_SERVED


def test_names_of_a_new_configuration_are_told_apart_from_then_on():
    counted = metrics()
    counted.observe(request(alias="new"))
    counted.know(["new"], [])
    counted.observe(request(alias="new"))
    counted.observe(request())
    assert counts(counted.own(), names.REQUESTS) == {
        ("/v1/completions", OTHER, "2xx", ""): 2,
        ("/v1/completions", "new", "2xx", ""): 1,
    }


def test_who_asked_is_nowhere_among_the_labels():
    people = {names.USER_ID, names.SESSION_ID, names.REQUEST_ID, names.KEY_ALIAS, names.TAGS, names.CONVERSATION_ID}
    for instrument in COMMON + RELEASED + LATEST:
        assert not people & set(instrument.labels), instrument.name


def test_what_a_person_is_called_reaches_no_number():
    counted = metrics()
    done = judged(request(), verdict("pii", "mask", categories=["pii"]))
    done.end_user, done.session, done.key_alias, done.tags = "canary-7", "canary-7", "canary-7", ("canary-7",)
    called(done, usage=Usage(1, 1))
    counted.observe(done)
    assert "canary-7" not in repr(counted.own())


@pytest.mark.parametrize("latest", [False, True])
def test_names_of_instruments_differ_and_histograms_have_rising_bounds(latest):
    instruments = table(latest)
    assert len({each.name for each in instruments}) == len(instruments)
    for each in instruments:
        assert (each.kind is Kind.HISTOGRAM) == bool(each.bounds)
        assert list(each.bounds) == sorted(set(each.bounds))
        assert len(set(each.labels)) == len(each.labels)


def test_the_newest_draft_counts_tokens_of_each_kind():
    counted = metrics(latest=True)
    done = request()
    called(done, usage=Usage(100, 20, cached_tokens=60, reasoning_tokens=5), first_chunk=0.1)
    called(done, error=UpstreamTimeout("late"), first=1)
    counted.observe(done)
    snapshot, labels = counted.own(), ("text_completion", "openai", MODEL, "")
    assert counts(snapshot, names.INFERENCE_USAGE_INPUT) == {(*labels, "text"): 100}
    assert counts(snapshot, names.INFERENCE_USAGE_OUTPUT) == {(*labels, "text"): 20}
    assert counts(snapshot, names.INFERENCE_USAGE_CACHE_READ) == {(*labels, "text"): 60}
    assert counts(snapshot, names.INFERENCE_USAGE_REASONING) == {(*labels, "text"): 5}
    assert not series(snapshot, names.INFERENCE_USAGE_CACHE_WRITE)
    inputs = series(snapshot, names.INFERENCE_INPUT_TOKENS)
    assert {key[-1]: values[-1] for key, values in inputs.items()} == {"": 100, "upstream_timeout": 0}
    assert counts(snapshot, names.INFERENCE_DURATION) == {(*labels, ""): 1, (*labels, "upstream_timeout"): 1}
    assert counts(snapshot, names.INFERENCE_TIME_TO_FIRST_CHUNK) == {labels: 1}
    assert not series(snapshot, names.TOKEN_USAGE)


def test_the_repr_says_how_much_is_counted():
    counted = metrics()
    counted.observe(request())
    assert repr(counted) == (
        f"<Metrics <Registry {len(table())} instruments, 4 series in <Private>> "
        "served=<Known 0 names of 0 kinds> categories=<Known 0 names of 0 kinds>>"
    )
