"""The frozen values that travel through the gateway: what a client asked, what a provider is sent, what comes back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Context, Decimal
from typing import Any, Literal

Prompt = str | tuple[int, ...]
"""One prompt: text, or token ids of the model's own vocabulary."""

FinishReason = Literal["stop", "length", "content_filter"]
"""Why a choice of a text completion ended."""

EndReason = FinishReason | Literal["tool_calls", "function_call"]
"""Why a choice of any answer ended: those of other apps may be chats, which end to have a tool called."""

MONEY = Context(prec=60)
"""What amounts of USD are counted with: room for every digit of a price times a count. The thread's own context is not
used, because in process it is the host application's and may round."""


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """A valid text completion request (contract §2), every default filled in.

    `prompts` is never empty. `None` means the client left the parameter out, so that it is left out upstream too.
    `extra` holds parameters that OpenAI's API does not define; `given` names the parameters the client sent.
    """

    model: str
    prompts: tuple[Prompt, ...]
    suffix: str | None = None
    max_tokens: int = 16
    n: int = 1
    best_of: int | None = None
    echo: bool = False
    logprobs: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    logit_bias: Mapping[str, float] | None = None
    user: str | None = None
    stream: bool = False
    include_usage: bool = False
    metadata: Mapping[str, Any] | None = None
    tags: tuple[str, ...] = ()
    safety_identifier: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    given: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Message:
    """One chat message; `content` is plain text."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Call:
    """One call to one provider for one prompt: the whole of what a translator may send.

    Chat languages read `messages`; languages with a native text endpoint read `prompt` and `suffix`, and `echo` and
    `best_of`, which are set only for them. `prompt` holds token ids only for providers that take them.
    `logprobs` is the number of alternatives wanted per token (0: the chosen token only), None for no logprobs.
    """

    messages: tuple[Message, ...]
    prompt: Prompt
    suffix: str | None = None
    max_tokens: int | None = None
    n: int = 1
    best_of: int | None = None
    echo: bool = False
    logprobs: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    logit_bias: Mapping[str, float] | None = None
    user: str | None = None
    stream: bool = False
    metadata: Mapping[str, Any] | None = None
    safety_identifier: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """One generated token. `logprob` is natural-log, None for the first token of an echoed prompt.

    `raw` is the token's UTF-8 bytes where the provider gives them: a token may be part of a character.
    `top` lists the likeliest tokens with their logprobs, the provider's order.
    """

    token: str
    logprob: float | None
    raw: bytes | None = None
    top: tuple[tuple[str, float], ...] = ()


def _sum(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    """The sum of what is known of the two."""
    if one is None or other is None:
        return other if one is None else one
    return MONEY.add(one, other)


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of one provider call, or their sum.

    `input_tokens` includes those read from a cache (`cached_tokens`) and written to one (`cache_write_tokens`, of
    which `cache_write_1h_tokens` are kept an hour), and `output_tokens` includes reasoning ones, as in OpenAI's usage
    object; a translator whose provider counts them apart adds them in, and nobody adds them again.
    `billed` is (input, output) where the provider bills other numbers than it counts and says so. `cost` is in USD
    where the provider reports one. `estimated` says that the gateway counted because the provider did not.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cost: Decimal | None = None
    estimated: bool = False
    cache_write_1h_tokens: int = 0
    billed: tuple[int, int] | None = None

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
            _sum(self.cost, other.cost),
            self.estimated or other.estimated,
            self.cache_write_1h_tokens + other.cache_write_1h_tokens,
            self._billed_with(other),
        )

    def _billed_with(self, other: "Usage") -> tuple[int, int] | None:
        if self.billed is None and other.billed is None:
            return None
        mine = self.billed or (self.input_tokens, self.output_tokens)
        theirs = other.billed or (other.input_tokens, other.output_tokens)
        return mine[0] + theirs[0], mine[1] + theirs[1]


CostSource = Literal["cache", "coalesced", "provider", "config", "catalogue", "unpriced"]
"""Where a cost comes from, the surest first: nobody was called, as the answer was kept (`cache`) or another request
paid for it (`coalesced`); the provider's own word, the operator's prices, the price catalogue, or nowhere."""

_SOURCES: tuple[CostSource, ...] = ("cache", "coalesced", "provider", "config", "catalogue", "unpriced")


@dataclass(frozen=True, slots=True)
class Cost:
    """What one provider call costs in USD, or several do.

    `total` is None where no price is known (`unpriced`): that is not the same as 0. `input` and `output` are its two
    parts, None where only the total is known; a price per call is in the total only. `version` is that of the prices:
    the catalogue's, `config`, or both joined by `+`; None where no price was looked up.
    A sum has the least sure source of its parts; with `unpriced` among them, its total is what is known: a least.
    """

    total: Decimal | None
    source: CostSource
    version: str | None = None
    input: Decimal | None = None
    output: Decimal | None = None

    def __add__(self, other: "Cost") -> "Cost":
        parted = None not in (self.input, self.output, other.input, other.output)
        return Cost(
            _sum(self.total, other.total),
            max(self.source, other.source, key=_SOURCES.index),
            self.version if self.version == other.version else None,
            _sum(self.input, other.input) if parted else None,
            _sum(self.output, other.output) if parted else None,
        )


@dataclass(frozen=True, slots=True)
class Opening:
    """What a provider says of its answer as a whole: its id, the model that served it, its build."""

    id: str | None = None
    model: str | None = None
    system_fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of one choice's answer; a whole answer is a stream of one such piece per choice.

    `index` is the choice within the call until the caller renumbers it. `finish_reason` is set on exactly one delta
    of each choice, its last one with text. `usage` and `opening` belong to the call, not to the choice; each comes at
    most once per call, `usage` after the last text. `reasoning` is text the model thought and a text completion does
    not show; it is kept apart so that guards see it.
    """

    index: int = 0
    text: str = ""
    logprobs: tuple[TokenLogprob, ...] | None = None
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    opening: Opening | None = None
    reasoning: str = ""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One HTTP call to a provider. `headers` may hold keys, so the repr shows only method, host and path."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
