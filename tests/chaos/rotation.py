"""What goes wrong in a chaos run, and when: three deployments take turns at being the healthy one, by a seed.

At every moment one deployment is well. Before it falls ill another one has been well for `OVERLAP` seconds, so that a
request always finds somebody who can serve it, if it looks everywhere.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from types import MappingProxyType
from typing import Literal

from tests.faults import faults
from tests.faults.faults import FAULTS, WELL, after, reset_at, stall_at
from tests.faults.plans import Plan, always, mixed, windows
from tests.faults.upstream import Upstream

OVERLAP = 0.5
SHORTEST, LONGEST = 2.0, 5.0
"""Seconds between two turns."""


@dataclass(frozen=True, slots=True)
class Mishap:
    """What is wrong with one deployment for a while; `plan` is made anew each time, from a seed."""

    plan: Callable[[int], Plan]
    port: Literal["open", "shut", "slams"] = "open"


def _steady(name: str) -> Mishap:
    return Mishap(lambda seed: always(FAULTS[name]))


WELLNESS = "well"

MISHAPS: Mapping[str, Mishap] = MappingProxyType(
    {
        "errors": _steady("server_error"),
        "half errors": Mishap(lambda seed: mixed(seed, {FAULTS["server_error"]: 0.3, FAULTS["bad_gateway"]: 0.2})),
        "unavailable": _steady("unavailable"),
        "overloaded": _steady("overloaded"),
        "locked": _steady("conflict"),
        "limited": Mishap(lambda seed: windows(3, 1.0)),
        "quota": _steady("quota"),
        "sign-in page": _steady("sign_in_page"),
        "proxy's page": _steady("gateway_timeout"),
        "resets": Mishap(lambda seed: mixed(seed, {reset_at(0): 0.4, reset_at(60): 0.3, after("reset", 0): 0.3})),
        "cut streams": Mishap(lambda seed: mixed(seed, {after("reset", 6): 0.5, after("close", 3): 0.5})),
        "stalls": Mishap(lambda seed: mixed(seed, {stall_at(0): 0.5, after("stall", 0): 0.5})),
        "late stalls": Mishap(lambda seed: mixed(seed, {after("stall", 5): 0.4})),
        "truncated": _steady("truncated"),
        "ends early": _steady("ends_early"),
        "empty": Mishap(lambda seed: mixed(seed, {FAULTS["empty_body"]: 0.5, FAULTS["silent_stream"]: 0.5})),
        "role only": _steady("role_only"),
        "error events": Mishap(lambda seed: mixed(seed, {FAULTS["error_only"]: 0.5, FAULTS["error_late"]: 0.5})),
        "slow": Mishap(lambda seed: always(faults.slow(faults.lognormal(0.3), faults.uniform(0.0, 0.02)))),
        "shut": Mishap(lambda seed: always(WELL), "shut"),
        "slams": Mishap(lambda seed: always(WELL), "slams"),
        WELLNESS: Mishap(
            lambda seed: always(faults.slow(faults.lognormal(0.01), faults.exponential(0.002))),
        ),
    }
)
"""Every state a deployment can be in. `slow` still serves, late."""


@dataclass(frozen=True, slots=True)
class Turn:
    """From `at` (seconds from the start) every deployment is in its state."""

    at: float
    states: Mapping[str, str]


def rotation(names: Sequence[str], seconds: float, seed: int) -> list[Turn]:
    """The turns of a run: the first deployment begins as the healthy one, and no turn keeps the one before."""
    random = Random(seed)  # noqa: S311 - a script, not a secret
    ills = [name for name in MISHAPS if name != WELLNESS]
    deck: list[str] = []
    healthy, at = names[0], 0.0
    turns = []
    while at < seconds:
        states = {}
        for name in names:
            if name != healthy and not deck:
                deck = random.sample(ills, len(ills))  # each comes up before any does again
            states[name] = WELLNESS if name == healthy else deck.pop()
        turns.append(Turn(at, states))
        at += random.uniform(SHORTEST, LONGEST)
        coming = random.choice([name for name in names if name != healthy])
        turns.append(Turn(at, {**states, coming: WELLNESS}))
        at += OVERLAP
        healthy = coming
    return [turn for turn in turns if turn.at < seconds]


async def play(turns: Sequence[Turn], upstreams: Mapping[str, Upstream], seed: int) -> None:
    """Put every upstream into its states in time; leaves them in the last ones."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    now: Mapping[str, str] = {}
    for number, turn in enumerate(turns):
        await asyncio.sleep(max(0.0, began + turn.at - loop.time()))
        for name, state in turn.states.items():
            if now.get(name) != state:
                await put(upstreams[name], MISHAPS[state], seed + number)
        now = turn.states


async def put(upstream: Upstream, mishap: Mishap, seed: int) -> None:
    """Let one upstream be so from now on."""
    was_shut = upstream.is_shut
    upstream.slams = mishap.port == "slams"
    upstream.plan = mishap.plan(seed)
    if mishap.port != "open":
        upstream.shut()
    if mishap.port == "slams" or (mishap.port == "open" and was_shut):
        await upstream.reopen()
