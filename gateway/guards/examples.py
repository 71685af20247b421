"""The tests a policy document carries, run against whatever judges."""

from dataclasses import dataclass, field
from typing import Protocol

from gateway.guards.base import Action, Stage
from gateway.guards.load import LoadedPolicy


@dataclass(frozen=True, slots=True)
class Judged:
    """What a policy decided about one text.

    `decision` is the gravest action of what was found. `text` is the text after it: the same for `allow` and `flag`,
    None when it is blocked. `failed` says that a guard failed or took too long: its decision is then no judgement.
    """

    decision: Action
    text: str | None = field(repr=False)
    failed: bool = False


class Judge(Protocol):
    """Judges texts by one policy as if it matched, enforced and sampled everything (`assemble.example_judge`)."""

    async def __call__(self, stage: Stage, text: str) -> Judged:
        """The decision about `text` standing at `stage`."""
        ...


@dataclass(frozen=True, slots=True)
class Result:
    """How one test went: its position in the document, what was expected and what was decided.

    `fault` is empty when it passed, and else what to tell the operator, with the test's line and without its text.
    `becomes` is the text it became, for those who may see it.
    """

    index: int
    expected: Action
    decided: Action
    fault: str = ""
    becomes: str | None = field(default=None, repr=False)

    @property
    def passed(self) -> bool:
        """Did everything come out as the document says?"""
        return not self.fault


async def run_tests(loaded: LoadedPolicy, judge: Judge) -> list[Result]:
    """The tests of a policy in the order of the document, one after another."""
    results = []
    for index, test in enumerate(loaded.policy.tests):
        judged = await judge(test.stage, test.text)
        said = ""
        if judged.failed:
            said = "a guard failed"
        elif judged.decision != test.expect:
            said = f"expected {test.expect}, got {judged.decision}"
        elif test.becomes is not None and judged.text != test.becomes:
            said = f"the text becomes another one{_difference(test.becomes, judged.text)}"
        fault = loaded.source.fault(("tests", index), said) if said else ""
        results.append(Result(index, test.expect, judged.decision, fault, judged.text))
    return results


def _difference(expected: str, got: str | None) -> str:
    """Where two texts part, as a position in the expected one."""
    if got is None:
        return ": none"
    pairs = zip(expected, got, strict=False)
    at = next((at for at, (one, other) in enumerate(pairs) if one != other), min(len(expected), len(got)))
    return f" from character {at + 1} on"
