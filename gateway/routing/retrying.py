"""What happens after a failure: one table, read top to bottom; how long to wait; and how many retries there may be.

A failure is about the request, about the deployment, or about the moment. What is about the request is never tried
again: it would fail again, and cost again. What is about the deployment is not tried there again, but another one may
have the right key or the model. What is about the moment may be gone a moment later.
"""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal

from gateway.errors import (
    GatewayError,
    RequestError,
    Unavailable,
    UpstreamConnectionError,
    UpstreamError,
    UpstreamInvalidResponse,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
)

Again = Literal["no", "first", "last"]
"""Whether the same deployment is called again: no; before the fallbacks; only where there is nothing else."""

Chain = Literal["fallbacks", "context_window_fallbacks", "content_policy_fallbacks"]

Mark = Literal["nothing", "failure", "open", "rest"]
"""What a failure is for the deployment's breaker: nothing; one failure; reason to open at once; reason to rest for as
long as it asks for."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What follows one kind of failure.

    `same` says whether the same deployment is called again, after a wait; `other` whether another one of the group is,
    at once; `chain` which fallbacks follow; `paid` whether the further call is taken from the budget of retries.
    """

    name: str
    when: str
    same: Again
    other: bool
    chain: Chain | None
    mark: Mark
    paid: bool
    why: str


_T, _F = True, False

# fmt: off
RULES: tuple[Rule, ...] = (
    Rule("context", "400 that says the prompt is too long", "no", _F, "context_window_fallbacks", "nothing", _F,
        "the model cannot take it; one with a longer context can"),
    Rule("policy", "400 by the provider's content policy", "no", _F, "content_policy_fallbacks", "nothing", _F,
        "the provider will not answer it; another provider may"),
    Rule("unfit", "a parameter the deployment's provider cannot honour, found before the call", "no", _T, None,
        "nothing", _F, "another provider of the group may honour it, and no call was made"),
    Rule("credentials", "401, 402", "no", _T, "fallbacks", "open", _T,
        "this deployment's key or account, not the request"),
    Rule("forbidden", "403", "no", _T, "fallbacks", "failure", _T,
        "mostly the key; some providers say it of a prompt, so one is no proof"),
    Rule("missing", "404", "no", _T, "fallbacks", "open", _T,
        "this deployment's model or address, not the request; of a wildcard's models, only the one named"),
    Rule("limited", "429, and a deployment with no room", "last", _T, "fallbacks", "rest", _T,
        "it asks for time; others have it"),
    Rule("timeout", "408, 504, no connection or no first byte in time", "last", _T, "fallbacks", "failure", _T,
        "waiting again for the same one is the slowest choice"),
    Rule("conflict", "409", "first", _T, "fallbacks", "failure", _T,
        "a moment's conflict inside the provider; one that has nothing else to say is passed over"),
    Rule("broken", "5xx, no connection, a broken one, bytes that are no answer", "first", _T, "fallbacks",
        "failure", _T, "a moment's fault of the provider"),
    Rule("request", "400, 413, 422, any other 4xx", "no", _F, None, "nothing", _F,
        "the request is at fault and would be again"),
    Rule("ours", "policy refusals, limits, errors of the gateway itself", "no", _F, None, "nothing", _F,
        "no deployment has failed"),
)
# fmt: on

_BY_NAME = {rule.name: rule for rule in RULES}

_STATUSES = {
    401: "credentials",
    402: "credentials",
    403: "forbidden",
    404: "missing",
    408: "timeout",
    409: "conflict",
    429: "limited",
    504: "timeout",
}
"""A provider's statuses with a rule of their own; others are `request` below 500 and `broken` from there on."""

_TOO_LONG = re.compile(
    r"context[ _-]?(length|window|size)|maximum context|(prompt|input|request)( is|s are)? too (long|large)"
    r"|too many (input )?tokens|input token count|reduce the length of|tokens? .{0,60}(exceed|greater than|larger than)"
    r"|exceeds? .{0,60}tokens|must have less than \d+ tokens|too large for model|input length",
    re.IGNORECASE,
)
"""How providers say that a prompt is too long (OpenAI, Azure, vLLM, Anthropic, Gemini, Bedrock, Cohere, Groq, Mistral,
Together, TGI, llama.cpp)."""

_NOT_ALLOWED = re.compile(
    r"content[ _-]?(management )?(policy|filter)|usage polic|safety (system|setting|reason)|flagged|moderation"
    r"|responsible ai|inappropriate content|data_inspection_failed|sensitive (content|words)",
    re.IGNORECASE,
)
"""How providers say that their policy forbids a prompt (OpenAI, Azure, Anthropic, Gemini, OpenRouter, DashScope)."""


def rule(error: GatewayError) -> Rule:
    """The row of `RULES` that `error` falls under."""
    return _BY_NAME[_name(error)]


def _name(error: GatewayError) -> str:
    if isinstance(error, RequestError):
        return "unfit"
    if isinstance(error, Unavailable):
        return "limited" if error.code == "overloaded" else "ours"
    if not isinstance(error, UpstreamError):
        return "ours"
    status = error.answered if error.answered is not None else _status(error)
    if status in (400, 413, 422) and isinstance(error, UpstreamRejected):
        if _TOO_LONG.search(error.message):
            return "context"
        if _NOT_ALLOWED.search(error.message):
            return "policy"
    return _STATUSES.get(status, "broken" if status >= 500 else "request")


def _status(error: UpstreamError) -> int:
    """The status that says the same as `error`, of which none came."""
    if isinstance(error, UpstreamTimeout):
        return 408
    if isinstance(error, UpstreamConnectionError | UpstreamInvalidResponse):
        return 502
    if isinstance(error, UpstreamRateLimited):
        return 429
    return error.status


BASE = 0.25
"""Seconds: the longest first wait. Each further one may be twice as long (full jitter: anything from nothing to that,
so that those who failed together do not come back together)."""

CAP = 8.0
"""Seconds of the longest wait that nobody asked for."""

PATIENCE = 30.0
"""Seconds of the longest wait that a provider may ask for (`retry-after`); beyond it a client is told to wait."""

ATTEMPTING = 600.0
"""Seconds after which no further attempt begins, where the client does not say how long it waits."""


def backoff(attempt: int, rng: random.Random) -> float:
    """Seconds to wait before calling a deployment again that has been called `attempt` times for this prompt."""
    return rng.uniform(0.0, min(CAP, BASE * 2.0 ** min(attempt - 1, 30)))


def retry_after(error: GatewayError, today: Callable[[], datetime] = lambda: datetime.now(UTC)) -> float | None:
    """Seconds that the provider asks to wait, from its `retry-after` (seconds, or a date); None where it does not."""
    said = error.headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", said):
        return float(said)
    try:
        date = parsedate_to_datetime(said)
    except (TypeError, ValueError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - today()).total_seconds())


RESERVE = 100.0
"""Retries that may be made at once, whatever the traffic; only calls that go well fill it again."""

PER_REQUEST = 0.05
"""Retries that each request adds to the budget."""

PER_SUCCESS = 0.15
"""Retries that each call that goes well adds to it."""

PER_SECOND = 0.1
"""Retries that time adds to it, for groups that are hardly ever called."""

RECENT = 10.0
"""Seconds of traffic whose share the budget may hold, where that is more than the reserve."""


class Budget:
    """How many retries a group's requests may make, so that an outage is not made worse by those who ask again.

    While all is well a fifth of the traffic may be retried. In an outage nothing goes well, so that after the reserve
    only every twentieth request may be: 1.2 calls per request over 667 requests, towards 1.05 over more.
    """

    __slots__ = ("_before", "_ends", "_latest", "_requests", "left", "most")

    def __init__(self) -> None:
        self.left = RESERVE
        self.most = RESERVE
        self._requests = self._before = 0
        self._ends = float("-inf")
        self._latest = float("inf")

    def __repr__(self) -> str:
        return f"<Budget {self.left:.1f} of {self.most:.0f} retries>"

    def request(self, now: float) -> None:
        """A request has come in."""
        if now >= self._ends:
            self._turn(now)
        self._requests += 1
        if self.left < self.most:
            self.left = min(self.most, self.left + PER_REQUEST + max(0.0, now - self._latest) * PER_SECOND)
        self._latest = now

    def success(self) -> None:
        """A call has gone well."""
        if self.left < self.most:
            self.left += PER_SUCCESS

    def take(self) -> bool:
        """Whether one more retry may be made; it is taken off."""
        if self.left < 1.0:
            return False
        self.left -= 1.0
        return True

    def _turn(self, now: float) -> None:
        late = now >= self._ends + RECENT
        self._before = 0 if late else self._requests
        self._requests = 0
        self._ends = now + RECENT
        self.most = max(RESERVE, self._before * (PER_REQUEST + PER_SUCCESS))
        self.left = min(self.left, self.most)
