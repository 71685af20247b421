"""Presidio's own recognizers, run pattern by pattern. The only place that imports Presidio and what comes with it.

Importing this takes a second and about 100 MB (Presidio imports spaCy whether it is needed or not), so it is done when
a guard is built. What `PatternRecognizer.analyze` does is done here without its explanations and logs, of which the
latter may hold matched text, and with one difference: where Presidio skips a pattern that ran out of time, this raises.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from socket import AF_INET, inet_pton
from typing import Any, NamedTuple

import regex  # type: ignore[import-untyped]
import tldextract

from gateway.guards.pii import context, shapes
from gateway.guards.pii import presidio as library
from gateway.guards.pii.defaults import KNOWN, REGIONS, Cut

Span = tuple[int, int]
Hit = tuple[int, int, float]
"""Start, end and score of what one pattern matched."""

_CLASSES = library.classes([known.recognizer for known in KNOWN.values()])
_EMAIL: Any = _CLASSES["EmailRecognizer"]
_CRYPTO: Any = _CLASSES["CryptoRecognizer"]
_IP: Any = _CLASSES["IpRecognizer"]
_PATTERN: Any = _EMAIL.__base__

logging.getLogger("presidio-analyzer").setLevel(logging.CRITICAL)

SECONDS = 2.0
"""What one pattern may take on one text."""

LONGEST_MATCH = 200
"""Characters of a match in a word at most."""
MOST = 64
"""Decimals of a second and characters of an IPv6 zone at most: Presidio's patterns take any number of them."""
_ENDLESS = regex.compile(r"(\\d|\[0-9a-zA-Z\])\+")
_LONGEST_BASE58 = 35

OTHER_DIGITS: Callable[[str, str], str] = regex.compile(r"(?![0-9])\d").sub
"""Replaces the digits that are not ASCII, as these recognizers' engine knows them."""
COMPILE: Callable[..., Any] = regex.compile
"""That engine: its words, digits and spaces are not those of the standard library's."""
FOLD: int = regex.IGNORECASE

_SUFFIXES = tldextract.TLDExtract(cache_dir=None, suffix_list_urls=())
"""Knows the public suffixes it was shipped with: no socket, no file but its own."""


class OfflineEmailRecognizer(_EMAIL):  # type: ignore[misc]  # known when it runs
    """Presidio's, without the download of the public suffix list at the first address."""

    def validate_result(self, pattern_text: str) -> bool:
        """Does the address end in a public suffix?"""
        return bool(_SUFFIXES(pattern_text).fqdn)


class ShortCryptoRecognizer(_CRYPTO):  # type: ignore[misc]  # known when it runs
    """Presidio's, without the arithmetic on what is too long for an address anyway."""

    def validate_result(self, pattern_text: str) -> bool:
        """Is the checksum of the address right?"""
        if pattern_text[0] in "13" and len(pattern_text) > _LONGEST_BASE58:
            return False
        return bool(super().validate_result(pattern_text))


class QuickIpRecognizer(_IP):  # type: ignore[misc]  # known when it runs
    """Presidio's, which reads every address with `ipaddress`, for the plainest of them some twenty times as quick."""

    def invalidate_result(self, pattern_text: str) -> bool:
        """Is it no address of a machine or a network?"""
        try:
            inet_pton(AF_INET, pattern_text)
        except (OSError, ValueError):  # no plain IPv4: let Presidio tell
            return bool(super().invalidate_result(pattern_text))
        return False


class Pattern(NamedTuple):
    """One pattern, and the score of a match without a checksum."""

    expression: Any
    score: float


@dataclass(frozen=True, slots=True)
class Recognizer:
    """One recognizer of Presidio, ready to run. `cut` says on which pieces of a text; see `gateway.guards.pii.islands`.

    `threshold` is the least score of a finding; `weak` is True when no match reaches it without a context word.
    """

    entity: str
    cut: Cut
    threshold: float
    weak: bool
    presidio: Any = field(repr=False)
    words: tuple[str, ...] = field(repr=False)
    patterns: tuple[Pattern, ...] = field(repr=False)
    shape: str = field(repr=False)
    prefix: str = field(repr=False)

    def judged(self, text: str, pattern: Pattern, match: Any) -> Hit | None:
        """What a match in `text` is worth; None when it is none."""
        if self.cut == "iban":
            return self._iban(text, pattern, match)
        start, end = match.span()
        value = text[start:end]
        valid = checked(self.presidio.validate_result, value)
        score = pattern.score if valid is None else float(bool(valid))
        return (start, end, score) if score and not self.presidio.invalidate_result(value) else None

    def _iban(self, text: str, pattern: Pattern, match: Any) -> Hit | None:
        """As Presidio does, with ever less of what may be the words behind it."""
        start = match.start()
        for group in range(len(match.groups()), 0, -1):
            end = match.end(group) if match.end(group) > 0 else match.end()
            valid = checked(self.presidio.validate_result, text[start:end])
            if valid is None or valid:
                return start, end, 1.0 if valid else pattern.score
        return None


def checked(validate: Callable[[str], bool | None], value: str) -> bool | None:
    """What `validate` says about a match: True, False, or None when it has no opinion.

    `regex` knows digits of newer scripts than Python's `int`: Presidio's checksums raise on them, and no such number
    has a right one.
    """
    try:
        return validate(value)
    except ValueError:
        return False


class Undoubled:
    """Hits without those inside another that is no less sure (`remove_duplicates` of Presidio), in order of start."""

    __slots__ = ("_active",)

    def __init__(self, active: Sequence[Hit] = ()) -> None:
        self._active = list(active)

    def __copy__(self) -> "Undoubled":
        return Undoubled(self._active)

    def of(self, hits: Sequence[Hit]) -> list[Hit]:
        """Those of `hits`, which begin where or behind where all before them began, that count."""
        kept: list[Hit] = []
        active = self._active
        for hit in sorted(set(hits), key=lambda one: (one[0], one[0] - one[1], -one[2])) if len(hits) > 1 else hits:
            active = [other for other in active if other[1] >= hit[0]]
            if not any(hit[1] <= other[1] and hit[2] <= other[2] for other in active):
                kept.append(hit)
                active.append(hit)
        self._active = active
        return kept


def recognizer(entity: str, score: float | None = None) -> Recognizer:
    """The recognizer of `entity`, one of `KNOWN` that is cut otherwise than `phone`."""
    known = KNOWN[entity]
    made = presidio(entity)
    flags = made.global_regex_flags
    fold = bool(flags & regex.IGNORECASE)
    threshold = known.score if score is None else score
    links = known.cut == "url"
    sources = [_bounded(one.regex) for one in made.patterns]
    patterns = tuple(
        Pattern(regex.compile(source, flags), one.score) for source, one in zip(sources, made.patterns, strict=True)
    )
    checked = type(made).validate_result is not _PATTERN.validate_result
    best = 1.0 if checked else max(one.score for one in made.patterns)
    return Recognizer(
        entity,
        known.cut,
        threshold,
        best < threshold,
        made,
        context.phrases(made.context),
        patterns,
        # Four patterns with 1,500 top-level domains each: these are looked for first, links around them.
        rf"[.]{shapes.choices(sources[0], fold=fold)}"
        if links
        else "|".join(shapes.shape(source, fold=fold) for source in sources),
        "" if links else "|".join(shapes.prefix(source, fold=fold) for source in sources),
    )


def _bounded(source: str) -> str:
    """A pattern whose matches in a word have a longest: what is repeated without end, up to `MOST` times."""
    return str(_ENDLESS.sub(lambda found: f"{found[1]}{{1,{MOST}}}(?!{found[1]})", source))


def presidio(entity: str, regions: Sequence[str] = REGIONS) -> Any:
    """Presidio's own recognizer of `entity`, with the context words and regions this guard uses."""
    known = KNOWN[entity]
    words: Mapping[str, Any] = {"context": list(known.context)} if known.context else {}
    if entity == "PHONE_NUMBER":
        return _CLASSES["PhoneRecognizer"](supported_regions=tuple(regions), **words)
    if entity == "IBAN_CODE":  # small letters too, as Presidio's own registry has it
        return _CLASSES["IbanRecognizer"](regex_flags=regex.DOTALL | regex.MULTILINE | regex.IGNORECASE, **words)
    if entity == "EMAIL_ADDRESS":
        return OfflineEmailRecognizer(name="EmailRecognizer", **words)
    if entity == "CRYPTO":
        return ShortCryptoRecognizer(name="CryptoRecognizer", **words)
    if entity == "IP_ADDRESS":
        return QuickIpRecognizer(name="IpRecognizer", **words)
    return _CLASSES[known.recognizer](**words)
