"""Links in a text as it comes; see `gateway.guards.pii.seekers`."""

from collections.abc import Collection
from copy import copy

from gateway.guards.linear import Linear
from gateway.guards.pii import islands
from gateway.guards.pii.islands import MAX_HOST, PATH, SCHEME
from gateway.guards.pii.recognizers import COMPILE, FOLD, Hit, Recognizer
from gateway.guards.pii.trail import Trail

_BEGUN = COMPILE(r"(?:/{0,2}:s?ptth|([a-z0-9.\-]*)(?://:s?ptth)?)[\"']?", FOLD).match
"""Backwards from the end of a text: the beginning of a scheme, or the name of a machine with what is before it."""
_QUOTES = ("'", '"')
_BEFORE = (*_QUOTES, "/")
_SCHEMED, _BARE, _QUOTED_SCHEMED, _QUOTED = range(4)
"""Presidio's patterns of links, in its order."""


class Links:
    """Looks for links, around each top-level domain: the name of a machine, with a scheme and quotation marks before
    it, with a path behind it.

    A path may be of any length: of a longer link than `remember` characters nothing is kept.
    """

    __slots__ = ("_domains", "_ends", "_open", "_remember", "_seen", "held", "index", "needs", "one", "reached")

    def __init__(self, index: int, one: Recognizer, domains: Linear, remember: int = 0) -> None:
        self.index = index
        self.one = one
        self._domains = domains
        self._remember = remember
        self._ends = [0, 0, 0, 0]
        self._open: list[tuple[int, int]] = []
        self._seen = self.reached = self.held = self.needs = 0

    def __copy__(self) -> "Links":
        other = Links(self.index, self.one, self._domains, self._remember)
        other._ends, other._open, other._seen = copy(self._ends), copy(self._open), self._seen
        other.reached, other.held, other.needs = self.reached, self.held, self.needs
        return other

    def look(self, trail: Trail, asked: Collection[int], *, closing: bool) -> list[tuple[Recognizer, Hit]]:
        """The links that are sure now."""
        text, base = trail.text, trail.base
        size = len(text)
        hits: list[Hit] = []
        if not self._open:
            trail.forget()
        else:
            over = int(PATH.match(text, self._seen - base).end())
            if over < size or closing:
                before, self._open = self._open, []
                for kind, start in before:
                    self._take(trail, kind, start, over, hits)
        reached = size
        if self.index in asked:
            reached = self._around(trail, hits, closing=closing)
        held = size
        if not closing and text[-1:] != " ":
            begun = _BEGUN(text[-MAX_HOST - SCHEME - 1 :][::-1])
            host = max(begun.end(1), 0)
            if host <= MAX_HOST:
                reached, held = min(reached, size - host), size - begun.end()
        self._seen = size + base
        self.needs = self.reached = reached + base
        self.held = held + base
        if self._open:
            self.held = min(self.held, *(start for _, start in self._open))
            if self._seen - self.held <= self._remember:
                self.needs = min(self.needs, self.held)
        return [(self.one, hit) for hit in hits]

    def growing(self) -> list[Hit]:
        """The links that go on at the end of the text."""
        return [(start, self._seen, self.one.patterns[kind].score) for kind, start in self._open if kind <= _BARE]

    def _around(self, trail: Trail, hits: list[Hit], *, closing: bool) -> int:
        """Look around each top-level domain; where the name of a machine begins that may go on."""
        text = trail.text
        size = len(text)
        since = done = max(self.reached - trail.base, 0)
        run = 0
        for start, _ in self._domains.spans(trail.folded[since:]):
            if since + start < done:
                continue
            first, done = islands.host(text, since + start)
            if done - first > MAX_HOST:
                continue
            if done == size and not closing:
                return first
            run = self._host(trail, first, done, hits, run, closing=closing)
        return size

    def _host(self, trail: Trail, first: int, last: int, hits: list[Hit], run: int, *, closing: bool) -> int:
        """The links whose name of a machine stands from `first` to `last`.

        Args:
            run: where the last path that was looked at ended. One that begins in it ends there too.

        Returns:
            The same for the next.
        """
        text, base = trail.text, trail.base
        path = text[last : last + 1] == "/"
        if path and run <= last:
            run = int(PATH.match(text, last).end())
        over = run if path else last
        goes_on = path and over == len(text) and not closing
        begin = islands.scheme(text, first) if text[first - 1 : first] in _BEFORE else first
        quoted = text[begin] in _QUOTES
        schemed = begin + quoted < first
        if (bare := self.one.patterns[_BARE].expression.match(text, first, last)) is not None:
            whole = path and bare.end() == last
            for kind, start in ((_BARE, first), (_SCHEMED, begin + quoted)):
                if kind == _BARE or schemed:
                    self._link(trail, kind, start + base, over if whole else bare.end(), hits, goes_on and whole)
        if quoted and self.one.patterns[_QUOTED].expression.fullmatch(f'"{text[first:last]}"'):
            self._link(trail, _QUOTED_SCHEMED if schemed else _QUOTED, begin + base, over, hits, goes_on)
        return run

    def _link(self, trail: Trail, kind: int, start: int, over: int, hits: list[Hit], goes_on: bool) -> None:
        """A link of this kind from the place `start` to the index `over`, if no other of its kind hides it."""
        if start < self._ends[kind] or any(kind == other for other, _ in self._open):
            return
        if goes_on:
            self._open.append((kind, start))
            trail.note(start)
        else:
            self._take(trail, kind, start, over, hits)

    def _take(self, trail: Trail, kind: int, start: int, over: int, hits: list[Hit]) -> None:
        """A link that is over; one in quotation marks only counts if there is the second."""
        if kind > _BARE:
            if trail.text[over : over + 1] not in _QUOTES:
                return
            over += 1
        end = self._ends[kind] = over + trail.base
        hits.append((start, end, self.one.patterns[kind].score))
