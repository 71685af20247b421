"""What the commands ask of the policies: do their own tests pass, and what would they decide about a text?"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from gateway.app import default_upstream
from gateway.cli.checking import all_of
from gateway.cli.labelled import Labelled
from gateway.cli.measuring import Measured, measure
from gateway.config.load import Loaded
from gateway.endpoints.guardrails import answer
from gateway.guards import assemble, load, registry
from gateway.guards.base import Context, Stage, Text
from gateway.guards.engine import judge
from gateway.guards.examples import Result, run_tests
from gateway.guards.load import LoadedPolicy
from gateway.guards.ports import Pool, Ports
from gateway.routing import call, guarding
from gateway.routing.deployments import Catalogue


@dataclass(frozen=True, slots=True)
class Labels:
    """Labelled text to judge. `same` says that positions must be the same; `done` is called after each text."""

    rows: Sequence[Labelled]
    same: bool
    done: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Tested:
    """A policy, how its tests went, and how it did on labelled text where there was any."""

    loaded: LoadedPolicy
    results: Sequence[Result]
    measured: Measured | None = None

    @property
    def faults(self) -> list[str]:
        """What to tell the operator of the tests that failed, each with its file and line, and of guards that did."""
        told = [result.fault for result in self.results if not result.passed]
        if self.measured is not None:
            name = self.loaded.source.name
            told += [f"{name}: {count} texts not judged: {why}" for why, count in self.measured.failures.items()]
            if not self.measured.microseconds:
                told.append(f"{name}: no text of the data is of a stage that this policy looks at")
        return told


def documents(found: Loaded, named: Sequence[str]) -> Sequence[LoadedPolicy]:
    """The policies called `named`, or those of the configuration when none is.

    Raises:
        ConfigError: every fault of every document.
    """
    if named:
        return load.load(named, folder=Path()).policies
    return guarding.documents(found.settings, found.source).policies


@asynccontextmanager
async def _ports(found: Loaded) -> AsyncIterator[Ports]:
    """What guards are given when the gateway serves; remote ones are really asked."""
    upstream = default_upstream()
    pool = Pool()
    try:
        caller = call.make(Catalogue(found.settings, found.source), found.settings, upstream)
        yield guarding.ports(caller, pool)
    finally:
        pool.close()
        await upstream.close()


def tested(found: Loaded, named: Sequence[str], labels: Labels | None) -> list[Tested]:
    """Run the tests that the policies carry, and measure them on labelled text; remote guards are really asked.

    Raises:
        ConfigError: every fault of every document, and every guard that cannot be had here.
    """
    loaded = documents(found, named)

    async def run() -> list[Tested]:
        async with _ports(found) as ports:
            judges = all_of([partial(assemble.example_judge, each, ports) for each in loaded])
            made = [Tested(each, await run_tests(each, judge)) for each, judge in zip(loaded, judges, strict=True)]
            if labels is None:
                return made
            return [
                replace(
                    each, measured=await measure(each.loaded, ports, labels.rows, same=labels.same, done=labels.done)
                )
                for each in made
            ]

    return asyncio.run(run())


def judged(found: Loaded, model: str, text: str, stage: Stage) -> dict[str, Any]:
    """What the policies of the configuration decide about `text`, in the form of `POST /v1/guardrails/check`.

    Nobody is called: guards that would ask somebody else are left out. They are listed under `not_asked`, and the
    verdict of their policy says `skipped`.

    Raises:
        ConfigError: as `documents` does, and every guard that cannot be had here.
    """
    loaded = documents(found, ())
    not_asked = [
        {"policy": each.policy.policy, "guard": entry.name}
        for each in loaded
        for entry in each.policy.guards
        if _calls_somebody(entry.name)
    ]

    async def run() -> dict[str, Any]:
        pool = Pool()
        try:
            policies = all_of([partial(assemble.assembled, _alone(each), Ports(pool=pool)) for each in loaded])
            path = "prompt[0]" if stage == "input" else "choices[0].text"
            return answer(await judge(policies, [Text(path, text)], Context(stage, model)))
        finally:
            pool.close()

    said = asyncio.run(run())
    if not_asked:
        unasked = {one["policy"] for one in not_asked}
        for verdict in said["verdicts"]:
            if verdict["policy"] in unasked and verdict["status"] == "ok":
                verdict["status"] = "skipped"
        said["not_asked"] = not_asked
    return said


def _alone(loaded: LoadedPolicy) -> LoadedPolicy:
    """A policy without the guards that would call somebody."""
    kept = tuple(entry for entry in loaded.policy.guards if not _calls_somebody(entry.name))
    return replace(loaded, policy=loaded.policy.model_copy(update={"guards": kept, "parallel": False}))


def _calls_somebody(guard: str) -> bool:
    row = registry.find(guard)
    return row is not None and row.kind in ("remote", "model")
