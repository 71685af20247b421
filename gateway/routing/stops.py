"""Stop sequences, done here where a provider cannot: the text ends before the first one, however the answer is cut.

Some chat providers take none, fewer than four, or none that are only white space (`"\\n"`, the commonest of all for
text completions). The result is what the provider would have given: no text from the stop sequence on,
`finish_reason: stop`, and nothing of a sequence that is still unfinished leaves in a stream.
"""

import codecs
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace

from gateway.errors import GatewayError
from gateway.types import Delta, TokenLogprob


class _Choice:
    """What has been held back of one choice; tokens follow the text they stand for."""

    __slots__ = ("_decoder", "_tokens", "over", "text")

    def __init__(self) -> None:
        self.text = ""
        self.over = False
        self._tokens: deque[TokenLogprob] = deque()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def take(self, delta: Delta) -> None:
        """Add what has come."""
        self.text += delta.text
        self._tokens.extend(delta.logprobs or ())

    def give(self, length: int, *, rest: bool) -> tuple[str, tuple[TokenLogprob, ...] | None]:
        """The first `length` characters, with the tokens that begin in them; with `rest`, all tokens there are."""
        text, self.text = self.text[:length], self.text[length:]
        given: list[TokenLogprob] = []
        room = length
        while self._tokens and (rest or room > 0):
            token = self._tokens.popleft()
            given.append(token)
            raw = token.raw if token.raw is not None else token.token.encode("utf-8", "replace")
            room -= len(self._decoder.decode(raw))
        return text, tuple(given) or None


async def stopped(
    deltas: AsyncIterator[Delta], stops: tuple[str, ...], choices: int, close: Callable[[], Awaitable[None]] | None
) -> AsyncGenerator[Delta, None]:
    """`deltas` with every choice ended before the first of `stops`.

    Args:
        choices: how many there are; as soon as all have ended, `close` ends the calls that would go on for nobody.
        close: None for a whole answer, which is there already.
    """
    found: dict[int, _Choice] = {}
    try:
        async with aclosing(_cut(deltas, stops, choices, close, found)) as cut:
            async for given in cut:
                yield given
    except GatewayError:
        # The answer ends here, so that what was held for the rest of a stop sequence is text.
        for index, choice in found.items():
            if not choice.over and choice.text:
                text, tokens = choice.give(len(choice.text), rest=True)
                yield Delta(index, text, logprobs=tokens)
        raise


async def _cut(
    deltas: AsyncIterator[Delta],
    stops: tuple[str, ...],
    choices: int,
    close: Callable[[], Awaitable[None]] | None,
    found: dict[int, _Choice],
) -> AsyncGenerator[Delta, None]:
    async for delta in deltas:
        choice = found.setdefault(delta.index, _Choice())
        if choice.over:
            continue
        choice.take(delta)
        at = first(choice.text, stops)
        choice.over = delta.finish_reason is not None or at is not None
        keep = at if at is not None else len(choice.text) if choice.over else unfinished(choice.text, stops)
        text, tokens = choice.give(keep, rest=choice.over and at is None)
        reason = "stop" if at is not None else delta.finish_reason
        last = choice.over and len(found) == choices and all(other.over for other in found.values())
        if last and close is not None:
            await close()
        if text or choice.over or delta.reasoning:
            yield replace(delta, text=text, logprobs=tokens, finish_reason=reason)
        if last and close is not None:
            return


def first(text: str, stops: tuple[str, ...]) -> int | None:
    """Where the stop sequence that is complete first begins; None when there is none.

    The first to be complete, not the first to begin, is what a model that is being watched stops at; of two that are
    complete at once the longer one.
    """
    found = [(at + len(stop), at) for stop in stops if (at := text.find(stop)) >= 0]
    return min(found)[1] if found else None


def unfinished(text: str, stops: tuple[str, ...]) -> int:
    """How much of `text` may leave: all before the earliest place where a stop sequence may have begun."""
    longest = max(map(len, stops))
    for start in range(max(0, len(text) - longest + 1), len(text)):
        if any(stop.startswith(text[start:]) for stop in stops):
            return start
    return len(text)
