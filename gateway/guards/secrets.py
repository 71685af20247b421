"""The guard `secrets`: keys, tokens and passwords, by what they look like.

One pass over the text finds the keywords of all rules; only the rules whose keyword is there look any further, and only
around it. A rule reads a shape that says whether it has run out of text (`gateway.guards.shapes`), so a stream is held
only from where a secret may have begun.

A secret without a bound (an armoured key, a long token) is a finding from its shortest confirming beginning on, and
reaches to its end. While the text ends inside it, the finding ends where the text ends and `settled` is its start: it
is growing, and is held; one that outgrows what a stream may hold is a match, and is swallowed to its end.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, Field

from gateway.config.fields import Strict
from gateway.config.source import closest
from gateway.guards.base import Action, Finding
from gateway.guards.beginnings import Beginnings, beginnings, lowered
from gateway.guards.keywords import Keywords
from gateway.guards.secrets_rule import NEAR, Place, Rule
from gateway.guards.secrets_rules_generic import RULES
from gateway.guards.shapes import Scan, Shape

NAME = "secrets"
EVERY = "*"

_LOOK_BACK = 4
"""Characters before a keyword that decide whether it may stand there."""
_WORD_START = re.compile(r"(?<![A-Za-z0-9_+/-])[A-Za-z0-9_+/~]")
_ESCAPED = re.compile(r"\\[nrt]|%[0-9A-Fa-f]{2}")

Span = tuple[int, int, int]
"""Start and end of a secret, and the index of its rule."""


class Reaction(Strict):
    """What is done about secrets of a rule or a category, and how sure a rule must be for that."""

    action: Action = Field("block", description="What is done about a finding.")
    score: float = Field(0.0, ge=0, le=1, description="Findings of rules that are less sure are left out.")


_NAMES = frozenset({EVERY, *(rule.id for rule in RULES), *(rule.category for rule in RULES)})


def _known(rules: Mapping[str, Action | Reaction]) -> Mapping[str, Action | Reaction]:
    for name in rules:
        if name not in _NAMES:
            raise ValueError(f"names {name}, which is no rule and no category{closest(name, sorted(_NAMES))}")
    return rules


class SecretsConfig(Strict):
    """Settings of the guard `secrets`."""

    rules: Annotated[dict[str, Action | Reaction], AfterValidator(_known)] = Field(
        {},
        description="Actions by rule, by category or by * for all; the most particular counts, block when none does.",
    )
    allow_list: tuple[str, ...] = Field((), description="Texts that are no secrets: a key of a tutorial, a test token.")
    entropy: float = Field(
        3.0, ge=0, le=8, description="Bits per character from which an assigned password or key counts as random."
    )


class Asked(NamedTuple):
    """A rule, by its index, that a keyword asks; `endless` are the runs without a bound among `shapes`."""

    rule: int
    place: Place
    shapes: tuple[Shape, ...]
    endless: tuple[re.Pattern[str], ...]


@dataclass(frozen=True, slots=True)
class SecretsGuard:
    """Finds secrets. `rules` are those that are run and what is done about theirs; `asked` those of each keyword."""

    rules: tuple[tuple[Rule, Action], ...] = field(repr=False)
    asked: tuple[tuple[Asked, ...], ...] = field(repr=False)
    gate: Keywords = field(repr=False)
    starts: Beginnings = field(repr=False)
    entropy: float
    allowed: frozenset[str] = field(repr=False)
    name: str = NAME
    reach: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "reach", _reach(self.rules))

    def find(self, text: str, path: str) -> list[Finding]:
        """Every secret in `text`; one secret may be found by several rules."""
        return self._findings(self._scan(text)[0], path)

    def settled(self, text: str) -> int:
        """Where the first secret begins that what follows `text` could complete, prolong or refute."""
        return self._held(text, *self._scan(text))

    def judge(self, text: str, path: str) -> tuple[list[Finding], int]:
        """`find(text, path)` and `settled(text)` at once, for the price of one of them."""
        return self.judge_from(text, path, 0)

    def judge_from(self, text: str, path: str, since: int) -> tuple[list[Finding], int]:
        """What `judge` says of the part of `text` that is not settled yet.

        Args:
            since: where what has been settled before ends. Findings that start before it are left out.
        """
        found, hold = self._scan(text, since)
        return self._findings(found, path), self._held(text, found, hold)

    def _findings(self, found: set[Span], path: str) -> list[Finding]:
        findings = []
        for start, end, index in sorted(found):
            rule, action = self.rules[index]
            findings.append(Finding(NAME, rule.id, NAME, action, path, start, end, rule.score))
        return findings

    def _held(self, text: str, found: set[Span], hold: int) -> int:
        hold = min(hold, self.starts.unfinished(text, _may_start))
        for start, end, _ in sorted(found, reverse=True):
            if start < hold < end:
                hold = start
        return hold

    def shortest_context(self) -> int:
        """A keyword with what may stand between it and its secret."""
        return self.reach

    def _scan(self, text: str, since: int = 0) -> tuple[set[Span], int]:
        """What is found from `since` on, and the first start of what is undecided."""
        found: set[Span] = set()
        hold = len(text)
        looked: dict[int, tuple[int, int]] = {}
        for keyword, start, end in self.gate.hits(lowered(text)):
            for asked in self.asked[keyword]:
                if start < since and asked.place == "at":
                    continue
                for scan in _scans(asked, text, start, end, since, looked):
                    if scan.start < since:
                        continue
                    if scan.open and scan.start < hold:
                        hold = scan.start
                    if scan.end is not None and self._is_secret(self.rules[asked.rule][0], text[scan.start : scan.end]):
                        found.add((scan.start, scan.end, asked.rule))
        return found, hold

    def _is_secret(self, rule: Rule, value: str) -> bool:
        return value not in self.allowed and rule.holds(value, self.entropy)


def _reach(rules: tuple[tuple[Rule, Action], ...]) -> int:
    reach = 0
    for rule, _ in rules:
        gap = NEAR if rule.place == "near" else max(shape.lead for shape in rule.shapes)
        reach = max(reach, gap + (max(map(len, rule.keywords)) if rule.place != "at" else 0))
    return reach + _LOOK_BACK


def _scans(
    asked: Asked, text: str, start: int, end: int, since: int, looked: dict[int, tuple[int, int]]
) -> Iterator[Scan]:
    """What the shapes of a rule make of its keyword at `start` to `end`, mostly without what starts before `since`.

    `looked` says from where to where words near a keyword have been read for a rule, so that none is read twice.
    """
    if asked.place == "near":
        if start and text[start - 1].isalpha():
            return
        until = end + NEAR + 1
        first, last = looked.get(asked.rule, (end, end))
        for word in _WORD_START.finditer(text, max(since, end if end < first else max(end, last)), until):
            yield from _read(asked.shapes, text, word.start())
        looked[asked.rule] = (min(first, end), max(last, until))
    elif asked.place == "after":
        yield from _read(asked.shapes, text, end)
    elif _may_start(text, start) and not _inside_run(asked.endless, text, start):
        yield from _read(asked.shapes, text, start)


def _read(shapes: tuple[Shape, ...], text: str, at: int) -> Iterator[Scan]:
    for shape in shapes:
        scan = shape.scan(text, at)
        if scan is not None:
            yield scan


def _may_start(text: str, at: int) -> bool:
    r"""May a secret start at `at`? Not inside a word, except where an escape (`\n`, `%3D`) ends before it."""
    if at == 0 or not text[at].isalnum():
        return True
    before = text[at - 1]
    if not (before.isascii() and before.isalnum()):
        return True
    return _after_escape(text, at)


def _inside_run(endless: tuple[re.Pattern[str], ...], text: str, at: int) -> bool:
    """Does what stands before `at` belong to a run without end? Then it is part of it, and is not read again."""
    if not endless or at == 0 or not text[at].isalnum() or _after_escape(text, at):
        return False
    return any(run.fullmatch(text, at - 1, at) is not None for run in endless)


def _after_escape(text: str, at: int) -> bool:
    before = text[max(0, at - 3) : at]
    if "\\" not in before and "%" not in before:  # nearly always, and much cheaper than to match
        return False
    return any(_ESCAPED.fullmatch(text, max(0, at - size), at) is not None for size in (2, 3))


def build(config: SecretsConfig) -> SecretsGuard:
    """The guard for `config`; rules whose action is `allow`, or that are less sure than asked, are not run."""
    rules = tuple(
        (rule, reaction.action)
        for rule in RULES
        if (reaction := _reaction(rule, config.rules)).action != "allow" and rule.score >= reaction.score
    )
    asked: dict[str, list[Asked]] = {}
    for index, (rule, _) in enumerate(rules):
        for keyword in rule.keywords:
            shapes = tuple(s for s in rule.shapes if rule.place != "at" or s.opening.startswith(keyword))
            endless = tuple(run for shape in shapes for run in shape.endless)
            asked.setdefault(keyword.lower(), []).append(Asked(index, rule.place, shapes, endless))
    starts = beginnings(word for rule, _ in rules if rule.place == "at" for word in rule.keywords)
    by_keyword = tuple(map(tuple, asked.values()))
    return SecretsGuard(rules, by_keyword, Keywords(tuple(asked)), starts, config.entropy, frozenset(config.allow_list))


def _reaction(rule: Rule, rules: Mapping[str, Action | Reaction]) -> Reaction:
    for name in (rule.id, rule.category, EVERY):
        if name in rules:
            given = rules[name]
            return given if isinstance(given, Reaction) else Reaction(action=given)
    return Reaction()
