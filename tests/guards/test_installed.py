"""Guards that another package brings: found by its entry points, built by its row, and asked as our own are."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.guards import registry
from gateway.guards.answer import AnswerGuard
from gateway.guards.assemble import assembled
from gateway.guards.base import Context, Text
from gateway.guards.engine import judge
from gateway.guards.load import loads
from gateway.guards.policy import Policy
from gateway.guards.ports import Ports
from gateway.guards.verdict import header
from gateway.types import Delta

MODULE = '''
"""Two guards, one for spans and one that is waited for."""

from gateway.config.fields import Strict
from gateway.guards.base import Finding
from gateway.guards.registry import Row


class Config(Strict):
    colour: str = "pink"


class Spans:
    name = "ponies"

    def __init__(self, colour):
        self.word = f"{colour} pony"

    def find(self, text, path):
        found, at = [], text.find(self.word)
        while at >= 0:
            end = at + len(self.word)
            found.append(Finding(self.name, "PONY", "ponies", "mask", path, at, end))
            at = text.find(self.word, end)
        return found

    def settled(self, text):
        for size in range(min(len(self.word) - 1, len(text)), 0, -1):
            if text.endswith(self.word[:size]):
                return len(text) - size
        return len(text)

    def shortest_context(self):
        return 0


class Waited:
    name = "herds"
    scope = "whole"

    async def check(self, texts, context):
        return [
            Finding(self.name, "HERD", "ponies", "block", text.path, 0, 0) for text in texts if "herd" in text.value
        ]


SPANS = Row(Config, lambda config, ports: (Spans(config.colour),), "span")
WAITED = Row(Config, lambda config, ports: (Waited(),), "remote", ("input",))
'''


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A distribution with entry points, where Python looks for distributions."""
    (tmp_path / "pony_guards.py").write_text(MODULE)
    about = tmp_path / "pony_guards-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: pony-guards\nVersion: 1\n")
    (about / "entry_points.txt").write_text(
        "[gateway.guards]\nponies = pony_guards:SPANS\nherds = pony_guards:WAITED\nsecrets = pony_guards:SPANS\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("pony_guards", None)


def policy(text: str) -> Policy:
    return assembled(loads(text, environ={}), Ports())


def judged(one: Policy, text: str) -> tuple[str, str]:
    outcome = asyncio.run(judge([one], [Text("prompt[0]", text)], Context("input")))
    return header(outcome.verdicts), "".join(text.value for text in outcome.texts)


@pytest.mark.usefixtures("installed")
def test_guards_of_an_installed_package_judge_prompts_and_streams():
    one = policy("policy: p\nversion: 1\nguards: [ponies: {colour: blue}]")
    assert judged(one, "one blue pony, one pink pony") == ("p=mask", "one <PONY_1>, one pink pony")

    async def streamed() -> str:
        async def source():
            for sign in "a blue pony and a blue po":
                yield Delta(0, sign)

        guard = AnswerGuard([one], Context("output"), choices=1)
        return "".join([delta.text async for delta in guard.guarded(source())])

    assert asyncio.run(streamed()) == "a <PONY_1> and a blue po"
    herds = policy("policy: h\nversion: 1\nstages: [input]\nparallel: true\nguards: [herds: {}]")
    assert judged(herds, "a herd of ponies") == ("h=block", "")


@pytest.mark.usefixtures("installed")
def test_an_installed_package_cannot_take_the_name_of_a_shipped_guard():
    assert registry.find("secrets") is registry.GUARDS["secrets"]
    assert [name for name in registry.names() if name not in registry.GUARDS] == ["herds", "ponies"]


def test_a_guard_that_is_not_installed_is_none():
    assert registry.find("ponies") is None
