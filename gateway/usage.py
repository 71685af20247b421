"""The usage record: what one request used, cost and came to. Telemetry writes it to the log, the ledger keeps it."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, NamedTuple

from gateway.types import EndReason

Outcome = Literal["allowed", "masked", "blocked", "error", "cancelled"]
"""What a request came to. `blocked`: a policy refused it, or withheld its answer or a part of that; `masked`: policies
changed its texts; `error`: it was answered with another error; `cancelled`: the client left."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What one policy decided about one stage; `findings` is how many there were."""

    policy: str
    version: int
    stage: str
    decision: str
    enforced: bool
    status: str
    findings: int


class UsageRecord(NamedTuple):
    """One request; a named tuple, because every request makes one: a frozen dataclass of as many fields takes three
    times as long. Times are in seconds, `at` is nanoseconds since 1970 at its beginning, amounts are USD.

    Tokens and cost are those of all calls to providers together; `input_tokens` is None where nothing was counted and
    `cost_source` None where there was nothing to pay. `model` is the alias asked for, `served_model` the provider's
    name for what served it. `key_id` is a virtual key's, whose alias another may have had before; None for any other.
    `end_user` is a pseudonym where the configuration says so. `inputs` and `outputs` are the guarded texts in the
    conventions' form, where they may be kept.
    """

    at: int
    request_id: str
    trace_id: str
    span_id: str
    method: str
    path: str
    route: str
    status: int
    outcome: Outcome
    error_type: str | None
    duration: float
    overhead: float
    time_to_first_chunk: float | None
    key_alias: str | None
    key_id: str | None
    end_user: str | None
    session: str | None
    tags: tuple[str, ...]
    model: str | None
    stream: bool
    provider: str | None
    deployment: str | None
    served_model: str | None
    response_model: str | None
    attempts: int
    dropped: tuple[str, ...]
    input_tokens: int | None
    output_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    estimated: bool
    cost: Decimal | None
    input_cost: Decimal | None
    output_cost: Decimal | None
    cost_source: str | None
    price_version: str | None
    finish_reasons: tuple[EndReason, ...]
    decisions: tuple[Decision, ...]
    inputs: str | None = None
    outputs: str | None = None
    resumed: int = 0
    """How often a stream that broke was continued by another call."""
