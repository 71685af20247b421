"""A gateway whose deployments fall ill by turns serves everyone, and loses nothing while it does."""

import asyncio
import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from rich.console import Console

from tests.chaos import books, picture, report, run
from tests.chaos.books import Row
from tests.chaos.clients import EXPECTED, TOKENS, Clients, Outcome
from tests.chaos.rotation import MISHAPS, OVERLAP, WELLNESS, put, rotation
from tests.chaos.run import Plan, Report, Stand
from tests.chaos.watching import Look
from tests.faults.faults import WELL
from tests.faults.upstream import Asked, Upstream, serving
from tests.routing.servers import looped

NAMES = run.NAMES


@pytest.mark.e2e
@pytest.mark.parametrize(("seconds", "workers"), [(60.0, 1), (20.0, 2)])
def test_while_one_deployment_is_well_every_request_is_served(seconds: float, workers: int, tmp_path: Path) -> None:
    made = run.run(Plan(seconds, seed=7, workers=workers), tmp_path)
    report.table(made, Console(width=140))
    assert made.broken_promises() == []


@pytest.mark.e2e
@pytest.mark.parametrize("mishap", ["errors", "overloaded", "slams", "limited", "resets"])
def test_an_outage_is_not_made_worse_by_retries(mishap: str, tmp_path: Path) -> None:
    asked, calls = asyncio.run(run.outage(Plan(600.0, seed=3), mishap, tmp_path, 2000))
    assert asked >= 2000
    assert calls <= 1.2 * asked, f"{calls} calls for {asked} requests"


def test_one_deployment_is_well_at_every_moment_and_before_another_falls_ill() -> None:
    for seed in range(50):
        turns = rotation(NAMES, 120, seed)
        for turn, following in pairwise(turns):
            well = {name for name in NAMES if turn.states[name] == WELLNESS}
            then = {name for name in NAMES if following.states[name] == WELLNESS}
            assert well & then, "nobody is well in both turns"
            if not then >= well:
                assert following.at - turn.at == pytest.approx(OVERLAP)


def test_every_mishap_comes_up_and_a_seed_repeats_itself() -> None:
    turns = rotation(NAMES, 300, 1)
    assert {state for turn in turns for state in turn.states.values()} == set(MISHAPS)
    assert turns == rotation(NAMES, 300, 1)
    assert turns != rotation(NAMES, 300, 2)


@looped
async def test_a_mishap_is_put_on_and_taken_off_again() -> None:
    async with serving() as upstream:
        for name in Random(1).sample(list(MISHAPS) * 3, 3 * len(MISHAPS)):  # noqa: S311 - a script, not a secret
            await put(upstream, MISHAPS[name], 1)
            assert upstream.is_shut == (name == "shut")
            assert upstream.slams == (name == "slams")


@looped
async def test_the_clients_tell_a_whole_answer_from_one_that_is_not() -> None:
    """Asked directly: a provider that speaks text completions is as good as a gateway."""
    async with serving(words=100) as upstream:
        await put(upstream, MISHAPS[WELLNESS], 1)
        clients = Clients(upstream.url, 1, leaving=0.0, thinking=0.001)
        await clients.run(4, 0.05)
        ends = {outcome.end for outcome in clients.outcomes}
        assert ends == {"whole"}
        for name, end in (("errors", "refused"), ("ends early", "wrong"), ("error events", "wrong")):
            await put(upstream, MISHAPS[name], 1)
            clients = Clients(upstream.url, 1, leaving=0.0, thinking=0.001)
            await clients.run(4, 0.05)
            assert end in {outcome.end for outcome in clients.outcomes}, name


def outcome(name: str, end: str = "whole", **more: object) -> Outcome:
    given = {"at": 0.5, "stream": False, "status": 200, "seconds": 0.1, "first": None, "attempts": 1, "deployment": "a"}
    return Outcome(**{"id": name, "end": end, "code": None, **given, **more})  # type: ignore[arg-type]


def upstreams(*prompts: str) -> Mapping[str, Upstream]:
    """One that has answered these requests, with two tokens in and three out each."""
    upstream = Upstream(name="a")
    for number, prompt in enumerate(prompts):
        body = {"prompt": f"Count, please: {prompt}"}
        upstream.asked.append(Asked(number, "/v1/completions", {}, body, WELL, "answered", 2, 3))
    return {"a": upstream}


COST = 8_000_000
"""Picodollars of two tokens in and three out."""


def test_books_that_agree_name_nobody() -> None:
    rows = [Row(name, 200, "allowed", 1, 2, 3, COST) for name in ("chaos-1", "chaos-2")]
    found = books.compare(rows, [outcome("chaos-1"), outcome("chaos-2")], upstreams("chaos-1", "chaos-2"))
    assert found == books.Books(2, (), (), (), 2, (), ())


def test_a_lost_a_doubled_a_strange_and_a_wrong_row_are_each_found() -> None:
    rows = [
        Row("chaos-2", 200, "allowed", 1, 2, 3, COST),
        Row("chaos-2", 200, "allowed", 1, 2, 3, COST),
        Row("chaos-3", 200, "allowed", 0, 2, 4, COST),
        Row("chaos-9", 200, "allowed", 1, 2, 3, COST),
    ]
    asked = [outcome("chaos-1"), outcome("chaos-2"), outcome("chaos-3"), outcome("chaos-4", "left")]
    found = books.compare(rows, asked, upstreams("chaos-2", "chaos-3"))
    assert found.lost == ("chaos-1",)
    assert found.doubled == ("chaos-2",)
    assert found.strangers == ("chaos-9",)
    assert found.differing == ("chaos-3",)
    assert found.miscounted == ("chaos-3",)


def made(*outcomes: Outcome, **more: object) -> Report:
    stand = Stand(run.Counter(socket=3), ("one",))
    looks = [Look(float(at), 100.0, 20, {"a": "closed", "b": "open", "c": "half-open"}) for at in range(10)]
    empty = books.Books(len(outcomes), (), (), (), 1, (), ())
    given = {"before": stand, "after": stand, "exit_status": 0, "log_faults": [], "books": empty, "looks": looks}
    turns = rotation(NAMES, 10, 1)
    return Report(Plan(10), turns, upstreams(), list(outcomes), **{**given, **more})  # type: ignore[arg-type]


def test_a_run_that_went_well_has_broken_no_promise() -> None:
    assert made(outcome("chaos-1")).broken_promises() == []


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (made(outcome("x", "refused", status=502, code="upstream_error")), "not served"),
        (made(outcome("x"), outcome("y", "wrong")), "not served"),
        (made(outcome("x"), outcome("y", "in band")), "fewer were cut"),
        (made(outcome("x"), exit_status=1), "status 1"),
        (made(outcome("x"), log_faults=["Traceback"]), "log has faults"),
        (made(outcome("x"), after=Stand(run.Counter(socket=4), ("one",))), "descriptors"),
        (made(outcome("x"), after=Stand(run.Counter(socket=3), ("one", "two"))), "tasks"),
        (made(outcome("x"), looks=[Look(float(at), 10.0 * at, 1, {}) for at in range(12)]), "memory grew"),
        (made(outcome("x"), books=books.Books(0, ("x",), (), (), 1, (), ())), "rows lost"),
        (made(outcome("x"), books=books.Books(2, (), ("x",), (), 1, (), ())), "rows doubled"),
    ],
)
def test_what_must_not_happen_is_said(broken: Report, said: str) -> None:
    assert any(said in each for each in broken.broken_promises())


def test_the_page_needs_nothing_but_itself_and_is_legible_in_the_dark() -> None:
    page = report.page(made(outcome("chaos-1"), outcome("<b>", "refused", at=7.0, status=502, code="<script>")))
    assert "<script" not in page
    assert not re.findall(r"(?:src|href)=|url\(|@import|https?:", page)
    assert "prefers-color-scheme: dark" in page
    assert page.count("<svg") == 6
    assert all(name in page for name in ("half-open", "not served", "slams"))


def test_a_scale_ends_at_a_round_number_above_the_most() -> None:
    assert [picture.nice(most) for most in (0.3, 1, 1.1, 4, 7, 42, 501)] == [0.5, 1, 2, 5, 10, 50, 1000]


def test_the_expected_text_is_as_long_as_what_is_asked_for() -> None:
    assert len(EXPECTED.split()) == TOKENS
