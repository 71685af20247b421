"""Judging whole texts: side by side on the original, merged once, and never hanging, whatever a guard does."""

import asyncio
import gc
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from gateway.guards.asking import AT_ONCE
from gateway.guards.base import Context, Finding, Scope, Text
from gateway.guards.cache import VerdictCache
from gateway.guards.engine import Outcome, Policy, judge
from gateway.guards.vault import Form, Vault
from gateway.guards.verdict import Verdict, header
from tests.guards import kit
from tests.guards.kit import INPUT, OUTPUT, Asked, Digits, Mail, Phrase


def judged(policies: Sequence[Policy], *values: str, context: Context = INPUT, **more: object) -> Outcome:
    texts = [Text(f"prompt[{at}]", value) for at, value in enumerate(values)]
    return asyncio.run(judge(policies, texts, context, **more))


def texts(outcome: Outcome) -> list[str]:
    return [text.value for text in outcome.texts]


@dataclass
class Broken:
    """A guard that does what it must not."""

    does: object
    name: str = "broken"
    scope: Scope = "whole"

    async def check(self, given: Sequence[Text], context: Context) -> list[Finding]:
        if isinstance(self.does, BaseException):
            raise self.does
        if callable(self.does):
            return await self.does(given)
        return self.does


@dataclass(frozen=True)
class BrokenSpan(Mail):
    """A span guard that does what it must not."""

    does: object = None
    name: str = "broken"

    def find(self, text: str, path: str) -> list[Finding]:
        if isinstance(self.does, Exception):
            raise self.does
        return self.does


def test_a_clean_text_comes_back_as_it_was():
    outcome = judged([Policy("pii", guards=(Mail(), Digits()))], "Order 4111 shipped", "")
    assert texts(outcome) == ["Order 4111 shipped", ""]
    assert not outcome.changed
    (verdict,) = outcome.verdicts
    assert (verdict.decision, verdict.status, verdict.enforced, verdict.findings) == ("allow", "ok", True, ())


def test_findings_of_all_policies_are_merged_once():
    pii = Policy("pii", guards=(Mail(),))
    names = Policy("names", guards=(kit.Handle("redact"),))
    outcome = judged([pii, names], "Mail bob@corp.example or @carol")
    assert texts(outcome) == ["Mail  or "]
    assert [verdict.decision for verdict in outcome.verdicts] == ["mask", "redact"]


def test_placeholders_are_numbered_through_all_texts_of_the_input():
    outcome = judged([Policy("pii", guards=(Mail(),))], "a@x.org b@x.org", "b@x.org c@x.org")
    assert texts(outcome) == ["<EMAIL_ADDRESS_1> <EMAIL_ADDRESS_2>", "<EMAIL_ADDRESS_2> <EMAIL_ADDRESS_3>"]


def test_each_text_of_the_output_is_numbered_after_the_input():
    vault = Vault()
    policies = [Policy("pii", guards=(Mail(),))]
    judged(policies, "a@x.org", vault=vault)
    outcome = judged(policies, "b@x.org a@x.org", "c@x.org", context=OUTPUT, vault=vault)
    assert texts(outcome) == ["<EMAIL_ADDRESS_2> <EMAIL_ADDRESS_1>", "<EMAIL_ADDRESS_2>"]


def test_placeholders_have_the_form_of_their_guard():
    policy = Policy("pii", guards=(Mail(),), forms={"mail": Form("[{entity}:{n}]")})
    assert texts(judged([policy], "a@x.org")) == ["[EMAIL_ADDRESS:1]"]


def test_a_placeholder_that_the_caller_wrote_is_not_issued():
    assert texts(judged([Policy("pii", guards=(Mail(),))], "<EMAIL_ADDRESS_1> is not a@x.org")) == [
        "<EMAIL_ADDRESS_1> is not <EMAIL_ADDRESS_2>"
    ]


def test_nothing_passes_when_one_text_is_blocked():
    outcome = judged([Policy("p", guards=(Mail(), Phrase("block")))], "a@x.org", "a blue moon rising")
    assert outcome.texts == ()
    assert outcome.blocked == outcome.verdicts[0]
    assert [finding.path for finding in outcome.blocked.findings] == ["prompt[0]", "prompt[1]"]


def test_a_shadow_policy_judges_and_changes_nothing():
    policies = [Policy("shadow", guards=(Mail("block"),), mode="shadow"), Policy("real", guards=(Digits(),))]
    outcome = judged(policies, "a@x.org 4111 1111 1111 1111 1")
    assert texts(outcome) == ["a@x.org 4111 1111 1111 1111 1"]
    assert outcome.blocked is None
    assert header(outcome.verdicts) == "shadow=block;shadow, real=allow"


def test_policies_that_do_not_concern_the_text_say_nothing():
    policies = [
        Policy("off", guards=(Mail(),), mode="off"),
        Policy("output", guards=(Mail(),), stages=frozenset(["output"])),
        Policy("others", guards=(Mail(),), matches=lambda context: context.model == "other"),
    ]
    assert judged(policies, "a@x.org") == Outcome((Text("prompt[0]", "a@x.org"),), ())


@pytest.mark.parametrize(
    ("drawn", "becomes", "status"), [(0.29, "<EMAIL_ADDRESS_1>", "ok"), (0.3, "a@x.org", "skipped")]
)
def test_sampling_looks_at_its_share_and_says_when_it_does_not(drawn, becomes, status):
    outcome = judged([Policy("pii", guards=(Mail(),), sample=0.3)], "a@x.org", draw=lambda policy: drawn)
    assert texts(outcome) == [becomes]
    assert outcome.verdicts[0].status == status


def test_a_matcher_that_fails_is_an_error_of_the_policy():
    def fails(context: Context) -> bool:
        raise KeyError("secret text")

    policy = Policy("p", guards=(Mail(),), matches=fails)
    outcome = judged([policy], "text")
    assert (outcome.blocked.status, outcome.blocked.failures) == ("error", ("match: KeyError",))
    assert texts(judged([replace(policy, on_error="allow")], "text")) == ["text"]


async def never(_: object) -> list[Finding]:
    await asyncio.Event().wait()
    return []


async def stubborn(_: object) -> list[Finding]:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await asyncio.Event().wait()
    return []


async def cancels(_: object) -> list[Finding]:
    raise asyncio.CancelledError


def finding(**changes: object) -> Finding:
    return replace(Finding("g", "R", "c", "mask", "prompt[0]", 0, 1), **changes)


NONSENSE = {
    "raises": ValueError("the matched text"),
    "nothing": None,
    "a tuple": (finding(),),
    "strings": ["finding"],
    "a text that was not asked about": [finding(path="prompt[9]")],
    "an end after the text's": [finding(end=99)],
    "a negative start": [finding(start=-1)],
    "an end before the start": [finding(start=3, end=2)],
    "nothing at a place": [finding(start=1, end=1)],
    "an unknown action": [finding(action="explode")],
    "a place that is no number": [finding(start=0.0)],
}


@pytest.mark.parametrize("does", NONSENSE.values(), ids=NONSENSE)
@pytest.mark.parametrize("guard", [Broken, lambda does: BrokenSpan(does=does)], ids=["asked", "span"])
def test_a_guard_that_fails_blocks_when_enforcing_and_not_in_shadow(guard, does):
    policy = Policy("p", guards=(Mail(), guard(does)))
    outcome = judged([policy], "a@x.org")
    assert outcome.texts == ()
    assert (outcome.blocked.status, outcome.blocked.decision) == ("error", "block")
    assert len(outcome.blocked.failures) == 1
    assert "matched" not in repr(outcome)

    allowing = judged([replace(policy, on_error="allow")], "a@x.org")
    assert texts(allowing) == ["<EMAIL_ADDRESS_1>"]
    assert (allowing.verdicts[0].status, allowing.verdicts[0].decision) == ("error", "mask")

    shadow = judged([replace(policy, mode="shadow")], "a@x.org")
    assert texts(shadow) == ["a@x.org"]
    assert (shadow.verdicts[0].status, shadow.verdicts[0].decision, shadow.blocked) == ("error", "mask", None)


@pytest.mark.parametrize(("does", "status"), [(never, "timeout"), (stubborn, "timeout"), (TimeoutError(), "timeout"),
                                              (cancels, "error")])  # fmt: skip
def test_a_guard_that_does_not_answer_is_not_waited_for(does, status):
    policy = Policy("p", guards=(Broken(does),), timeout=0.01)
    outcome = judged([policy], "text")
    assert outcome.blocked.status == status
    assert texts(judged([replace(policy, on_error="allow")], "text")) == ["text"]


def test_what_a_guard_raises_when_it_is_left_behind_is_told_to_nobody():
    async def fails_late(_: object) -> list[Finding]:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("the matched text")

    async def main() -> list[object]:
        told: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
        await judge([Policy("p", guards=(Broken(fails_late),), timeout=0.001)], [Text("p", "x")], INPUT)
        for _ in range(5):
            await asyncio.sleep(0)
        gc.collect()
        return told

    assert asyncio.run(main()) == []


def test_guards_that_are_waited_for_run_side_by_side():
    async def main() -> Outcome:
        both = asyncio.Barrier(2)

        async def meets(_: object) -> list[Finding]:
            await both.wait()
            return []

        policies = [Policy(name, guards=(Broken(meets),), timeout=5) for name in "ab"]
        return await judge(policies, [Text("prompt[0]", "text")], INPUT)

    assert [verdict.status for verdict in asyncio.run(main()).verdicts] == ["ok", "ok"]


@dataclass
class AtOnce(Asked):
    """Needs whole texts and no time."""

    does: object = None

    def find(self, text: str, path: str) -> list[Finding]:
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return BrokenSpan(does=self.does).find(text, path) if self.does else Mail(self.action).find(text, path)


def test_a_guard_of_whole_texts_that_judges_at_once_needs_no_task():
    guard = AtOnce(action="mask")
    assert texts(judged([Policy("p", guards=(guard,))], "a@x.org", "b@x.org")) == [
        "<EMAIL_ADDRESS_1>",
        "<EMAIL_ADDRESS_2>",
    ]
    assert guard.calls == []
    for does, status in ((ValueError(), "error"), (TimeoutError(), "timeout"), ("nonsense", "error")):
        assert judged([Policy("p", guards=(AtOnce(does=does),))], "text").blocked.status == status


def test_nobody_is_asked_about_what_is_blocked_already():
    guard = Asked()
    outcome = judged([Policy("remote", guards=(guard,)), Policy("p", guards=(Phrase("block"),))], "blue moon rising")
    assert guard.calls == []
    assert header(outcome.verdicts) == "remote=allow;skipped, p=block"


def test_a_cancelled_judgement_cancels_its_guards():
    async def main() -> bool:
        begun, ended = asyncio.Event(), asyncio.Event()

        async def waits(_: object) -> list[Finding]:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
            return []

        task = asyncio.create_task(judge([Policy("p", guards=(Broken(waits),), timeout=60)], [Text("p", "x")], INPUT))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(ended.wait(), 5)
        return True

    assert asyncio.run(main())


def test_repeated_text_is_answered_from_the_cache():
    cache = VerdictCache()
    policies = [Policy("pii", guards=(Mail(),))]
    first = judged(policies, "hello a@x.org", "clean", cache=cache)
    again = judged(policies, "clean", "hello a@x.org", cache=cache)
    assert texts(again) == list(reversed(texts(first)))
    assert [first.verdicts[0].cached, again.verdicts[0].cached] == [False, True]
    assert [finding.path for finding in again.verdicts[0].findings] == ["prompt[1]"]


def test_a_guard_is_remembered_only_if_it_says_that_it_is_pure():
    pure, other = Asked(pure=True, action="mask"), Asked(action="mask")
    cache = VerdictCache()
    policies = [Policy("p", guards=(pure, other))]
    for values in (("ponies", "horses"), ("horses", "donkeys", "ponies")):
        outcome = judged(policies, *values, cache=cache)
        assert texts(outcome) == [value.replace("ponies", "<PONIES_1>") for value in values]
    assert [[text.value for text in call] for call in pure.calls] == [["ponies", "horses"], ["donkeys"]]
    assert [[text.value for text in call] for call in other.calls] == [
        ["ponies", "horses"],
        ["horses", "donkeys", "ponies"],
    ]


def test_a_failure_is_not_remembered():
    cache = VerdictCache()
    for _ in range(2):
        outcome = judged([Policy("p", guards=(BrokenSpan(does=ValueError()),))], "text", cache=cache)
        assert outcome.blocked.status == "error"
    assert len(cache) == 0


def test_a_finding_about_the_whole_text_covers_it():
    policy = Policy("p", guards=(Broken([finding(start=0, end=0)]),))
    assert texts(judged([policy], "all of it")) == ["<R_1>"]


def test_whole_texts_become_what_merging_says():
    for seed in range(500):
        random = kit.seeded(seed)
        policies = [Policy("a", guards=kit.all_guards(random)), Policy("b", guards=kit.all_guards(random))]
        whole = kit.text(random)
        expected, blocked = kit.guarded_at_once(policies, whole, Vault().branch())
        outcome = judged(policies, whole, context=OUTPUT)
        assert texts(outcome) == ([] if blocked else [expected]), seed


def test_the_header_says_what_really_happened():
    verdicts = [
        Verdict("pii", 1, "input", "mask", True),
        Verdict("judge", 1, "output", "block", True, "timeout", stream="hold"),
        Verdict("pii", 1, "output", "flag", True, "error"),
        Verdict("topics", 2, "output", "flag", False, stream="observe"),
    ]
    assert header(verdicts) == "pii=mask;error, judge=block;timeout;hold, topics=flag;shadow;observe"


def test_a_guard_that_judges_at_once_lets_others_have_their_turn_over_a_long_text():
    class Patient:
        name, scope, pure = "patient", "whole", True

        def find(self, text: str, path: str) -> list[Finding]:
            raise AssertionError("asked in place about a long text")

        async def check(self, texts: Sequence[Text], context: Context) -> list[Finding]:
            await asyncio.sleep(0)
            return [Finding("patient", "long", "test", "flag", text.path, 0, 0) for text in texts]

    async def run() -> None:
        cache = VerdictCache()
        policy = Policy("p", guards=(Patient(),))
        texts = [Text("prompt[0]", "x" * (AT_ONCE + 1))]
        for cached in (False, True):
            outcome = await judge([policy], texts, Context("input"), cache=cache)
            (verdict,) = outcome.verdicts
            assert (verdict.status, verdict.decision, verdict.cached) == ("ok", "flag", cached)

    asyncio.run(run())
