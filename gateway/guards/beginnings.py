"""The ends of texts that may be beginnings of words, and texts made fit for a search by keywords."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

_SURROGATES = re.compile("[\ud800-\udfff]")


def lowered(text: str) -> str:
    """`text` in lower case, as long as before, with every lone surrogate as U+FFFD, so that it can be UTF-8."""
    low = text.lower()
    if len(low) != len(text):  # U+0130 alone becomes two characters
        low = text.replace("\u0130", "i").lower()
    return encodable(low)


def encodable(text: str) -> str:
    """`text` with every lone surrogate as U+FFFD, as long as before."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return _SURROGATES.sub("\ufffd", text)
    return text


@dataclass(frozen=True, slots=True)
class Beginnings:
    """The proper beginnings of a set of words, to know whether a text ends inside one."""

    parts: frozenset[str] = field(repr=False)
    longest: int

    def unfinished(self, text: str, may_start: Callable[[str, int], bool]) -> int:
        """The first index from which on `text` is the beginning of a word; `len(text)` when there is none.

        Args:
            may_start: whether a word may start at an index of the text.
        """
        size = len(text)
        for at in range(max(0, size - self.longest), size):
            if text[at:] in self.parts and may_start(text, at):
                return at
        return size


def beginnings(words: Iterable[str]) -> Beginnings:
    """What `words` begin with."""
    parts = frozenset(word[:length] for word in words for length in range(1, len(word)))
    return Beginnings(parts, max(map(len, parts), default=0))
