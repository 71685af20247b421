"""The guard `limits`: how long a text may be, which scripts it may be written in, and characters that do not show.

It is two guards by one name. Characters that do not show are found where they are, at every cut of a stream
(`InvisibleGuard`). Size and script are properties of a whole text (`SizesGuard`): their findings stand at 0 to 0.
Language is judged by script alone, from the share of letters of other scripts; that is cheap and tells Russian from
English, but not French from English.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from gateway.config.fields import Count, Strict
from gateway.guards.base import Action, Context, Finding, Scope, Text
from gateway.guards.limits_characters import (
    ANY,
    ASCII_CONTROLS,
    KINDS,
    LOOK_BACK,
    RUNS,
    Kind,
    Script,
    excused,
    letters,
    members,
    other_scripts,
)

NAME = "limits"
OBFUSCATION = "obfuscation"
SIZE = "size"
LANGUAGE = "language"

FEW = 8
"""Letters of other scripts that are always let pass: a name, a sign, a unit."""


class Invisible(Strict):
    """What is done about characters that do not show."""

    action: Action = Field("redact", description="What is done about them.")
    kinds: tuple[Kind, ...] = Field(
        ("control", "zero-width", "joiner", "bidi", "bidi-mark", "tag", "variation", "filler"),
        description="Which are looked for; soft-hyphen only where it is named.",
    )


class Scripts(Strict):
    """Which scripts a text may be written in."""

    allowed: Annotated[tuple[Script, ...], Field(min_length=1)] = Field(description="Scripts, such as latin, cyrillic.")
    share: float = Field(0.2, ge=0, lt=1, description="Share of letters that may be of other scripts.")
    action: Action = Field("block", description="What is done about a text with more of them.")


def _invisible(value: Action | Invisible | None) -> Invisible | None:
    return value if isinstance(value, Invisible) or value is None else Invisible(action=value)


def _scripts(value: tuple[Script, ...] | Scripts | None) -> Scripts | None:
    return Scripts(allowed=value) if isinstance(value, tuple) else value


class LimitsConfig(Strict):
    """Settings of the guard `limits`; what is left out is not looked at."""

    characters: Count | None = Field(None, description="The most characters a text may have.")
    lines: Count | None = Field(None, description="The most lines.")
    tokens: Count | None = Field(None, description="The most tokens, as the gateway counts them.")
    action: Action = Field("block", description="What is done about a text that is too long.")
    invisible: Annotated[Action | Invisible | None, AfterValidator(_invisible)] = Field(
        None, description="Characters that do not show: an action, or an action and the kinds."
    )
    scripts: Annotated[tuple[Script, ...] | Scripts | None, AfterValidator(_scripts)] = Field(
        None, description="Scripts a text may be written in: a list, or a list with the share of others and an action."
    )

    @model_validator(mode="after")
    def _limits_something(self) -> "LimitsConfig":
        if not any((self.characters, self.lines, self.tokens, self.invisible, self.scripts)):
            raise ValueError("must limit something: characters, lines, tokens, invisible or scripts")
        return self


@dataclass(frozen=True, slots=True)
class InvisibleGuard:
    """Finds characters that do not show; each run of one kind is one finding, of the rule `invisible-<kind>`."""

    kinds: frozenset[Kind]
    action: Action
    name: str = NAME

    def find(self, text: str, path: str) -> list[Finding]:
        """Every run that ordinary writing does not have."""
        return [
            Finding(NAME, f"invisible-{kind}", OBFUSCATION, self.action, path, start, end)
            for start, end, kind in self._runs(text)
        ]

    def settled(self, text: str) -> int:
        """Where the run starts that `text` ends in, be it excused or not: it may grow."""
        for kind in self.kinds:
            if (at := len(text.rstrip(_CHARACTERS[kind]))) < len(text):
                return at
        return len(text)

    def shortest_context(self) -> int:
        """As far back as what excuses a character."""
        return LOOK_BACK + 1

    def _runs(self, text: str) -> list[tuple[int, int, Kind]]:
        if _shows(text):
            return []
        found = []
        for run in RUNS.finditer(text):
            if run.lastgroup is None:  # a flag
                continue
            kind = KINDS[int(run.lastgroup[1:])]
            if kind in self.kinds and not excused(kind, text, run.start(), run.end()):
                found.append((run.start(), run.end(), kind))
        return found


_CHARACTERS = {kind: members(kind) for kind in KINDS}


def _shows(text: str) -> bool:
    """Is every character of `text` one that shows, or white space?"""
    if text.isascii():
        raw = text.encode()
        return len(raw.translate(None, ASCII_CONTROLS)) == len(raw)
    return ANY.search(text) is None


@dataclass(frozen=True, slots=True)
class SizesGuard:
    """Measures whole texts. `others` finds letters of scripts that are not allowed, `share` of which may be there."""

    characters: int | None
    lines: int | None
    tokens: int | None
    action: Action
    count: Callable[[str], int] = field(repr=False)
    others: re.Pattern[str] | None = field(default=None, repr=False)
    share: float = 0.0
    script_action: Action = "block"
    name: str = NAME
    scope: Scope = "whole"

    async def check(self, texts: Sequence[Text], context: Context) -> list[Finding]:
        """What is too long, and what is written in another script; at 0 to 0 of each text it is true of."""
        found = []
        for text in texts:
            found += [self._finding(rule, text.path) for rule in self._exceeded(text.value)]
            if self._other_script(text.value):
                found.append(Finding(NAME, "script", LANGUAGE, self.script_action, text.path, 0, 0))
        return found

    def _finding(self, rule: str, path: str) -> Finding:
        return Finding(NAME, rule, SIZE, self.action, path, 0, 0)

    def _exceeded(self, text: str) -> list[str]:
        rules = []
        if self.characters is not None and len(text) > self.characters:
            rules.append("characters")
        if self.lines is not None and text.count("\n") >= self.lines:
            rules.append("lines")
        # A token is at least a byte: what has no more bytes than tokens are allowed is not counted.
        if self.tokens is not None and _bytes(text) > self.tokens and self.count(text) > self.tokens:
            rules.append("tokens")
        return rules

    def _other_script(self, text: str) -> bool:
        if self.others is None:
            return False
        other = sum(map(len, self.others.findall(text)))
        return other > FEW and other > self.share * letters(text)


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def build(config: LimitsConfig, count: Callable[[str], int]) -> tuple[InvisibleGuard | SizesGuard, ...]:
    """The guards for `config`: one for characters that do not show, one for size and script, or both.

    Args:
        count: the number of tokens in a text; it must be able to count any text.
    """
    guards: list[InvisibleGuard | SizesGuard] = []
    if isinstance(config.invisible, Invisible) and config.invisible.action != "allow":
        guards.append(InvisibleGuard(frozenset(config.invisible.kinds), config.invisible.action))
    scripts = config.scripts if isinstance(config.scripts, Scripts) else None
    if scripts is not None or config.characters or config.lines or config.tokens:
        sizes = (config.characters, config.lines, config.tokens, config.action, count)
        if scripts is None:
            guards.append(SizesGuard(*sizes))
        else:
            guards.append(SizesGuard(*sizes, other_scripts(scripts.allowed), scripts.share, scripts.action))
    return tuple(guards)
