"""One text under the guard `pii`, as it comes: what has been found is remembered until it has been settled.

Whole texts are read so too, in one piece: what is found hangs on the text alone, not on how it came.
"""

from copy import copy

from gateway.guards.pii.custom import Owned
from gateway.guards.pii.detect import Detector, Entity, Seeking
from gateway.guards.pii.plain import plain
from gateway.guards.pii.trail import KEPT, NEAR, Trail

_LONG = 640
"""Characters that may be kept before it is asked which are needed."""


class _View:
    """One view of the text, and what looks at it."""

    __slots__ = ("owned", "seeking", "trail")

    def __init__(self, trail: Trail, seeking: Seeking, owned: Owned | None) -> None:
        self.trail = trail
        self.seeking = seeking
        self.owned = owned

    def __copy__(self) -> "_View":
        return _View(copy(self.trail), copy(self.seeking), copy(self.owned))

    def look(self, *, closing: bool, asked: set[int] | None = None) -> tuple[list[Entity], int]:
        found, held = self.seeking.look(self.trail, closing=closing, asked=asked), self.seeking.held
        if self.owned is not None:
            found += self.owned.look(self.trail, closing=closing)
            held = min(held, self.owned.held)
        return found, held

    @property
    def needs(self) -> int:
        """From where on the text will be looked at again."""
        needs = self.seeking.needs if self.owned is None else min(self.seeking.needs, self.owned.reached)
        return min(needs - NEAR, self.trail.size - KEPT)

    @property
    def at_rest(self) -> bool:
        """Is nothing under way?"""
        size = self.trail.size
        return self.seeking.held == self.seeking.reached == size and (
            self.owned is None or self.owned.held == self.owned.reached == size
        )


class Reading:
    """Reads one text. Places are characters counted from its beginning.

    Args:
        obfuscated: look at the text as a reader sees it as well.
        allowed: values that are no findings.
    """

    __slots__ = ("_allowed", "_found", "_obfuscated", "_seen", "_written")

    def __init__(
        self, detector: Detector, owned: Owned | None, *, obfuscated: bool, allowed: frozenset[str] = frozenset()
    ) -> None:
        remember = max(map(len, allowed), default=0)
        self._written = _View(Trail(), Seeking(detector, remember), owned)
        self._seen: _View | None = None
        self._obfuscated = obfuscated
        self._allowed = allowed
        self._found: dict[tuple[str, int, int], float] = {}

    def __repr__(self) -> str:
        return f"<Reading {self._written.trail.size} characters, {len(self._found)} findings not settled>"

    def more(self, text: str, since: int, *, closing: bool, asked: set[int] | None = None) -> tuple[list[Entity], int]:
        """What is known of all that starts at `since` or later, after `text` has come, and up to where that is settled.

        Args:
            since: where what has been settled before ends.
            closing: nothing more comes.
            asked: which recognizers may find anything in the text as it is written, when that is known.

        Raises:
            TimeoutError, ValueError: the text could not be judged.
        """
        written, trail = self._written, self._written.trail
        if self._obfuscated and not text.isascii() and (seen := plain(text)) is not None:
            if self._seen is None:
                self._seen = copy(written)
            self._seen.trail.add_seen(seen)
        elif self._seen is not None:
            self._seen.trail.add(text)
        trail.add(text)
        if self._found:
            self._found = {key: score for key, score in self._found.items() if key[1] >= since}
        found, held = written.look(closing=closing, asked=asked)
        for name, start, end, score in found:
            self._note(name, start, end, score)
        growing = written.seeking.growing(trail)
        if self._seen is not None:
            held = min(held, self._look_again(self._seen, closing=closing))
            growing += self._grown(self._seen)
        known = [(*key, score) for key, score in self._found.items()]
        known += (one for one in growing if one[:3] not in self._found)
        if known:
            known.sort(key=lambda one: (one[1], one[2], one[0]))
            for _, start, end, _ in () if closing else reversed(known):
                if start < held < end:
                    held = start
        if len(trail.text) > _LONG:
            self._trim()
        return known, max(held, since)

    def _look_again(self, seen: _View, *, closing: bool) -> int:
        """Look at the text as a reader sees it; up to where that is settled."""
        found, held = seen.look(closing=closing)
        for name, start, end, score in found:
            start, end = seen.trail.span(start, end)
            if (name, start, end) not in self._found:
                self._note(name, start, end, score)
        return self._written.trail.size if closing else seen.trail.written(held)

    def _grown(self, seen: _View) -> list[Entity]:
        size = self._written.trail.size
        return [
            (name, seen.trail.written(start), size, score) for name, start, _, score in seen.seeking.growing(seen.trail)
        ]

    def _note(self, name: str, start: int, end: int, score: float) -> None:
        trail = self._written.trail
        if self._allowed and start >= trail.base and trail.text[start - trail.base : end - trail.base] in self._allowed:
            return
        self._found[name, start, end] = score

    def _trim(self) -> None:
        """Forget what will not be looked at again."""
        written, seen = self._written, self._seen
        keep = written.needs
        if seen is not None:
            keep = min(keep, seen.trail.written(max(seen.needs, 0)))
            seen.trail.trim(seen.needs, seen.seeking.held)
            if written.at_rest and seen.at_rest and written.trail.is_like(seen.trail):
                self._seen = None
        written.trail.trim(keep, keep)
