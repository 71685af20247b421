"""Usage records to write down: one as most are, and any that may come."""

from decimal import Decimal
from typing import Any, get_args

from hypothesis import strategies as st

from gateway.usage import Decision, Outcome, UsageRecord

DAY = 86_400 * 10**9
NOON = 20_000 * DAY + DAY // 2
"""2024-10-04 12:00 UTC."""

ONE = UsageRecord(
    at=NOON,
    request_id="req_1",
    trace_id="0af7651916cd43dd8448eb211c80319c",
    span_id="b7ad6b7169203331",
    method="POST",
    path="/v1/completions",
    route="/v1/completions",
    status=200,
    outcome="allowed",
    error_type=None,
    duration=0.25,
    overhead=0.0003,
    time_to_first_chunk=0.0625,
    key_alias="team",
    key_id="key_1",
    end_user="alice",
    session=None,
    tags=("prod",),
    model="gpt-3.5-turbo-instruct",
    stream=False,
    provider="openai",
    deployment="openai-1",
    served_model="gpt-3.5-turbo-instruct",
    response_model="gpt-3.5-turbo-instruct-0914",
    attempts=1,
    dropped=(),
    input_tokens=100,
    output_tokens=20,
    cached_tokens=0,
    cache_write_tokens=0,
    reasoning_tokens=0,
    estimated=False,
    cost=Decimal("0.00019"),
    input_cost=Decimal("0.00015"),
    output_cost=Decimal("0.00004"),
    cost_source="catalogue",
    price_version="2026.11",
    finish_reasons=("stop",),
    decisions=(Decision("default", 1, "input", "allow", True, "ok", 0),),
)


def made(number: int = 1, **changes: Any) -> UsageRecord:
    """A usual record with an id of its own."""
    return ONE._replace(**{"request_id": f"req_{number}", "at": NOON + number, **changes})


_names = st.text(max_size=20)
_maybe = st.none() | _names
_tokens = st.integers(0, 2**40)
_times = st.floats(0, 1e6, allow_nan=False)
_costs = st.none() | st.decimals(0, 1000, places=12)

decisions = st.builds(
    Decision, _names, st.integers(0, 99), st.just("input"), st.just("mask"), st.booleans(), st.just("ok"), _tokens
)

any_record = st.builds(
    UsageRecord,
    at=st.integers(NOON - 5 * DAY, NOON + 5 * DAY),
    request_id=_names,
    trace_id=_names,
    span_id=_names,
    method=_names,
    path=_names,
    route=_names,
    status=st.integers(100, 599),
    outcome=st.sampled_from(get_args(Outcome)),
    error_type=st.none() | st.sampled_from(["model_not_found", "upstream_timeout"]),
    duration=_times,
    overhead=_times,
    time_to_first_chunk=st.none() | _times,
    key_alias=_maybe,
    key_id=_maybe,
    end_user=st.none() | st.sampled_from(["alice", "bob", "Åsa", ""]),
    session=_maybe,
    tags=st.lists(st.sampled_from(["a", "b", "c"]), max_size=4).map(tuple),
    model=_maybe,
    stream=st.booleans(),
    provider=_maybe,
    deployment=_maybe,
    served_model=_maybe,
    response_model=_maybe,
    attempts=st.integers(0, 20),
    dropped=st.lists(_names, max_size=2).map(tuple),
    input_tokens=st.none() | _tokens,
    output_tokens=_tokens,
    cached_tokens=_tokens,
    cache_write_tokens=_tokens,
    reasoning_tokens=_tokens,
    estimated=st.booleans(),
    cost=_costs,
    input_cost=_costs,
    output_cost=_costs,
    cost_source=st.none() | st.sampled_from(["catalogue", "config"]),
    price_version=_maybe,
    finish_reasons=st.lists(st.sampled_from(["stop", "length"]), max_size=2).map(tuple),
    decisions=st.lists(decisions, max_size=2).map(tuple),
    inputs=st.none(),
    outputs=st.none(),
    resumed=st.integers(0, 9),
)
