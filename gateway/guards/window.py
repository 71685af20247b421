"""A text that comes in pieces, guarded: what may leave now leaves now, and nothing leaves that is regretted later.

For every way of cutting a text, what `feed` and `close` give out, put together, is what guarding the whole text at once
gives (policies.md §4). Text is held from the earliest place where some guard could still change its mind
(`SpanGuard.settled`); of what has left, only as much is kept as guards look back at, so the work is linear.
"""

from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter

from gateway.guards import merge
from gateway.guards.base import Finding
from gateway.guards.looking import Fresh, Hits, Noted, look, needed, readers
from gateway.guards.overlong import Place, Swallowed, decide, lifted
from gateway.guards.policy import Run
from gateway.guards.vault import Vault

MAX_HELD = 16_384
"""Characters that are held for one unfinished candidate; a longer one is treated as a match."""

PATIENT = 512
"""From this many held characters on, guards look again only when a quarter has been added: each character of a long
candidate is looked at a bounded number of times."""


class Window:
    """One text under the span guards of some policies.

    Args:
        runs: the policies' records; findings and failures are noted there. All are taken to be enforced.
        path: where the text stands, as findings name it.
        vault: issues the placeholders of this text: a branch of the request's vault.
        observing: only note findings; nothing is held, changed or blocked, and nothing is given out.
        max_held: characters held for one unfinished candidate.

    `blocked` is the record of the policy that stopped the text, or None; nothing leaves after that. `changed` says that
    something was masked, hashed or removed. `left` counts the characters of the original text that have left or been
    replaced.
    """

    __slots__ = (
        "_base", "_buffer", "_context", "_extra", "_fresh", "_look_at", "_max_held", "_observing", "_readers", "_runs",
        "_sent", "_swallowed", "_vault", "blocked", "changed", "path",
    )  # fmt: skip

    def __init__(
        self,
        runs: Sequence[Run],
        path: str,
        vault: Vault,
        *,
        observing: bool = False,
        max_held: int = MAX_HELD,
    ) -> None:
        self._runs = runs
        self._readers = readers(runs)
        self._context = max([run.policy.context for run in runs], default=0)
        self._observing = observing
        self._max_held = max_held
        self._vault = vault
        self._buffer = ""
        self._base = 0
        self._sent = 0
        self._fresh = 0
        self._look_at = 1
        self._extra: list[Noted] = []
        self._swallowed: Swallowed | None = None
        self.path = path
        self.blocked: Run | None = None
        self.changed = False

    def __repr__(self) -> str:
        held = len(self._buffer) - self._sent
        return f"<Window {self.path} left={self.left} held={held} blocked={self.blocked is not None}>"

    @property
    def left(self) -> int:
        """Characters of the original text that have left, or been replaced."""
        return self._base + self._sent

    def feed(self, text: str, found: Sequence[Noted] | None = None) -> str:
        """What may leave after `text` has come.

        Args:
            found: what guards that are waited for found in `text`, at places counted from its start; they will find
                nothing more in it. The text is then taken in one piece.
        """
        if self.blocked is not None:
            return ""
        if found is None:
            if len(self._buffer) - self._sent + len(text) >= self._max_held:
                return self._in_slices(text)
            self._take(text)
            return self._timed() if len(self._buffer) - self._sent >= self._look_at else ""
        at = self._base + len(self._buffer) + self._skipped
        self._extra += ((_moved(finding, at, len(text)), run) for finding, run in found)
        self._take(text)
        return self._timed() + self._bounded()

    def close(self, text: str = "") -> str:
        """The rest of the text, after its end has come with `text`."""
        if not text and len(self._buffer) == self._sent and not self._extra and self._swallowed is None:
            return ""  # everything was settled
        given = ""
        if len(self._buffer) - self._sent + len(text) >= self._max_held:
            given = self.feed(text)
        else:
            self._take(text)
        return given if self.blocked is not None else given + self._timed(closing=True)

    def block(self, run: Run) -> None:
        """Stop the text for a reason found elsewhere; what is held is dropped."""
        self.blocked = self.blocked or run
        self._buffer = self._buffer[: self._sent]

    def _take(self, text: str) -> None:
        """Put `text` where guards will look at it."""
        self._buffer += text
        self._fresh += len(text)

    @property
    def _skipped(self) -> int:
        return self._swallowed.skipped if self._swallowed is not None else 0

    def _timed(self, *, closing: bool = False) -> str:
        began = perf_counter()
        given = self._advance(closing=closing)
        spent = perf_counter() - began
        for run in self._runs:
            run.duration += spent
        return given

    def _in_slices(self, text: str) -> str:
        """Take a long text so that whether a candidate is over-long hangs on the text and not on how it came."""
        given: list[str] = []
        at = 0
        while at < len(text) and self.blocked is None:
            room = max(1, self._max_held - (len(self._buffer) - self._sent))
            self._take(text[at : at + room])
            at += room
            given += (self._timed(), self._bounded())
        return "".join(given)

    def _look(self, *, closing: bool) -> list[Hits] | None:
        """See `look`; a guard that fails stops the text, or is not asked again, as its policy says."""
        buffer, swallowed = self._buffer, self._swallowed
        text = buffer[len(buffer) - self._fresh :] if self._fresh else ""
        cut, missing = (swallowed.cut, swallowed.skipped) if swallowed is not None else (0, 0)
        fresh = Fresh(text, self._base, self._sent, cut, missing)
        self._fresh = 0
        hits, failed = look(self._readers, buffer, self.path, fresh, closing=closing)
        for reader, reason in failed:
            reader.run.fail("error", f"{reader.guard.name}: {reason}")
            self._readers.remove(reader)
            if reader.run.policy.fail_mode == "block" and not self._observing:
                self.block(reader.run)
        return hits

    def _advance(self, *, closing: bool) -> str:
        """Let every guard look at what is held, and give out what is settled."""
        hits = self._look(closing=closing)
        if self.blocked is not None:
            return ""
        if hits is None and not self._extra and self._swallowed is None:
            given = self._buffer[self._sent :]
            self._keep(len(self._buffer), ())
            return "" if self._observing else given
        return self._settle(hits or [], closing=closing)

    def _settle(self, hits: list[Hits], *, closing: bool) -> str:
        """Carry out what is settled."""
        end = len(self._buffer)
        limit = max(self._sent, min((one.settled for one in hits), default=end))
        found = [pair for pair in self._pending(hits) if pair[0].start < limit or closing]
        edits = [] if self._observing else merge.edits(((hit, run.policy.form(hit.guard)) for hit, run in found), end)
        if edits and edits[-1].end > limit:
            limit = edits.pop().start
        given: list[str] = []
        done = self._sent
        for edit in edits:
            given.append(self._buffer[done : edit.start])
            done = edit.end
            if edit.action == "block":
                stopped = [pair for pair in found if pair[0].start < edit.end]
                self._note(stopped)
                self._sent = edit.start
                self.block(next(run for hit, run in stopped if _blocks(hit, edit.start)))
                return "".join(given)
            given.append(self._vault.replacement(edit.action, edit.rule, edit.form, self._value(edit.start, edit.end)))
            self.changed = True
        given.append(self._buffer[done:limit])
        self._note([pair for pair in found if pair[0].start < limit or closing])
        self._extra = [] if closing else [one for one in self._extra if self._place(one[0].start) >= limit]
        self._keep(limit, hits)
        return "" if self._observing else "".join(given)

    def _pending(self, hits: Sequence[Hits]) -> list[Noted]:
        """Every finding in what is held, at its place in the buffer."""
        swallowed = self._swallowed
        pending = [
            (hit, one.reader.run)
            for one in hits
            for hit in one.found
            if hit.start >= self._sent and not (swallowed and swallowed.hides(one.reader, hit, self._base))
        ]
        pending += (
            (replace(hit, start=self._place(hit.start), end=self._place(hit.end)), run) for hit, run in self._extra
        )
        if swallowed is not None:
            end = swallowed.resolved(hits, self._base, len(self._buffer))
            if end is not None:
                start = swallowed.finding.start - self._base
                pending.append((replace(swallowed.finding, start=start, end=end), swallowed.holder.run))
        return pending

    def _bounded(self) -> str:
        """Decide about a candidate that is as long as all that may be held; what may leave then."""
        if len(self._buffer) - self._sent < self._max_held or self.blocked is not None:
            return ""
        hits = self._look(closing=False)
        if not hits or self.blocked is not None:
            return ""
        end = len(self._buffer)
        hits = lifted(hits, end)
        holder = min(hits, key=lambda one: one.settled)
        if holder.settled > self._sent:
            return self._settle(hits, closing=False)
        place = Place(self.path, self._base, self._sent, end, self._base + self._sent + self._max_held // 2)
        decided = decide(self._swallowed, hits, holder, place)
        if isinstance(decided, Swallowed):
            self._swallowed = decided
            self._buffer = decided.drop(self._buffer, self._base, self._max_held // 4)
            self._look_at = 1
        else:
            self._note([decided])
            if self._observing:
                self._keep(end, ())
            else:
                self.block(decided[1])
        return ""

    def _place(self, at: int) -> int:
        """A place of the whole text as one of the buffer."""
        swallowed = self._swallowed
        missing = swallowed.skipped if swallowed is not None and at > swallowed.cut else 0
        return max(at - self._base - missing, 0)

    def _value(self, start: int, end: int) -> str:
        """What stands from `start` to `end`."""
        swallowed = self._swallowed
        if swallowed is not None and start <= swallowed.cut - self._base < end:
            return swallowed.value(self._buffer, start, end, self._base)
        return self._buffer[start:end]

    def _note(self, found: Sequence[Noted]) -> None:
        """Write findings into their policies' records, at their places in the whole text."""
        for hit, run in found:
            start, end = hit.start + self._base, hit.end + self._base
            if (swallowed := self._swallowed) is not None:
                start += swallowed.skipped if start >= swallowed.cut else 0
                end += swallowed.skipped if end > swallowed.cut else 0
            run.found.append(replace(hit, start=start, end=end))

    def _keep(self, limit: int, hits: Sequence[Hits]) -> None:
        """Everything before `limit` has left; forget what no guard looks back at, but never the front of a finding."""
        swallowed = self._swallowed
        gone = needed(hits, limit - self._context)
        if swallowed is not None and limit > swallowed.cut - self._base:
            self._base += swallowed.skipped
            self._swallowed = None
        if gone > 0:
            self._buffer = self._buffer[gone:]
            self._base += gone
            limit -= gone
        self._sent = limit
        held = len(self._buffer) - limit
        self._look_at = held + (held >> 2 if held >= PATIENT else 1)


def _moved(finding: Finding, by: int, length: int) -> Finding:
    """A finding in a piece of `length` characters at its place in the text the piece belongs to."""
    return replace(finding, start=finding.start + by, end=(finding.end or length) + by)


def _blocks(hit: Finding, start: int) -> bool:
    """Whether this is the finding for which the text is stopped at `start`."""
    return hit.action == "block" and hit.start >= start
