"""RE2: regular expressions in linear time. The only place that imports it.

Texts are searched as UTF-8, offsets are given in characters of the text. A lone surrogate, which is no text, is
searched as a question mark.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import re2  # type: ignore[import-untyped]

MAX_MEMORY = 64 << 20
"""Bytes one compiled expression, or one set of them, may use; more is an error when it is built, never "no match"."""


def compiled(pattern: str, *, longest: bool = False) -> Any:
    """`pattern`, as RE2 compiles it. `longest`: of the matches that start at one place, the longest.

    Raises:
        ValueError: it is not in RE2's syntax, or too large.
    """
    try:
        return re2.compile(pattern, _options(longest))
    except re2.error as error:
        raise ValueError("is not a regular expression in RE2's syntax, or too large") from error


def _options(longest: bool) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = MAX_MEMORY
    options.longest_match = longest
    return options


class Linear:
    """One compiled expression."""

    def __init__(self, pattern: str) -> None:
        """Raises ValueError: `pattern` is not in RE2's syntax, or too large."""
        self._compiled = compiled(pattern)

    def __repr__(self) -> str:
        return "<Linear>"

    def start(self, text: str) -> int:
        """Where the leftmost match in `text` starts; -1 for none. One match only, so it need not end there."""
        raw = text.encode("utf-8", "replace")
        found = self._compiled.search(raw)
        if found is None:
            return -1
        at: int = found.start()
        return at if len(raw) == len(text) else len(raw[:at].decode())

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """The match from every place where one begins, leftmost first, those of no length left out. They may overlap:
        whether one is found depends on no other, and so not on where the text was cut."""
        raw = text.encode("utf-8", "replace")
        plain = len(raw) == len(text)
        at = done = 0
        while (found := self._compiled.search(raw, done)) is not None:
            start, end = found.span()
            at += start - done if plain else len(raw[done:start].decode())
            if start < end:
                yield at, at + (end - start if plain else len(raw[start:end].decode()))
            done = start + 1
            at += 1
            while done < len(raw) and raw[done] & 0xC0 == 0x80:
                done += 1
            if done > len(raw):
                return


class LinearSet:
    """Several expressions, searched for in one pass."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._set: Any = re2.Set.SearchSet(_options(False))
        for pattern in patterns:
            self._set.Add(pattern)
        if patterns:
            self._set.Compile()
        self._size = len(patterns)

    def __repr__(self) -> str:
        return f"<LinearSet of {self._size}>"

    def hits(self, text: str) -> Sequence[int]:
        """Which of the expressions match somewhere in `text`, by their index."""
        if not self._size:
            return ()
        found: Sequence[int] | None = self._set.Match(text.encode("utf-8", "replace"))
        return found or ()
