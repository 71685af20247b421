"""The output policies of one request at work on its answer: a filter of deltas, for n interleaved choices.

Each choice is guarded by itself and its placeholders have numbers of their own (after those of the prompts), so what a
choice becomes hangs on its text alone. Placeholders that the prompts' vault issued are turned back last, after every
guard, in a choice's text and in what the model thought of it. An answer that fails in the middle is judged as if it
ended there; a provider's own words about the failure are judged as a text of the answer too.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Literal

from gateway.errors import UpstreamRejected
from gateway.guards.asking import Question, ask_all
from gateway.guards.base import Context, Text
from gateway.guards.choice import Choice
from gateway.guards.logprobs import Tokens
from gateway.guards.pacing import paced
from gateway.guards.policy import Draw, Policy, Run, begin, by_chance, unable
from gateway.guards.track import Plan, Track, plan
from gateway.guards.vault import Vault
from gateway.guards.verdict import Verdict
from gateway.guards.window import MAX_HELD
from gateway.judgement import Capture
from gateway.types import Delta

Refuse = Callable[[Verdict], Exception]
"""Makes the error that a caller is answered whose policy says `on_block: {output: error}`."""


class AnswerGuard:
    """Guards one answer; `guarded` is the filter (`gateway.exchange.Filter`).

    Args:
        policies: all that are loaded; those that do not concern `context`, whose stage is `output`, are left out.
        choices: how many choices the answer has.
        vault: the request's, after its prompts were judged.
        whole: the answer is sent whole: a blocked choice is its policy's message alone, or an error.
        ends: what a block ends: the `answer`, so that its upstream call is cancelled at once, or its `choice` alone,
            and the call once no choice is left.
        refuse: makes the error raised where a whole answer is blocked and the policy's `on_block.output` is `error`.
        draw: decides which requests a policy with a `sample` looks at.
        max_held: characters of a choice held for one unfinished candidate.
        capture: keeps what may leave, before placeholders are turned back.
    """

    def __init__(
        self,
        policies: Sequence[Policy],
        context: Context,
        *,
        choices: int,
        vault: Vault | None = None,
        whole: bool = False,
        ends: Literal["answer", "choice"] = "answer",
        refuse: Refuse | None = None,
        draw: Draw = by_chance,
        max_held: int = MAX_HELD,
        capture: Capture | None = None,
    ) -> None:
        self._runs = begin(policies, context, draw)
        self._plan: Plan = plan(self._runs, context, max_held)
        self._vault = vault if vault is not None else Vault()
        self._expected = choices
        self._whole = whole
        self._capture = capture
        self._ends = ends
        self._refuse = refuse
        self._choices: dict[int, Choice] = {}
        self._blocked: Run | None = None
        self._over = False
        self._verdicts: tuple[Verdict, ...] = ()
        """Once the answer is over."""
        self._said: list[Track] = []
        """What the provider said of its failure."""

    @property
    def blocked(self) -> Verdict | None:
        """The verdict of the policy that blocked the answer or a choice of it, the first if there are several."""
        return self._blocked.verdict("output") if self._blocked is not None else None

    def verdicts(self) -> tuple[Verdict, ...]:
        """One of each policy that matched, as far as the answer has come. Of an answer of which nothing came only those
        that could not have judged it."""
        if self._verdicts:
            return self._verdicts
        if not self._choices and not self._said:
            return unable(self._runs)
        for run in self._runs:
            if run.policy.asked and run.live and id(run) not in self._plan.judged:
                run.fail("skipped")
            if len(run.found) > 1:
                run.found.sort(key=lambda finding: (finding.path, finding.start, finding.end))
        said = tuple([run.verdict("output") for run in self._runs])
        if self._over:
            self._verdicts = said
        return said

    async def guarded(self, deltas: AsyncIterator[Delta]) -> AsyncIterator[Delta]:
        """`deltas` as the caller may see them. What remains of a source that is not read to its end is closed.

        Raises:
            Exception: what `refuse` makes.
        """
        hurried = self._plan.by_clause and not self._plan.held_for and not self._whole
        source: AsyncIterator[Delta | None] = paced(deltas, self._due) if hurried else deltas
        failure: Exception | None = None
        try:
            while not self._stopped():
                try:
                    delta = await anext(source)
                except StopAsyncIteration:
                    break
                except Exception as error:  # raised again below, when all has left that may
                    failure = error
                    break
                given = await self._pass(delta) if delta is not None else await self._late()
                if given is not None:
                    yield given
            if failure is None or not self._whole:
                async for rest in self._ending():
                    yield rest
            if failure is not None:
                failure = await self._told(failure)
            if self._blocked is None or self._ends == "choice":
                await self._observe()
                if failure is not None:
                    raise failure
        finally:
            self._over = True
            for opened in (source, deltas):
                if isinstance(opened, AsyncGenerator):
                    await opened.aclose()

    async def _ending(self) -> AsyncIterator[Delta]:
        """What is left to say when nothing more comes, or something was blocked."""
        if self._blocked is None or self._ends == "choice":
            for index, choice in list(self._choices.items()):
                if not choice.over and (given := await self._piece(choice, Delta(index), final=True)):
                    yield given
        if self._blocked is not None and self._ends == "answer":
            for index in range(self._expected):
                if index not in self._choices or not self._choices[index].over:
                    yield self._withheld(index, self._blocked, "")

    def _stopped(self) -> bool:
        """Whether nothing more is to come because something was blocked."""
        if self._blocked is None:
            return False
        over = sum(choice.over for choice in self._choices.values())
        return self._ends == "answer" or over >= self._expected

    async def _pass(self, delta: Delta) -> Delta | None:
        """What the caller may see of a delta; None for nothing."""
        choice = self._choices.get(delta.index)
        if choice is None:
            if not delta.text and not delta.reasoning and not delta.logprobs and delta.finish_reason is None:
                return delta  # it is about the call
            choice = self._choices[delta.index] = self._choice(delta.index)
        if choice.over:
            return _about_call(delta)
        final = delta.finish_reason is not None
        if choice.text.waits or delta.reasoning or delta.logprobs or choice.tokens or choice.reasoning:
            return await self._piece(choice, delta, final=final)
        text = choice.text.feed(delta.text, final=final)
        if self._capture is not None:
            self._capture.note(delta.index, text)
        if choice.restorer is not None:
            text = choice.restored(choice.restorer, text, final=final)
        gathered = self._whole and not (final and not choice.given)
        if choice.text.window.blocked is None and text == delta.text and not gathered:
            choice.over = final
            return delta
        return self._given(choice, delta, text, final=final)

    async def _piece(self, choice: Choice, delta: Delta, *, final: bool) -> Delta | None:
        """What the caller may see of a delta, with all that a delta may hold."""
        text = await choice.text.take(delta.text, final=final)
        reasoning = ""
        if delta.reasoning and choice.reasoning is None:
            choice.reasoning = Track(self._plan, f"choices[{delta.index}].reasoning", self._vault.branch())
            choice.thoughts = self._vault.restorer()
        if choice.reasoning is not None:
            reasoning = await choice.reasoning.take(delta.reasoning, final=final)
        return self._leaving(choice, replace(delta, text=text, reasoning=reasoning), final=final)

    def _leaving(self, choice: Choice, delta: Delta, *, final: bool) -> Delta | None:
        """What leaves of a delta whose text and reasoning have been judged."""
        if self._capture is not None:
            self._capture.note(delta.index, delta.text)
        text = choice.restored(choice.restorer, delta.text, final=final)
        reasoning = choice.restored(choice.thoughts, delta.reasoning, final=final)
        if delta.logprobs and choice.tokens is None:
            choice.tokens = Tokens(self._plan, f"choices[{delta.index}].logprobs")
        logprobs = delta.logprobs
        if choice.tokens is not None:
            left = 0 if self._whole else choice.text.window.left
            logprobs = choice.tokens.feed(delta.logprobs, left, final=final, changed=choice.changed)
        return self._given(choice, replace(delta, reasoning=reasoning, logprobs=logprobs), text, final=final)

    def _due(self) -> float | None:
        """When some choice has held something long enough."""
        return min((choice.due for choice in self._choices.values() if choice.due is not None), default=None)

    async def _late(self) -> Delta | None:
        """What the caller may see of what has been held the longest, and too long."""
        due = self._due()
        index, choice = next((index, choice) for index, choice in self._choices.items() if choice.due == due)
        text = await choice.text.late() if choice.text.due == due else ""
        thought = choice.reasoning
        reasoning = await thought.late() if thought is not None and thought.due == due else ""
        return self._leaving(choice, Delta(index, text, reasoning=reasoning), final=False)

    def _given(self, choice: Choice, delta: Delta, text: str, *, final: bool) -> Delta | None:
        """The delta that leaves: `delta` with another text, or the end of a choice that is blocked."""
        blocker = choice.blocker
        choice.over = final or blocker is not None
        if blocker is not None:
            self._blocked = self._blocked or blocker
            about = self._withheld(delta.index, blocker, text)
            return replace(about, usage=delta.usage, opening=delta.opening)
        if self._whole:
            choice.given.append(text)
            text = "".join(choice.given) if final else ""
        if text or delta.finish_reason or delta.logprobs or delta.reasoning or delta.usage or delta.opening:
            return replace(delta, text=text)
        return None

    def _withheld(self, index: int, blocker: Run, text: str) -> Delta:
        """The end of a choice that is blocked.

        Raises:
            Exception: what `refuse` makes.
        """
        on_block = blocker.policy.on_block
        if self._whole:
            if on_block.output == "error" and self._refuse is not None:
                raise self._refuse(blocker.verdict("output"))
            text = on_block.message
            if self._capture is not None:
                self._capture.instead(index, text)
        return Delta(index, text, finish_reason="content_filter")

    def _choice(self, index: int) -> Choice:
        if not self._choices:
            for run in self._runs:
                run.began = perf_counter()
        return Choice(Track(self._plan, f"choices[{index}].text", self._vault.branch()), self._vault.restorer())

    async def _told(self, failure: Exception) -> Exception:
        """`failure` as the caller may read it: what its provider says is judged, and no placeholder is turned back."""
        if not isinstance(failure, UpstreamRejected):
            return failure  # its words are ours
        said = {"message": failure.message, "param": failure.param or ""}
        for name, words in said.items():
            track = Track(self._plan, f"error.{name}", self._vault.branch())
            self._said.append(track)
            said[name] = await track.take(words, final=True)
            if (blocker := track.window.blocked) is not None:
                name_of = blocker.policy.name
                said = {"message": f"The provider refused the request; the policy {name_of} withholds what it said."}
                break
        if said == {"message": failure.message, "param": failure.param or ""}:
            return failure
        return UpstreamRejected(said["message"], param=said.get("param") or None, status=failure.status)

    async def _observe(self) -> None:
        """Ask those guards that only observe, now that the answer is over."""
        observers = self._plan.observers
        if not observers:
            return
        tracks = [track for one in self._choices.values() for track in (one.text, one.reasoning) if track is not None]
        tracks += self._said
        texts = [Text(track.path, track.text) for track in tracks]
        if not texts:
            return
        questions = [Question(run, guard, texts) for run, guard in observers]
        for question, found in zip(questions, await ask_all(questions, self._plan.context), strict=True):
            self._plan.judged.add(id(question.run))
            question.run.found += found or ()


def _about_call(delta: Delta) -> Delta | None:
    """What a delta says of the call, where its choice is over."""
    if delta.usage is None and delta.opening is None:
        return None
    return Delta(delta.index, usage=delta.usage, opening=delta.opening)
