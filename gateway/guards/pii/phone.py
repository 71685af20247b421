"""Phone numbers, as Presidio's `PhoneRecognizer` finds them. The only place that imports phonenumbers.

`PhoneNumberMatcher` looks, for each region, from left to right for candidates: up to 21 groups of digits with
punctuation between them. Of a candidate it takes the whole, or a part between two breaks of one kind, and goes on
behind what it took, or else behind the candidate. So it is done here: with its own steps, but only for those candidates
and regions that can hold a number at all, and from where a text that comes in pieces was left
(`gateway.guards.pii.numbers`).
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import phonenumbers

SCORE = 0.4
"""The score of every finding, as in Presidio."""
_LENIENCY = phonenumbers.Leniency.VALID
_MATCHER: Any = import_module("phonenumbers.phonenumbermatcher")
_SECOND: Any = _MATCHER._SECOND_NUMBER_START_PATTERN
_UNWANTED: Any = _MATCHER._UNWANTED_END_CHAR_PATTERN
"""The matcher's own: where a second number begins in a candidate, and what no part of it ends in."""
MOST_BLANKS = 8
_BLANKS = re.compile(r"(\[[- \u00a0\\t,]+\])[*+]")
_CANDIDATE = re.compile(
    _BLANKS.sub(lambda found: f"{found[1]}{{{int(found[0][-1] == '+')},{MOST_BLANKS}}}", _MATCHER._PATTERN.pattern),
    _MATCHER._PATTERN.flags,
)
"""The matcher's own too, but for blanks before and behind the label of an extension: it takes any number of them."""
_AFTER = 4
"""Characters after a candidate that the matcher may look at."""
MAX_DIGITS = 100_000
"""Characters of candidates that the matcher looks at in one go, some 20 microseconds each. The matcher itself gives up,
silently, after 65,535 attempts."""
MOST_DIGITS = 50
"""Digits of a number at most: 17, with the codes before them and an extension of 20."""
LOOK_AHEAD = 64
"""Characters behind a candidate that decide about its end at most."""

_DASHES = "\u2010-\u2015\u2212\u30fc\uff0d-\uff0f"
_SPACES = " \u00a0\u00ad\u200b\u2060\u3000"
_PUNCTUATION = rf"[-x{_DASHES}{_SPACES}()\uff08\uff09\uff3b\uff3d.\[\]/~\u2053\u223c\uff5e]"
_LEAD = r"[(\[\uff08\uff3b+\uff0b]"
_BEFORE_LABEL = r"[ \u00a0\t,]{0,8}"
_LABEL = (
    r"(?:e?xt(?:ensi(?:o\u0301?|\u00f3))?n?|\uff45?\uff58\uff54\uff4e?|\u0434\u043e\u0431|anexo"
    r"|[x\uff58#\uff03~\uff5e]|int|\uff49\uff4e\uff54)"
)
_AFTER_LABEL = r"[:.\uff0e]?[ \u00a0\t,-]{0,8}"
FIRST = re.compile(rf"\d|{_LEAD}")
"""With what a candidate begins."""
_PLUS = "+\uff0b"

_LABELS = (
    "extension", "extensio\u0301n", "extensi\u00f3n", "extn", "ext", "xtension", "xtensio\u0301n", "xtensi\u00f3n",
    "xtn", "xt", "\uff45\uff58\uff54\uff4e", "\uff58\uff54\uff4e", "\u0434\u043e\u0431", "anexo", "int",
    "\uff49\uff4e\uff54", "x", "\uff58", "#", "\uff03", "~", "\uff5e",
)  # fmt: skip
_LABEL_BEGUN = "|".join(sorted({re.escape(label[:n]) for label in _LABELS for n in range(1, len(label) + 1)}, key=len))
_OPEN = re.compile(
    rf"{_PUNCTUATION}{{0,4}}|[- ]{{1,8}}(?:\d{{0,6}})|:[0-5]?"
    rf"|(?P<label>{_BEFORE_LABEL}(?:{_LABEL}{_AFTER_LABEL}|(?:{_LABEL_BEGUN})?)|;(?:e(?:xt?)?)?=?)",
    re.IGNORECASE,
)
"""What may stand between a candidate and the end of a text that may yet change what is found in it: what it may go on
with, or a time of day behind a date, with which it is none."""
_LEADING = re.compile(rf"(?:{_LEAD}{_PUNCTUATION}{{0,4}}){{1,2}}\Z", re.IGNORECASE)
_LEAD_LENGTH = 10
_GROUP = re.compile(r"\d+")
_ENDING = (re.compile(r"/+"), re.compile(r"\s+-\s*|-\s+"), re.compile(r"[\u2012-\u2015\uff0d]\s*"))
_PARTING = (re.compile(r"\s*(?=\()"), re.compile(r"\.+\s*"), re.compile(r"\s+"))
"""The kinds of breaks between which the matcher looks for numbers inside a candidate: behind the former a part goes on
to the candidate's end, behind the latter to the next break of the kind."""
_PLAIN = re.compile(rf"[\d\s().\[\]/{_DASHES}{_SPACES}\uff08\uff09\uff3b\uff3d-]+")

_KINDS = (
    "fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "voip", "personal_number", "pager", "uan",
    "voicemail",
)  # fmt: skip
"""The kinds of number one of which a valid number is."""
_GATE_GAP = r"(?:[-xX ()./\[\]~]|[\x{80}-\x{10FFFF}])*"
LEAST_DIGITS = 4
"""Digits of the shortest numbers there are, anywhere."""


@dataclass(frozen=True, slots=True)
class Region:
    """One region: its code, and what plain digits must look like to hold one of its numbers; None: anything."""

    code: str
    pattern: str | None = field(repr=False)
    plausible: Callable[[str], object] | None = field(repr=False)


def region(code: str) -> Region:
    """Raises ValueError: there is no such region, or it has numbers of fewer than four digits."""
    data = phonenumbers.PhoneMetadata.metadata_for_region(code)
    if data is None or data.country_code is None or data.general_desc is None:
        raise ValueError(f"{code!r} is not a region whose phone numbers are known")
    if min(data.general_desc.possible_length, default=0) < LEAST_DIGITS:
        raise ValueError(f"{code!r} has phone numbers that are too short to be told from other numbers")
    rule = data.national_prefix_transform_rule
    if rule and not re.fullmatch(r"\\\d", rule):
        return Region(code, None, None)  # it adds digits that are not in the text
    codes = phonenumbers.COUNTRY_CODE_TO_REGION_CODE[data.country_code]
    known = (phonenumbers.PhoneMetadata.metadata_for_region(other) for other in codes)
    kinds = (getattr(one, kind) for one in known if one for kind in _KINDS)
    patterns = {one.national_number_pattern for one in kinds if one and one.national_number_pattern}
    numbers = "|".join(f"(?:{one})" for one in sorted(patterns))
    national = f"(?:{data.national_prefix_for_parsing})?" if data.national_prefix_for_parsing and not rule else ""
    before = r"\d*" if rule else f"(?:{data.country_code})?{national}{national}"
    abroad = f"(?:{data.international_prefix}).{{3,}}|" if data.international_prefix else ""
    pattern = f"{abroad}{before}(?:{numbers})"
    return Region(code, pattern, re.compile(pattern, re.ASCII).fullmatch)


@dataclass(frozen=True, slots=True)
class Regions:
    """Several regions. `plausible` is None when one of them may have any number."""

    every: tuple[Region, ...]
    plausible: Callable[[str], object] | None = field(repr=False)
    least: int
    """Digits of the shortest number that does not begin with a plus."""

    def gate(self) -> str:
        """In RE2's syntax, and in a folded text: where it does not match there is no phone number."""
        group = f"(?:{_GATE_GAP}[0-9])"
        return rf"[0-9]{group}{{{self.least - 1}}}|[+\x{{FF0B}}]{group}{{{LEAST_DIGITS}}}"


def regions(codes: Sequence[str]) -> Regions:
    """Raises ValueError: one of `codes` is not to be had; see `region`."""
    every = tuple(map(region, codes))
    known = [one.pattern for one in every]
    union = None if None in known else re.compile("|".join(f"(?:{one})" for one in known), re.ASCII).fullmatch
    least = LEAST_DIGITS if None in known else min(_width(one) for one in known if one)
    return Regions(every, union, max(least, LEAST_DIGITS))


def _width(pattern: str) -> int:
    return int(import_module("re._parser").parse(pattern).getwidth()[0])


def leading(text: str) -> int:
    """Where at the end of `text` what may be the beginning of a number stands, without a digit as yet."""
    lead = _LEADING.search(text, max(0, len(text) - _LEAD_LENGTH))
    return lead.start() if lead else len(text)


def goes_on(text: str, end: int) -> tuple[bool, bool]:
    """May what follows `text` change a candidate that ends at `end`, and only by going on behind a label?"""
    if len(text) - end > LOOK_AHEAD:
        return False, False
    found = _OPEN.fullmatch(text, end)
    return found is not None, found is not None and bool(found["label"])


def candidate(text: str, index: int) -> tuple[int, int] | None:
    """The first candidate from `index` on."""
    first = FIRST.search(text, index)
    while first:
        found = _CANDIDATE.match(text, first.start())
        if found:
            start, end = found.span()
            if text.find("/", start, end) >= 0 and (second := _SECOND.search(text, start, end)):
                end = second.start()
            return start, end
        first = FIRST.search(text, first.end())
    return None


def is_short(text: str, start: int, end: int, regions: "Regions") -> bool:
    """Has a candidate too few characters to be a number?"""
    return end - start < regions.least and text[start] not in _PLUS


def possible(value: str, regions: "Regions", of: Sequence[Region]) -> Sequence[Region]:
    """For which of the regions `of` a candidate may hold a number."""
    if not _PLAIN.fullmatch(value):
        return of
    numbers = {digits for part in parts(value) if regions.least <= len(digits := _digits(part)) <= MOST_DIGITS}
    if not numbers or (regions.plausible is not None and not any(map(regions.plausible, numbers))):
        return ()
    return [one for one in of if one.plausible is None or any(map(one.plausible, numbers))]


def parts(value: str) -> Iterator[str]:
    """The parts of a candidate that the matcher may take, the whole of it first."""
    return (value[start:end] for start, end, _ in _spans(value))


def _spans(value: str) -> Iterator[tuple[int, int, bool]]:
    """Where those parts are, and whether they would grow with the candidate."""
    size = len(value)
    yield 0, size, True
    if value.isdecimal():
        return
    for kinds, on in ((_ENDING, True), (_PARTING, False)):
        for kind in kinds:
            first = -1
            for found in kind.finditer(value):
                if first < 0:
                    yield 0, found.start(), False
                elif not on:
                    yield first, found.start(), False
                first = found.end()
                if on:
                    yield first, size, True
            if first >= 0 and not on:
                yield first, size, True


def _digits(part: str) -> str:
    """The digits of a part, as ASCII has them."""
    found = "".join(_GROUP.findall(part))
    return found if found.isascii() else "".join(str(unicodedata.decimal(char)) for char in found)


class Looks:
    """What the matcher says of candidates and parts of them, for one region each; the last answers are remembered."""

    __slots__ = ("_known", "_matchers", "looked_at")

    def __init__(self) -> None:
        self._known: dict[tuple[str, int, int, str, bool], tuple[int, int] | None] = {}
        self._matchers: dict[str, Any] = {}  # one for each region, made once
        self.looked_at = 0

    def at(self, text: str, start: int, end: int, code: str, *, whole: bool) -> tuple[int, int] | None:
        """The number in the candidate (`whole`), or that is the part of one, from `start` to `end`.

        Raises:
            ValueError: more was asked than can be looked at.
        """
        begin = max(start - 1, 0)
        window = text[begin : end + _AFTER]
        key = (window, start - begin, end - begin, code, whole)
        if key not in self._known:
            self.looked_at += end - start
            if self.looked_at > MAX_DIGITS:
                raise ValueError("more digits than phone numbers are looked for in")
            if len(self._known) > _REMEMBERED:
                self._known.clear()
            matcher = self._matchers.get(code)
            if matcher is None:
                matcher = self._matchers[code] = phonenumbers.PhoneNumberMatcher("", code, leniency=_LENIENCY)
            matcher.text = window
            look = matcher._extract_match if whole else matcher._parse_and_verify
            found = look(window[start - begin : end - begin], start - begin)
            self._known[key] = (found.start, found.end) if found else None
        span = self._known[key]
        return (begin + span[0], begin + span[1]) if span else None


_REMEMBERED = 2_000


def begun(text: str, start: int, end: int, looks: Looks, of: Sequence[Region]) -> int:
    """Where in an unfinished candidate the first number may begin; `end` when nowhere.

    A part that goes on and has too many digits will not be a number, and one that is over is one already or never.
    """
    value = text[start:end]
    if end - start <= MOST_DIGITS:
        return start
    first = end - start
    for one, two, goes_on in _spans(value):
        if one >= first:
            continue
        if goes_on:
            if sum(map(len, _GROUP.findall(value, one))) <= MOST_DIGITS:
                first = one
            continue
        part = value[one:two]
        if (over := _UNWANTED.search(part)) is not None:
            two = one + over.start()
        if two - one >= LEAST_DIGITS and any(
            looks.at(text, start + one, start + two, region.code, whole=False) for region in of
        ):
            first = one
    return start + first
