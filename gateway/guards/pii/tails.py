"""Up to where a text is decided, whatever follows it.

For each cut (`gateway.guards.pii.islands`) only the piece at the end of the text is open. When a pattern already
matches in it, all of it is held, since a longer piece may match elsewhere; otherwise from the first place from which a
match may be under way. A piece that can hold nothing, such as a word after which a comma stands, is not held.
"""

from dataclasses import dataclass
from typing import Any

from gateway.guards.pii import phone, shapes
from gateway.guards.pii.detect import Detector
from gateway.guards.pii.islands import IBAN_REACH, LONGEST_HOST, MAX_LOCAL, behind
from gateway.guards.pii.linear import Linear
from gateway.guards.pii.phone import Regions
from gateway.guards.pii.recognizers import COMPILE, FOLD, OTHER_DIGITS

_TOKEN = COMPILE(r"[\w\-:./%+\]\u0080-\U0010ffff]*")
_DIGITS = COMPILE(r"[-. ]?\d+(?:[-. ]\d+)*")
_LOCAL = COMPILE(r"[!#$%&'*+\-/=?^_`{|}~.\w@]*")
_NO_WORD = COMPILE(r"\W*").match
_DOTTED = r"\.(?i:[a-z]{2})"
_URL = COMPILE(r"[^\s()<>]*")
_HOST = COMPILE(r"[\"'a-z0-9.\-:/]*", FOLD).match
_IBAN_START = COMPILE(r"[A-Z]{2}[0-9]{2}", FOLD).search


@dataclass(frozen=True, slots=True)
class Open:
    """The open piece of one cut: what matches in it, and with what a match may begin."""

    run: Any
    shape: Linear
    prefix: Linear

    def held(self, text: str) -> int:
        """Where the undecided part of `text` begins."""
        start = len(text) - behind(self.run, text, len(text))
        piece = text[start:]
        if not piece:
            return start
        plain = shapes.folded(piece, OTHER_DIGITS)
        if not plain.isalpha() and self.shape.start(plain) >= 0:
            return start
        return start + max(0, self.prefix.start(plain))


@dataclass(frozen=True, slots=True)
class Tails:
    """What may be held for a detector; None for what it does not look for."""

    token: Open | None
    digits: Open | None
    iban: Linear | None
    email: bool
    url: Linear | None
    regions: Regions | None

    def held(self, text: str) -> int:
        """Where the undecided part of `text` begins; its length when all of it is decided."""
        held = len(text)
        if self.token:
            held = min(held, self.token.held(text))
        if self.digits:
            held = min(held, self.digits.held(text))
        if self.iban:
            held = min(held, _iban(self.iban, text))
        if self.email:
            held = min(held, _email(text))
        if self.url:
            held = min(held, _link(self.url, text))
        if self.regions is not None:
            held = min(held, phone.undecided(text, self.regions))
        return held


def tails(detector: Detector) -> Tails:
    """The tails of what `detector` looks for."""
    cuts = {one.cut for one in detector.recognizers}
    prefixes = "|".join(one.prefix for one in detector.recognizers if one.cut == "iban")
    return Tails(
        _open(detector, "token", _TOKEN),
        _open(detector, "digits", _DIGITS),
        Linear(rf"(?:{prefixes})\z") if "iban" in cuts else None,
        "email" in cuts,
        Linear(_DOTTED) if "url" in cuts else None,
        detector.phones.regions if detector.phones else None,
    )


def _open(detector: Detector, cut: str, run: Any) -> Open | None:
    chosen = [one for one in detector.recognizers if one.cut == cut]
    if not chosen:
        return None
    shape = Linear("|".join(one.shape for one in chosen))
    return Open(run, shape, Linear(rf"(?:{'|'.join(one.prefix for one in chosen)})\z"))


def _email(text: str) -> int:
    """An address under way: all of an open run with an @ in it, else as much as an address may have before its @."""
    size = len(text)
    start = size - behind(_LOCAL, text, len(text))
    if text.find("@", start) < 0:
        start = max(start, size - MAX_LOCAL)
    elif start == size - 1:
        return size  # an @ with nothing before it
    return int(_NO_WORD(text, start).end())


def _link(shape: Linear, text: str) -> int:
    start = len(text) - behind(_URL, text, len(text))
    piece = text[start:]
    if "." in piece and shape.start(shapes.folded(piece, OTHER_DIGITS)) >= 0:
        return start
    return max(len(text) - int(_HOST(piece[::-1]).end()), len(text) - LONGEST_HOST)


def _iban(prefix: Linear, text: str) -> int:
    """An IBAN under way, and what may have been read as the start of another that reaches into it."""
    base = max(0, len(text) - IBAN_REACH)
    begun = prefix.start(shapes.folded(text[base:], OTHER_DIGITS))
    if begun < 0:
        return len(text)
    held = base + begun
    while held < len(text):
        earlier = _IBAN_START(text, max(0, held - IBAN_REACH), held)
        if not earlier:
            break
        held = earlier.start()
    return held
