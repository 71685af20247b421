"""An answer as it is kept: what the provider said, before the policies of the answer, and who said it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from gateway.exchange import Exchange
from gateway.types import Cost, CostSource, Delta, Opening, TokenLogprob, Usage
from gateway.wire import json

LONGEST = 1_048_576
"""Characters of a longer answer are too many to be kept."""

_NOTHING = Decimal(0)
_TEXTUAL = (str, type(None))


@dataclass(frozen=True, slots=True)
class Kept:
    """One answer. `choices` are whole, one delta each, in order; `confidential` are the words of the gateway's own that
    its provider was told, which no answer may repeat."""

    provider: str
    deployment: str
    served_model: str
    usage: Usage
    choices: tuple[Delta, ...]
    opening: Opening | None = None
    dropped: tuple[str, ...] = ()
    confidential: tuple[str, ...] = ()

    def serve(self, exchange: Exchange) -> None:
        """Let a request be answered with it. Its tokens count as they were counted, and cost nothing."""
        exchange.provider, exchange.deployment, exchange.served_model = (
            self.provider,
            self.deployment,
            self.served_model,
        )
        exchange.opening, exchange.dropped = self.opening, self.dropped
        confide(exchange, self.confidential)
        free(exchange, self.usage, "cache")


def free(exchange: Exchange, usage: Usage | None, source: CostSource) -> None:
    """Count tokens that another request has paid for."""
    exchange.usage = None if usage is None else replace(usage, cost=None, billed=None)
    exchange.cost = Cost(_NOTHING, source, None, _NOTHING, _NOTHING)


def confide(exchange: Exchange, texts: Sequence[str]) -> None:
    """Let policies know what an answer may not repeat."""
    exchange.confidential += tuple(text for text in texts if text not in exchange.confidential)


class Recorder:
    """Gathers an answer from its deltas while they pass."""

    __slots__ = ("_length", "_pieces")

    def __init__(self) -> None:
        self._pieces: dict[int, list[Delta]] = {}
        self._length = 0

    def add(self, delta: Delta) -> None:
        """A piece has come."""
        self._length += len(delta.text) + len(delta.reasoning) + sum(map(_size, delta.logprobs or ()))
        if self._length <= LONGEST:
            self._pieces.setdefault(delta.index, []).append(delta)

    def choices(self, count: int) -> tuple[Delta, ...] | None:
        """The whole answer; None where it is too long, not whole, or one that a content policy ended."""
        if self._length > LONGEST or set(self._pieces) != set(range(count)):
            return None
        whole = tuple(_joined(self._pieces[index]) for index in range(count))
        return whole if all(choice.finish_reason in ("stop", "length") for choice in whole) else None


def _size(token: TokenLogprob) -> int:
    return len(token.token) + sum(len(text) for text, _ in token.top) + 16 * (1 + len(token.top))


def _joined(pieces: Sequence[Delta]) -> Delta:
    logprobs = [token for piece in pieces for token in piece.logprobs or ()]
    return Delta(
        pieces[0].index,
        "".join([piece.text for piece in pieces]),
        logprobs=tuple(logprobs) if any(piece.logprobs is not None for piece in pieces) else None,
        finish_reason=next((piece.finish_reason for piece in pieces if piece.finish_reason), None),
        reasoning="".join([piece.reasoning for piece in pieces]),
    )


def encode(kept: Kept) -> bytes:
    """The answer as bytes.

    Raises:
        TypeError: a text that is not Unicode (a lone surrogate).
    """
    usage, opening = kept.usage, kept.opening
    return json.dumps(
        [
            [kept.provider, kept.deployment, kept.served_model, kept.dropped, kept.confidential],
            [opening.id, opening.model, opening.system_fingerprint] if opening else None,
            [
                usage.input_tokens,
                usage.output_tokens,
                usage.cached_tokens,
                usage.cache_write_tokens,
                usage.reasoning_tokens,
                usage.cache_write_1h_tokens,
                usage.estimated,
            ],
            [[one.text, one.reasoning, one.finish_reason, _told(one.logprobs)] for one in kept.choices],
        ]
    )


def _told(logprobs: tuple[TokenLogprob, ...] | None) -> list[Any] | None:
    if logprobs is None:
        return None
    return [[one.token, one.logprob, None if one.raw is None else one.raw.hex(), one.top] for one in logprobs]


def decode(data: bytes) -> Kept:
    """What `encode` made `data` of.

    Raises:
        ValueError: it made it of nothing: another program wrote it, or a part of it is lost.
    """
    try:
        (provider, deployment, model, dropped, confidential), opening, counts, choices = json.loads(data)
        read, written, cached, stored, thought, stored_1h, estimated = counts
        made = Kept(
            provider,
            deployment,
            model,
            Usage(read, written, cached, stored, thought, None, estimated, stored_1h),
            tuple(
                Delta(index, text, logprobs=_read(logprobs), finish_reason=reason, reasoning=reasoning)
                for index, (text, reasoning, reason, logprobs) in enumerate(choices)
            ),
            None if opening is None else Opening(*opening),
            tuple(dropped),
            tuple(confidential),
        )
    except (TypeError, IndexError, AttributeError) as error:
        raise ValueError("not an answer") from error
    if not _is_sound(made):
        raise ValueError("not an answer")
    return made


def _read(logprobs: list[Any] | None) -> tuple[TokenLogprob, ...] | None:
    if logprobs is None:
        return None
    return tuple(
        TokenLogprob(
            token, logprob, None if raw is None else bytes.fromhex(raw), tuple((text, value) for text, value in top)
        )
        for token, logprob, raw, top in logprobs
    )


def _is_sound(kept: Kept) -> bool:
    """Whether it holds what its types say."""
    opening, usage = kept.opening, kept.usage
    texts = [kept.provider, kept.deployment, kept.served_model, *kept.dropped, *kept.confidential]
    texts += [text for one in kept.choices for text in (one.text, one.reasoning)]
    counts = (
        usage.input_tokens,
        usage.output_tokens,
        usage.cached_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
        usage.cache_write_1h_tokens,
    )
    told = () if opening is None else (opening.id, opening.model, opening.system_fingerprint)
    return (
        all(type(text) is str for text in texts)
        and all(type(count) is int and count >= 0 for count in counts)
        and all(isinstance(value, _TEXTUAL) for value in told)
        and all(one.finish_reason in ("stop", "length") for one in kept.choices)
    )
