"""An answer has no more alternatives per token than were asked for, whatever the provider sent."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.providers.translation import Placed, Translation
from gateway.routing.choices import shaped
from gateway.types import Call, Delta, TokenLogprob

TOKEN = TokenLogprob("a", -2.0, top=(("b", -1.5), ("a", -2.0), ("c", -0.5)))


def given_out(wanted: int, best_of: int | None = None) -> tuple[tuple[str, float], ...]:
    async def deltas() -> AsyncIterator[Delta]:
        yield Delta(0, "a", (TOKEN,), "stop")

    async def collect() -> list[Delta]:
        call = Call((), "p", logprobs=wanted)
        return [delta async for delta in shaped(deltas(), Translation((Placed(call, 0),), 1, 1, best_of=best_of))]

    (delta,) = asyncio.run(collect())
    assert delta.logprobs
    return delta.logprobs[0].top


@pytest.mark.parametrize("best_of", [None, 1])
def test_the_likeliest_alternatives_are_kept_and_no_more_than_asked_for(best_of: int | None):
    assert given_out(0, best_of) == ()
    assert given_out(2, best_of) == (("c", -0.5), ("b", -1.5))
    assert given_out(3, best_of) == TOKEN.top
