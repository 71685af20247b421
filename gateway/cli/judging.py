"""What the commands ask of the policies: do their own tests pass, and what would they decide about a text?"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.app import default_upstream
from gateway.config.load import Loaded
from gateway.endpoints.guardrails import answer
from gateway.guards import assemble, load
from gateway.guards.base import Context, Stage, Text
from gateway.guards.engine import judge
from gateway.guards.examples import Result, run_tests
from gateway.guards.load import LoadedPolicy
from gateway.guards.ports import Pool, Ports
from gateway.routing import guarding
from gateway.routing.deployments import Catalogue


@dataclass(frozen=True, slots=True)
class Tested:
    """A policy and how its tests went."""

    loaded: LoadedPolicy
    results: Sequence[Result]

    @property
    def faults(self) -> list[str]:
        """What to tell the operator of the tests that failed, each with its file and line."""
        return [result.fault for result in self.results if not result.passed]


def documents(found: Loaded, named: Sequence[str]) -> Sequence[LoadedPolicy]:
    """The policies called `named`, or those of the configuration when none is.

    Raises:
        ConfigError: every fault of every document.
    """
    if named:
        return load.load(named, folder=Path()).policies
    return guarding.documents(found.settings, found.source).policies


def tested(found: Loaded, named: Sequence[str]) -> list[Tested]:
    """Run the tests that the policies carry; remote guards are really asked.

    Raises:
        ConfigError: a document with faults, or a guard that cannot be had here.
    """
    loaded = documents(found, named)

    async def run() -> list[Tested]:
        upstream = default_upstream()
        pool = Pool()
        try:
            ports = guarding.ports(upstream, Catalogue(found.settings, found.source), pool)
            return [Tested(each, await run_tests(each, assemble.example_judge(each, ports))) for each in loaded]
        finally:
            pool.close()
            await upstream.close()

    return asyncio.run(run())


def judged(found: Loaded, model: str, text: str, stage: Stage) -> dict[str, Any]:
    """What the policies of the configuration decide about `text`, in the form of `POST /v1/guardrails/check`.

    Raises:
        ConfigError: as `documents` does.
    """

    async def run() -> dict[str, Any]:
        pool = Pool()
        try:
            policies, _ = guarding.policies(found.settings, found.source, Ports(pool=pool))
            path = "prompt[0]" if stage == "input" else "choices[0].text"
            return answer(await judge(policies, [Text(path, text)], Context(stage, model)))
        finally:
            pool.close()

    return asyncio.run(run())
