"""What policies decided and what may be kept of an answer, as those read it who know no guards."""

from collections.abc import Mapping, Sequence
from typing import Protocol


class Found(Protocol):
    """One thing that a guard found, without where or what it was."""

    @property
    def rule(self) -> str:
        """The entity or the rule."""
        ...

    @property
    def category(self) -> str:
        """The risk it belongs to: `pii`, `secrets`, `prompt_injection`, …"""
        ...

    @property
    def action(self) -> str:
        """What is done about it."""
        ...

    @property
    def guard(self) -> str:
        """Who found it."""
        ...

    @property
    def score(self) -> float:
        """How sure it is, from 0 to 1."""
        ...


class Judgement(Protocol):
    """What a policy decided, as those read it who know no guards; `gateway.guards.verdict.Verdict` is one."""

    @property
    def policy(self) -> str:
        """The policy's name."""
        ...

    @property
    def version(self) -> int:
        """The policy's version."""
        ...

    @property
    def stage(self) -> str:
        """`input` or `output`."""
        ...

    @property
    def decision(self) -> str:
        """The gravest action: `allow`, `flag`, `hash`, `mask`, `redact` or `block`."""
        ...

    @property
    def enforced(self) -> bool:
        """False in shadow."""
        ...

    @property
    def status(self) -> str:
        """`ok`, `skipped`, `timeout` or `error`."""
        ...

    @property
    def stream(self) -> str:
        """`hold` or `observe` where guards needed the whole of a stream, else empty."""
        ...

    @property
    def findings(self) -> Sequence[Found]:
        """What its guards found."""
        ...

    @property
    def duration(self) -> float:
        """Seconds it took to judge."""
        ...

    @property
    def began(self) -> float:
        """When the first judging began, in seconds of `perf_counter`."""
        ...


class Capture(Protocol):
    """Keeps what an answer says, guarded, before placeholders are turned back: what may be kept of it."""

    def note(self, index: int, text: str) -> None:
        """More of a choice's text has been judged and may leave."""
        ...

    def instead(self, index: int, text: str) -> None:
        """A choice says this and nothing that was noted of it."""
        ...

    def texts(self) -> Mapping[int, str]:
        """What each choice says, so far as it is kept."""
        ...
