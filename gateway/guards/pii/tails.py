"""Up to where a text is decided, whatever follows it.

For each cut (`gateway.guards.pii.islands`) a match may only be under way in the piece at the end of the text: from the
first place from which one may still become, or grow; and, where a match that is there already overlaps that, from where
it began, or those that it overlaps (`gateway.guards.pii.rows`). So never more is held than a match is long, with those
that overlap it; only a link may be of any length.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, get_args

from gateway.guards.linear import Linear
from gateway.guards.pii import detect, islands, phone, rows, shapes
from gateway.guards.pii.defaults import Cut
from gateway.guards.pii.detect import Detector
from gateway.guards.pii.islands import IBAN_REACH, MAX_DOMAIN, MAX_HOST, MAX_LOCAL, PATH, SCHEME, behind
from gateway.guards.pii.phone import Regions
from gateway.guards.pii.recognizers import COMPILE, FOLD, LONGEST_MATCH, OTHER_DIGITS, Pattern, Recognizer

_TOKEN = COMPILE(r"[\w\-:./%+\]\u0080-\U0010ffff]*")
_DIGITS = COMPILE(r"[-. ]?\d+(?:[-. ]\d+)*")
_IBAN_START = COMPILE(r"[A-Z]{2}[0-9]{2}", FOLD).search
_IBAN_BEGUN = COMPILE(r"(?:[A-Z]{2}[0-9]|[A-Z]{1,2})\Z", FOLD).search
_WORD = COMPILE(r"\w").match
_NO_WORD = COMPILE(r"\W*").match
_HOST_BEGUN = COMPILE(r"(?:/{0,2}:s?ptth|[a-z0-9.\-]*(?://:s?ptth)?)[\"']?", FOLD).match
_FAR = rows.ROW + rows.LONGEST
"""Characters before a place in which there may be matches that overlap it, or those that they overlap."""


@dataclass(frozen=True, slots=True)
class Open:
    """The open piece of one cut: how far it goes on, what may match in it, and with what a match may begin."""

    run: Any
    shape: Linear
    prefix: Linear
    recognizers: tuple[Recognizer, ...] = field(repr=False)

    def held(self, text: str, least: int) -> int:
        """Where the undecided part of `text` begins, or `least` when that is earlier."""
        size = len(text)
        start = size - behind(self.run, text, size, max(0, size - _REACH))
        if start >= least:
            return least
        plain = shapes.folded(text[start:], OTHER_DIGITS)
        held = start + self.prefix.start(plain)
        if held < start or (held >= least and plain.isalpha()):
            return least
        far = max(start, held - _FAR)
        if far == held or self.shape.start(plain[far - start :]) < 0:
            return min(held, least)
        return min(least, *(_chained(text, one, one.patterns, held) for one in self.recognizers))


def _chained(text: str, one: Recognizer, patterns: Sequence[Pattern], held: int) -> int:
    """Where the matches begin that overlap what is under way from `held` on."""
    for pattern in patterns:
        if spans := pattern.spans(text, max(0, held - _FAR), held):
            held = rows.under_way(spans, partial(one.judged, text, pattern), held)
    return held


@dataclass(frozen=True, slots=True)
class Tails:
    """What may be held for a detector: each of `each` takes a text and the place from which it is held already."""

    each: tuple[Callable[[str, int], int], ...] = field(repr=False)

    def held(self, text: str) -> int:
        """Where the undecided part of `text` begins; its length when all of it is decided."""
        held = len(text)
        for one in self.each:
            held = one(text, held)
        return held


def tails(detector: Detector) -> Tails:
    """The tails of what `detector` looks for."""
    each: list[Callable[[str, int], int]] = []
    by_cut = {cut: tuple(one for one in detector.recognizers if one.cut == cut) for cut in get_args(Cut)}
    # Addresses first: they hold every word, and what the others hold is mostly in it.
    each += (partial(_address, one) for one in by_cut["email"])
    each += (partial(_link, one, detector.paths) for one in by_cut["url"])
    for cut, run in (("token", _TOKEN), ("digits", _DIGITS)):
        if chosen := by_cut[cut]:
            shape = Linear("|".join(one.shape for one in chosen))
            each.append(Open(run, shape, _begun(chosen), chosen).held)
    each += (partial(_iban, one, _begun((one,))) for one in by_cut["iban"])
    if detector.phones:
        each.append(partial(_number, detector.phones.regions))
    return Tails(tuple(each))


_REACH = LONGEST_MATCH + 2


def _begun(chosen: Sequence[Recognizer]) -> Linear:
    return Linear(rf"(?:{'|'.join(one.prefix for one in chosen)})\z")


def _number(regions: Regions, text: str, least: int) -> int:
    return min(least, phone.undecided(text, regions))


def _address(one: Recognizer, text: str, least: int) -> int:
    """An address under way: all of one whose domain goes on, else as much as an address may have before its @."""
    size = len(text)
    at = text.rfind("@", max(0, size - MAX_DOMAIN - 1))
    goes_on = at >= 0 and islands.is_domain(text, at + 1, size) and islands.local(text, at) > 0
    end = at if goes_on else size
    length = islands.local(text, end)
    held = end - length
    if length < MAX_LOCAL or not _WORD(text, held - 1):  # an address begins at the edge of a word
        held = min(int(_NO_WORD(text, held).end()), size)
    if at >= 0 and held < size:
        before = detect.addresses(one, text, max(0, held - _FAR), held)
        held = rows.under_way(before, partial(one.judged, text, one.patterns[0]), held)
    return min(held, least)


def _link(one: Recognizer, paths: Linear, text: str, least: int) -> int:
    """A link under way: one whose path goes on, else the name of a machine."""
    size = len(text)
    begin = size - behind(PATH, text, size)
    if text.find("/", begin) >= 0:
        for start, _ in paths.spans(shapes.folded(text[begin:], OTHER_DIGITS)):
            first, last = islands.host(text, begin + start)
            if last - first <= MAX_HOST:
                return min(least, _quoted(one, text, islands.scheme(text, first)))
    length = int(_HOST_BEGUN(text[-MAX_HOST - SCHEME - 1 :][::-1]).end())
    held = size - length
    return min(least, _quoted(one, text, held)) if held < least and length <= MAX_HOST + SCHEME else least


def _quoted(one: Recognizer, text: str, held: int) -> int:
    """Where the links in quotation marks begin that overlap what is under way from `held` on."""
    return _chained(text, one, one.patterns[2:], held) if text[held : held + 1] in ("'", '"') else held


def _iban(one: Recognizer, prefix: Linear, text: str, least: int) -> int:
    base = max(0, len(text) - IBAN_REACH)
    if not _IBAN_START(text, base):
        begun = _IBAN_BEGUN(text, max(0, len(text) - 3))
        return min(least, begun.start()) if begun else least
    held = base + prefix.start(shapes.folded(text[base:], OTHER_DIGITS))
    return min(least, _chained(text, one, one.patterns, held)) if held >= base else least
