"""Finished requests as the gateway leaves them, for the tests of metrics."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from gateway.errors import GatewayError
from gateway.exchange import CallRecord, Exchange, Reason
from gateway.guards.base import Action, Finding, Stage
from gateway.guards.verdict import Status, Verdict
from gateway.judgement import Judgement
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.registry import Labels, Snapshot, Store
from gateway.types import Call, CompletionRequest, Cost, Opening, Usage

ALIAS, MODEL = "fast", "gpt-3.5-turbo-instruct"
PRICED = Cost(Decimal("0.00019"), "catalogue", "1")
UNPRICED = Cost(None, "unpriced")


def metrics(store: Store | None = None, *, latest: bool = False) -> Metrics:
    """Metrics that know one alias and two models."""
    made = Metrics(store, latest=latest)
    made.know([ALIAS], [MODEL, "claude-3-haiku"])
    return made


def request(path: str = "/v1/completions", *, status: int = 200, alias: str | None = ALIAS) -> Exchange:
    """A finished request; `alias` None is one whose body was never read."""
    made = Exchange("req_1", "POST", path)
    made.status = status
    if alias is not None:
        made.request = CompletionRequest(alias, ("hello",))
    return made


def called(
    exchange: Exchange,
    model: str = MODEL,
    *,
    provider: str = "openai",
    served: str | None = None,
    usage: Usage | None = None,
    cost: Cost | None = None,
    error: GatewayError | None = None,
    seconds: float = 0.5,
    first_chunk: float | None = None,
    first: int = 0,
    why: Reason = "first",
    instead_of: CallRecord | None = None,
) -> CallRecord:
    """A finished call to a provider, added to `exchange`."""
    record = exchange.begin(provider, f"{provider}-1", model, Call((), "hello"), first, why, instead_of)
    record.ended = record.began + seconds
    record.error = error
    record.first_chunk = None if first_chunk is None else record.began + first_chunk
    record.opening = Opening("id", served) if served else None
    exchange.provider, exchange.served_model = provider, model
    if usage is not None:
        exchange.settle(record, usage, cost or PRICED)
    return record


def verdict(
    policy: str = "pii",
    decision: Action = "allow",
    *,
    stage: Stage = "input",
    enforced: bool = True,
    status: Status = "ok",
    categories: Sequence[str] = (),
    duration: float = 0.0002,
) -> Verdict:
    """A policy's verdict with one finding per category."""
    found = tuple(Finding("guard", "RULE", category, decision, "prompt[0]", 0, 5) for category in categories)
    return Verdict(policy, 1, stage, decision, enforced, status, findings=found, duration=duration)


def judged(exchange: Exchange, *verdicts: Judgement) -> Exchange:
    """`exchange` with these verdicts."""
    exchange.judges.append(lambda: verdicts)
    return exchange


def series(snapshot: Snapshot, name: str) -> Mapping[Labels, tuple[float, ...]]:
    """One instrument's series; none where it has counted nothing."""
    return next((points.series for points in snapshot.points if points.instrument.name == name), {})


def counts(snapshot: Snapshot, name: str) -> dict[Labels, float]:
    """A counter's values, or how many values each of a histogram's series has."""
    found = series(snapshot, name)
    return {labels: values[0] if len(values) == 1 else sum(values[:-1]) for labels, values in found.items()}
