"""One text of an answer (a choice's, or what the model thought of it) under every policy of the output."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from gateway.guards.asking import Question, ask_all
from gateway.guards.base import Context, Finding, Guard, Scope, Text
from gateway.guards.clauses import split
from gateway.guards.looking import Noted
from gateway.guards.policy import Run
from gateway.guards.vault import Vault
from gateway.guards.window import MAX_HELD, Window

CLAUSE_CONTEXT = 400
"""Characters before a clause that a guard judging it is given."""

Asked = tuple[Run, Guard]


@dataclass(frozen=True, slots=True)
class Plan:
    """Who looks at the answer, and when: made once per request. See `plan`."""

    context: Context
    enforced: tuple[Run, ...]
    shadow: tuple[Run, ...]
    held_for: tuple[Asked, ...]
    """Guards that need the whole answer, for which it is held."""
    by_clause: tuple[Asked, ...]
    observers: tuple[Asked, ...]
    """Guards that are asked when the answer is over, and change nothing."""
    doomed: Run | None
    """A policy that blocks whatever comes, for it could not be judged at all."""
    max_held: int = MAX_HELD
    clause_chars: int = 400
    judged: set[int] = field(default_factory=set)
    """`id`s of the records whose guards were asked."""


def plan(runs: Sequence[Run], context: Context, max_held: int = MAX_HELD) -> Plan:
    """Divide the guards of `runs` by how they are served, and note that in the records."""
    live = [run for run in runs if run.live]
    enforced = tuple(run for run in live if run.policy.enforced)
    held = _asked([run for run in enforced if run.policy.stream == "hold"], "whole")
    by_clause = _asked(enforced, "clause")
    served = {id(guard) for _, guard in (*held, *by_clause)}
    observers = tuple((run, guard) for run in live for guard in run.policy.asked if id(guard) not in served)
    for run, _ in observers:
        run.stream = "observe"
    for run, _ in held:
        run.stream = "hold"
    return Plan(
        context,
        enforced,
        tuple(run for run in live if not run.policy.enforced and run.policy.spans),
        held,
        by_clause,
        observers,
        next((run for run in runs if run.blocks), None),
        max_held,
        min((run.policy.hold_chars for run, _ in by_clause), default=CLAUSE_CONTEXT),
    )


def _asked(runs: Sequence[Run], scope: Scope) -> tuple[Asked, ...]:
    return tuple((run, guard) for run in runs for guard in run.policy.asked if guard.scope == scope)


class Track:
    """One text: pieces in, what may leave out.

    `text` is all that has come, kept only where a guard needs the whole. See `Window` for the rest.
    """

    __slots__ = ("_before", "_parts", "_plan", "_shadow", "_unjudged", "path", "waits", "window")

    def __init__(self, plan_: Plan, path: str, vault: Vault) -> None:
        self._plan = plan_
        self.path = path
        self.window = Window(plan_.enforced, path, vault, max_held=plan_.max_held)
        if plan_.doomed is not None:
            self.window.block(plan_.doomed)
        self._shadow: Window | None = None
        if plan_.shadow:
            self._shadow = Window(plan_.shadow, path, vault, observing=True, max_held=plan_.max_held)
        self._parts: list[str] | None = [] if plan_.held_for or plan_.observers else None
        self._unjudged = ""
        self._before = ""
        self.waits = bool(plan_.held_for or plan_.by_clause)

    @property
    def text(self) -> str:
        """All that has come, if some guard needs the whole text."""
        return "".join(self._parts or ())

    def feed(self, text: str, *, final: bool) -> str:
        """What may leave now; for a text that no guard has to be waited for (`waits` is False)."""
        self._observe(text, final=final)
        given = self.window.feed(text) if text else ""
        return given + self.window.close() if final else given

    async def judge(self, text: str, *, final: bool) -> str:
        """What may leave now, after the guards that had to be asked about it."""
        self._observe(text, final=final)
        if self._plan.held_for:
            if not final or self.window.blocked is not None:
                return ""
            pieces = [self.text]
        else:
            pieces, self._unjudged = split(self._unjudged + text, self._plan.clause_chars)
            if final:
                pieces.append(self._unjudged)
                self._unjudged = ""
        given: list[str] = []
        for piece in pieces:
            given.append(await self._piece(piece))
            self._before = (self._before + piece)[-CLAUSE_CONTEXT:]
        if final:
            given.append(self.window.close())
        return "".join(given)

    def _observe(self, text: str, *, final: bool) -> None:
        if self._parts is not None:
            self._parts.append(text)
        if self._shadow is not None:
            self._shadow.feed(text)
            if final:
                self._shadow.close()

    async def _piece(self, piece: str) -> str:
        """What may leave after a piece that the guards that are waited for have judged."""
        window = self.window
        if window.blocked is not None:
            return ""
        before = self._before
        asked = [Question(run, guard, (Text(self.path, piece),)) for run, guard in self._plan.held_for]
        asked += (Question(run, guard, (Text(self.path, before + piece),)) for run, guard in self._plan.by_clause)
        if not piece and not self._plan.held_for:
            return ""
        answers = await ask_all(asked, self._plan.context)
        found: list[Noted] = []
        for question, answer in zip(asked, answers, strict=True):
            run = question.run
            self._plan.judged.add(id(run))
            if answer is None and run.policy.fail_mode == "block":
                window.block(run)
            ahead = len(question.texts[0].value) - len(piece)
            found += ((_back(finding, ahead, len(piece)), run) for finding in answer or () if _in_piece(finding, ahead))
        return window.feed(piece, found)


def _in_piece(finding: Finding, ahead: int) -> bool:
    """Whether a finding in a clause and the text before it is about the clause."""
    return not finding.end or finding.end > ahead


def _back(finding: Finding, ahead: int, length: int) -> Finding:
    """A finding at its place in the clause alone. What began before it has left, and can only be told from here on."""
    if not finding.end:
        return replace(finding, start=0, end=length)
    return replace(finding, start=max(finding.start - ahead, 0), end=finding.end - ahead)
