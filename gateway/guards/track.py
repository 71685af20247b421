"""One text of an answer (a choice's, or what the model thought of it) under every policy of the output."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from gateway.guards.asking import Question, ask_all, bound
from gateway.guards.base import Context, Finding, Guard, Text
from gateway.guards.clauses import split, whole_words
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
    clause_seconds: float = 0.3
    judged: set[int] = field(default_factory=set)
    """`id`s of the records whose guards were asked."""


def plan(runs: Sequence[Run], context: Context, max_held: int = MAX_HELD) -> Plan:
    """Divide the guards of `runs` by how they are served, and note that in the records."""
    live = [run for run in runs if run.live]
    enforced = tuple([run for run in live if run.policy.enforced])
    held: list[Asked] = []
    by_clause: list[Asked] = []
    observers: list[Asked] = []
    for run in live:
        for guard in run.policy.asked:
            mine = _served(run, guard, context, held, by_clause, observers)
            mine.append((run, bound(guard, context)))
    for run, _ in observers:
        run.stream = "observe"
    for run, _ in held if context.stream else ():
        run.stream = "hold"
    return Plan(
        context,
        enforced,
        tuple([run for run in live if not run.policy.enforced and run.policy.spans]),
        tuple(held),
        tuple(by_clause),
        tuple(observers),
        next((run for run in runs if run.blocks), None),
        max_held,
        min((run.policy.hold_chars for run, _ in by_clause), default=CLAUSE_CONTEXT),
        min((run.policy.hold_seconds for run, _ in by_clause), default=0.0),
    )


def _served(
    run: Run, guard: Guard, context: Context, held: list[Asked], by_clause: list[Asked], observers: list[Asked]
) -> list[Asked]:
    """Which of the three a guard belongs to; an answer that does not stream can always wait."""
    if not run.policy.enforced:
        return observers
    if guard.scope == "clause":
        return by_clause
    return held if run.policy.stream == "hold" or not context.stream else observers


class Track:
    """One text: pieces in, what may leave out.

    `text` is all that has come, kept only where a guard needs the whole. `due` is when, in seconds of the event loop's
    clock, the clause being held has been held long enough (`late`); None when none is. See `Window` for the rest.
    """

    __slots__ = ("_before", "_parts", "_plan", "_shadow", "_unjudged", "due", "path", "waits", "window")

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
        self.due: float | None = None
        self.waits = bool(plan_.held_for or plan_.by_clause)

    @property
    def text(self) -> str:
        """All that has come, if some guard needs the whole text."""
        return "".join(self._parts or ())

    async def take(self, text: str, *, final: bool) -> str:
        """What may leave now, whether or not a guard has to be waited for."""
        return await self.judge(text, final=final) if self.waits else self.feed(text, final=final)

    def feed(self, text: str, *, final: bool) -> str:
        """What may leave now; for a text that no guard has to be waited for (`waits` is False)."""
        self._observe(text, final=final)
        if final:
            return self.window.close(text)
        return self.window.feed(text) if text else ""

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
            self._wait(anew=bool(pieces))
        given = await self._judged(pieces)
        return given + self.window.close() if final else given

    async def late(self) -> str:
        """What may leave of an unfinished clause that has been held long enough.

        It is judged as it stands, but for a word that has begun: that is the beginning of the next clause. Guards that
        judge names decide here without the rest; what others wait for stays held.
        """
        held = self._unjudged
        end = whole_words(held)
        self._unjudged = held[end:]
        self._wait(anew=True)
        return await self._judged([held[:end]])

    def _wait(self, *, anew: bool) -> None:
        """Note when the clause being held has been held long enough."""
        if not self._unjudged or self.window.blocked is not None:
            self.due = None
        elif self.due is None or anew:
            self.due = asyncio.get_running_loop().time() + self._plan.clause_seconds

    async def _judged(self, pieces: Sequence[str]) -> str:
        """What may leave after some pieces, one after another, each with the text before it."""
        given: list[str] = []
        for piece in pieces:
            given.append(await self._piece(piece))
            self._before = (self._before + piece)[-CLAUSE_CONTEXT:]
        return "".join(given)

    def _observe(self, text: str, *, final: bool) -> None:
        if self._parts is not None:
            self._parts.append(text)
        if self._shadow is not None:
            if final:
                self._shadow.close(text)
            else:
                self._shadow.feed(text)

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
