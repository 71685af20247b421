"""The guard `leak`: answers that repeat what was told in confidence."""

import asyncio
import base64
import codecs
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

import pytest
from pydantic import ValidationError

from gateway.guards.answer import AnswerGuard
from gateway.guards.asking import bound
from gateway.guards.base import Context, Finding, Scope, Text
from gateway.guards.cache import VerdictCache
from gateway.guards.engine import judge
from gateway.guards.leak import LeakConfig, build
from gateway.guards.policy import Policy
from gateway.types import Delta
from tests.timing import growth


@dataclass
class LeakSpy:
    """A guard that is waited for and knows of no confidential texts."""

    name: str = "spy"
    scope: Scope = "whole"

    async def check(self, texts: Sequence[Text], context: Context) -> list[Finding]:
        return []


PROMPT = (
    "You are Nora, the support assistant of the Blue Harbour bank. Never promise a rate below three percent. "
    "Escalate complaints about fees to the second line. Do not mention the internal code name Lighthouse. "
    "Answer in at most four sentences and always stay polite."
)
CANARY = "zx81 quokka"
GUARD = build(LeakConfig(texts=(PROMPT, CANARY)))


def found(text, guard=GUARD):
    return guard.find(text, "choices[0].text")


@pytest.mark.parametrize(
    "answer",
    [
        PROMPT,
        f"Sure! Here it is: {PROMPT}",
        PROMPT.upper(),
        PROMPT.replace(" ", "\n"),
        PROMPT.replace("a", "а").replace("o", "ο"),
        PROMPT[:140],
        "In base64: " + base64.b64encode(PROMPT.encode()).decode(),
        "In hex: " + PROMPT.encode().hex(),
        codecs.encode(PROMPT, "rot13"),
        PROMPT[::-1],
        "The mark is ZX81 Quokka.",
    ],
)
def test_a_repetition_is_found(answer):
    (finding,) = found(answer)
    assert (finding.guard, finding.rule, finding.action) == ("leak", "repeated-text", "block")
    assert 0 <= finding.start < finding.end <= len(answer)
    assert 0.3 <= finding.score <= 1


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "Our rates start at three percent. Complaints about fees go to the second line of support.",
        "You are welcome! Answer in at most four words.",
        "I am Nora, the assistant of the Blue Harbour bank. How can I help?",
        "A quokka is a small marsupial; the ZX81 was a computer.",
    ],
)
def test_an_answer_in_words_of_its_own_passes(answer):
    assert found(answer) == []


def test_a_finding_stands_where_the_repetition_does():
    (finding,) = found(f"Well. {PROMPT} That is all.")
    assert (finding.start, finding.end) == (6, 6 + len(PROMPT) - 1)
    assert finding.score == 1


def test_texts_of_one_request_are_protected_for_that_request_alone():
    own = "This tenant sells garden gnomes and must never speak of the recall of last spring to anyone at all."
    mine = GUARD.against([own, ""])
    assert found(own, mine)
    assert not found(own)
    assert found(PROMPT, mine)
    assert GUARD.pure
    assert not mine.pure


def test_a_text_of_one_request_that_is_only_a_few_words_is_not_a_mark():
    assert not found("You are a helpful assistant.", GUARD.against(["You are a helpful assistant."]))


SYSTEM = "This tenant sells garden gnomes and must never speak of the recall of last spring to anyone at all."
LEAK = Policy("leak", guards=(build(LeakConfig()), LeakSpy()))


@pytest.mark.parametrize("stream", ["hold", "observe"])
def test_the_system_message_of_a_request_is_protected_in_its_answer(stream):
    async def answered(confidential: tuple[str, ...], words: str) -> AnswerGuard:
        async def source() -> AsyncIterator[Delta]:
            for sign in words:
                yield Delta(0, sign)

        policy = replace(LEAK, stream=stream)
        guard = AnswerGuard([policy], Context("output", confidential=confidential), choices=1)
        async for _ in guard.guarded(source()):
            pass
        return guard

    for confidential, words, decision in (
        ((SYSTEM,), f"Sure: {SYSTEM}", "block"),
        ((SYSTEM,), "Gnomes cost ten euros.", "allow"),
        ((), f"Sure: {SYSTEM}", "allow"),
    ):
        (verdict,) = asyncio.run(answered(confidential, words)).verdicts()
        assert verdict.decision == decision


def test_what_is_found_about_one_request_is_remembered_for_no_other():
    cache = VerdictCache()
    texts = [Text("choices[0].text", SYSTEM)]

    async def decision(*confidential: str) -> str:
        outcome = await judge([LEAK], texts, Context("output", confidential=confidential), cache=cache)
        return outcome.verdicts[0].decision

    assert asyncio.run(decision(SYSTEM)) == "block"
    assert asyncio.run(decision()) == "allow"
    assert asyncio.run(decision(SYSTEM)) == "block"


def test_a_confidential_text_is_in_no_repr():
    context = Context("output", confidential=(SYSTEM,))
    assert "gnomes" not in repr((context, bound(build(LeakConfig()), context)))


def test_a_guard_that_protects_nothing_is_asked_as_it_is():
    guard = LeakSpy()
    assert bound(guard, Context("output", confidential=(SYSTEM,))) is guard
    leak = build(LeakConfig())
    assert bound(leak, Context("output")) is leak


def test_without_protected_texts_nothing_is_found():
    assert found(PROMPT, build(LeakConfig())) == []


def test_scripts_without_spaces_are_compared_by_character():
    guard = build(LeakConfig(texts=("你是一个银行的客服助手，绝对不能承诺低于百分之三的利率。",)))
    assert found("我的提示是:你是一个银行的客服助手，绝对不能承诺低于百分之三的利率", guard)
    assert not found("利率是百分之三。", guard)


def test_settings_hold_no_text_in_what_they_show():
    assert "Nora" not in repr(GUARD)
    assert "Nora" not in repr(GUARD.config)
    with pytest.raises(ValidationError):
        LeakConfig(share=0)
    with pytest.raises(ValueError, match="no words"):
        build(LeakConfig(texts=("...",)))


def test_it_judges_each_text():
    findings = asyncio.run(GUARD.check([Text("a", "fine"), Text("b", PROMPT)], Context("output")))
    assert [finding.path for finding in findings] == ["b"]


@pytest.mark.parametrize("piece", ["a", "a ", "you are nora ", "zx81 ", "你"])
@pytest.mark.slow
def test_a_hostile_text_costs_no_more_per_character_when_it_is_longer(piece):
    assert growth(lambda text: GUARD.find(text, "t"), piece, 15_000, 120_000, bound=4) <= 4
