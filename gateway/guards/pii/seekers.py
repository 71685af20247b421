"""What looks for personal data in a text as it comes: from left to right, on from where it has got to.

Presidio looks for each pattern from left to right and goes on behind each match, so that what counts in a row of
matches that overlap hangs on where the row began. This is kept from one look to the next: where the last match of each
pattern ended. So all is found that Presidio finds in the whole text, in rows of any length, and no more is held than
one match is long, with what overlaps it. `reached` is the place before which no match begins that is not known; `held`
the place before which no match begins that what follows may still change.
"""

from collections.abc import Callable, Collection, Sequence
from copy import copy

from gateway.guards.linear import Linear
from gateway.guards.pii import islands, recognizers
from gateway.guards.pii.islands import IBAN_REACH, MAX_LOCAL
from gateway.guards.pii.recognizers import COMPILE, FOLD, LONGEST_MATCH, Hit, Recognizer
from gateway.guards.pii.trail import Trail

_TOKEN = COMPILE(r"[\w\-:./%+\]\u0080-\U0010ffff]*")
_DIGITS = COMPILE(r"[-. ]?\d+(?:[-. ]\d+)*")
_IBAN_START = COMPILE(r"[A-Z]{2}[0-9]{2}", FOLD).search
_IBAN_BEGUN = COMPILE(r"(?:[A-Z]{2}[0-9]|[A-Z]{1,2})\Z", FOLD).search
_WORD = COMPILE(r"\w").match
_NO_WORD = COMPILE(r"\W*").match
_REACH = LONGEST_MATCH + 2
_SHORT = 32

Found = list[tuple[Recognizer, Hit]]
Undecided = Callable[[Trail, int], int]
"""Of a text, and an index of it before which all is known: the index from which a match may still be changed."""


class Patterned:
    """Looks for the patterns of the recognizers of one cut (`gateway.guards.pii.islands`), in its pieces."""

    __slots__ = ("_chosen", "_cut", "_ends", "_undecided", "held", "reached")

    def __init__(self, cut: str, chosen: Sequence[tuple[int, Recognizer]], undecided: Undecided) -> None:
        self._cut = cut
        self._chosen = chosen
        self._undecided = undecided
        self._ends: dict[tuple[int, int], int] = {}
        self.reached = self.held = 0

    def __copy__(self) -> "Patterned":
        other = Patterned(self._cut, self._chosen, self._undecided)
        other._ends, other.reached, other.held = copy(self._ends), self.reached, self.held
        return other

    def look(self, trail: Trail, asked: Collection[int], *, closing: bool) -> Found:
        """The matches that are sure now, of the recognizers `asked`.

        Raises:
            TimeoutError: a pattern took too long.
        """
        text, base = trail.text, trail.base
        upto = trail.size if closing else self._undecided(trail, self.reached - base) + base
        found: Found = []
        if upto <= self.reached:
            return found
        chosen = [one for one in self._chosen if one[0] in asked] if asked else None
        if chosen:
            first = max(self.reached - base - 1, 0)
            part = text[first:]
            pieces = islands.cut(part, islands.CUTS[self._cut](part))
            if pieces.text:
                first += base
                for index, one in chosen:
                    self._search(index, one, pieces, first, upto, found)
        self.reached = self.held = upto
        return found

    def _search(self, index: int, one: Recognizer, pieces: islands.Pieces, first: int, upto: int, found: Found) -> None:
        """What `one` finds in the pieces of a text that begins at `first`, up to `upto`."""
        since = pieces.forth(self.reached - first)
        for number, pattern in enumerate(one.patterns):
            key = (index, number)
            done = self._ends.get(key, 0)
            begin = since if done <= self.reached else pieces.forth(done - first)
            for match in pattern.expression.finditer(pieces.text, begin, timeout=recognizers.SECONDS):
                start, end = match.span()
                offset = pieces.back(start) + first - start
                if start + offset >= upto:
                    break
                self._ends[key] = end + offset
                if (hit := one.judged(pieces.text, pattern, match)) is not None:
                    found.append((one, (hit[0] + offset, hit[1] + offset, hit[2])))


def open_piece(cut: str, chosen: Sequence[Recognizer]) -> Undecided:
    """What may be under way in the piece at the end of a text, cut by words (`token`), or by groups of digits."""
    words = cut == "token"
    run = _TOKEN if words else _DIGITS
    prefix = begun(chosen)

    def undecided(trail: Trail, reached: int) -> int:
        text = trail.text
        size = len(text)
        if text[-1:] == " " and (words or not text[-2:-1].isdecimal()):
            return size
        start = size - islands.behind(run, text, size, max(0, reached, size - _REACH))
        if start == size:
            return size
        plain = trail.folded[start:]
        if len(plain) <= _SHORT and plain.isalpha():
            return start
        at = prefix.start(plain)
        return size if at < 0 else start + at

    return undecided


def open_iban(one: Recognizer) -> Undecided:
    """What may be an IBAN under way at the end of a text."""
    prefix = begun((one,))

    def undecided(trail: Trail, reached: int) -> int:
        text = trail.text
        size = len(text)
        base = max(0, reached, size - IBAN_REACH)
        if not _IBAN_START(text, base):
            found = _IBAN_BEGUN(text, max(base, size - 3))
            return found.start() if found else size
        at = prefix.start(trail.folded[base:])
        return size if at < 0 else base + at

    return undecided


def begun(chosen: Sequence[Recognizer]) -> Linear:
    """With what a match may begin at the end of a text."""
    return Linear(rf"(?:{'|'.join(one.prefix for one in chosen)})\z")


class Addresses:
    """Looks for e-mail addresses, around each @. `reached` is the next @ whose domain may go on."""

    __slots__ = ("_done", "_one", "held", "reached")

    def __init__(self, one: Recognizer) -> None:
        self._one = one
        self._done = 0
        self.reached = self.held = 0

    def __copy__(self) -> "Addresses":
        other = Addresses(self._one)
        other._done, other.reached, other.held = self._done, self.reached, self.held
        return other

    def look(self, trail: Trail, asked: Collection[int], *, closing: bool) -> Found:
        """The addresses that are sure now.

        Raises:
            TimeoutError: the pattern took too long.
        """
        text, base = trail.text, trail.base
        size = len(text)
        found: Found = []
        at = text.find("@", self.reached - base)
        while at >= 0:
            end = islands.domain(text, at)
            first = max(at - islands.local(text, at), self._done - base)
            if first < at:
                if end == size and end - at <= islands.MAX_DOMAIN and not closing:
                    break
                self._match(trail, at, first, end, found)
            at = text.find("@", at + 1)
        self.reached = (size if at < 0 else at) + base
        self.held = size + base if closing else self._begun(text, size if at < 0 else at, self._done - base) + base
        return found

    def _match(self, trail: Trail, at: int, first: int, end: int, found: Found) -> None:
        """The address around the @ at `at`, its name not before `first`."""
        text, pattern = trail.text, self._one.patterns[0]
        match = pattern.expression.search(text, first, end, timeout=recognizers.SECONDS)
        if match is None:
            return
        hit = self._one.judged(text, pattern, match)
        if hit is not None:
            # A name cut off at its longest is hidden from there, not from the next word in it.
            cut_off = at - first == MAX_LOCAL and first != self._done - trail.base
            start = int(_NO_WORD(text, first).end()) if cut_off else hit[0]
            found.append((self._one, (start + trail.base, hit[1] + trail.base, hit[2])))
        self._done = match.end() + trail.base

    def _begun(self, text: str, end: int, done: int) -> int:
        """Where an address may begin whose name goes on up to `end`."""
        if text[end - 1 : end] == " ":
            return end
        length = islands.local(text, end)
        held = max(end - length, done)
        if held and held == done and _WORD(text, held - 1):  # at the edge of a word, behind another address
            return held
        if length == MAX_LOCAL and held and _WORD(text, held - 1):
            return held
        return min(int(_NO_WORD(text, held).end()), len(text))
