"""Small real guards, and texts in which they find things: what the tests of the engine share.

Each keeps the contract of `SpanGuard.settled`, which `test_kit.py` holds against random texts.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from gateway.guards import merge
from gateway.guards.base import Action, Context, Finding, Scope, Text
from gateway.guards.policy import Policy, Run
from gateway.guards.vault import Vault

OUTPUT = Context("output")
INPUT = Context("input")


@dataclass(frozen=True)
class Pattern:
    """What the guards below have in common."""

    action: Action = "mask"
    name: str = "pattern"
    rule: str = "PATTERN"

    def at(self, path: str, start: int, end: int) -> Finding:
        return Finding(self.name, self.rule, "test", self.action, path, start, end)

    def shortest_context(self) -> int:
        return 48


_MAIL = re.compile(r"(?<![\w.@-])[a-z0-9.]{1,16}@[a-z0-9-]{1,16}\.[a-z]{2,8}(?![\w@-])", re.ASCII)
_MAIL_SIGNS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.@-")


@dataclass(frozen=True)
class Mail(Pattern):
    """`bob@corp.example`: of bounded length, between signs that are not its own."""

    name: str = "mail"
    rule: str = "EMAIL_ADDRESS"

    def find(self, text: str, path: str) -> list[Finding]:
        return [self.at(path, *match.span()) for match in _MAIL.finditer(text)]

    def settled(self, text: str) -> int:
        at = len(text)
        while at and len(text) - at <= 44 and text[at - 1] in _MAIL_SIGNS:
            at -= 1
        return at if len(text) - at <= 44 else len(text)


_HANDLE = re.compile(r"@[a-z0-9]{2,12}(?![a-z0-9])")
_HANDLE_END = re.compile(r"@[a-z0-9]{0,12}\Z")


@dataclass(frozen=True)
class Handle(Pattern):
    """`@bob`: overlaps with mail."""

    name: str = "handle"
    rule: str = "HANDLE"

    def find(self, text: str, path: str) -> list[Finding]:
        return [self.at(path, *match.span()) for match in _HANDLE.finditer(text)]

    def settled(self, text: str) -> int:
        found = _HANDLE_END.search(text, max(0, len(text) - 13))
        return found.start() if found else len(text)


def _unfinished(parts: Sequence[str]) -> str:
    """A pattern of every beginning of `parts`, one after another, at the end of a text."""
    pattern = r"\Z"
    for part in reversed(parts):
        pattern = rf"(?:\Z|{part}{pattern})"
    return pattern


_PHRASE = re.compile(r"\bblue\s{1,3}moon\s{1,3}rising\b")
_GAP = (r"\s", r"\s?", r"\s?")
_PHRASE_END = re.compile(r"\bb" + _unfinished([*"lue", *_GAP, *"moon", *_GAP, *"rising"]))


@dataclass(frozen=True)
class Phrase(Pattern):
    """`blue moon rising`: several words, any white space between them."""

    name: str = "phrases"
    rule: str = "blue-moon"

    def find(self, text: str, path: str) -> list[Finding]:
        return [self.at(path, *match.span()) for match in _PHRASE.finditer(text)]

    def settled(self, text: str) -> int:
        found = _PHRASE_END.search(text, max(0, len(text) - 20))
        return found.start() if found else len(text)


_BEGIN, _END = "BEGIN KEY", "END KEY"


@dataclass(frozen=True)
class Key(Pattern):
    """`BEGIN KEY … END KEY`: of any length; one that does not end is a key as well."""

    name: str = "secrets"
    rule: str = "private-key"

    def find(self, text: str, path: str) -> list[Finding]:
        found = []
        start = text.find(_BEGIN)
        while start >= 0:
            end = text.find(_END, start + len(_BEGIN))
            end = end + len(_END) if end >= 0 else len(text)
            found.append(self.at(path, start, end))
            start = text.find(_BEGIN, end)
        return found

    def settled(self, text: str) -> int:
        for finding in reversed(self.find(text, "")):
            if finding.end == len(text) and (len(text) - finding.start < 16 or not text.endswith(_END)):
                return finding.start
            break
        for size in range(min(len(_BEGIN) - 1, len(text)), 0, -1):
            if text.endswith(_BEGIN[:size]):
                return len(text) - size
        return len(text)


_DIGITS = re.compile(r"(?<!\d)(?<!\d[ -])\d(?:[ -]?\d){11,15}(?![ -]?\d)", re.ASCII)


@dataclass(frozen=True)
class Digits(Pattern):
    """Twelve to sixteen digits, signs between them, the sum of all a multiple of five."""

    name: str = "digits"
    rule: str = "CREDIT_CARD"

    def find(self, text: str, path: str) -> list[Finding]:
        return [
            self.at(path, *match.span())
            for match in _DIGITS.finditer(text)
            if sum(int(sign) for sign in match[0] if sign.isdigit()) % 5 == 0
        ]

    def settled(self, text: str) -> int:
        at = len(text)
        while at and len(text) - at <= 33:
            sign = text[at - 1]
            if not ("0" <= sign <= "9" or (sign in " -" and at > 1 and "0" <= text[at - 2] <= "9")):
                return at
            at -= 1
        return at if len(text) - at <= 33 else len(text)


@dataclass
class Asked:
    """A guard that is waited for: finds a word, or does what it is told."""

    word: str = "ponies"
    action: Action = "block"
    scope: Scope = "whole"
    name: str = "asked"
    pure: bool = False
    calls: list[tuple[Text, ...]] = field(default_factory=list)

    async def check(self, texts: Sequence[Text], context: Context) -> list[Finding]:
        self.calls.append(tuple(texts))
        return [
            Finding(self.name, self.word.upper(), "test", self.action, text.path, match.start(), match.end())
            for text in texts
            for match in re.finditer(re.escape(self.word), text.value)
        ]


def seeded(seed: object) -> Random:
    """The same chances for the same seed."""
    return Random(repr(seed))  # noqa: S311 - for tests


def all_guards(random: Random) -> tuple[Pattern, ...]:
    """Every guard, each with an action of its own, in any order."""
    kinds = [Mail, Handle, Phrase, Key, Digits]
    actions: list[Action] = ["mask", "mask", "mask", "redact", "hash", "flag", "allow", "block"]
    return tuple(kind(random.choice(actions)) for kind in random.sample(kinds, random.randint(1, 5)))


_PIECES = (
    "bob@corp.example", "al.ice@x.org", "a@b", "@carol", "@", "bob@corp.", "blue moon rising", "blue  moon\nrising",
    "blue moon ", "blue moons", "rising", "BEGIN KEY", "END KEY", "BEGIN", "KEY", "4111 1111 1111 1112", "411111111111",
    "4111-1111-1111-1113-9", "5", "55 ", "12", "-", ".", " ", "  ", "\n", "word", "the quick fox", ", ", "é",
    "\U0001f600", "<EMAIL_ADDRESS_1>", "x" * 50, "9" * 20,
)  # fmt: skip


def text(random: Random, most: int = 12) -> str:
    """Prose with things to find, things that are nearly that, and pieces of both."""
    parts = []
    for _ in range(random.randint(0, most)):
        piece = random.choice(_PIECES)
        if random.random() < 0.15:
            at = random.randint(0, len(piece))
            piece = piece[:at] if random.random() < 0.5 else piece[at:]
        parts.append(piece)
        if random.random() < 0.4:
            parts.append(" ")
    return "".join(parts)


def cut(random: Random, whole: str) -> list[str]:
    """`whole` in pieces, some of them empty."""
    if random.random() < 0.2:
        return list(whole)
    places = sorted(random.randint(0, len(whole)) for _ in range(random.randint(0, 12)))
    return [whole[a:b] for a, b in zip([0, *places], [*places, len(whole)], strict=True)]


def guarded_at_once(policies: Sequence[Policy], whole: str, vault: Vault) -> tuple[str, bool]:
    """What guarding a whole text gives, and whether it is blocked: then, what stands before the place."""
    found = [
        (finding, policy.form(finding.guard))
        for policy in policies
        for guard in policy.spans
        for finding in guard.find(whole, "p")
    ]
    edits = merge.edits(found, len(whole))
    for number, edit in enumerate(edits):
        if edit.action == "block":
            return merge.apply(whole[: edit.start], edits[:number], vault), True
    return merge.apply(whole, edits, vault), False


def runs(policies: Sequence[Policy]) -> list[Run]:
    return [Run(policy) for policy in policies]
