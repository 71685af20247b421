"""When two requests are the same: the key of an answer, made of everything that its text hangs on."""

import hashlib
from typing import Any

from gateway.exchange import Exchange
from gateway.types import CompletionRequest
from gateway.wire import json

VERSION = 1
"""Changes with what a key is made of, or an answer is kept as, so that no version reads what another one wrote."""

ASKED = (
    "model", "prompts", "suffix", "max_tokens", "n", "best_of", "echo", "logprobs", "temperature", "top_p",
    "presence_penalty", "frequency_penalty", "seed", "stop", "logit_bias",
)  # fmt: skip
"""Fields of a request that are part of its key, beside `extra`, and `tags`, which may choose the deployment."""

LEFT_OUT = ("user", "metadata", "safety_identifier", "stream", "include_usage")
"""Those that are not: for whom and how the answer is written, not what it says. The end user is part of the tenant. Of
`given`, what is in `ASKED` counts: an operator's default takes the place of what was not."""

_ASKED = frozenset(ASKED)


def key(request: CompletionRequest, exchange: Exchange, served_by: str) -> str | None:
    """The key of the answer to `request`, its texts guarded, as the client gave it otherwise; 64 hex digits, from which
    nothing can be read. None for a request that JSON cannot say.

    Whose it is comes first: a key by its id, its team, and the end user. Nobody else has the same key.

    Args:
        served_by: what stands behind the alias and its defaults, so that another configuration begins anew.
    """
    principal = exchange.principal
    team = principal.team if principal is not None else None
    asked: list[Any] = [VERSION, *exchange.tenant, team, served_by, exchange.tags]
    asked += [getattr(request, name) for name in ASKED]
    asked += [sorted(request.given & _ASKED), sorted(request.extra.items()) if request.extra else None]
    try:
        return hashlib.sha256(json.dumps(asked)).hexdigest()
    except (TypeError, ValueError):
        return None


def deterministic(request: CompletionRequest) -> bool:
    """Whether a request, its defaults filled in, asks for the same answer each time: no chance in it (temperature 0),
    or a seed."""
    return request.temperature == 0 or request.seed is not None


def forbidden(cache_control: str | None) -> tuple[bool, bool]:
    """What a client's `cache-control` forbids (RFC 9111, 5.2.1): to be given an answer that is another's, and to have
    its own kept. `no-store` forbids both, `no-cache` and `max-age=0` the first."""
    if not cache_control:
        return False, False
    named = {part.strip().lower().replace(" ", "") for part in cache_control.split(",")}
    store = "no-store" in named
    return store or not named.isdisjoint(("no-cache", "max-age=0")), store
