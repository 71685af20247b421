"""Phone numbers, as Presidio's `PhoneRecognizer` finds them. The only place that imports phonenumbers.

`PhoneNumberMatcher` looks at runs of digits with punctuation between them, and at one character before and three after.
A text is cut into such runs; each is given to the matcher for those regions of which it can hold a number at all.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module

import phonenumbers

SCORE = 0.4
"""The score of every finding, as in Presidio."""
_LENIENCY = phonenumbers.Leniency.VALID
_AFTER = 4
"""Characters after a run that the matcher may look at."""
_MAX_GROUPS = 12
_MAX_DIGITS = 20
"""Digits in one group and in a number: longer groups are cut by the matcher, not by us."""
LONGEST = 48
"""Characters of a number. Of a longer run, the parts between its breaks are looked at, those of each kind of break."""
MAX_DIGITS = 100_000
"""Characters of runs that the matcher looks at in one text, some 20 microseconds each. The matcher itself gives up,
silently, after 65,535 attempts."""

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
_GAP = rf"(?:{_PUNCTUATION}{{0,4}}|[- ]{{1,8}}|{_BEFORE_LABEL}{_LABEL}{_AFTER_LABEL}|;ext=)"
_RUN = re.compile(rf"(?:{_LEAD}{_PUNCTUATION}{{0,4}}){{0,2}}\d+(?:{_GAP}\d+)*", re.IGNORECASE)

_FIRST = re.compile(rf"\d|{_LEAD}")
_PLUS = "+\uff0b"

_LABELS = (
    "extension", "extensio\u0301n", "extensi\u00f3n", "extn", "ext", "xtension", "xtensio\u0301n", "xtensi\u00f3n",
    "xtn", "xt", "\uff45\uff58\uff54\uff4e", "\uff58\uff54\uff4e", "\u0434\u043e\u0431", "anexo", "int",
    "\uff49\uff4e\uff54", "x", "\uff58", "#", "\uff03", "~", "\uff5e",
)  # fmt: skip
_LABEL_BEGUN = "|".join(sorted({re.escape(label[:n]) for label in _LABELS for n in range(1, len(label) + 1)}, key=len))
_OPEN = re.compile(
    rf"(?:{_PUNCTUATION}{{0,4}}|[- ]{{1,8}}|(?P<label>{_BEFORE_LABEL}(?:{_LABEL}{_AFTER_LABEL}|(?:{_LABEL_BEGUN})?)"
    rf"|;(?:e(?:xt?)?)?=?|#)|:[0-5]?)(?:{_LEAD}{_PUNCTUATION}{{0,4}}){{0,2}}",
    re.IGNORECASE,
)
"""What may stand between a run and the end of a text that does not yet end the run, or that it still depends on."""
_LEADING = re.compile(rf"(?:{_LEAD}{_PUNCTUATION}{{0,4}}){{1,2}}\Z", re.IGNORECASE)
_LEAD_LENGTH = 10
_STAMP = re.compile(r"[12]\d{3}[-/]?[01]\d[-/]?[0-3]\d +[0-2]\d:[0-5]\Z")
"""A time of day after a date is no number once its minutes have come, as the matcher has it."""
_STAMP_LENGTH = 24
_OPEN_LENGTH = 64
"""Characters that `_LEADING` and `_OPEN` take at most."""
_FAR = 256
"""Characters before the end of a run in which its beginning is looked for."""
_GROUP = re.compile(r"\d+")
_BREAKS = (
    re.compile(r"/+|\s+-\s*|-\s+|[\u2012-\u2015\uff0d]\s*|\s*(?=\()"),
    re.compile(r"\.+\s*"),
    re.compile(r"\s+"),
)
"""The kinds of breaks between which the matcher looks for numbers inside a run."""
_MORE = re.compile(rf"{_PUNCTUATION}{{1,4}}\d")
_PLAIN = re.compile(r"[0-9\s().\[\]/-]+", re.ASCII)

_KINDS = (
    "fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "voip", "personal_number", "pager", "uan",
    "voicemail",
)  # fmt: skip
"""The kinds of number one of which a valid number is."""
_BREAK = re.compile(r"[/(.\s]+")
"""Where the matcher looks for a number inside a run. Not at a hyphen, unless a space stands beside it."""

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


def runs(text: str) -> Iterator[tuple[int, int]]:
    """The runs of digits of a text."""
    first = _FIRST.search(text)
    while first:
        match = _RUN.match(text, first.start())
        if match:
            yield match.span()
        first = _FIRST.search(text, match.end() if match else first.end())


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


def find(text: str, regions: Regions, since: int = 0) -> list[tuple[int, int]]:
    """The phone numbers in `text` that end behind `since`, in order.

    Raises:
        ValueError: it holds more runs of digits than can be looked at.
    """
    found: set[tuple[int, int]] = set()
    known: dict[tuple[str, int, int], set[tuple[int, int]]] = {}
    looked_at = 0
    for first, last in runs(text):
        if last <= since or (last - first < regions.least and text[first] not in _PLUS):
            continue
        for start, end in _parts(text, first, last):
            if end <= since or (end - start < regions.least and text[start] not in _PLUS):
                continue
            # The last group before a # may be an extension.
            stretches = None if text[end : end + 1] == "#" else _stretches(text[start:end])
            if not _possible(stretches, regions):
                continue
            looked_at += end - start
            if looked_at > MAX_DIGITS:
                raise ValueError("more digits than phone numbers are looked for in")
            begin = start - 1 if start and not text[start - 1].isdecimal() else start
            window = text[begin:end] + _behind(text, end)
            if (place := (window, start - begin, end - begin)) not in known:
                known[place] = _in_part(*place, stretches, regions)
            found.update((begin + one, begin + two) for one, two in known[place])
    return sorted(found)


def _behind(text: str, end: int) -> str:
    """What of the text behind a part the matcher may look at: never a digit of the next part."""
    more = _MORE.match(text, end)
    return text[end : min(end + _AFTER, more.end() - 1) if more else end + _AFTER]


def _parts(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The run from `start` to `end`; of one that is too long, its parts."""
    if end - start <= LONGEST:
        yield start, end
        return
    for kind in _BREAKS:
        first = start
        for cut in kind.finditer(text, start, end):
            if first < cut.start() <= first + LONGEST:
                yield first, cut.start()
            first = cut.end()
        if first < end <= first + LONGEST:
            yield first, end


def _last_part(text: str, start: int, end: int) -> int:
    """Where a part of the run from `start` starts that may go on behind `end`; `len(text)` when there is none."""
    if end - start <= LONGEST:
        return start
    held = len(text)
    for kind in _BREAKS:
        first = max((cut.end() for cut in kind.finditer(text, start, end)), default=start)
        if end - first <= LONGEST:
            held = min(held, first)
    return held


def _in_part(window: str, start: int, end: int, stretches: list[str] | None, regions: Regions) -> set[tuple[int, int]]:
    """The numbers in the part of `window` from `start` to `end`."""
    found: set[tuple[int, int]] = set()
    for one in regions.every:
        if stretches is not None and one.plausible is not None and not any(map(one.plausible, stretches)):
            continue
        for match in phonenumbers.PhoneNumberMatcher(window, one.code, leniency=_LENIENCY):
            span = (match.start, match.end)
            if span[0] >= end:
                break
            if span == (start, end) and end - start <= _MAX_DIGITS:
                return {span}  # all that other regions could find is inside it
            found.add(span)
    return found


def _stretches(run: str) -> list[str] | None:
    """The digits of every stretch of whole groups of `run`; None when a number in it may be something else."""
    if run.isascii() and run.isdecimal():
        return [run] if len(run) <= _MAX_DIGITS else None
    if not _PLAIN.fullmatch(run):
        return None
    if max(map(len, _GROUP.findall(run))) > _MAX_DIGITS:
        return None
    groups = ["".join(_GROUP.findall(part)) for part in _BREAK.split(run)]
    if len(groups) > _MAX_GROUPS:
        return None
    count = len(groups)
    return ["".join(groups[i:j]) for i in range(count) for j in range(i + 1, count + 1)]


def undecided(text: str, regions: Regions) -> int:
    """Where a number at the end of `text` that is not yet decided may begin; `len(text)` when there is none."""
    size = len(text)
    hold = size
    last = _GROUP.search(text[-_OPEN_LENGTH:][::-1])
    if last is not None:
        after = _OPEN.fullmatch(text, size - last.start())
        if after:
            start = _run_start(text, size - last.start())
            run = _RUN.match(text, start)
            if not after["label"] or (run and _possible(_stretches(run.group()), regions)):
                hold = _last_part(text, start, size - last.start())
    if _STAMP.search(text, max(0, size - _STAMP_LENGTH)):
        hold = _last_part(text, _run_start(text, size - 2), size - 2)
    lead = _LEADING.search(text, max(0, size - _LEAD_LENGTH))
    return min(hold, lead.start()) if lead else hold


def _run_start(text: str, end: int) -> int:
    """Where the run that ends at `end` starts, or a place in it more than `LONGEST` before its end."""
    start = end
    for match in _RUN.finditer(text, max(0, end - _FAR), end):
        start = match.start()
    return start


def _possible(stretches: list[str] | None, regions: Regions) -> bool:
    """Can one of these be a number?"""
    return stretches is None or regions.plausible is None or any(map(regions.plausible, stretches))
