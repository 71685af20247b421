"""The fast path gives the answers of Presidio's `AnalyzerEngine` with the same recognizers, context and thresholds."""

import json
import multiprocessing
import os
import random
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from tests.guards import pii_texts
from tests.guards.pii_engine import beyond, found, inside, theirs

DATA = Path(__file__).parents[3] / "shared" / "data"


Counted = tuple[int, int, list[str]]
"""Texts compared, those that differ only where candidates are bounded (`beyond`), and those that do elsewhere."""


def differences(texts: Iterator[str]) -> Counted:
    compared, excused, different = 0, 0, []
    for text in texts:
        expected = theirs(text)
        if expected is None:
            found(text)  # it must not raise
            continue
        compared += 1
        if (ours := found(text)) != expected:
            areas = beyond(text)
            if {hit for hit in ours ^ expected if not inside(areas, hit)}:
                different.append(text)
            else:
                excused += 1
    return compared, excused, different


def all_of(counted: Iterable[Counted]) -> Counted:
    parts = list(counted)
    return sum(one for one, _, _ in parts), sum(one for _, one, _ in parts), [text for *_, one in parts for text in one]


def generated(seed: str, count: int) -> Iterator[str]:
    return (pii_texts.text(random.Random(f"{seed}/{index}")) for index in range(count))  # noqa: S311


def test_generated_texts_get_presidios_answers() -> None:
    compared, excused, different = differences(generated("plain", 2_000))
    assert compared > 1_900
    assert excused <= 10
    assert different == []


def rows(seed: str, count: int) -> Iterator[str]:
    return (pii_texts.row(random.Random(f"{seed}/{index}")) for index in range(count))  # noqa: S311


def test_rows_of_matches_that_overlap_get_presidios_answers_wherever_they_began() -> None:
    compared, excused, different = differences(rows("rows", 150))
    assert compared > 140
    assert excused <= 15
    assert different == []


def of_rows(seed: str) -> Counted:
    return differences(rows(seed, 60))


@pytest.mark.slow
def test_thousands_of_rows_get_presidios_answers() -> None:
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as processes:
        compared, excused, different = all_of(processes.map(of_rows, [f"slow rows {number}" for number in range(50)]))
    assert compared > 2_900
    assert excused <= 200
    assert different == []


def of_seed(seed: str) -> Counted:
    return differences(generated(seed, 1_050))


@pytest.mark.slow
def test_a_hundred_thousand_generated_texts_get_presidios_answers() -> None:
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as processes:
        compared, excused, different = all_of(processes.map(of_seed, [f"slow {number}" for number in range(100)]))
    assert compared > 100_000
    assert excused <= 200
    assert different == []


def strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


def labelled(part: int, parts: int) -> Iterator[str]:
    for file in sorted(DATA.rglob("*.json")):
        texts = dict.fromkeys(text for text in strings(json.loads(file.read_text())) if len(text) > 3)
        yield from list(texts)[part::parts]
    for file in sorted(DATA.rglob("*.txt")):
        text = file.read_text()
        yield from (text[start : start + 2_000] for start in range(0, min(len(text), 20_000), 2_000))


@pytest.mark.skipif(not DATA.is_dir(), reason="the labelled texts are not on this machine")
def test_a_sample_of_the_labelled_texts_gets_presidios_answers() -> None:
    compared, excused, different = differences(labelled(0, 12))
    assert compared > 400
    assert excused <= 2
    assert different == []


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="the labelled texts are not on this machine")
def test_every_labelled_text_gets_presidios_answers() -> None:
    compared, excused, different = differences(labelled(0, 1))
    assert compared > 2_000
    assert excused <= 10
    assert different == []
