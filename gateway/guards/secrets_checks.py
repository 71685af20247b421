"""What makes text of the right shape a secret: randomness, checksums, a header that decodes; and what excuses it."""

import base64
import binascii
import math
import re
import zlib
from collections import Counter

from gateway.guards.linear import Linear
from gateway.wire import json

MEASURED = 256
"""Characters of a value that its entropy is measured on."""
HEADER = 2_048
"""Characters a token's header may have."""

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CHECKSUM = 6
_STAND_IN = Linear(
    r"(?i)example|placeholder|changeme|change[-_]me|redacted|replace[-_]|insert[-_]|dummy|sample|(?:^|[-_<{])your[-_]|"
    r"x{5}|\*{3}|\.{3}|0{8}|01234567|12345678|abcdefgh|^[<{\[]|[>}\]]$|\$\{|\{\{|^\$|^%[a-z_]+%$"
)
_DEFAULTS = frozenset((
    "admin", "changeme", "default", "guest", "hunter2", "letmein", "none", "null", "pass", "passwd", "password",
    "postgres", "pwd", "root", "secret", "test", "token", "user", "username",
))  # fmt: skip
"""Values that stand in examples and in the settings a service comes with."""
_PIECES = re.compile(r"[-_./:]")
_KINDS = (re.compile("[a-z]"), re.compile("[A-Z]"), re.compile("[0-9]"), re.compile(r"[^A-Za-z0-9_.\-]"))
_LETTER = re.compile("[A-Za-z]")
_DIGIT = re.compile("[0-9]")


def entropy(value: str) -> float:
    """Shannon entropy of the characters of `value`, in bits per character; of its first 256 when it is longer."""
    head = value[:MEASURED]
    if not head:
        return 0.0
    return math.log2(len(head)) - sum(map(_WEIGHTS.__getitem__, Counter(head).values())) / len(head)


_WEIGHTS = (0.0, *(n * math.log2(n) for n in range(1, MEASURED + 1)))
"""What so many of one character weigh: the sum over n of n log n, so that no logarithm is taken for each value."""


def stands_in(value: str) -> bool:
    """Is `value` written where a secret would stand: `<password>`, `${TOKEN}`, `your-key-here`, `xxxx`?"""
    return value.lower() in _DEFAULTS or _STAND_IN.start(value[:MEASURED]) >= 0


def checksum_fits(token: str) -> bool:
    """Do the last six characters of a token in GitHub's format hold the CRC-32 of the thirty before, in base 62?

    GitHub's engineering blog, "Behind GitHub's new authentication token formats" (2021); npm's tokens are the same.
    """
    body = token.rpartition("_")[2]
    random, checksum = body[:-_CHECKSUM], body[-_CHECKSUM:]
    return checksum == base62(zlib.crc32(random.encode()))


def base62(number: int) -> str:
    """`number` in GitHub's base 62, six digits."""
    digits = ""
    for _ in range(_CHECKSUM):
        number, digit = divmod(number, 62)
        digits = _BASE62[digit] + digits
    return digits


def classic_or_longer(token: str) -> bool:
    """A token of GitHub's: of the classic length with its checksum, or of a later, longer format."""
    return len(token.partition("_")[2]) != 36 or checksum_fits(token)


def jose_header(token: str) -> bool:
    """Does what stands before the first dot decode to a JSON object that names its algorithm (RFC 7515, RFC 7516)?"""
    segment = token[: HEADER + 1].partition(".")[0]
    try:
        header = json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    except (binascii.Error, ValueError):
        return False
    return isinstance(header, dict) and isinstance(header.get("alg"), str)


def user_and_password(value: str) -> bool:
    """Is `value` base64 of `user:password` (RFC 7617)?"""
    try:
        decoded = base64.b64decode(value[:HEADER], validate=True)
    except (binascii.Error, ValueError):
        return False
    user, colon, password = decoded.partition(b":")
    return bool(colon and password) and all(32 <= byte < 127 for byte in user + password)


def varied(value: str) -> bool:
    """Has it two kinds of characters: small letters, capitals, digits, signs?"""
    return sum(kind.search(value) is not None for kind in _KINDS) > 1


def unlike_a_name(value: str) -> bool:
    """Has it letters and digits, and is it something else than words and numbers strung together?"""
    if not (_LETTER.search(value) and _DIGIT.search(value)) or "://" in value:
        return False
    pieces = _PIECES.split(value)
    return len(pieces) == 1 or not all(p.isalpha() or (p.isdigit() and len(p) < 5) or not p for p in pieces)


def mixed(value: str) -> bool:
    """Has it small letters, capitals and digits, as random base64 has and hexadecimal has not?"""
    return all(kind.search(value) for kind in _KINDS[:3])


def with_digit(value: str) -> bool:
    """Has it a digit and a letter?"""
    return _LETTER.search(value) is not None and _DIGIT.search(value) is not None


def forty(value: str) -> bool:
    """Is it forty characters of mixed base64, as an AWS secret key is?"""
    return len(value) == 40 and mixed(value)


def anything(_: str) -> bool:
    """The shape says it all."""
    return True
