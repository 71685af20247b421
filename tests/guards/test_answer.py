"""The promise for an answer: n choices come interleaved, in any pieces, and each is what guarding it whole gives."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from random import Random

import pytest

from gateway.errors import UpstreamRejected
from gateway.guards.answer import AnswerGuard
from gateway.guards.base import Context, Finding, Text
from gateway.guards.clauses import whole_words
from gateway.guards.policy import OnBlock, Policy
from gateway.guards.vault import Form, Vault
from gateway.guards.verdict import Verdict, header
from gateway.types import Delta, Opening, TokenLogprob, Usage
from tests.guards import kit
from tests.guards.kit import OUTPUT, Asked, Digits, Key, Mail, Phrase

BACK = Form(restore=True)
PII = Policy("pii", guards=(Mail(), Digits()))
BLOCKS = Policy("topics", guards=(Phrase("block"),))


class Source:
    """An upstream's deltas; `read` counts those taken, `closed` says that it was cancelled or is over."""

    def __init__(self, deltas: Sequence[Delta | Exception]) -> None:
        self.deltas = deltas
        self.read = 0
        self.closed = False

    async def __call__(self) -> AsyncIterator[Delta]:
        try:
            for delta in self.deltas:
                self.read += 1
                if isinstance(delta, Exception):
                    raise delta
                yield delta
        finally:
            self.closed = True


def answered(guard: AnswerGuard, deltas: Sequence[Delta | Exception]) -> tuple[list[Delta], Source]:
    source = Source(deltas)

    async def main() -> list[Delta]:
        return [delta async for delta in guard.guarded(source())]

    return asyncio.run(main()), source


def guard_of(*policies: Policy, choices: int = 1, **more: object) -> AnswerGuard:
    return AnswerGuard(policies, replace(OUTPUT, stream=not more.get("whole")), choices=choices, **more)


def texts(deltas: Sequence[Delta], choices: int = 1) -> list[str]:
    return ["".join(delta.text for delta in deltas if delta.index == index) for index in range(choices)]


def pieces(*values: str, index: int = 0, reason: str = "stop") -> list[Delta]:
    return [*(Delta(index, value) for value in values), Delta(index, finish_reason=reason)]


def interleaved(random: Random, wholes: Sequence[str]) -> list[Delta]:
    """Every choice in pieces of its own, all mixed; the reason to finish comes with the last piece or after it."""
    queues = []
    for index, whole in enumerate(wholes):
        deltas = [Delta(index, piece) for piece in kit.cut(random, whole)] or [Delta(index)]
        if random.random() < 0.5:
            deltas[-1] = replace(deltas[-1], finish_reason="stop")
        else:
            deltas.append(Delta(index, finish_reason="length"))
        queues.append(deltas)
    mixed = []
    while any(queues):
        queue = random.choice([queue for queue in queues if queue])
        mixed.append(queue.pop(0))
    return mixed


def random_case(random: Random) -> tuple[list[Policy], Vault, list[str]]:
    policies = [Policy("a", guards=kit.all_guards(random), forms={"mail": BACK})]
    if random.random() < 0.3:
        policies.append(Policy("b", guards=kit.all_guards(random)))
    vault = Vault()
    if random.random() < 0.6:
        vault.replacement("mask", "EMAIL_ADDRESS", BACK, "bob@corp.example")
    return policies, vault, [kit.text(random, 8) for _ in range(random.randint(1, 4))]


def expected_of(policies: Sequence[Policy], vault: Vault, whole: str) -> tuple[str, bool]:
    text, blocked = kit.guarded_at_once(policies, whole, vault.branch())
    if vault.restorer() is not None:
        text = text.replace("<EMAIL_ADDRESS_1>", "bob@corp.example")
    return text, blocked


def check_interleaved(random: Random, seed: object) -> None:
    policies, vault, wholes = random_case(random)
    ends = random.choice(["answer", "choice"])
    deltas = interleaved(random, wholes)
    guard = AnswerGuard(policies, OUTPUT, choices=len(wholes), vault=vault, ends=ends)
    given, source = answered(guard, deltas)
    became = texts(given, len(wholes))
    finished = {delta.index: delta.finish_reason for delta in given if delta.finish_reason}
    assert sum(delta.finish_reason is not None for delta in given) == len(wholes), seed
    assert source.closed, seed
    stopped = ends == "answer" and guard.blocked is not None
    for index, whole in enumerate(wholes):
        text, blocked = expected_of(policies, vault, whole)
        if stopped and finished[index] == "content_filter":
            assert text.startswith(became[index]), (seed, index)
        else:
            assert became[index] == text, (seed, index)
            assert (finished[index] == "content_filter") == blocked, (seed, index)
    assert (guard.blocked is not None) == any(expected_of(policies, vault, whole)[1] for whole in wholes), seed


def test_random_choices_interleaved_in_random_pieces():
    for seed in range(2_000):
        check_interleaved(kit.seeded(seed), seed)


@pytest.mark.slow
def test_many_random_choices_interleaved_in_random_pieces():
    for seed in range(25_000):
        check_interleaved(kit.seeded(f"slow {seed}"), seed)


def test_a_whole_answer_is_the_same_as_a_streamed_one():
    for seed in range(300):
        random = kit.seeded(seed)
        policies, vault, wholes = random_case(random)
        at_once = [Delta(index, whole, finish_reason="stop") for index, whole in enumerate(wholes)]
        guard = AnswerGuard(policies, OUTPUT, choices=len(wholes), vault=vault, ends="choice", whole=True)
        given, _ = answered(guard, at_once)
        for index, whole in enumerate(wholes):
            text, blocked = expected_of(policies, vault, whole)
            assert texts(given, len(wholes))[index] == (OnBlock().message if blocked else text)


def test_clean_deltas_pass_as_they_are():
    deltas = [Delta(opening=Opening("id")), *pieces("Hello ", "world, "), Delta(usage=Usage(1, 2))]
    given, source = answered(guard_of(PII), deltas)
    assert given == deltas
    assert all(one is other for one, other in zip(given[:-1], deltas, strict=False))
    assert source.closed


def test_without_policies_everything_passes():
    deltas = pieces("bob@corp.example", " and more")
    assert answered(guard_of(), deltas)[0] == deltas


def test_the_reason_to_finish_comes_after_what_was_held():
    given, _ = answered(guard_of(PII), pieces("Write to bob@corp", ".example", reason="length"))
    assert [(delta.text, delta.finish_reason) for delta in given] == [
        ("Write to ", None),
        ("<EMAIL_ADDRESS_1>", "length"),
    ]


def test_a_block_ends_the_answer_and_cancels_the_call():
    more = [Delta(0, "and on"), Delta(1, "and on"), *pieces(index=0), *pieces(index=1)]
    deltas = [Delta(1, "Fine so far. "), Delta(0, "See the blue moon "), Delta(0, "rising today"), *more]
    guard = guard_of(BLOCKS, choices=3)
    given, source = answered(guard, deltas)
    assert given == [
        Delta(1, "Fine so far. "),
        Delta(0, "See the "),
        Delta(0, finish_reason="content_filter"),
        Delta(1, finish_reason="content_filter"),
        Delta(2, finish_reason="content_filter"),
    ]
    assert (source.read, source.closed) == (3, True)
    assert guard.blocked.policy == "topics"


def test_a_block_may_end_its_choice_alone_and_the_call_when_none_is_left():
    deltas = [
        Delta(0, "a blue moon rising. "),
        Delta(1, "Fine. "),
        Delta(0, "unseen", finish_reason="stop", usage=Usage(1, 1)),
        Delta(1, "a blue moon rising. "),
        Delta(1, "never read"),
    ]
    given, source = answered(guard_of(BLOCKS, choices=2, ends="choice"), deltas)
    assert given == [
        Delta(0, "a ", finish_reason="content_filter"),
        Delta(1, "Fine. "),
        Delta(0, usage=Usage(1, 1)),
        Delta(1, "a ", finish_reason="content_filter"),
    ]
    assert (source.read, source.closed) == (4, True)


def test_a_blocked_whole_answer_is_the_policys_message():
    policy = replace(BLOCKS, on_block=OnBlock(message="Withheld."))
    deltas = [Delta(0, "a blue moon rising", finish_reason="stop"), Delta(1, "fine", finish_reason="stop")]
    given, _ = answered(guard_of(policy, choices=2, whole=True, ends="choice"), deltas)
    assert given == [Delta(0, "Withheld.", finish_reason="content_filter"), Delta(1, "fine", finish_reason="stop")]


def test_a_blocked_whole_answer_is_an_error_where_the_policy_says_so():
    def refuse(verdict: Verdict) -> Exception:
        return LookupError(verdict.policy)

    policy = replace(BLOCKS, on_block=OnBlock(output="error"))
    source = Source([Delta(0, "a blue moon rising", finish_reason="stop")])

    async def main() -> None:
        async for _ in guard_of(policy, whole=True, refuse=refuse).guarded(source()):
            raise AssertionError("nothing may leave")

    with pytest.raises(LookupError, match="topics"):
        asyncio.run(main())
    assert source.closed


def test_a_value_the_caller_sent_comes_back_and_one_the_model_wrote_does_not_leave():
    vault = Vault()
    assert vault.replacement("mask", "EMAIL_ADDRESS", BACK, "bob@corp.example") == "<EMAIL_ADDRESS_1>"
    policy = replace(PII, forms={"mail": BACK})
    guard = guard_of(policy, vault=vault)
    given, _ = answered(guard, pieces(*"Ask <EMAIL_ADDRESS_1>, not eve@x.org or <EMAIL_ADDRESS_2>."))
    assert texts(given) == ["Ask bob@corp.example, not <EMAIL_ADDRESS_2> or <EMAIL_ADDRESS_2>."]


def test_what_looked_like_a_placeholder_leaves_before_a_block():
    vault = Vault()
    vault.replacement("mask", "EMAIL_ADDRESS", BACK, "bob@corp.example")
    given, _ = answered(guard_of(BLOCKS, vault=vault), pieces("Look: <", "blue moon rising."))
    assert texts(given) == ["Look: <"]


def failing(guard: AnswerGuard, *deltas: Delta, error: Exception) -> tuple[list[Delta], Exception | None]:
    """What leaves before an answer fails, and what is raised then."""
    given = []

    async def main() -> None:
        async for delta in guard.guarded(Source([*deltas, error])()):
            given.append(delta)  # noqa: PERF401 - what came before the error is looked at

    try:
        asyncio.run(main())
    except Exception as raised:
        return given, raised
    return given, None


@pytest.mark.parametrize(
    ("came", "leaves"),
    [
        ("Write bob@corp", "Write bob@corp"),  # never more than this, so it is none
        ("Write bob@corp.example", "Write <EMAIL_ADDRESS_1>"),
        ("BEGIN KEY abc", "<PRIVATE_KEY_1>"),
    ],
)
def test_an_answer_that_fails_is_judged_as_if_it_ended_there(came, leaves):
    guard = guard_of(replace(PII, guards=(Mail(), Key())))
    given, raised = failing(guard, *(Delta(0, sign) for sign in came), error=ConnectionError("gone"))
    assert isinstance(raised, ConnectionError)
    assert texts(given) == [leaves]
    assert all(delta.finish_reason is None for delta in given)


def test_every_choice_of_an_answer_that_fails_gives_out_its_end():
    vault = Vault()
    vault.replacement("mask", "EMAIL_ADDRESS", BACK, "bob@corp.example")
    deltas = [Delta(0, "to a@x.org"), Delta(1, "see <EMAIL_ADDRESS_1"), Delta(2, "x@", finish_reason="stop")]
    given, raised = failing(guard_of(PII, choices=3, vault=vault), *deltas, error=ConnectionError())
    assert raised is not None
    assert texts(given, 3) == ["to <EMAIL_ADDRESS_2>", "see <EMAIL_ADDRESS_1", "x@"]


def test_what_fails_while_it_is_blocked_is_blocked():
    given, raised = failing(guard_of(BLOCKS), Delta(0, "so blue moon rising"), error=ConnectionError())
    assert (given[-1], raised) == (Delta(0, finish_reason="content_filter"), None)
    assert texts(given) == ["so "]


def test_the_end_of_an_answer_that_fails_waits_for_who_needs_all_of_it():
    given, raised = failing(guard_of(WHOLE), Delta(0, "no "), Delta(0, "horses"), error=ConnectionError())
    assert isinstance(raised, ConnectionError)
    assert texts(given) == ["no horses"]
    given, raised = failing(guard_of(WHOLE), Delta(0, "I like "), Delta(0, "ponies"), error=ConnectionError())
    assert (texts(given), given[-1].finish_reason, raised) == (["I like "], "content_filter", None)


def test_nothing_of_a_whole_answer_that_fails_leaves():
    given, raised = failing(guard_of(PII, whole=True), Delta(0, "some text"), error=ConnectionError())
    assert given == []
    assert isinstance(raised, ConnectionError)


def rejected(words: str, param: str | None = None) -> UpstreamRejected:
    return UpstreamRejected(words, status=422, param=param)


def test_what_a_provider_says_of_a_request_it_refuses_is_judged():
    guard = guard_of(PII)
    _, raised = failing(guard, error=rejected("The provider p refused the request: a@x.org is odd", "messages"))
    assert isinstance(raised, UpstreamRejected)
    assert (raised.message, raised.status, raised.param) == (
        "The provider p refused the request: <EMAIL_ADDRESS_1> is odd",
        422,
        "messages",
    )
    assert [finding.path for finding in guard.verdicts()[0].findings] == ["error.message"]
    _, raised = failing(guard_of(PII), error=rejected("Fine.", "a@x.org"))
    assert isinstance(raised, UpstreamRejected)
    assert (raised.message, raised.param) == ("Fine.", "<EMAIL_ADDRESS_1>")


@pytest.mark.parametrize("policy", [BLOCKS, replace(BLOCKS, guards=(Asked("moon"),))])
def test_what_a_provider_says_may_be_withheld(policy):
    guard = guard_of(policy)
    _, raised = failing(guard, error=rejected("refused: blue moon rising", "blue moon rising"))
    assert isinstance(raised, UpstreamRejected)
    assert raised.message == "The provider refused the request; the policy topics withholds what it said."
    assert (raised.status, raised.param, guard.verdicts()[0].decision) == (422, None, "block")


def test_placeholders_are_not_turned_back_in_an_error():
    vault = Vault()
    vault.replacement("mask", "EMAIL_ADDRESS", BACK, "bob@corp.example")
    error = rejected("I do not know <EMAIL_ADDRESS_1>")
    assert failing(guard_of(PII, vault=vault), error=error) == ([], error)


def test_a_source_that_ends_without_a_reason_is_flushed():
    assert texts(answered(guard_of(PII), [Delta(0, "Write a@x.org")])[0]) == ["Write <EMAIL_ADDRESS_1>"]


def test_a_reader_that_leaves_cancels_the_call():
    source = Source(pieces("Hello ", "world "))

    async def main() -> None:
        deltas = guard_of(PII).guarded(source())
        await anext(deltas)
        await deltas.aclose()

    asyncio.run(main())
    assert (source.read, source.closed) == (1, True)


def test_text_after_a_choice_is_over_does_not_leave():
    assert texts(answered(guard_of(PII), [*pieces("Done."), Delta(0, " bob@corp.example")])[0]) == ["Done."]


def test_what_the_model_thought_is_guarded_as_well():
    deltas = [Delta(0, reasoning="so bob@corp"), Delta(0, "Hi. ", reasoning=".example it is"), *pieces()]
    guard = guard_of(PII)
    given, _ = answered(guard, deltas)
    assert "".join(delta.reasoning for delta in given) == "so <EMAIL_ADDRESS_1> it is"
    assert [finding.path for finding in guard.verdicts()[0].findings] == ["choices[0].reasoning"]
    blocked, _ = answered(guard_of(BLOCKS), [Delta(0, reasoning="blue moon rising."), Delta(0, "text")])
    assert blocked == [Delta(0, finish_reason="content_filter")]


@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_placeholders_are_turned_back_in_what_the_model_thought_as_well(size):
    vault = Vault()
    vault.replacement("mask", "EMAIL_ADDRESS", BACK, "bob@corp.example")
    thought, said = "so <EMAIL_ADDRESS_1> and a@x.org <EMAIL", "Hi <EMAIL_ADDRESS_1>"
    deltas = [Delta(0, said[at : at + size], reasoning=thought[at : at + size]) for at in range(0, len(thought), size)]
    given, _ = answered(guard_of(PII, vault=vault), [*deltas, *pieces()])
    assert "".join(delta.reasoning for delta in given) == "so bob@corp.example and <EMAIL_ADDRESS_2> <EMAIL"
    assert texts(given) == ["Hi bob@corp.example"]


def test_half_a_placeholder_thought_and_half_of_it_said_is_none():
    vault = Vault()
    vault.replacement("mask", "EMAIL_ADDRESS", BACK, "bob@corp.example")
    deltas = [Delta(0, reasoning="<EMAIL_"), Delta(0, "ADDRESS_1> here. "), *pieces()]
    given, _ = answered(guard_of(PII, vault=vault), deltas)
    assert ("".join(delta.reasoning for delta in given), texts(given)) == ("<EMAIL_", ["ADDRESS_1> here. "])


def token(text: str, *top: str, raw: bytes | None = None) -> TokenLogprob:
    return TokenLogprob(text, -0.5, raw, tuple((other, -1.0) for other in top))


def spelt(*tokens: TokenLogprob, text: str | None = None) -> Delta:
    return Delta(0, "".join(one.token for one in tokens) if text is None else text, tokens)


def logprobs(deltas: Sequence[Delta]) -> list[str | None]:
    return [delta.logprobs and "".join(one.token for one in delta.logprobs) for delta in deltas]


def test_tokens_leave_with_the_text_they_stand_for():
    deltas = [spelt(token("Hello "), token("bob")), spelt(token("@"), token("corp")), spelt(token(" is")), *pieces()]
    given, _ = answered(guard_of(PII), deltas)
    assert [(delta.text, tokens) for delta, tokens in zip(given, logprobs(given), strict=True)] == [
        ("Hello ", "Hello "),
        ("bob@corp ", "bob@corp"),
        ("is", " is"),
    ]


def test_the_piece_that_was_changed_and_all_after_it_have_no_logprobs():
    deltas = [spelt(token("Hi. ")), spelt(token("a@x.org")), spelt(token(" ok. ")), spelt(token("Bye. ")), *pieces()]
    given, _ = answered(guard_of(PII), deltas)
    assert texts(given) == ["Hi. <EMAIL_ADDRESS_1> ok. Bye. "]
    assert logprobs(given) == ["Hi. ", None, None, None]
    whole = replace(spelt(token("Hi. "), token("a@x.org")), finish_reason="stop")
    assert answered(guard_of(PII, whole=True), [whole])[0] == [Delta(0, "Hi. <EMAIL_ADDRESS_1>", finish_reason="stop")]


def test_a_whole_answer_that_came_in_pieces_has_all_its_logprobs_or_none():
    clean = [spelt(token("Hi. ")), spelt(token("Bye. ")), *pieces()]
    assert logprobs(answered(guard_of(PII, whole=True), clean)[0]) == ["Hi. Bye. "]
    masked = [spelt(token("Hi. ")), spelt(token("a@x.org")), *pieces()]
    assert logprobs(answered(guard_of(PII, whole=True), masked)[0]) == [None]


def test_a_restored_value_has_no_logprobs():
    vault = Vault()
    vault.replacement("mask", "EMAIL_ADDRESS", BACK, "bob@corp.example")
    given, _ = answered(guard_of(PII, vault=vault), [spelt(token("<EMAIL_ADDRESS_1>")), *pieces()])
    assert (texts(given), logprobs(given)) == (["bob@corp.example"], [None, None])


def test_tokens_that_are_not_the_text_are_judged_by_themselves():
    guard = guard_of(PII)
    given, _ = answered(guard, [spelt(token("bob@corp"), token(".example"), text="Hello there. "), *pieces()])
    assert (texts(given), set(logprobs(given))) == (["Hello there. "], {None})
    assert [finding.path for finding in guard.verdicts()[0].findings] == ["choices[0].logprobs"]


def test_alternatives_are_judged_too():
    guard = guard_of(PII)
    given, _ = answered(guard, [spelt(token("Hello. ", "Hi", "bob@corp.example")), *pieces()])
    assert (texts(given), set(logprobs(given))) == (["Hello. "], {None})
    assert guard.verdicts()[0].decision == "mask"


def test_tokens_that_are_parts_of_a_character_keep_their_place():
    parts = [token("\\xf0\\x9f", raw=b"\xf0\x9f"), token("\\x98\\x80", raw=b"\x98\x80")]
    deltas = [spelt(parts[0], text=""), spelt(parts[1], text="\U0001f600 "), spelt(token("done. ")), *pieces()]
    given, _ = answered(guard_of(PII), deltas)
    assert texts(given) == ["\U0001f600 done. "]
    assert [one for delta in given for one in delta.logprobs or ()] == [*parts, token("done. ")]


def test_the_logprobs_of_one_choice_do_not_hang_on_another():
    other = [Delta(1, "a@x.org ", (token("a@x.org "),)), *pieces(index=1)]
    given, _ = answered(guard_of(PII, choices=2), [spelt(token("Hi. ")), *other, spelt(token("Bye. ")), *pieces()])
    assert logprobs([delta for delta in given if delta.index == 0]) == ["Hi. ", "Bye. ", None]


WHOLE = Policy("judge", guards=(Asked(),))


def test_a_guard_that_needs_the_whole_answer_holds_the_stream():
    guard = guard_of(replace(PII, name="both", guards=(Mail(), Asked())))
    given, _ = answered(guard, [spelt(token("No horses, ")), Delta(0, "a@x.org"), Delta(0, " here"), *pieces()])
    assert given == [Delta(0, "No horses, <EMAIL_ADDRESS_1> here", finish_reason="stop")]
    assert header(guard.verdicts()) == "both=mask;hold"


def test_what_a_guard_finds_in_the_whole_answer_is_done():
    blocked, _ = answered(guard_of(WHOLE), pieces("I like po", "nies."))
    assert blocked == [Delta(0, "I like ", finish_reason="content_filter")]
    policy = Policy("judge", guards=(Asked(action="mask"), Mail()))
    masked, _ = answered(guard_of(policy), pieces("po", "nies of a@x.", "org."))
    assert masked == [Delta(0, "<PONIES_1> of <EMAIL_ADDRESS_1>.", finish_reason="stop")]


def test_a_guard_may_only_observe_a_stream():
    guard = guard_of(replace(WHOLE, stream="observe"), choices=2)
    deltas = [*pieces("po", "nies"), *pieces("none", index=1)]
    given, _ = answered(guard, deltas)
    assert given == deltas
    assert header(guard.verdicts()) == "judge=block;observe"
    assert [finding.path for finding in guard.verdicts()[0].findings] == ["choices[0].text"]


def test_shadow_policies_observe_and_change_nothing():
    shadow = Policy("shadow", guards=(Mail("block"), Asked()), mode="shadow")
    guard = guard_of(shadow, PII)
    given, _ = answered(guard, pieces("a@x.", "org ponies"))
    assert texts(given) == ["<EMAIL_ADDRESS_1> ponies"]
    assert header(guard.verdicts()) == "shadow=block;shadow;observe, pii=mask"
    assert {finding.guard for finding in guard.verdicts()[0].findings} == {"mail", "asked"}


def test_a_guard_that_was_never_asked_is_skipped():
    guard = guard_of(BLOCKS, replace(WHOLE, stream="observe"))
    answered(guard, pieces("blue moon rising, ponies"))
    assert header(guard.verdicts()) == "topics=block, judge=allow;skipped;observe"


@dataclass
class Refuses(Asked):
    """Fails when asked."""

    async def check(self, texts: Sequence[Text], context: Context) -> list[Finding]:
        raise RuntimeError(texts[0].value)


@pytest.mark.parametrize("scope", ["whole", "clause"])
@pytest.mark.parametrize(("on_error", "becomes"), [("block", ""), ("allow", "Some text.")])
def test_a_guard_that_fails_blocks_or_lets_pass_as_its_policy_says(on_error, becomes, scope):
    guard = guard_of(Policy("p", guards=(Refuses(scope=scope),), on_error=on_error))
    given, _ = answered(guard, pieces("Some ", "text."))
    assert texts(given) == [becomes]
    assert given[-1].finish_reason == ("content_filter" if on_error == "block" else "stop")
    (verdict,) = guard.verdicts()
    assert (verdict.status, verdict.failures) == ("error", ("asked: RuntimeError",))


def test_a_matcher_that_fails_withholds_the_answer():
    def fails(context: Context) -> bool:
        raise KeyError

    guard = guard_of(Policy("p", guards=(Mail(),), matches=fails))
    given, source = answered(guard, pieces("text"))
    assert given == [Delta(0, finish_reason="content_filter")]
    assert source.read == 1


@pytest.mark.parametrize("deltas", [[], [Delta(0, opening=Opening("c-1", "m"))]])
def test_nobody_claims_to_have_judged_an_answer_of_which_nothing_came(deltas: list[Delta]) -> None:
    guard = guard_of(PII, Policy("judge", guards=(Asked(),)), Policy("sampled", guards=(Mail(),), sample=0.0))
    _, raised = failing(guard, *deltas, error=ConnectionError())
    assert isinstance(raised, ConnectionError)
    assert guard.verdicts() == ()


def test_a_matcher_that_failed_is_told_also_where_nothing_came():
    def fails(context: Context) -> bool:
        raise KeyError

    guard = guard_of(PII, Policy("p", guards=(Mail(),), matches=fails, on_error="allow"))
    failing(guard, error=ConnectionError())
    assert header(guard.verdicts()) == "p=allow;error"


@dataclass
class Names(Asked):
    """Finds names, in a clause, with the text before it."""

    scope: str = "clause"
    action: str = "mask"
    word: str = "Carol"
    name: str = "ner"
    calls: list[tuple[Text, ...]] = field(default_factory=list)


def test_clauses_are_judged_one_by_one_with_what_stands_before_them():
    names = Names()
    guard = guard_of(Policy("pii", guards=(names, Mail())))
    deltas = pieces("Dear Ca", "rol, hello. I am", " a@x.org. Yours", ", Carol")
    given, _ = answered(guard, deltas)
    assert [delta.text for delta in given] == [
        "Dear <CAROL_1>, hello. ",
        "I am <EMAIL_ADDRESS_1>. ",
        "Yours, <CAROL_1>",
    ]
    assert [call[0].value for call in names.calls] == [
        "Dear Carol, hello. ",
        "Dear Carol, hello. I am a@x.org. ",
        "Dear Carol, hello. I am a@x.org. Yours, Carol",
    ]


def test_the_clauses_of_a_text_do_not_hang_on_how_it_is_cut():
    signs = ["Carol", " ", "a@x.org", ". ", "; ", "word ", "J. R. ", "\n", "3.14 ", "x" * 30]
    for seed in range(300):
        random = kit.seeded(seed)
        whole = "".join(random.choice(signs) for _ in range(random.randint(0, 40)))
        outcomes = set()
        for cut in ([whole], list(whole), kit.cut(random, whole)):
            policy = Policy("pii", guards=(names := Names(), Mail()), hold_chars=60)
            given, _ = answered(guard_of(policy), pieces(*cut))
            outcomes.add((texts(given)[0], tuple(call[0].value for call in names.calls)))
        assert len(outcomes) == 1, seed


def test_a_long_clause_is_cut_at_white_space():
    names = Names()
    answered(
        guard_of(Policy("pii", guards=(names,), hold_chars=20)), pieces("no end of this clause in sight", " at all")
    )
    assert names.calls[0][0].value == "no end of this "


@pytest.mark.parametrize(
    ("text", "length"), [("one two", 4), ("one two ", 8), ("one", 3), (" one", 1), ("", 0), ("  ", 2), ("a\nb", 2)]
)
def test_a_word_that_may_go_on_is_not_cut(text, length):
    assert whole_words(text) == length
