"""What is measured: one literal table (telemetry.md §2), read top to bottom.

Labels are a closed list of operator-controlled values. End users, sessions, keys, tags and request ids are never among
them: spend per end user comes from the ledger and from spans. `gateway.telemetry.metrics` bounds the values of each.
"""

from dataclasses import dataclass
from enum import Enum

from gateway.telemetry import conventions as names


class Kind(Enum):
    """How an instrument counts, and what becomes of its numbers when several processes are added up."""

    COUNTER = "counter"
    """Only goes up; what a process that is gone has counted stays counted."""
    UP_DOWN = "up_down"
    """A sum that goes up and down; only living processes count."""
    GAUGE = "gauge"
    """What is so now; living processes are added up."""
    HISTOGRAM = "histogram"
    """Counts per bucket and a sum; lasts as a counter does."""


@dataclass(frozen=True, slots=True)
class Instrument:
    """One thing that is measured.

    `unit` is UCUM's. `labels` names its attributes, in the order their values are given in. `bounds` are a histogram's
    upper bounds, each inclusive.
    """

    name: str
    kind: Kind
    unit: str
    description: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    highest: bool = False
    """Whether of several living processes' numbers the highest counts, and not their sum."""

    @property
    def width(self) -> int:
        """Numbers that one series of it takes: a histogram's buckets, the one above all bounds, and the sum."""
        return len(self.bounds) + 2 if self.kind is Kind.HISTOGRAM else 1

    @property
    def lasting(self) -> bool:
        """Whether what a process has counted stays true when it is gone."""
        return self.kind in (Kind.COUNTER, Kind.HISTOGRAM)


_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKENS = tuple(float(4**power) for power in range(14))
_USD = (1e-6, 1e-5, 1e-4, 5e-4, 1e-3, 5e-3, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
_SHORT = (1e-5, 5e-5, 1e-4, 5e-4, 1e-3, 5e-3, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)

CALL = (names.OPERATION_NAME, names.PROVIDER_NAME, names.REQUEST_MODEL, names.RESPONSE_MODEL)
"""Labels of what is measured once per call to a provider."""

_FAILED = (names.PROVIDER_NAME, names.REQUEST_MODEL, names.ERROR_TYPE)
_JUDGED = (names.GUARDRAIL_POLICY_ID, names.GUARDRAIL_SOURCE)

_COUNTER, _HISTOGRAM = Kind.COUNTER, Kind.HISTOGRAM

# fmt: off
COMMON = (
    Instrument(names.REQUESTS, _COUNTER, "{request}",
        "HTTP requests answered, other than probes and scrapes.",
        (names.HTTP_ROUTE, names.MODEL, names.STATUS_CLASS, names.ERROR_TYPE)),
    Instrument(names.IN_FLIGHT, Kind.UP_DOWN, "{request}",
        "HTTP requests being served."),
    Instrument(names.REQUEST_DURATION, _HISTOGRAM, "s",
        "Completions from the first byte of the request to the last of the answer.",
        (names.OPERATION_NAME, names.PROVIDER_NAME, names.MODEL, names.ERROR_TYPE), _SECONDS),
    Instrument(names.OVERHEAD_DURATION, _HISTOGRAM, "s",
        "The part of a completion's duration that was not spent waiting for a provider.",
        (names.OPERATION_NAME,), _SHORT),
    Instrument(names.USAGE_COST, _HISTOGRAM, "USD",
        "What a call to a provider costs, where a price is known.",
        CALL, _USD),
    Instrument(names.UNPRICED_REQUESTS, _COUNTER, "{request}",
        "Requests with a call that nobody knows the price of.",
        (names.PROVIDER_NAME, names.REQUEST_MODEL)),
    Instrument(names.UPSTREAM_RETRIES, _COUNTER, "{retry}",
        "Calls that failed and were followed by another for the same alias.",
        _FAILED),
    Instrument(names.UPSTREAM_FALLBACKS, _COUNTER, "{fallback}",
        "Calls that failed and were followed by one under another alias.",
        _FAILED),
    Instrument(names.GUARDRAIL_DECISIONS, _COUNTER, "{decision}",
        "Decisions of policies.",
        (*_JUDGED, names.GUARDRAIL_ACTION, names.GUARDRAIL_ENFORCED, names.GUARDRAIL_STATUS)),
    Instrument(names.GUARDRAIL_FINDING_COUNT, _COUNTER, "{finding}",
        "What guards found, by the risk it belongs to.",
        (*_JUDGED, names.GUARDRAIL_CATEGORY, names.GUARDRAIL_ACTION)),
    Instrument(names.GUARDRAIL_DURATION, _HISTOGRAM, "s",
        "Time a policy took to judge.",
        _JUDGED, _SHORT),
    Instrument(names.TELEMETRY_DROPPED, _COUNTER, "{item}",
        "Telemetry that was lost because its receiver did not take it: spans, and lines of the log.",
        (names.SIGNAL,)),
    Instrument(names.DEPLOYMENT_STATE, Kind.GAUGE, "{worker}",
        "Worker processes that see a deployment in this state.",
        (names.DEPLOYMENT, names.STATE)),
    Instrument(names.QUEUE_DEPTH, Kind.GAUGE, "{item}",
        "Items that wait in a queue.",
        (names.QUEUE,)),
    Instrument(names.BUDGET_USED, Kind.GAUGE, "1",
        "Share of a budget that is spent or reserved, where the configuration names whose it is.",
        (names.BUDGET_SCOPE, names.BUDGET_NAME, names.BUDGET_UNIT), highest=True),
    Instrument(names.BUDGET_REACHED, _COUNTER, "{budget}",
        "Budgets of which so many per cent were reached.",
        (names.BUDGET_SCOPE, names.BUDGET_PERCENT)),
    Instrument(names.LEDGER_LOST, _COUNTER, "{record}",
        "Usage records that are not in the ledger's database and will not come into it, by why.",
        (names.LEDGER_REASON,)),
    Instrument(names.CACHE_LOOKUPS, _COUNTER, "{lookup}",
        "Requests to models that use answers again, by what became of that.",
        (names.CACHE_RESULT, names.MODEL)),
)
"""What has the same name in every version of the conventions."""

RELEASED = (
    Instrument(names.OPERATION_DURATION, _HISTOGRAM, "s",
        "Calls to providers, from the request to the end of the answer.",
        (*CALL, names.ERROR_TYPE), _SECONDS),
    Instrument(names.TIME_TO_FIRST_CHUNK, _HISTOGRAM, "s",
        "Streamed calls to providers, from the request to the first text.",
        CALL, _SECONDS),
    Instrument(names.TOKEN_USAGE, _HISTOGRAM, "{token}",
        "Tokens of a call to a provider, as billed where it says so.",
        (*CALL, names.TOKEN_TYPE), _TOKENS),
)
"""As of semantic conventions 1.41."""

LATEST = (
    Instrument(names.INFERENCE_DURATION, _HISTOGRAM, "s",
        "Calls to providers, from the request to the end of the answer.",
        (*CALL, names.ERROR_TYPE), _SECONDS),
    Instrument(names.INFERENCE_TIME_TO_FIRST_CHUNK, _HISTOGRAM, "s",
        "Streamed calls to providers, from the request to the first text.",
        CALL, _SECONDS),
    Instrument(names.INFERENCE_INPUT_TOKENS, _HISTOGRAM, "{token}",
        "Input tokens of a call to a provider.",
        (*CALL, names.ERROR_TYPE), _TOKENS),
    Instrument(names.INFERENCE_OUTPUT_TOKENS, _HISTOGRAM, "{token}",
        "Output tokens of a call to a provider.",
        (*CALL, names.ERROR_TYPE), _TOKENS),
    Instrument(names.INFERENCE_USAGE_INPUT, _COUNTER, "{token}",
        "Input tokens used, cached ones too.",
        (*CALL, names.TOKEN_MODALITY)),
    Instrument(names.INFERENCE_USAGE_OUTPUT, _COUNTER, "{token}",
        "Output tokens used, those of reasoning too.",
        (*CALL, names.TOKEN_MODALITY)),
    Instrument(names.INFERENCE_USAGE_CACHE_READ, _COUNTER, "{token}",
        "Input tokens that came from a provider's cache.",
        (*CALL, names.TOKEN_MODALITY)),
    Instrument(names.INFERENCE_USAGE_CACHE_WRITE, _COUNTER, "{token}",
        "Input tokens that were written to a provider's cache.",
        (*CALL, names.TOKEN_MODALITY)),
    Instrument(names.INFERENCE_USAGE_REASONING, _COUNTER, "{token}",
        "Output tokens of reasoning.",
        (*CALL, names.TOKEN_MODALITY)),
)
"""As of the newest draft (the conventions' own repository for generative AI, `docs/gen-ai/client-inference.md` and
`gen-ai-token-metrics.md`, October 2026)."""
# fmt: on


def table(latest: bool = False) -> tuple[Instrument, ...]:
    """Every instrument, with the names of semantic conventions 1.41 or of the newest draft."""
    return COMMON + (LATEST if latest else RELEASED)
