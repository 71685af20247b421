"""What is counted of a request, from its finished Exchange (telemetry.md §2). It holds no text and no person's name.

Measured: 5 µs for a request with one call and three policies, all of it. The values of labels are bounded here: names a
client can choose are told apart only where the configuration names them too, what a provider or a remote guard says
only up to a number, and the rest is `_other`.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gateway.errors import GatewayError, error_classes
from gateway.exchange import CallRecord, Exchange
from gateway.judgement import Judgement
from gateway.telemetry import conventions as names
from gateway.telemetry.instruments import table
from gateway.telemetry.registry import OTHER, Distribution, Labels, Number, Registry, Snapshot, Store, Watch
from gateway.telemetry.routes import QUIET_ROUTES, operation_of, route_of
from gateway.types import Usage

REFRESH_SECONDS = 5.0
"""How old what a worker tells of its gauges may be when another worker is asked."""

MAX_SERVED = 16
"""Names of models that are told apart in the answers to one model of one provider."""

MAX_CATEGORIES = 64
"""Categories of findings that are told apart per policy; remote guards name their own."""

MAX_LENGTH = 100
"""Characters of a name that others chose; a longer one is `_other`."""

_CLASSES = {number: f"{number}xx" for number in range(1, 6)}

_PARTICULAR = (
    "model_not_allowed",
    "end_user_blocked",
    "budget_exceeded",
    "overloaded",
    "invalid_http",
)
"""Codes that are given to an error when it is made (contract §4)."""


def _error_types() -> frozenset[str]:
    found = {*_PARTICULAR}
    for cls in error_classes():
        found.update((cls.code or cls.type, cls.type))
    return frozenset(found)


ERROR_TYPES = _error_types()
"""What `error.type` may be, errors of plug-ins apart, which are told by their class's code."""


def error_type(error: GatewayError | None) -> str:
    """An error as a label: its code, empty for none."""
    if error is None:
        return ""
    code = error.code or error.type
    if code in ERROR_TYPES:
        return code
    return type(error).code or type(error).type


class Known:
    """Names that others choose, the first few of each kind told apart."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._names: dict[Labels, set[str]] = {}

    def __repr__(self) -> str:
        return f"<Known {sum(map(len, self._names.values()))} names of {len(self._names)} kinds>"

    def name(self, kind: Labels, name: str) -> str:
        """`name`, or `_other` where it is one too many, too long, or not made of printable characters."""
        found = self._names.setdefault(kind, set())
        if name in found:
            return name
        if len(found) >= self._most or len(name) > MAX_LENGTH or not name.isprintable():
            return OTHER
        found.add(name)
        return name


class Metrics:
    """Counts requests.

    Args:
        store: where the numbers are; None for this process's own memory. `gateway.telemetry.shared` is for several.
        latest: names as in the newest draft of the conventions (`OTEL_SEMCONV_STABILITY_OPT_IN`).
    """

    def __init__(self, store: Store | None = None, *, latest: bool = False) -> None:
        self.registry = Registry(table(latest), store)
        numbers, distributions = self.registry.numbers, self.registry.distributions
        self._requests = numbers(names.REQUESTS)
        self._in_flight = numbers(names.IN_FLIGHT).at(())
        self._request_duration = distributions(names.REQUEST_DURATION)
        self._overhead = distributions(names.OVERHEAD_DURATION)
        self._cost = distributions(names.USAGE_COST)
        self._unpriced = numbers(names.UNPRICED_REQUESTS)
        retries = numbers(names.UPSTREAM_RETRIES)
        self._repeats = {"retry": retries, "resume": retries, "fallback": numbers(names.UPSTREAM_FALLBACKS)}
        self._decisions = numbers(names.GUARDRAIL_DECISIONS)
        self._findings = numbers(names.GUARDRAIL_FINDING_COUNT)
        self._lookups = numbers(names.CACHE_LOOKUPS)
        self._judging = distributions(names.GUARDRAIL_DURATION)
        self._call_duration = distributions(names.INFERENCE_DURATION if latest else names.OPERATION_DURATION)
        self._first_chunk = distributions(names.INFERENCE_TIME_TO_FIRST_CHUNK if latest else names.TIME_TO_FIRST_CHUNK)
        if latest:
            self._inputs = distributions(names.INFERENCE_INPUT_TOKENS)
            self._outputs = distributions(names.INFERENCE_OUTPUT_TOKENS)
            self._parts = tuple(numbers(name) for name in _PARTS)
        else:
            self._tokens = distributions(names.TOKEN_USAGE)
        self._count_tokens = self._latest_tokens if latest else self._released_tokens
        self._aliases: frozenset[str] = frozenset()
        self._models: frozenset[str] = frozenset()
        self._served = Known(MAX_SERVED)
        self._categories = Known(MAX_CATEGORIES)
        self._called: dict[tuple[str, str, str, str | None], _CallLabels] = {}
        self._judged: dict[tuple[str, str, str, bool, str], tuple[Number, Distribution | None]] = {}

    def __repr__(self) -> str:
        return f"<Metrics {self.registry!r} served={self._served!r} categories={self._categories!r}>"

    def know(self, aliases: Iterable[str], models: Iterable[str]) -> None:
        """Take over a configuration's names: those clients use, and the providers' own for what they are served with.
        Others are `_other`: what a wildcard stands for is the client's choice."""
        self._aliases = frozenset(aliases)
        self._models = frozenset(models)
        self._called.clear()

    def watch(self, name: str, look: Watch) -> None:
        """See `Registry.watch`."""
        self.registry.watch(name, look)

    def own(self) -> Snapshot:
        """What this process has counted, for OTLP, where every process tells its own."""
        return self.registry.own()

    def everyone(self) -> Snapshot:
        """What all workers of this server have counted, for a scrape, which reaches any one of them."""
        return self.registry.everyone()

    async def keep_fresh(self, seconds: float = REFRESH_SECONDS) -> None:
        """Write down what is watched every so often, for other workers to read; until cancelled."""
        while True:
            self.registry.refresh()
            await asyncio.sleep(seconds)

    def begin(self, exchange: Exchange) -> None:
        """A request has come in; `end` is called once for each."""
        if exchange.path not in QUIET_ROUTES:
            self._in_flight.add()

    def end(self, exchange: Exchange) -> None:
        """A request that `begin` was called for is over."""
        if exchange.path not in QUIET_ROUTES:
            self._in_flight.add(-1.0)

    def observe(self, exchange: Exchange) -> None:
        """Count a finished request, once."""
        if exchange.path in QUIET_ROUTES:
            return
        route, error, request = route_of(exchange.path), error_type(exchange.error), exchange.request
        alias = ""
        if request is not None:
            alias = request.model if request.model in self._aliases else OTHER
            operation = operation_of(exchange.path)
            provider = names.PROVIDERS.get(exchange.provider or "", exchange.provider or "")
            self._request_duration.at((operation, provider, alias, error)).record(exchange.duration())
            self._overhead.at((operation,)).record(exchange.overhead())
            if exchange.reused is not None:
                self._lookups.at((exchange.reused, alias)).add()
        self._requests.at((route, alias, _CLASSES.get(exchange.status // 100, ""), error)).add()
        if exchange.calls:
            self._count_calls(exchange.calls, operation_of(exchange.path))
        for judgement in exchange.judgements():
            self._count_judgement(judgement)

    def _count_calls(self, calls: Sequence[CallRecord], operation: str) -> None:
        unpriced = False
        for call in calls:
            labels, error = self._labels(call, operation), error_type(call.error)
            if call.ended is not None:
                duration = self._call_duration.at((*labels.plain, error) if error else labels.sound)
                duration.record(call.ended - call.began)
            if call.first_chunk is not None:
                self._first_chunk.at(labels.plain).record(call.first_chunk - call.began)
            self._count_tokens(labels, error, call.usage)
            if call.cost is None:
                continue
            if call.cost.total is not None:
                self._cost.at(labels.plain).record(float(call.cost.total))
            elif not unpriced:  # a request is counted once, however many prompts it has
                unpriced = True
                self._unpriced.at(labels.plain[1:3]).add()
        if len(calls) > 1:
            self._count_repeats(calls, operation)

    def _labels(self, call: CallRecord, operation: str) -> "_CallLabels":
        served = call.opening.model if call.opening is not None else None
        key = (operation, call.provider, call.model, served)
        return self._called.get(key) or self._labelled(*key)

    def _labelled(self, operation: str, provider: str, model: str, served: str | None) -> "_CallLabels":
        known = model if model in self._models else OTHER
        told = served or ""
        if told and told != known:
            told = self._served.name((provider, known), told)
        plain = (operation, names.PROVIDERS.get(provider, provider), known, told)
        made = _CallLabels(plain, (*plain, ""), (*plain, "input"), (*plain, "output"), (*plain, "text"))
        if known == model and told == (served or ""):
            self._called[operation, provider, model, served] = (
                made  # only what is told apart is remembered, and that is bounded
            )
        return made

    def _released_tokens(self, labels: "_CallLabels", _error: str, usage: Usage | None) -> None:
        if usage is not None:
            # "When systems report both used tokens and billable tokens, instrumentation MUST report billable tokens."
            read, written = usage.billed or (usage.input_tokens, usage.output_tokens)
            self._tokens.at(labels.input).record(read)
            self._tokens.at(labels.output).record(written)

    def _latest_tokens(self, labels: "_CallLabels", error: str, usage: Usage | None) -> None:
        """As the draft has it: a call without usage counts as one of 0 tokens."""
        read, written = (usage.billed or (usage.input_tokens, usage.output_tokens)) if usage is not None else (0, 0)
        told = (*labels.plain, error) if error else labels.sound
        self._inputs.at(told).record(read)
        self._outputs.at(told).record(written)
        if usage is None:
            return
        counts = (read, written, usage.cached_tokens, usage.cache_write_tokens, usage.reasoning_tokens)
        for family, tokens in zip(self._parts, counts, strict=True):
            if tokens:
                family.at(labels.text).add(tokens)

    def _count_repeats(self, calls: Sequence[CallRecord], operation: str) -> None:
        """For each call that failed and was made good by another, why it failed."""
        for call in calls:
            failed, family = call.instead_of, self._repeats.get(call.why)
            if failed is not None and family is not None:
                family.at((*self._labels(failed, operation).plain[1:3], error_type(failed.error))).add()

    def _count_judgement(self, judgement: Judgement) -> None:
        policy, stage = judgement.policy, judgement.stage
        key = (policy, stage, judgement.decision, judgement.enforced, judgement.status)
        decisions, durations = self._judged.get(key) or self._judged_series(*key)
        decisions.add()
        if durations is not None:
            durations.record(judgement.duration)
        for finding in judgement.findings:
            category = self._categories.name((policy,), finding.category)
            self._findings.at((policy, stage, category, finding.action)).add()

    def _judged_series(
        self, policy: str, stage: str, decision: str, enforced: bool, status: str
    ) -> "tuple[Number, Distribution | None]":
        decisions = self._decisions.at((policy, stage, decision, "true" if enforced else "false", status))
        durations = None if status == "skipped" else self._judging.at((policy, stage))
        made = self._judged[policy, stage, decision, enforced, status] = (decisions, durations)
        return made


class _CallLabels(NamedTuple):
    """The labels of what is counted of calls to one model, as each instrument has them."""

    plain: Labels
    sound: Labels
    input: Labels
    output: Labels
    text: Labels


_PARTS = (
    names.INFERENCE_USAGE_INPUT,
    names.INFERENCE_USAGE_OUTPUT,
    names.INFERENCE_USAGE_CACHE_READ,
    names.INFERENCE_USAGE_CACHE_WRITE,
    names.INFERENCE_USAGE_REASONING,
)
"""The draft's counters, in the order `_latest_tokens` counts them."""
