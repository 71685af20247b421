"""Entities of the operator's own: a regular expression in RE2's syntax, a score, context words, a checksum."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field

from gateway.config.fields import Strict
from gateway.guards.base import Action
from gateway.guards.expressions import Search, expression
from gateway.guards.pii import context

if TYPE_CHECKING:  # it brings the recognizers with it, which take a tenth of a second
    from gateway.guards.pii.trail import Trail


def _expression(value: str) -> str:
    expression(value, match_case=True)
    return value


def luhn(value: str) -> bool:
    """Cards, IMEI, SIREN: the sum of digits, every second one doubled, ends in 0."""
    digits = [int(char) for char in value if char.isdecimal()]
    doubled = (sum(divmod(2 * one, 10)) for one in digits[-2::-2])
    return len(digits) > 1 and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def mod97(value: str) -> bool:
    """ISO 7064 MOD 97-10: letters as two digits (A is 10), the whole number leaves 1 when divided by 97."""
    plain = [char for char in value if char.isalnum()]
    if not plain or not all(char.isascii() for char in plain):
        return False
    return int("".join(str(int(char, 36)) for char in plain)) % 97 == 1


def iban(value: str) -> bool:
    """MOD 97-10 after the first four characters have gone to the end."""
    plain = "".join(char for char in value if char.isalnum())
    return mod97(plain[4:] + plain[:4])


def mod11(value: str) -> bool:
    """Digits weighted 1, 2, 3, … from the right, X as 10 in the last place, add up to a multiple of 11: ISBN-10,
    NHS."""
    plain = [char for char in value.upper() if char.isalnum()]
    if len(plain) < 2 or not all(char.isdecimal() for char in plain[:-1]):
        return False
    last = 10 if plain[-1] == "X" else int(plain[-1]) if plain[-1].isdecimal() else None
    if last is None:
        return False
    return (last + sum(weight * int(char) for weight, char in enumerate(reversed(plain[:-1]), 2))) % 11 == 0


CHECKSUMS: Mapping[str, Callable[[str], bool]] = {"luhn": luhn, "mod97": mod97, "iban": iban, "mod11": mod11}


class CustomConfig(Strict):
    """One entity of the operator's own."""

    name: str = Field(pattern=r"^[A-Z][A-Z0-9_]{0,63}$", description="Its name in placeholders and logs: EMPLOYEE_ID.")
    regex: Annotated[str, AfterValidator(_expression)] = Field(
        min_length=1, max_length=1_000, description="RE2 syntax, case-sensitive unless it begins with (?i); bounded."
    )
    action: Action = Field("mask", description="What is done about it.")
    score: float = Field(0.5, ge=0, le=1, description="Score of a match; 1.0 with a right checksum.")
    threshold: float = Field(0.4, ge=0, le=1, description="Least score of a finding; a context word adds 0.35.")
    context: tuple[str, ...] = Field((), description="Words before a match that make it more credible.")
    checksum: Literal["luhn", "mod97", "iban", "mod11"] | None = Field(
        None, description="What the digits of a match must satisfy."
    )


@dataclass(frozen=True, slots=True)
class _Row:
    config: CustomConfig
    search: Search
    words: tuple[str, ...] = field(repr=False)


class Customs:
    """The custom entities of one guard."""

    def __init__(self, configs: tuple[CustomConfig, ...]) -> None:
        self.rows = tuple(
            _Row(one, Search((expression(one.regex, match_case=True),), whole=False), context.phrases(one.context))
            for one in configs
            if one.action != "allow"
        )

    def __repr__(self) -> str:
        return f"<Customs {' '.join(row.config.name for row in self.rows)}>"

    def owned(self) -> "Owned | None":
        """What looks for them in one text; None when there are none."""
        return Owned(self.rows) if self.rows else None


class Owned:
    """Looks for custom entities in a text as it comes; see `gateway.guards.pii.seekers`."""

    __slots__ = ("_ends", "_rows", "held", "reached")

    def __init__(self, rows: Sequence[_Row]) -> None:
        self._rows = rows
        self._ends = [0] * len(rows)
        self.reached = self.held = 0

    def __copy__(self) -> "Owned":
        other = Owned(self._rows)
        other._ends, other.reached, other.held = list(self._ends), self.reached, self.held
        return other

    def look(self, trail: "Trail", *, closing: bool) -> list[tuple[str, int, int, float]]:
        """Entity, start, end and score of every match that is sure now, and sure enough."""
        found: list[tuple[str, int, int, float]] = []
        first = max(self.reached - trail.base - 1, 0)  # what stands before a match may be looked at
        whole = _whole(trail.text[first:])
        first += trail.base
        upto = trail.size
        if not closing:
            undecided = min(row.search.undecided(whole) for row in self._rows)
            upto = max(first + undecided, self.reached)
        for number, row in enumerate(self._rows):
            for start, end in row.search.spans(whole):
                start, end = start + first, end + first
                if start >= upto:
                    break
                if start < self.reached or end <= self._ends[number]:
                    continue  # known, or inside another
                self._ends[number] = end
                if (score := _score(row, trail, start, end)) >= row.config.threshold:
                    found.append((row.config.name, start, end, score))
        self.reached = self.held = upto
        return found


def _score(row: _Row, trail: "Trail", start: int, end: int) -> float:
    """How sure a match is; less than nothing when its checksum is wrong."""
    score = row.config.score
    place, start, end = start, start - trail.base, end - trail.base
    if row.config.checksum:
        if not CHECKSUMS[row.config.checksum](trail.text[start:end]):
            return -1.0
        score = 1.0
    if score < 1.0 and trail.supports(place, row.words):
        score = context.raised(score)
    return score


def _whole(text: str) -> str:
    """`text` with a question mark for every lone surrogate, which is no character."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
