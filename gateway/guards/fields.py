"""The output policies at work on an answer that has more texts than choices: one field for each, whole or as it comes.

`gateway.guards.answer` guards the answers that this gateway writes; this is for those that somebody else has written.
Every field has placeholders of its own numbers, after those of the request, and placeholders that the request's vault
issued are turned back last.
"""

from collections.abc import Callable, Sequence

from gateway.guards.asking import Question, ask_all
from gateway.guards.base import Context, Text
from gateway.guards.logprobs import Tokens
from gateway.guards.policy import Draw, Policy, Run, begin, by_chance, unable
from gateway.guards.track import Plan, Track, plan
from gateway.guards.vault import Restorer, Vault
from gateway.guards.verdict import Verdict
from gateway.guards.window import MAX_HELD
from gateway.wire import jsontext, walk

Note = Callable[[str, str], None]
"""Is told the path of a text and what of it may leave, before placeholders are turned back."""


class Field:
    """One text: pieces in, what may leave out. `fed` counts the characters that came."""

    __slots__ = ("_note", "_restorer", "_track", "fed", "path")

    def __init__(self, track: Track, restorer: Restorer | None, note: Note | None = None) -> None:
        self._note = note
        self._track = track
        self._restorer = restorer
        self.path = track.path
        self.fed = 0

    @property
    def blocker(self) -> Run | None:
        """The record of the policy that stopped the text; nothing leaves after that."""
        return self._track.window.blocked

    @property
    def changed(self) -> bool:
        """Whether what left is not what came."""
        return self._track.window.changed or (self._restorer is not None and self._restorer.changed)

    @property
    def left(self) -> int:
        """Characters of the original text that have left, or been replaced."""
        return self._track.window.left - (self._restorer.held if self._restorer is not None else 0)

    @property
    def due(self) -> float | None:
        """When, in seconds of the event loop's clock, a clause has been held long enough; None when none is held."""
        return self._track.due

    async def late(self) -> str:
        """What may leave of a clause that has been held long enough."""
        return self._restored(await self._track.late(), final=False)

    async def take(self, text: str, *, final: bool) -> str:
        """What may leave now."""
        self.fed += len(text)
        if not self.fed:
            return ""  # nothing ever came: there is nothing to ask anybody about
        return self._restored(await self._track.take(text, final=final), final=final)

    def _restored(self, given: str, *, final: bool) -> str:
        if self._note is not None and given:
            self._note(self.path, given)
        if self._restorer is None:
            return given
        given = self._restorer.feed(given)
        return given + self._restorer.close() if final or self.blocker is not None else given


class JsonField:
    """A text that holds JSON (tool arguments): every string in it is a text, and is written back with its escapes.

    A string of which nothing changed leaves as it came, character for character; in one that changed, what leaves
    together with the change has its shortest escapes. So two ways of cutting the text may differ in how a character is
    written, never in what the JSON says.
    """

    __slots__ = ("_current", "_guard", "_pending", "_reader", "changed", "path")

    def __init__(self, guard: "Fields", path: str) -> None:
        self._guard = guard
        self._reader = jsontext.Reader()
        self._current: Field | None = None
        self._pending: list[tuple[str, str]] = []
        self.path = path
        self.changed = False

    @property
    def blocker(self) -> Run | None:
        """As for a `Field`."""
        return self._current.blocker if self._current is not None else None

    @property
    def left(self) -> int:
        """Of JSON nobody counts; tokens of it leave at its end."""
        return 0

    @property
    def due(self) -> None:
        """A string of JSON is held to the end of its clause: nobody reads half of one."""
        return

    async def take(self, text: str, *, final: bool) -> str:
        """What may leave now."""
        parts = self._reader.feed(text)
        if final:
            parts += self._reader.close()
        out: list[str] = []
        for part in parts:
            if self.blocker is not None:
                return "".join(out)
            out.append(await self._part(part))
        if final and self._current is not None and self.blocker is None:
            out.append(await self._piece(jsontext.Part("loose", ""), final=True))
        return "".join(out)

    async def _part(self, part: jsontext.Part) -> str:
        if part.kind == "signs":
            return part.raw
        if part.kind == "number":
            return await self._number(part) if walk.readable(part) else part.raw
        return await self._piece(part, final=part.ends)

    async def _number(self, part: jsontext.Part) -> str:
        field = self._guard.field(self.path)
        given = await field.take(part.text, final=True)
        if field.blocker is not None:
            self._current = field
            return ""
        if given == part.text:
            return part.raw
        self.changed = True
        return walk.WRITTEN["number"](given)

    async def _piece(self, part: jsontext.Part, *, final: bool) -> str:
        """A piece of a string, or of what is no JSON."""
        field = self._current
        if field is None:
            field = self._current = self._guard.field(self.path)
        if part.text:
            self._pending.append((part.raw, part.text))
        given = await field.take(part.text, final=final)
        taken = self._taken(field.fed - field.left)
        out = "".join([raw for raw, _ in taken])
        if given != "".join([text for _, text in taken]):
            self.changed = True
            out = walk.WRITTEN[part.kind](given)
        if final and field.blocker is None:
            self._current = None
        return out

    def _taken(self, held: int) -> list[tuple[str, str]]:
        """The pieces that came first, without the `held` last characters: they have left, or been replaced."""
        pending = self._pending
        room = sum(len(text) for _, text in pending) - held
        taken: list[tuple[str, str]] = []
        while pending and room > 0:
            raw, text = pending[0]
            if len(text) > room:  # only a piece without escapes has more than one character
                taken.append((raw[:room], text[:room]))
                pending[0] = (raw[room:], text[room:])
                break
            taken.append(pending.pop(0))
            room -= len(text)
        return taken


class Fields:
    """Guards one answer.

    Args:
        policies: all that are loaded; those that do not concern `context`, whose stage is `output`, are left out.
        vault: the request's, after its texts were judged.
        draw: decides which requests a policy with a `sample` looks at.
        max_held: characters of a field held for one unfinished candidate.
    """

    def __init__(
        self,
        policies: Sequence[Policy],
        context: Context,
        *,
        vault: Vault | None = None,
        draw: Draw = by_chance,
        max_held: int = MAX_HELD,
        note: Note | None = None,
    ) -> None:
        self._note = note
        self._runs = begin(policies, context, draw)
        self._plan: Plan = plan(self._runs, context, max_held)
        self._vault = vault if vault is not None else Vault()
        self._tracks: list[Track] = []
        self._seen = False
        self.coming = False
        """Whether a stream is under way, whose texts are still to come; set by whoever reads it."""

    @property
    def idle(self) -> bool:
        """Whether nothing can come of looking: no policy concerns the answer, and no placeholder may stand in it."""
        return not self._runs and self._vault.restorer() is None

    @property
    def enforcing(self) -> bool:
        """Whether some policy is enforced on this answer."""
        return self._plan.doomed is not None or bool(self._plan.enforced)

    @property
    def waits(self) -> bool:
        """Whether guards are asked that take their time."""
        return bool(self._plan.held_for or self._plan.by_clause)

    def verdicts(self) -> tuple[Verdict, ...]:
        """One of each policy that matched, as far as the answer has come. Of an answer of which nothing came only those
        that could not have judged it."""
        if not (self._seen or self.coming):
            return unable(self._runs)
        for run in self._runs:
            if run.policy.asked and run.live and id(run) not in self._plan.judged:
                run.fail("skipped")
            run.found.sort(key=lambda finding: (finding.path, finding.start, finding.end))
        return tuple(run.verdict("output") for run in self._runs)

    def unread(self) -> None:
        """Note that something of the answer was not judged, for nobody can read it."""
        self._seen = True
        for run in self._runs:
            run.fail("skipped")

    def field(self, path: str) -> Field:
        """A new text at `path`."""
        self._seen = True
        track = Track(self._plan, path, self._vault.branch())
        if self._plan.observers:
            self._tracks.append(track)
        return Field(track, self._vault.restorer(), self._note)

    def opened(self, leaf: walk.Leaf) -> "Field | JsonField":
        """A new text for a leaf of an answer."""
        return JsonField(self, leaf.path) if leaf.kind == "json" else self.field(leaf.path)

    def tokens(self, path: str) -> Tokens:
        """The logprobs of a text."""
        return Tokens(self._plan, path)

    async def observe(self) -> None:
        """Ask those guards that only observe, now that the answer is over."""
        texts = [Text(track.path, track.text) for track in self._tracks if track.text]
        if not texts:
            return
        questions = [Question(run, guard, texts) for run, guard in self._plan.observers]
        for question, found in zip(questions, await ask_all(questions, self._plan.context), strict=True):
            self._plan.judged.add(id(question.run))
            question.run.found += found or ()
