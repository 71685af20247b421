"""Names by a model of language: sentence by sentence, outside the event loop, in a bounded pool."""

import asyncio
from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from gateway.guards import ner
from gateway.guards.base import Context, Text
from gateway.guards.pii.guard import EntityConfig, PiiConfig
from gateway.guards.ports import GuardFailed

NAMES = PiiConfig(
    entities={"PERSON": EntityConfig(engine="ner"), "LOCATION": EntityConfig(action="flag", engine="ner")},
    allow_list=("Marie Curie",),
)
CONTEXT = Context("input")
needs_model = pytest.mark.skipif(find_spec(ner.MODEL) is None, reason="the extra `ner` is not installed")


@pytest.fixture(scope="module")
def guard() -> Iterator[ner.NerGuard]:
    made = ner.build(NAMES)
    assert made
    yield made
    made.processes.close()


def test_there_is_no_guard_where_no_name_is_looked_for() -> None:
    assert ner.build(PiiConfig()) is None


@needs_model
def test_names_are_found_where_they_stand(guard: ner.NerGuard) -> None:
    texts = [Text("prompt[0]", "Nothing here."), Text("prompt[1]", "Hello.\nJohn Smith met Marie Curie in Paris.")]
    findings = asyncio.run(guard.check(texts, CONTEXT))
    assert [(one.rule, one.action, one.path, texts[1].value[one.start : one.end]) for one in findings] == [
        ("PERSON", "mask", "prompt[1]", "John Smith"),
        ("LOCATION", "flag", "prompt[1]", "Paris"),
    ]


@needs_model
def test_a_full_pool_is_a_failure_and_not_a_wait() -> None:
    pool = ner.Processes(processes=1, waiting=0)

    async def two() -> list[object]:
        return await asyncio.gather(pool.run(ner.named, ["a"]), pool.run(ner.named, ["b"]), return_exceptions=True)

    first, second = asyncio.run(two())
    assert first == [[]]
    assert isinstance(second, GuardFailed)
    pool.close()


@pytest.mark.parametrize(
    "text",
    [
        "", "One. Two! Three? Four", "a\n\nb\n", "no end " * 100, "x" * 1_000, 'He said "no." Then: e.g. this. ',
        "Dr. No. \n 5.5 is \u2026", "." * 900, "A. " * 400,
    ],
)  # fmt: skip
def test_all_sentences_but_the_last_stay_as_they_are_whatever_follows(text: str) -> None:
    whole = ner.clauses(text)
    assert "".join(text[start:end] for start, end in whole) == text
    for cut in range(len(text)):
        assert ner.clauses(text[:cut])[:-1] == whole[: max(0, len(ner.clauses(text[:cut])) - 1)]
    assert all(end - start <= ner.MAX_CLAUSE for start, end in whole)
