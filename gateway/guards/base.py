"""What every guard has in common: the texts it looks at, what it finds, and the two kinds of port it may fill.

A guard returns positions and a decision, never text: what was matched reaches no log, no span, no metric, no error.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

Action = Literal["allow", "flag", "hash", "mask", "redact", "block"]
"""What is done about a finding. `flag` reports only; `hash`, `mask` and `redact` change the text; `block` refuses."""

SEVERITY: dict[Action, int] = {"allow": 0, "flag": 1, "hash": 2, "mask": 3, "redact": 4, "block": 5}
"""Where findings overlap, the gravest action wins (policies.md §3)."""

Stage = Literal["input", "output"]
Scope = Literal["span", "clause", "whole"]
"""How much of a text a guard must see. `span`: matches of bounded length, decided at every cut of a stream. `clause`:
names, clause by clause. `whole`: the answer must be complete."""


@dataclass(frozen=True, slots=True)
class Text:
    """One text to look at. `path` says where it stands: `prompt[2]`, `suffix`, `choices[1].text`."""

    path: str
    value: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a guard found in one text.

    `rule` is the entity or the rule (`EMAIL_ADDRESS`, `aws-access-key`); `category` the risk it belongs to (`pii`,
    `secrets`, `prompt_injection`, …). `start` and `end` are characters of the text; 0 and 0 when the finding is about
    the whole text. `score` is between 0 and 1.
    """

    guard: str
    rule: str
    category: str
    action: Action
    path: str
    start: int
    end: int
    score: float = 1.0


@dataclass(frozen=True, slots=True)
class Context:
    """For whom and for what a text is judged; conditions and remote guards read it.

    `confidential` are texts the model was told that no answer may repeat: system messages of this one request. They
    are in no repr, and no guard sends them anywhere.
    """

    stage: Stage
    model: str = ""
    end_user: str | None = None
    key: str | None = None
    tags: tuple[str, ...] = ()
    request_id: str = ""
    stream: bool = False
    max_tokens: int = 16
    confidential: tuple[str, ...] = field(default=(), repr=False)


class Guard(Protocol):
    """Judges texts. A guard that only needs the text itself fills `SpanGuard` instead, which is faster.

    It may also be `Pure`, `AtOnce` or `Against`.
    """

    @property
    def name(self) -> str:
        """The guard's name in documents and verdicts: `moderation`."""
        ...

    @property
    def scope(self) -> Scope:
        """How much of a stream it must see."""
        ...

    async def check(self, texts: Sequence[Text], context: Context) -> list[Finding]:
        """What is found in `texts`. Whatever it raises makes the verdict an `error`; the policy says what follows."""
        ...


class Pure(Protocol):
    """A `Guard` whose findings hang on the one text alone: not on other texts, the request, the time or another's mood.
    What it finds in a text is remembered while its policies are loaded (`gateway.guards.cache`)."""

    @property
    def pure(self) -> bool:
        """True; a guard without this attribute is asked anew each time."""
        ...


class AtOnce(Protocol):
    """A `Guard` that needs whole texts but judges them in microseconds, without I/O. It is called in place, not waited
    for, and has no deadline; about a long text its `check` is asked. Without `settled` it is no `SpanGuard`."""

    def find(self, text: str, path: str) -> list[Finding]:
        """Every finding in `text`; what `check` finds in it."""
        ...


class Against(Protocol):
    """A `Guard` that can protect texts of one request (`Context.confidential`)."""

    def against(self, texts: Sequence[str]) -> Guard:
        """This guard as it judges that request. It is not `Pure`: what it finds hangs on the request."""
        ...


class SpanGuard(Protocol):
    """Judges one text at once, without I/O, in microseconds; its decisions hold at every cut of a stream.

    It may also be a `Judging`, a `JudgingOn` or a `Remembering`.
    """

    @property
    def name(self) -> str:
        """The guard's name in documents and verdicts: `secrets`."""
        ...

    def find(self, text: str, path: str) -> list[Finding]:
        """Every finding in `text`, in order of start. Pure, and linear in the length of the text."""
        ...

    def settled(self, text: str) -> int:
        """The index before which nothing can change, whatever follows `text`.

        For every continuation `more`, the findings of `find(text + more)` that start before this index are exactly
        those of `find(text)` that do, and each of them ends at or before it. `len(text)` when the text ends in nothing
        that could become, or grow into, a finding. Context words look backwards only, so that this can be.
        """
        ...

    def shortest_context(self) -> int:
        """How many characters before an index `find` may look at to decide what starts there (context words, word
        boundaries); the window keeps that much of what has already been sent."""
        ...


class Judging(Protocol):
    """A `SpanGuard` that does the work of `find` and `settled` in one pass over a stream's window."""

    def judge(self, text: str, path: str) -> tuple[list[Finding], int]:
        """`find(text, path)` and `settled(text)`."""
        ...


class JudgingOn(Judging, Protocol):
    """A `Judging` that can leave out what has been settled before, for a fraction of the price."""

    def judge_from(self, text: str, path: str, since: int) -> tuple[list[Finding], int]:
        """What `judge` says, but for findings that start before `since`."""
        ...


class Reading(Protocol):
    """A guard at one text that comes in pieces. It keeps what it needs of what has come: where the last matches ended,
    and the last characters. Places are characters counted from the beginning of the whole text."""

    def more(self, text: str, path: str, since: int, *, closing: bool) -> tuple[list[Finding], int]:
        """What is found after `text` has come, in order of start, and the place before which nothing can change.

        Findings that start before that place are exactly those that `find` has in the whole text, and end at or before
        it; one that starts behind it may still grow, change or go. Once nothing more comes, there are no others.

        Args:
            text: what has come since the last call; perhaps nothing.
            since: up to where the text has been settled, for all that judge it. What starts before is left out.
            closing: nothing more comes; there is no further call.
        """
        ...


class Remembering(Protocol):
    """A `SpanGuard` whose findings may hang on all that stands before, such as where a row of matches began. In a
    stream it is only asked by way of its reading, which looks at each character once, or nearly."""

    def reading(self) -> Reading:
        """What reads one text."""
        ...
