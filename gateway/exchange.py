"""The Exchange: the one mutable record of a request, from its first byte to its last.

It travels in the ASGI scope, not in a context variable: one set inside a streaming body is invisible to outer layers.
"""

from collections.abc import AsyncIterator, Callable, MutableMapping, Sequence
from dataclasses import dataclass, field
from random import getrandbits
from time import perf_counter, time_ns
from typing import Any, Literal, NamedTuple

from gateway.errors import GatewayError
from gateway.judgement import Capture, Judgement
from gateway.principal import Principal
from gateway.types import Call, CompletionRequest, Cost, Delta, EndReason, Opening, Usage
from gateway.usage import UsageRecord

SCOPE_KEY = "gateway.exchange"
"""Where a scope carries its Exchange."""

LOCAL_KEY = "gateway.local"
"""Set in the scope of a call made in process: the caller holds the configuration, so no key is asked for. A server
never sets it, and no client can."""


def new_id(prefix: str) -> str:
    """`prefix`, the time and 64 random bits in hex: unique, and not a secret. Ids that are made one after another stand
    beside each other in an index, whose pages are then written once and not once for each id."""
    return f"{prefix}{time_ns():016x}{getrandbits(64):016x}"


Filter = Callable[[AsyncIterator[Delta]], AsyncIterator[Delta]]
"""Reads an answer's deltas and gives out what may leave; whoever writes the answer applies the filters in order."""


Reason = Literal["first", "retry", "fallback", "hedge", "resume"]
"""Why a provider is called: for the first time; again after a failure, where the alias asked for can still be served
(`retry`) or under another one (`fallback`); beside a call that is slow; or for the rest of a stream that broke."""


Reused = Literal["hit", "miss", "bypass", "coalesced"]
"""An answer that was kept (`hit`) or was not (`miss`), that was not looked for (`bypass`: the client forbids it, or the
cache cannot be asked), or that belongs to an equal request at the same time (`coalesced`)."""


@dataclass(slots=True)
class CallRecord:
    """One call to a provider, as spans, metrics and the ledger tell it. Times are seconds of `perf_counter`.

    `model` is the provider's name for it. `call` is what was asked: its text is the guarded one, and `repr` leaves it
    out. `first` is the index of its first choice in the client's answer, by which `finish_reasons` are numbered too,
    and `attempt` counts the calls for that choice: 1, then each further one. `why` is the reason for it, `instead_of`
    the call whose failure it makes good; where several do so, the first of them has it.
    """

    provider: str
    deployment: str
    model: str
    call: Call = field(repr=False)
    first: int
    attempt: int
    why: Reason = "first"
    instead_of: "CallRecord | None" = field(default=None, repr=False)
    began: float = field(default_factory=perf_counter)
    url: str = field(default="", repr=False)
    """Where it went; a provider's address may hold a key, so only its host is ever told."""
    sent: bool = False
    """Whether the request went to the provider's server, as far as the gateway knows."""
    status: int | None = None
    """The provider's HTTP status, once it has answered."""
    first_chunk: float | None = None
    """When the first text of a stream came."""
    ended: float | None = None
    opening: Opening | None = None
    finish_reasons: dict[int, EndReason] = field(default_factory=dict)
    usage: Usage | None = None
    """None where nothing is to pay: the provider refused, or was not reached."""
    cost: Cost | None = None
    """What `usage` costs; None exactly where that is None."""
    error: GatewayError | None = None
    cut: bool = False
    """Whether the gateway ended it before its answer was complete: the client left, a stop sequence or a policy ended
    the text, or another call of the request failed."""


@dataclass(frozen=True, slots=True)
class Trace:
    """The trace a request belongs to (W3C trace context). Ids are lower-case hex.

    `parent_id` is the caller's span, empty where the trace begins here; `remote` says that the caller is another
    process. `span_id` is this request's own. `sampled` says
    whether its spans are kept; `state` is the caller's `tracestate`, handed on as it came.
    """

    trace_id: str
    span_id: str
    parent_id: str = ""
    sampled: bool = True
    state: str = ""
    remote: bool = True


class Rate(NamedTuple):
    """How the tightest limit of one unit, `requests` or `tokens`, stands for this request: what it allows, what is left
    of it, and the seconds until it is whole again, None where it never is."""

    unit: str
    limit: int
    remaining: int
    reset: float | None


@dataclass(slots=True)
class Exchange:
    """What is known of one request. Each step of the walk fills in its part; times are seconds of `perf_counter`."""

    id: str
    method: str
    path: str
    began: float = field(default_factory=perf_counter)
    began_at: int = field(default_factory=time_ns)
    """Nanoseconds since 1970, for those who tell the time to others."""
    trace: Trace | None = None
    """None where nobody traces."""
    ended: float | None = None
    """When the last byte of the answer had left, or nobody was there any more to take it."""

    # on which way
    scheme: str = "http"
    server: tuple[str, int | None] | None = None
    """Address and port it came in at."""
    user_agent: str | None = None

    # who
    principal: Principal | None = None
    """None where nobody is asked for a key: in process, or on a gateway without a master key."""
    key_alias: str | None = None
    end_user: str | None = None
    session: str | None = None
    tags: tuple[str, ...] = ()

    # what
    request: CompletionRequest | None = None
    rates: tuple[Rate, ...] = ()
    """The limits it was held against, those a client paces itself by."""
    timeout: float | None = None
    """Seconds the client is willing to wait (`x-gateway-timeout`)."""
    filters: list[Filter] = field(default_factory=list)
    confidential: tuple[str, ...] = field(default=(), repr=False)
    """What the model is told and no answer may repeat: system messages, the gateway's own and a client's."""
    withheld: str | None = None
    """What to answer in place of every choice, without calling anybody: a policy blocked the prompt and says so."""
    capture: Capture | None = field(default=None, repr=False)
    """Who keeps what is answered; None where nobody may."""
    judges: list[Callable[[], Sequence[Judgement]]] = field(default_factory=list)
    """Each gives the verdicts of one step, so far as they are known when it is asked."""

    # by whom it was served
    provider: str | None = None
    deployment: str | None = None
    served_model: str | None = None
    attempts: int = 0
    resumed: int = 0
    """How often a stream that broke after its first text was continued by another call."""
    dropped: tuple[str, ...] = ()
    reused: Reused | None = None
    """Whether the answer is another request's; None where its model uses none again."""
    opening: Opening | None = None
    calls: list[CallRecord] = field(default_factory=list)
    """Every call to a provider, in the order they began."""

    # what came of it
    usage: Usage | None = None
    """Tokens, summed over all calls; without a call, those the gateway counted."""
    cost: Cost | None = None
    """USD, summed over all calls; None where no call has anything to pay."""
    finish_reasons: dict[int, EndReason] = field(default_factory=dict)
    status: int = 0
    error: GatewayError | None = None
    started: bool = False
    """True once a byte of the answer has left: from then on the answer can only be finished in-band."""
    first_chunk: float | None = None
    """Seconds from the start to the first text that left."""
    accounted: bool = False
    """Whether the ledger is still to have a record of it."""
    record: UsageRecord | None = field(default=None, repr=False)
    """What the ledger has of it, made before the last byte left."""

    _tried: dict[int, int] = field(default_factory=dict)
    _waiting: int = 0
    _waiting_since: float = 0.0
    _waited: float = 0.0

    @property
    def tenant(self) -> tuple[str, str]:
        """Whose request it is: a key by its id, which is another one for every kind of key, and an end user of it."""
        return self.principal.id if self.principal is not None else "", self.end_user or ""

    def judgements(self) -> list[Judgement]:
        """Every policy's verdicts, input before output."""
        return [judgement for judge in self.judges for judgement in judge()]

    def waiting(self) -> None:
        """A wait for a provider begins; waits may overlap and time is counted once."""
        if not self._waiting:
            self._waiting_since = perf_counter()
        self._waiting += 1

    def waited(self) -> None:
        """A wait that `waiting` began is over."""
        self._waiting -= 1
        if not self._waiting:
            self._waited += perf_counter() - self._waiting_since

    def duration(self) -> float:
        """Seconds since the request came in; once it is over, those it took."""
        return (perf_counter() if self.ended is None else self.ended) - self.began

    def time_left(self) -> float | None:
        """Seconds of the client's patience that are left, at least a millisecond; None when it named none."""
        return None if self.timeout is None else max(self.timeout - self.duration(), 0.001)

    def overhead(self) -> float:
        """Seconds since the request came in that were not spent waiting for a provider."""
        now = perf_counter() if self.ended is None else self.ended
        pending = now - self._waiting_since if self._waiting else 0.0
        return now - self.began - self._waited - pending

    def begin(
        self,
        provider: str,
        deployment: str,
        model: str,
        call: Call,
        first: int,
        why: Reason = "first",
        instead_of: CallRecord | None = None,
    ) -> CallRecord:
        """A call to a provider begins, for the choices from `first` on; see `CallRecord` for the rest."""
        attempt = self._tried.get(first, 0) + 1
        self._tried[first] = attempt
        for choice in range(first + 1, first + call.n):
            self._tried[choice] = attempt
        record = CallRecord(provider, deployment, model, call, first, attempt, why, instead_of)
        self.calls.append(record)
        return record

    def settle(self, record: CallRecord, usage: Usage, cost: Cost) -> None:
        """Count what a call used and costs, once."""
        record.usage, record.cost = usage, cost
        self.usage = usage if self.usage is None else self.usage + usage
        self.cost = cost if self.cost is None else self.cost + cost


def of(scope: MutableMapping[str, Any]) -> Exchange:
    """The Exchange that travels in `scope`.

    Raises:
        KeyError: the scope did not pass through `ScopeMiddleware`.
    """
    exchange: Exchange = scope[SCOPE_KEY]  # only ScopeMiddleware writes the key
    return exchange
