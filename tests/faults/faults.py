"""What a call to the fault-injecting upstream can meet, and the table of them by name.

A fault is a value: it says what is sent in place of the honest answer, or what is changed in it, how late and how
slowly it leaves, and where and how it ends before its end. `FAULTS` holds those that have a name; `reset_at`,
`stall_at` and `close_at` make the ones that strike at a byte.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from random import Random
from types import MappingProxyType
from typing import Literal

from gateway.wire import json, sse
from tests.faults.answers import HTML, JSON, Piece, Reply, error, event, later, page

Latency = Callable[[Random], float]
"""Seconds to wait, drawn anew for each call from its own seeded source."""

Ending = Literal["end", "close", "reset", "stall", "refuse", "goaway"]
"""How an answer ends: at its end; or before it, with the connection closed, reset (TCP RST; over HTTP/2 RST_STREAM with
INTERNAL_ERROR) or kept open in silence. Over HTTP/2 also as a stream refused unseen (REFUSED_STREAM), or as a
connection that takes no further streams, this one included (GOAWAY); over HTTP/1.1 these two are `close`."""


def constant(seconds: float) -> Latency:
    """Always the same."""
    return lambda random: seconds


AT_ONCE = constant(0.0)


def uniform(low: float, high: float) -> Latency:
    """Jitter: anything from `low` to `high` seconds."""
    return lambda random: random.uniform(low, high)


def exponential(mean: float) -> Latency:
    """Waits between independent events."""
    return lambda random: random.expovariate(1 / mean) if mean else 0.0


def lognormal(median: float, sigma: float = 0.5) -> Latency:
    """What providers' latencies look like: a median, and a long tail."""
    return lambda random: median * random.lognormvariate(0, sigma)


def mostly(usual: Latency, rare: Latency, share: float) -> Latency:
    """`rare` for this share of the calls, else `usual`."""
    return lambda random: rare(random) if random.random() < share else usual(random)


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one call. `Fault()` is none.

    `delay` passes before the first byte and `gap` before each further piece of the body (an event of a stream).
    `instead` is answered without a model having worked, `change` rewrites the model's answer. An `ending` other than
    `end` strikes after `byte` bytes (head included; over HTTP/2 the body's) or after `piece` pieces of the body; a
    `held` one waits for the upstream's gate before it does, and behind the end of an answer nothing strikes. `drip`
    sends byte by byte with so many seconds between.

    Raises:
        ValueError: an ending without its place, or a place without an ending.
    """

    name: str = "none"
    delay: Latency = AT_ONCE
    gap: Latency = AT_ONCE
    instead: Callable[[], Reply] | None = None
    change: Callable[[Reply], Reply] | None = None
    ending: Ending = "end"
    byte: int | None = None
    piece: int | None = None
    held: bool = False
    drip: float | None = None

    def __post_init__(self) -> None:
        places = (self.byte is not None) + (self.piece is not None)
        if places != (self.ending != "end"):
            raise ValueError(f"the fault {self.name} must end at one byte or one piece, or not at all")

    def __repr__(self) -> str:
        return f"<Fault {self.name}>"

    def hold(self) -> "Fault":
        """The same, striking only once the upstream's gate is open: a test opens it when its client has read."""
        return replace(self, held=True)


WELL = Fault()


def reset_at(byte: int) -> Fault:
    """The connection is reset after so many bytes of the answer."""
    return Fault(f"reset_at_{byte}", ending="reset", byte=byte)


def stall_at(byte: int) -> Fault:
    """Nothing follows these bytes, and the connection stays open."""
    return Fault(f"stall_at_{byte}", ending="stall", byte=byte)


def close_at(byte: int) -> Fault:
    """The connection is closed in order after so many bytes."""
    return Fault(f"close_at_{byte}", ending="close", byte=byte)


def after(ending: Ending, piece: int) -> Fault:
    """The same, after so many pieces of the body: 0 is after the head."""
    return Fault(f"{ending}_after_{piece}", ending=ending, piece=piece)


def slow(latency: Latency, gap: Latency = AT_ONCE) -> Fault:
    """A whole answer that comes late."""
    return Fault("slow", delay=latency, gap=gap)


def limited(seconds: float = 1.0, date: bool = False) -> Fault:
    """429 with `retry-after`: in seconds, or as an HTTP date so far from now."""
    said = (lambda: later(seconds)) if date else (lambda: f"{seconds:g}")
    message = "Rate limit reached for it on requests per min (RPM): Limit 3, Used 3, Requested 1."
    return Fault(
        "rate_limited_by_date" if date else "rate_limited",
        instead=lambda: error(429, message, "requests", "rate_limit_exceeded", retry_after=said()),
    )


def _refusal(name: str, reply: Reply) -> Fault:
    return Fault(name, instead=lambda: reply)


def _opening(reply: Reply) -> tuple[Piece, ...]:
    """The pieces of a stream before its first text."""
    first = next((at for at, piece in enumerate(reply.pieces) if piece.tokens), 0)
    return reply.pieces[:first]


def _only(reply: Reply, pieces: tuple[Piece, ...]) -> Reply:
    """A stream of these pieces; a whole answer becomes an empty body."""
    return replace(reply, pieces=pieces) if reply.stream else reply.said(b"")


_STREAM_ERROR = event({"error": {"message": "The server had an error.", "type": "server_error", "code": None}})


def _error_only(reply: Reply) -> Reply:
    if not reply.stream:
        return replace(reply, pieces=(Piece(json.dumps({"error": {"message": "over capacity"}})),), prompt_tokens=0)
    return replace(reply, pieces=(_STREAM_ERROR, Piece(sse.DONE)), prompt_tokens=0)


def _error_late(reply: Reply) -> Reply:
    """The first text, then an error in place of the rest; a whole answer is the error."""
    if not reply.stream:
        return _error_only(reply)
    kept = (*_opening(reply), reply.pieces[len(_opening(reply))])
    return replace(reply, pieces=(*kept, _STREAM_ERROR, Piece(sse.DONE)))


def _truncated(reply: Reply) -> Reply:
    """Properly framed, but what is in the frame ends in its middle: in a stream after the first text."""
    if not reply.stream:
        return reply.said(reply.body[: len(reply.body) // 2])
    at = len(_opening(reply)) + 1
    half = reply.pieces[at].data
    return replace(reply, pieces=(*reply.pieces[:at], Piece(half[: len(half) // 2])))


def _garbled(reply: Reply) -> Reply:
    """An event, complete by its frame, whose JSON ends in its middle: after the first text; a whole answer likewise."""
    if not reply.stream:
        return _truncated(reply)
    cut = _truncated(reply).pieces
    return replace(reply, pieces=(*cut[:-1], Piece(cut[-1].data + b"\n\n")))


def _ends_early(reply: Reply) -> Reply:
    if not reply.stream:
        return _truncated(reply)
    return replace(reply, pieces=reply.pieces[: len(_opening(reply)) + 1])


def _without_usage(reply: Reply) -> Reply:
    if reply.stream:
        kept = tuple(piece for piece in reply.pieces if b'"usage"' not in piece.data)
        return replace(reply, pieces=kept)
    body = json.loads(reply.body)
    del body["usage"]
    return reply.said(json.dumps(body))


_CONTEXT = (
    "This model's maximum context length is 4097 tokens, however you requested 5000 tokens (4984 in your prompt; 16 "
    "for the completion). Please reduce your prompt; or completion length."
)
_POLICY = (
    "The response was filtered due to the prompt triggering the content management policy. Please modify your prompt "
    "and retry."
)

FAULTS: Mapping[str, Fault] = MappingProxyType(
    {
        fault.name: fault
        for fault in (
            WELL,
            _refusal("bad_request", error(400, "Invalid value for 'stop'.", "invalid_request_error", None, "stop")),
            _refusal(
                "context_window", error(400, _CONTEXT, "invalid_request_error", "context_length_exceeded", "messages")
            ),
            _refusal("content_policy", error(400, _POLICY, "invalid_request_error", "content_filter", "prompt")),
            _refusal(
                "unauthorized", error(401, "Incorrect API key provided.", "invalid_request_error", "invalid_api_key")
            ),
            _refusal("payment_required", error(402, "Your balance is used up.", "insufficient_funds")),
            _refusal("forbidden", error(403, "Your key may not use this model.", "invalid_request_error")),
            _refusal("not_found", error(404, "The model does not exist.", "invalid_request_error", "model_not_found")),
            _refusal("request_timeout", error(408, "The request took too long.", "timeout")),
            _refusal("conflict", error(409, "The resource is locked; try again.", "conflict")),
            _refusal("unprocessable", error(422, "The request cannot be followed.", "invalid_request_error")),
            limited(),
            limited(2.0, date=True),
            _refusal("quota", error(429, "You exceeded your quota.", "insufficient_quota", "insufficient_quota")),
            _refusal("server_error", error(500, "The server had an error while processing your request.")),
            _refusal("bad_gateway", page(502, "502 Bad Gateway")),
            _refusal(
                "unavailable", error(503, "The model is overloaded.", "server_error", "overloaded", retry_after="1")
            ),
            _refusal("gateway_timeout", page(504, "504 Gateway Time-out")),
            _refusal("overloaded", error(529, "Overloaded", "overloaded_error")),
            _refusal("sign_in_page", page(200, "Please sign in")),
            _refusal("empty_body", Reply(200, (JSON,), (Piece(b""),))),
            Fault("wrong_type", change=lambda reply: replace(reply, headers=(("content-type", "text/plain"),))),
            Fault("json_for_stream", change=lambda reply: replace(reply, headers=(JSON,)) if reply.stream else reply),
            Fault("html_type", change=lambda reply: reply.said(b"<p>One moment, please.</p>", HTML)),
            Fault("silent_stream", change=lambda reply: _only(reply, ())),
            Fault("done_only", change=lambda reply: _only(reply, (Piece(sse.DONE),))),
            Fault("role_only", change=lambda reply: _only(reply, _opening(reply))),
            Fault("error_only", change=_error_only),
            Fault("error_late", change=_error_late),
            Fault("truncated", change=_truncated),
            Fault("garbled", change=_garbled),
            Fault("ends_early", change=_ends_early),
            Fault("no_usage", change=_without_usage),
            Fault("no_done", change=lambda reply: _only(reply, reply.pieces[:-1]) if reply.stream else reply),
            close_at(0),
            reset_at(0),
            stall_at(0),
            after("close", 0),
            after("reset", 0),
            after("stall", 0),
            Fault("refuse", ending="refuse", byte=0),
            Fault("goaway", ending="goaway", byte=0),
            Fault("drip", drip=0.0),
        )
    }
)
"""Every fault that has a name of its own. `none`, `wrong_type`, `no_usage`, `no_done` and `drip` can be lived with."""
