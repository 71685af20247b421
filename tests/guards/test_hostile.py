"""Hostile texts cost what dense ordinary text costs, and twice the text costs twice as much.

The plain tests count work: calls made, characters shown. The slow ones measure processor time, several runs of it, with
the garbage collector off, and compare only what was measured in one run.
"""

import asyncio
import sys
from collections.abc import Callable
from functools import cache

import pytest

from gateway.guards import engine, load
from gateway.guards.assemble import assembled
from gateway.guards.base import Context, Finding, Text
from gateway.guards.policy import Policy, Run
from gateway.guards.ports import Ports
from gateway.guards.vault import Vault
from gateway.guards.window import Window
from tests.guards.hostile import DENSE, UNITS, guards, repeated, varied
from tests.timing import lowest, seconds

GUARDS = guards()
MOST = 4.0
"""How much more a hostile text may cost than dense ordinary text. On a quiet machine none costs three times as much."""
SPANS = [name for name, guard in GUARDS.items() if hasattr(guard, "settled")]
CONTEXT = Context("output")


def judged(guard, text: str) -> None:
    """What is asked of a guard about a text: findings, and where a stream is settled. One that gives up, raises."""
    try:
        if hasattr(guard, "find"):
            guard.find(text, "text")
            if hasattr(guard, "settled"):
                guard.settled(text)
        else:
            coroutine = guard.check([Text("text", text)], CONTEXT)
            with pytest.raises(StopIteration):
                coroutine.send(None)
    except (ValueError, TimeoutError):
        pass  # the verdict is an error, which the tests of failures look at


def calls(work: Callable[[], object]) -> int:
    """How many functions are called, those of compiled libraries too."""
    count = 0

    def note(_frame: object, event: str, _what: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize("name", GUARDS)
def test_twice_the_text_makes_twice_the_calls(name):
    guard, size = GUARDS[name], 400 if name == "pii" else 2_500
    dearer = {}
    for unit, piece in UNITS.items():
        made = []
        for times in (2, 1, 2):  # the first run fills what is remembered of characters and expressions
            text = repeated(piece, size * times)
            made.append(calls(lambda text=text: judged(guard, text)))
        if made[2] > 2.5 * made[1] + 1_000:
            dearer[unit] = made[1:]
    assert dearer == {}


class Shown:
    """A guard that counts the characters it is shown, asked as a window asks."""

    def __init__(self, guard) -> None:
        self.guard = guard
        self.name = guard.name
        self.count = 0

    def find(self, text: str, path: str) -> list[Finding]:
        self.count += len(text)
        return self.guard.find(text, path)

    def settled(self, text: str) -> int:
        return self.guard.settled(text)

    def shortest_context(self) -> int:
        return self.guard.shortest_context()


def streamed(guard, text: str, size: int) -> None:
    """`text` through a window in pieces of `size`."""
    one = Window([Run(Policy("p", guards=(guard,), on_error="allow"))], "p", Vault(), observing=True)
    for at in range(0, len(text), size):
        one.feed(text[at : at + size])
    one.close()


@pytest.mark.parametrize("name", [name for name in SPANS if name != "pii"])
def test_in_a_stream_each_character_is_shown_a_bounded_number_of_times(name):
    often = {}
    for unit, piece in UNITS.items():
        shown = []
        for size in (3_000, 6_000):
            guard = Shown(GUARDS[name])
            streamed(guard, repeated(piece, size), 32)
            shown.append(guard.count)
        if shown[1] > 2.6 * shown[0] + 20_000 or shown[1] > 6_000 * 50:
            often[unit] = shown
    assert often == {}


@pytest.mark.parametrize("name", SPANS)
def test_judging_at_once_is_finding_and_settling(name):
    guard = GUARDS[name]
    if hasattr(guard, "judge"):
        for unit in (DENSE, *UNITS.values()):
            text = repeated(unit, 400)
            assert guard.judge(text, "text") == (guard.find(text, "text"), guard.settled(text))


def cost(work: Callable[[str], object], text: str, runs: int = 2) -> float:
    """Nanoseconds of processor time per character."""
    return seconds(lambda: work(text), runs) / len(text) * 1e9


@pytest.mark.slow
@pytest.mark.parametrize("name", GUARDS)
def test_a_kilobyte_of_a_hostile_text_costs_the_same_in_a_longer_one(name):
    guard = GUARDS[name]
    short = 1 << 12 if name == "pii" else 1 << 15
    dearer = {}
    for unit, piece in UNITS.items():

        def growth(piece: str = piece) -> float:
            dear = cost(lambda text: judged(guard, text), repeated(piece, 4 * short))
            return dear / max(cost(lambda text: judged(guard, text), repeated(piece, short), 5), 1)

        if (found := lowest(growth, 2)) > 2:
            dearer[unit] = round(found, 1)
    assert dearer == {}


@cache
def pack(name: str) -> Policy:
    return assembled(load.load([name], environ={}).policies[0], Ports(count=len))


def whole(policy: Policy, text: str) -> engine.Outcome:
    return asyncio.run(engine.judge([policy], [Text("text", text)], CONTEXT))


def in_pieces(policy: Policy, text: str) -> None:
    one = Window([Run(policy)], "p", Vault(), observing=True)
    for at in range(0, len(text), 24):
        one.feed(text[at : at + 24])
    one.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["default", "output-safety", "topics"])
@pytest.mark.parametrize("way", [whole, in_pieces])
def test_a_kilobyte_of_a_hostile_text_costs_at_most_a_few_of_dense_ordinary_text(name, way):
    size = 1 << 14 if way is whole else 1 << 12

    def work(text: str) -> object:
        return way(pack(name), text)

    way(pack("default"), repeated(DENSE, 1_000))
    ordinary, dearer = varied(size), {}
    for unit, piece in UNITS.items():

        def times(text: str = repeated(piece, size)) -> float:
            return cost(work, text) / cost(lambda text: way(pack("default"), text), ordinary)

        if (found := lowest(times, MOST)) > MOST:
            dearer[unit] = round(found, 1)
    assert dearer == {}


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["at", "tags of HTML", "nested base64", "letters", "digits", "apostrophes"])
def test_ten_million_characters_end_in_a_verdict(unit):
    (verdict,) = whole(pack("default"), repeated(UNITS[unit], 10_000_000)).verdicts
    assert verdict.status in ("ok", "error")
    assert verdict.status == "ok" or verdict.decision == "block"
