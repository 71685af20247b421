"""What the gateway itself tells a model is confidential for whoever may come to answer."""

import asyncio
from typing import Any

from gateway.providers.translation import CONTINUATION_PROMPT, INFILL_PROMPT
from gateway.types import CompletionRequest
from tests.routing.fleet import Body, Fleet, Walk, entry, refuses, says


def confidential(config: Body, model: str = "m") -> tuple[str, ...]:
    walk = Walk(Fleet(), config, CompletionRequest(model, ("p",)))
    walk.stream()
    return walk.exchange.confidential


def configured(*entries: Body, **router: Any) -> Body:
    return {"model_list": list(entries), "router_settings": router}


def test_without_words_of_its_own_the_gateway_has_nothing_to_hide():
    assert confidential(configured(entry("a"))) == ()


def test_the_words_of_each_deployment_of_the_group_are_known_before_any_is_called():
    mine = entry("b", translation="continuation", continuation_prompt="Go on.")
    assert set(confidential(configured(entry("a"), mine, entry("c", translation="continuation")))) == {
        "Go on.",
        CONTINUATION_PROMPT,
    }


def test_so_are_those_of_the_fallbacks_however_far():
    second, third = entry("b", "n"), entry("c", "o", suffix="emulate")
    other = entry("d", "elsewhere", translation="continuation")
    config = configured(entry("a"), second, third, other, fallbacks=[{"m": ["n"]}, {"n": ["o"]}])
    assert confidential(config) == (INFILL_PROMPT,)
    assert confidential(config, "n") == (INFILL_PROMPT,)
    assert confidential(config, "elsewhere") == (CONTINUATION_PROMPT,)


def test_what_the_fallback_was_told_is_among_them():
    fleet = Fleet(a=refuses(500), b=says("x"))
    config = configured(entry("a"), entry("b", "n", translation="continuation"), fallbacks=[{"m": ["n"]}])
    walk = asyncio.run(Walk(fleet, config, CompletionRequest("m", ("p",))).go())
    assert walk.error is None
    assert fleet.calls[-1][1]["messages"][0]["content"] in walk.exchange.confidential
