"""What a request may use at most, before anybody is called: the declared bound that is reserved for it.

Tokens are those of every prompt, once for each call it needs, and `max_tokens` for every choice or candidate that is
asked for; money is that at the prices of the dearest deployment of the alias. Where the vocabulary is known here the
prompt is counted exactly. Where it is not, it is taken for twice what cl100k makes of it: other vocabularies make at
most some 1.6 times as many tokens of text. No vocabulary makes more tokens of a text than it has bytes, which bounds
the guess for short and for odd texts.

What this bound does not hold: calls that are made again after a failure that has to be paid for, or under an alias that
is dearer; tokens of reasoning that a provider bills beyond `max_tokens`; and a deployment without a price, which counts
as 0 USD, as its calls do. All of it counts once it is known, so that the next request is held against it.

Measured: 6 µs for a short prompt at one deployment. Counting is linear, and done in pieces with a turn of the event
loop after each: a prompt of a million characters does not hold up others for longer than one of sixteen thousand.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import ROUND_CEILING
from functools import lru_cache
from typing import Final

from gateway.ledger import tokens
from gateway.ledger.allowances import Amount
from gateway.ledger.cost import Price
from gateway.ledger.entry import DIGITS, MOST_TOKENS
from gateway.providers.base import Level
from gateway.providers.parameters import Shape
from gateway.providers.translation import INFILL_PROMPT
from gateway.routing.deployments import Bound, Catalogue
from gateway.types import MONEY, CompletionRequest, Prompt
from gateway.wire.completions import with_defaults

UNKNOWN: Final = 2
"""How many times the tokens of cl100k a text is taken to be where its model's vocabulary is not here."""

PIECE: Final = 16_384
"""Characters that are counted in one go: 0.2 to 2 ms."""

_ID: Final = 4
"""Characters of a token, about."""

_TAGS: Final = 24
"""Tokens of the words and tags around a prompt and its suffix where a model is asked in words to fill a gap."""

_MOST: Final = (1 << 62) - 1

_REMEMBERED: Final = 2048

Estimate = Callable[[CompletionRequest], Awaitable[Amount]]


def estimator(catalogue: Catalogue) -> Estimate:
    """What estimates requests for the deployments of `catalogue`.

    It raises what `Catalogue.find` and `with_defaults` raise: ModelNotFound, InvalidValue.
    """

    known: dict[int, _Fixed] = {}

    def fixed(bound: Bound) -> _Fixed:
        found = known.get(id(bound))
        if found is None or found.bound is not bound:
            if len(known) >= _REMEMBERED:
                known.clear()  # names of wildcards, which clients choose
            found = known[id(bound)] = _fixed(bound)
        return found

    async def estimate(request: CompletionRequest) -> Amount:
        counted: dict[tuple[str | None, bool], list[int]] = {}
        most_tokens = most_money = 0
        for bound in catalogue.find(request.model):
            one = fixed(bound)
            sizes = counted.get(one.reads)
            if sizes is None:
                sizes = _counted(request, one.reads[0]) or await _sizes(request, *one.reads)
                counted[one.reads] = sizes
            used, money = _at(one, with_defaults(request, bound.defaults) if bound.defaults else request, sizes)
            most_tokens = used if used > most_tokens else most_tokens
            most_money = money if money > most_money else most_money
        if most_tokens > MOST_TOKENS or most_money > _MOST:
            return Amount(min(most_tokens, MOST_TOKENS), min(most_money, _MOST))
        return Amount(most_tokens, most_money)

    return estimate


async def together(request: CompletionRequest, price: Price | None, encoding: str | None) -> Amount:
    """What one call with all the prompts of `request` may use, `n` choices in all, at an app that is not the gateway's
    own; a chat where `messages` is among what was given."""
    sizes = await _sizes(request, encoding, True)
    beside = tokens.CHAT + tokens.MESSAGE * len(request.prompts) if "messages" in request.given else 0
    read, written = sum(sizes) + beside, request.max_tokens * request.n
    money = 0 if price is None else _money(price, read, 1, written)
    return Amount(min(read + written, MOST_TOKENS), min(money, _MOST))


def _counted(request: CompletionRequest, encoding: str | None) -> list[int] | None:
    """What `_sizes` says of a request with one prompt that is counted in one go, as nearly all are; None of others."""
    prompts, suffix = request.prompts, request.suffix
    if len(prompts) > 1 or not isinstance(prompts[0], str) or len(prompts[0]) + len(suffix or "") > PIECE:
        return None
    return [at_most(prompts[0], encoding), at_most(suffix, encoding) if suffix else 0]


async def _sizes(request: CompletionRequest, encoding: str | None, takes_ids: bool) -> list[int]:
    """The tokens of each prompt of a request, and of its suffix at the end.

    Token ids that a provider does not take are read as the text they are, which may have other tokens than they.
    """
    sizes = []
    room = PIECE
    for prompt in (*request.prompts, request.suffix or ""):
        if isinstance(prompt, str) and len(prompt) <= room:
            room -= len(prompt)
            sizes.append(at_most(prompt, encoding))
            continue
        if not isinstance(prompt, str) and (takes_ids or encoding is None):
            sizes.append(len(prompt))
            continue
        size, length = 0, PIECE if isinstance(prompt, str) else PIECE // _ID
        for start in range(0, len(prompt), length):
            piece = _read(prompt[start : start + length], encoding)
            if room < len(piece):
                await asyncio.sleep(0)
                room = PIECE
            room -= len(piece)
            size += at_most(piece, encoding)
        sizes.append(size)
    return sizes


def _read(piece: Prompt, encoding: str | None) -> str:
    """A piece of a prompt as text. Ids that the vocabulary does not have are nothing: such a request is refused."""
    if isinstance(piece, str):
        return piece
    try:
        return tokens.decode(piece, encoding or tokens.DEFAULT)
    except ValueError:
        return ""


def at_most(text: str, encoding: str | None) -> int:
    """How many tokens `text` is in the vocabulary `encoding`; None for one that is not known, where it is a bound."""
    if not text:
        return 0
    if encoding is not None:
        return tokens.count(text, encoding)
    return min(UNKNOWN * tokens.estimate(text), len(text.encode("utf-8", "surrogatepass")) + 1)


@dataclass(frozen=True, slots=True)
class _Fixed:
    """What is the same in every estimate at a deployment: how its prompts are read (vocabulary, whether it takes ids),
    how many choices a call gives and whether candidates are calls of their own, the tokens beside the client's text,
    and whole picodollars for a token that is read, one that is written and a call, where its price is that plain."""

    bound: Bound
    reads: tuple[str | None, bool]
    together: int
    emulates: bool
    beside: int
    rates: tuple[int, int, int] | None


def _fixed(bound: Bound) -> _Fixed:
    support = bound.shape.support
    return _Fixed(
        bound,
        (bound.encoding, support.token_prompts),
        support.max_n if support.level("n") in (Level.NATIVE, Level.MAPPED) else 1,
        support.level("best_of") is Level.EMULATED,
        0 if support.text else _words(bound.shape, bound.encoding),
        _plain(bound.price),
    )


def _plain(price: Price | None) -> tuple[int, int, int] | None:
    """The picodollars of a price that is always the same and has nothing finer: then `_money` is a sum of integers."""
    if price is None:
        return 0, 0, 0
    if len(price.periods) > 1 or len(price.periods[0].tiers) > 1:
        return None
    rates = price.rates(0)
    exact = [each.scaleb(DIGITS, MONEY) for each in (rates.input, max(rates.output, rates.reasoning), rates.call)]
    read, written, call = (int(each) for each in exact)
    return (read, written, call) if [read, written, call] == exact else None


def _at(one: _Fixed, request: CompletionRequest, sizes: list[int]) -> tuple[int, int]:
    """Tokens and picodollars that a request may use at a deployment."""
    candidates = max(request.n, request.best_of or 0)
    calls = -(-(candidates if one.emulates else request.n) // one.together)
    written = request.max_tokens * candidates
    beside = sizes[-1] + one.beside
    used = money = 0
    for size in sizes[:-1]:
        read = size + beside
        used += calls * read + written
        if one.rates is not None:
            money += calls * (read * one.rates[0] + one.rates[2]) + written * one.rates[1]
        elif one.bound.price is not None:
            money += _money(one.bound.price, read, calls, written)
    return used, money


def _words(shape: Shape, encoding: str | None) -> int:
    """Tokens of a chat beside the client's own texts."""
    said = [words for words in (shape.continuation, INFILL_PROMPT if shape.emulate_suffix else None) if words]
    around = tokens.CHAT + tokens.MESSAGE * (1 + len(said)) + (_TAGS if shape.emulate_suffix else 0)
    return around + sum(_known(words, encoding) for words in said)


@lru_cache(maxsize=256)
def _known(words: str, encoding: str | None) -> int:
    return at_most(words, encoding)


def _money(price: Price, read: int, calls: int, written: int) -> int:
    """Picodollars of so many calls that each read so many tokens and write so many together, rounded up."""
    rates = price.rates(read)
    spent = MONEY.multiply(rates.input, calls * read)
    spent = MONEY.fma(max(rates.output, rates.reasoning), written, spent)
    spent = MONEY.fma(rates.call, calls, spent)
    return int(spent.scaleb(DIGITS, MONEY).to_integral_value(ROUND_CEILING, MONEY))
