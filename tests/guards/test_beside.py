"""Guards that judge the prompt while the provider is being called: the answer waits, and a block ends the call."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace

import pytest

from gateway.guards.base import Context, Finding, Text
from gateway.guards.beside import Beside
from gateway.guards.cache import VerdictCache
from gateway.guards.engine import Outcome, judge
from gateway.guards.policy import Policy
from gateway.guards.verdict import Verdict, header
from gateway.types import Delta
from tests.guards.kit import INPUT, OUTPUT, Asked, Mail, Phrase
from tests.routing.servers import looped


@dataclass
class Slow(Asked):
    """Answers when it is let, and knows whether it was asked and stopped."""

    let: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)

    async def check(self, texts: Sequence[Text], context: Context) -> list[Finding]:
        self.asked.set()
        try:
            await self.let.wait()
        except asyncio.CancelledError:
            self.stopped.set()
            raise
        return await super().check(texts, context)


@dataclass
class InPlace(Asked):
    """Needs a whole text and judges it at once."""

    def find(self, text: str, path: str) -> list[Finding]:
        at = text.find(self.word)
        return [Finding(self.name, "WORD", "test", self.action, path, at, at + len(self.word))] if at >= 0 else []


def beside(*guards: object, **more: object) -> Policy:
    return Policy("beside", guards=guards, parallel=True, timeout=5.0, **more)


async def asked(policies: Sequence[Policy], *values: str, **more: object) -> Outcome:
    texts = [Text(f"prompt[{at}]", value) for at, value in enumerate(values)]
    return await judge(policies, texts, INPUT, **{"beside": True, **more})


class Call:
    """An upstream call: says what it was told to, after it was let; knows whether it was begun and ended."""

    def __init__(self, *given: Delta | Exception, at_once: bool = True) -> None:
        self.given = given
        self.begun = asyncio.Event()
        self.let = asyncio.Event()
        self.ended = False
        if at_once:
            self.let.set()

    async def __call__(self) -> AsyncIterator[Delta]:
        self.begun.set()
        try:
            await self.let.wait()
            for one in self.given:
                if isinstance(one, Exception):
                    raise one
                yield one
        finally:
            self.ended = True


class Refused(Exception):
    """What the caller of these tests is refused with."""


def refuse(_: Verdict) -> Sequence[Delta]:
    raise Refused


async def answer(rest: Beside, call: Call, stopped: object = refuse) -> list[Delta]:
    return [delta async for delta in rest.held(call(), stopped)]


SAID = [Delta(0, "Hello "), Delta(0, "there", finish_reason="stop")]


@looped
async def test_only_guards_that_are_waited_for_are_left_for_later():
    slow, place = Slow(), InPlace("horses")
    other = Policy("other", guards=(Asked("cows"),))
    outcome = await asked([beside(slow, place, Mail()), other], "a@x.org, horses")
    assert outcome.blocked is not None
    assert (outcome.beside, slow.asked.is_set()) == (None, False)
    assert header(outcome.verdicts) == "beside=block;skipped, other=allow"
    outcome = await asked([beside(slow, place, Mail()), other], "a@x.org")
    assert [text.value for text in outcome.texts] == ["<EMAIL_ADDRESS_1>"]
    assert outcome.beside is not None
    assert not slow.asked.is_set()


@looped
async def test_nothing_is_left_for_later_when_nobody_holds_the_answer():
    outcome = await asked([beside(Asked())], "ponies", beside=False)
    assert (outcome.beside, outcome.blocked and outcome.blocked.decision) == (None, "block")
    texts = [Text("choices[0].text", "ponies")]
    assert (await judge([beside(Asked())], texts, OUTPUT, beside=True)).beside is None


@looped
async def test_the_call_runs_beside_the_guards_and_its_answer_waits_for_them():
    slow, call = Slow(), Call(*SAID)
    rest = (await asked([beside(slow)], "fine")).beside
    assert rest is not None
    rest.start()
    reading = asyncio.create_task(answer(rest, call))
    await call.begun.wait()
    await slow.asked.wait()
    assert not reading.done()
    slow.let.set()
    assert await reading == SAID
    rest.close()
    assert header(rest.verdicts()) == "beside=allow"


@looped
async def test_a_block_cancels_the_call_at_once_wherever_it_is():
    slow, call = Slow(), Call(*SAID, at_once=False)
    rest = (await asked([beside(slow)], "ponies")).beside
    assert rest is not None
    rest.start()
    reading = asyncio.create_task(answer(rest, call))
    await call.begun.wait()
    slow.let.set()
    with pytest.raises(Refused):
        await reading
    assert call.ended
    assert reading.cancelling() == 0
    assert header(rest.verdicts()) == "beside=block"


@looped
async def test_one_block_is_enough():
    slow, call = Slow(), Call(*SAID, at_once=False)
    rest = (await asked([beside(slow), replace(beside(Asked()), name="quick")], "ponies")).beside
    assert rest is not None
    rest.start()
    with pytest.raises(Refused):
        await answer(rest, call)
    await slow.stopped.wait()
    assert header(rest.verdicts()) == "beside=allow;skipped, quick=block"


@looped
async def test_a_block_may_be_an_answer_of_its_own():
    rest = (await asked([beside(Asked())], "ponies")).beside
    assert rest is not None
    rest.start()
    withheld = Delta(0, "Withheld.", finish_reason="content_filter")
    assert await answer(rest, Call(*SAID), lambda verdict: [withheld]) == [withheld]


@looped
async def test_an_answer_that_is_there_first_does_not_leave_before_a_block():
    slow, call = Slow(), Call(*SAID)
    rest = (await asked([beside(slow)], "ponies")).beside
    assert rest is not None
    rest.start()
    reading = asyncio.create_task(answer(rest, call))
    await slow.asked.wait()
    slow.let.set()
    with pytest.raises(Refused):
        await reading
    assert call.ended


@pytest.mark.parametrize(("prompt", "raises"), [("ponies", Refused), ("fine", ConnectionError)])
@looped
async def test_a_call_that_fails_is_told_only_after_the_verdict(prompt, raises):
    slow, call = Slow(), Call(ConnectionError())
    rest = (await asked([beside(slow)], prompt)).beside
    assert rest is not None
    rest.start()
    reading = asyncio.create_task(answer(rest, call))
    await slow.asked.wait()
    assert not reading.done()
    slow.let.set()
    with pytest.raises(raises):
        await reading


@looped
async def test_a_call_without_an_answer_waits_for_the_verdict_as_well():
    for prompt, leaves in (("fine", []), ("ponies", None)):
        rest = (await asked([beside(Asked())], prompt)).beside
        assert rest is not None
        rest.start()
        if leaves is None:
            with pytest.raises(Refused):
                await answer(rest, Call())
        else:
            assert await answer(rest, Call()) == leaves


@pytest.mark.parametrize("action", ["mask", "redact", "hash"])
@pytest.mark.parametrize("left", [False, True])
@looped
async def test_what_would_rewrite_a_prompt_that_has_been_sent_blocks(action, left):
    outcome = await asked([beside(Asked(action=action))], "I like ponies", beside=left)
    if left:
        assert outcome.beside is not None
        outcome.beside.start()
        blocked = await outcome.beside.wait()
    else:
        blocked = outcome.blocked
    assert blocked is not None
    assert [finding.action for finding in blocked.findings] == ["block"]


@looped
async def test_a_flag_is_a_flag_and_a_shadow_blocks_nobody():
    for policy, said in (
        (beside(Asked(action="flag")), "beside=flag"),
        (beside(Asked(action="mask"), mode="shadow"), "beside=block;shadow"),
    ):
        rest = (await asked([policy], "ponies")).beside
        assert rest is not None
        rest.start()
        assert await answer(rest, Call(*SAID)) == SAID
        assert header(rest.verdicts()) == said


@looped
async def test_what_such_a_guard_would_mask_is_blocked_when_it_is_remembered_too():
    cache = VerdictCache()
    policy = beside(Asked(action="mask", pure=True))
    rest = (await asked([policy], "ponies", cache=cache)).beside
    assert rest is not None
    rest.start()
    assert await rest.wait() is not None
    again = await asked([policy], "ponies", cache=cache)
    assert (again.beside, again.blocked and again.blocked.decision) == (None, "block")


@pytest.mark.parametrize(("on_error", "passes"), [("block", False), ("allow", True)])
@looped
async def test_a_guard_that_fails_beside_the_call_blocks_or_lets_pass_as_its_policy_says(on_error, passes):
    class Fails(Asked):
        async def check(self, texts: Sequence[Text], context: Context) -> list[Finding]:
            raise RuntimeError

    rest = (await asked([beside(Fails(), on_error=on_error)], "fine")).beside
    assert rest is not None
    rest.start()
    if passes:
        assert await answer(rest, Call(*SAID)) == SAID
    else:
        with pytest.raises(Refused):
            await answer(rest, Call(*SAID, at_once=False))
    assert rest.verdicts()[0].status == "error"


@looped
async def test_a_guard_that_takes_too_long_is_a_timeout():
    slow, call = Slow(), Call(*SAID, at_once=False)
    rest = (await asked([replace(beside(slow), timeout=0.01)], "fine")).beside
    assert rest is not None
    rest.start()
    with pytest.raises(Refused):
        await answer(rest, call)
    await slow.stopped.wait()
    assert (call.ended, rest.verdicts()[0].status) == (True, "timeout")


@pytest.mark.parametrize("answered", [False, True])
@looped
async def test_a_client_that_leaves_ends_the_call_and_the_guards(answered):
    slow, call = Slow(), Call(*SAID, at_once=answered)
    rest = (await asked([beside(slow)], "ponies")).beside
    assert rest is not None
    rest.start()
    reading = asyncio.create_task(answer(rest, call))
    await call.begun.wait()
    await slow.asked.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    rest.close()
    await slow.stopped.wait()
    assert call.ended
    assert header(rest.verdicts()) == "beside=allow;skipped"


@looped
async def test_guards_that_nobody_waited_for_are_skipped():
    slow = Slow()
    rest = (await asked([beside(slow, Phrase("flag"))], "a blue moon rising")).beside
    assert rest is not None
    assert header(rest.verdicts()) == "beside=flag"
    rest.start()
    await slow.asked.wait()
    rest.close()
    assert header(rest.verdicts()) == "beside=flag;skipped"
    assert "under way" in repr(rest)
