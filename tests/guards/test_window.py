"""The promise for one text: however it is cut, what leaves is what guarding the whole gives; nothing is regretted."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

import pytest

from gateway.guards.base import Finding
from gateway.guards.looking import Hits, Reader
from gateway.guards.overlong import Swallowed
from gateway.guards.policy import Policy
from gateway.guards.vault import Vault
from gateway.guards.window import Window
from tests.guards import kit
from tests.guards.kit import Digits, Handle, Key, Mail, Phrase


def window(*guards: object, **more: object) -> Window:
    return Window(kit.runs([Policy("p", guards=guards)]), "p", Vault().branch(), **more)


def fed(one: Window, pieces: Sequence[str]) -> str:
    return "".join([*map(one.feed, pieces), one.close()])


def every_single_cut(whole: str) -> Iterator[list[str]]:
    yield list(whole)
    for at in range(len(whole) + 1):
        yield [whole[:at], whole[at:]]


def check(policies: Sequence[Policy], whole: str, pieces: Sequence[str], seed: object) -> None:
    """After every piece, what has left is the front of what guarding the whole gives; at the end, all of it."""
    expected, blocked = kit.guarded_at_once(policies, whole, Vault().branch())
    runs = kit.runs(policies)
    one = Window(runs, "p", Vault().branch())
    left = ""
    for piece in pieces:
        left += one.feed(piece)
        assert expected.startswith(left), (seed, pieces)
    left += one.close()
    assert left == expected, (seed, pieces)
    assert (one.blocked is not None) == blocked, (seed, pieces)
    if not blocked:
        found = sorted(
            (hit.guard, hit.start, hit.end) for policy in policies for g in policy.spans for hit in g.find(whole, "p")
        )
        assert sorted((hit.guard, hit.start, hit.end) for run in runs for hit in run.found) == found, (seed, pieces)
        assert one.left == len(whole)


def test_the_last_piece_may_come_with_the_end():
    for seed in range(1_500):
        random = kit.seeded(f"last {seed}")
        policies, whole = random_case(random, 10)
        *pieces, last = kit.cut(random, whole) or [""]
        max_held = random.choice([20, 60, 16_384])
        one = Window(kit.runs(policies), "p", Vault().branch(), max_held=max_held)
        other = Window(kit.runs(policies), "p", Vault().branch(), max_held=max_held)
        given = "".join([*map(one.feed, pieces), one.close(last)])
        assert given == fed(other, [*pieces, last]), (seed, pieces, last)
        assert (one.blocked is None, one.changed, one.left) == (other.blocked is None, other.changed, other.left), seed


def random_case(random: Random, most: int) -> tuple[list[Policy], str]:
    policies = [Policy("a", guards=kit.all_guards(random))]
    if random.random() < 0.3:
        policies.append(Policy("b", guards=kit.all_guards(random)))
    return policies, kit.text(random, most)


def test_random_texts_in_random_pieces():
    for seed in range(2_500):
        random = kit.seeded(seed)
        policies, whole = random_case(random, 12)
        check(policies, whole, kit.cut(random, whole), seed)


def test_small_texts_at_every_single_cut_and_sign_by_sign():
    for seed in range(150):
        random = kit.seeded(seed)
        policies, whole = random_case(random, 4)
        for pieces in every_single_cut(whole):
            check(policies, whole, pieces, seed)


@pytest.mark.slow
def test_many_random_texts_in_random_pieces():
    for seed in range(25_000):
        random = kit.seeded(f"slow {seed}")
        policies, whole = random_case(random, 20)
        check(policies, whole, kit.cut(random, whole), seed)


def test_prose_leaves_in_the_call_that_brought_it():
    one = window(Mail(), Handle(), Phrase(), Key(), Digits())
    for piece in ("The quick ", "brown fox, ", "jumps over. ", "\n", "The lazy ", "dog!"):
        assert one.feed(piece) == piece
    assert one.close() == ""


def test_only_the_candidate_is_held_and_no_longer_than_it_is_one():
    one = window(Mail(), Phrase())
    assert one.feed("Mail bob@corp.exam") == "Mail "
    assert one.feed("ple") == ""
    assert one.feed(" or read about a blue mo") == "<EMAIL_ADDRESS_1> or read about a "
    assert one.feed("ose ") == "blue moose "


def test_the_same_value_keeps_its_number_long_after():
    one = window(Mail())
    prose = "and so on, " * 50
    assert fed(one, ["a@x.org b@x.org ", *[prose] * 3, "b@x.org a@x.org"]) == (
        f"<EMAIL_ADDRESS_1> <EMAIL_ADDRESS_2> {prose * 3}<EMAIL_ADDRESS_2> <EMAIL_ADDRESS_1>"
    )


def test_a_block_stops_before_the_value_and_for_good():
    one = window(Phrase("block"))
    assert one.feed("See the blue moon ri") == "See the "
    assert one.feed("sing, they said") == ""
    assert one.blocked is not None
    assert one.feed("more") + one.close() == ""
    whole = window(Phrase("block"))
    assert whole.feed("See the blue moon rising, they") == "See the "
    assert one.left == whole.left == len("See the ")


def test_what_one_guard_has_found_waits_for_what_another_may_find_over_it():
    one = window(Handle("redact"), Key())
    assert one.feed("BEGIN KEY @carol ") == ""
    assert one.feed("END KEY.") == "."
    assert one.close() == ""


def test_observing_notes_and_gives_out_nothing():
    runs = kit.runs([Policy("p", guards=(Mail("block"), Digits()), mode="shadow")])
    one = Window(runs, "p", Vault(), observing=True)
    assert fed(one, list("a@x.org and b@x.org")) == ""
    assert [(hit.start, hit.end) for hit in runs[0].found] == [(0, 7), (12, 19)]
    assert (one.blocked, one.changed) == (None, False)


def test_findings_of_others_are_merged_with_ones_own():
    policy = Policy("p", guards=(Mail(),))
    (run,) = kit.runs([policy])
    one = Window([run], "p", Vault())
    name = Finding("ner", "PERSON", "pii", "mask", "p", 0, 5)
    assert one.feed("Carol wrote to bob@corp", [(name, run)]) == "<PERSON_1> wrote to "
    over = Finding("ner", "ORGANISATION", "pii", "redact", "p", 0, 12)
    assert one.feed(".example Ltd today.", [(over, run)]) == " "
    assert one.close() == "today."


@dataclass(frozen=True)
class Failing(Mail):
    """Fails once it sees a word."""

    name: str = "failing"

    def find(self, text: str, path: str) -> list[Finding]:
        if "fail" in text:
            raise ValueError(text)
        return super().find(text, path)


@dataclass(frozen=True)
class Unsettled(Mail):
    """Says of itself what cannot be."""

    says: object = None

    def settled(self, text: str) -> int:
        return self.says


def test_a_guard_that_fails_stops_the_text_or_is_left_out_as_its_policy_says():
    becomes = {"block": "<EMAIL_ADDRESS_1> ", "allow": "<EMAIL_ADDRESS_1> will fail b@x.org <CREDIT_CARD_1> "}
    for on_error in ("block", "allow"):
        policies = [Policy("p", guards=(Failing(), Digits()), on_error=on_error)]
        runs = kit.runs(policies)
        one = Window(runs, "p", Vault())
        given = fed(one, ["a@x.org ", "will fail ", "b@x.org 411111111111 "])
        assert given == becomes[on_error]
        assert (one.blocked is not None) == (on_error == "block")
        assert (runs[0].status, runs[0].failures) == ("error", ["failing: ValueError"])


@pytest.mark.parametrize("says", [None, -1, 99, 1.0, "1"])
def test_a_guard_that_says_nonsense_of_what_is_settled_has_failed(says):
    one = window(Unsettled(says=says))
    assert fed(one, ["text"]) == ""
    assert one.blocked is not None


LONG = "BEGIN KEY" + "0123456789abcdef\n" * 60


@pytest.mark.parametrize("ending", ["END KEY and prose", ""])
@pytest.mark.parametrize("width", [1, 7, 100, 5_000])
@pytest.mark.parametrize(("action", "stands_for_it"), [("mask", "<PRIVATE_KEY_1>"), ("redact", "")])
def test_a_match_longer_than_may_be_held_is_swallowed_to_its_end(width, ending, action, stands_for_it):
    whole = f"Here: {LONG}{ending}"
    one = window(Key(action), Mail(), max_held=200)
    pieces = [whole[at : at + width] for at in range(0, len(whole), width)]
    held = []
    given = ""
    for piece in pieces:
        given += one.feed(piece)
        held.append(len(one._buffer))
    assert given + one.close() == f"Here: {stands_for_it}{ending.removeprefix('END KEY')}"
    assert max(held) <= 200 + 48
    assert one.left == len(whole)


def test_a_match_longer_than_may_be_held_that_blocks_blocks_at_once():
    one = window(Key("block"), max_held=200)
    assert one.feed(f"Here: {LONG}") == "Here: "
    assert one.blocked is not None


def test_a_match_longer_than_may_be_held_that_is_only_told_leaves():
    runs = kit.runs([Policy("p", guards=(Key("flag"),))])
    one = Window(runs, "p", Vault(), max_held=200)
    assert fed(one, [f"Here: {LONG}END KEY and prose"]) == f"Here: {LONG}END KEY and prose"
    assert runs[0].found[0].start == 6


def test_something_graver_inside_what_is_swallowed_counts():
    inside = LONG + " blue moon rising " + LONG.removeprefix("BEGIN KEY")
    for width in (1, 50, 5_000):
        pieces = [inside[at : at + width] for at in range(0, len(inside), width)]
        assert fed(window(Key("mask"), Phrase("redact"), max_held=200), pieces) == ""
        stopped = window(Key("mask"), Phrase("block"), max_held=200)
        assert "".join(map(stopped.feed, pieces)) == ""
        assert stopped.blocked is not None


def test_what_only_stands_together_because_something_was_dropped_is_not_found():
    front = "BEGIN KEY".ljust(91, "x").ljust(92) + "blue mo"  # a hundred with the space: here the middle is cut out
    whole = f"{front}on{'y' * 48}on rising {'z' * 400} END KEY and prose"
    one = window(Key("mask"), Phrase("block"), max_held=200)
    assert whole[:99] + whole[149:] != whole
    assert fed(one, [whole]) == "<PRIVATE_KEY_1> and prose"


def test_a_swallowed_match_ends_no_earlier_than_what_has_been_dropped():
    reader = Reader(Key(), kit.runs([Policy("p")])[0])
    one = Swallowed(reader, 0, Finding("g", "R", "c", "mask", "p", 0, 9), 100)
    assert one.resolved([Hits(reader, [Finding("g", "R", "c", "mask", "p", 0, 9)], 20)], 0, 150) == 100
    assert one.resolved([Hits(reader, [], 0)], 0, 150) is None
    assert one.resolved([], 0, 150) == 150


_QUOTED = re.compile(r'"[^"]{0,80}"')


@dataclass(frozen=True)
class Quoted(Mail):
    """What stands in quotation marks, one after another: which mark opens hangs on all before it."""

    name: str = "quoted"

    def find(self, text: str, path: str) -> list[Finding]:
        return [self.at(path, *match.span()) for match in _QUOTED.finditer(text)]

    def settled(self, text: str) -> int:
        found = self.find(text, "")
        at = text.find('"', found[-1].end if found else 0)
        while 0 <= at < len(text) - 81:
            at = text.find('"', at + 1)
        return at if at >= 0 else len(text)

    def shortest_context(self) -> int:
        return 1


def test_a_guard_that_looks_for_one_match_after_another_stays_in_step():
    for seed in range(500):
        random = kit.seeded(seed)
        whole = "".join(random.choice(['"', '"', "word ", "x" * 30, "\n"]) for _ in range(30))
        check([Policy("p", guards=(Quoted(), Digits()))], whole, kit.cut(random, whole), seed)


@dataclass(frozen=True)
class Endless(Mail):
    """Never makes up its mind about what follows a star."""

    name: str = "endless"

    def find(self, text: str, path: str) -> list[Finding]:
        return []

    def settled(self, text: str) -> int:
        at = text.find("*")
        return at if at >= 0 else len(text)


def test_a_candidate_longer_than_may_be_held_that_nobody_knows_is_blocked():
    for width in (1, 30, 1_000):
        runs = kit.runs([Policy("p", guards=(Endless(), Mail()))])
        one = Window(runs, "p", Vault(), max_held=200)
        whole = "prose *" + "x y " * 100
        assert fed(one, [whole[at : at + width] for at in range(0, len(whole), width)]) == "prose "
        assert [(hit.guard, hit.rule, hit.start, hit.end) for hit in runs[0].found] == [
            ("endless", "unfinished", 6, 206)
        ]
    shadow = kit.runs([Policy("p", guards=(Endless(),), mode="shadow")])
    fed(Window(shadow, "p", Vault(), observing=True, max_held=200), ["prose *" + "x y " * 100])
    assert shadow[0].decision == "block"


def test_over_long_candidates_are_decided_alike_at_every_cut():
    for seed in range(400):
        random = kit.seeded(seed)
        policies = [Policy("a", guards=(*kit.all_guards(random), Key(random.choice(["mask", "redact", "hash"]))))]
        most = random.choice([64, 100, 128])
        body = "".join(random.choice("abc \n@5") for _ in range(random.randint(0, 300)))
        whole = f"{kit.text(random)}BEGIN KEY{body}{random.choice(['END KEY', ''])}{kit.text(random)}"
        outcomes = set()
        for pieces in ([whole], list(whole), kit.cut(random, whole)):
            one = Window(kit.runs(policies), "p", Vault(), max_held=most)
            outcomes.add((fed(one, pieces), one.blocked is not None))
        assert len(outcomes) == 1, seed


@dataclass(frozen=True)
class Counting(Mail):
    """Counts the characters it is shown."""

    seen: list[int] = None

    def find(self, text: str, path: str) -> list[Finding]:
        self.seen.append(len(text))
        return super().find(text, path)


@pytest.mark.parametrize(
    "unit", ["prose and more, ", "a", "@", "9 ", "BEGIN KEY ", "b@x.org ", "blue ", "\n", "<", "a.b@"]
)
def test_the_work_is_linear_whatever_comes(unit):
    shown = []
    for size in (20_000, 40_000):
        seen: list[int] = []
        one = window(Counting(seen=seen), Key(), Digits(), Phrase(), Handle())
        whole = unit * (size // len(unit))
        for at in range(0, len(whole), 4):
            one.feed(whole[at : at + 4])
        one.close()
        shown.append(sum(seen))
    assert shown[1] < 2.6 * shown[0] + 100_000
    assert shown[1] < 40_000 * 160


@pytest.mark.parametrize("sign", ["a", "@", "9", " ", "-", ".", "<", "\n", "B"])
def test_ten_million_of_one_sign_in_one_piece(sign):
    one = window(Key(), Digits(), Phrase())
    whole = sign * 10_000_000
    assert fed(one, [whole]) == whole


def test_little_is_kept_of_what_has_left():
    one = window(Mail(), Phrase())
    for _ in range(2_000):
        one.feed("The quick brown fox. ")
    assert len(one._buffer) <= 48
    assert repr(one) == "<Window p left=42000 held=0 blocked=False>"


def test_the_numbers_do_not_hang_on_which_value_is_finished_first():
    one = window(Mail(), Digits())
    assert fed(one, list("411111111111 a@x.org 411111111111 b@x.org")) == (
        "<CREDIT_CARD_1> <EMAIL_ADDRESS_1> <CREDIT_CARD_1> <EMAIL_ADDRESS_2>"
    )


def test_a_policy_of_two_kinds_of_guards_uses_only_those_that_judge_at_once():
    one = window(Mail(), kit.Asked())
    assert fed(one, ["ponies a@x.org"]) == "ponies <EMAIL_ADDRESS_1>"


def test_time_is_noted():
    runs = kit.runs([Policy("p", guards=(Mail(),)), Policy("q", guards=(replace(Digits(), action="flag"),))])
    fed(Window(runs, "p", Vault()), ["some ", "text"])
    assert all(run.duration > 0 for run in runs)
