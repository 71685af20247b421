"""The guard `exfiltration`: addresses in an answer that would carry data to a stranger, and markup that runs there.

A model that was told to leaks what it knows through a link: an image that a chat window fetches by itself, with the
conversation in its query. An address is reported when its host is not allowed and it holds what looks like data: a long
value of high entropy, encoded text, or a sentence. What stands before it says what it is (`![…](`, `[…](`, `<img`),
within `LOOK_BACK` characters; the finding is the address alone.
"""

import re
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from math import log2
from typing import Annotated, Literal
from urllib.parse import unquote_plus

from pydantic import AfterValidator, Field

from gateway.config.fields import Strict
from gateway.guards import decoding
from gateway.guards.base import Action, Finding

CATEGORY = "exfiltration"
LOOK_BACK = 256

Kind = Literal["image", "link", "html"]

_ADDRESS = re.compile(r"(?:(?<![A-Za-z0-9])https?:|(?<=\]\())//[^\s<>\"'`()\[\]{}|\\^]{1,2048}", re.IGNORECASE)
"""Up to 2,048 characters of an address are looked at; the rest of a longer one is left alone."""
_TAG = re.compile(r"<(?:script|iframe|object|embed)", re.IGNORECASE)
_OPENINGS = ("http://", "https://", "<script", "<iframe", "<object", "<embed")
_MARKDOWN_IMAGE = re.compile(r"!\[[^\]\n]{0,200}\]\([ \t<]{0,2}\Z")
_REFERENCE = re.compile(r"(?:\A|\n)[ \t]{0,3}\[[^\]\n]{1,100}\]:[ \t<]{0,4}\Z")
_HTML_IMAGE = re.compile(
    r"<(?:img|image|source|video|audio|input|link|body|td|table|svg)\b[^>]{0,200}\Z", re.IGNORECASE
)
_CLOSING = ".,;:!?*_~"
_ENCODED_SPACE = re.compile(r"%20|\+|%0A", re.IGNORECASE)
_WORDY = re.compile(r"[-_.,~]")


def _hosts(value: tuple[str, ...]) -> tuple[str, ...]:
    for host in value:
        if not re.fullmatch(r"(?:\*\.)?[a-z0-9-]+(?:\.[a-z0-9-]+)*", host):
            raise ValueError("must be host names in lower case, such as example.com or *.example.com")
    return value


class ExfiltrationConfig(Strict):
    """Settings of the guard `exfiltration`."""

    allow_hosts: Annotated[tuple[str, ...], AfterValidator(_hosts)] = Field(
        (), description="Hosts that may be told anything: example.com, *.example.com."
    )
    image: Action = Field("redact", description="Images that carry data; a reader's program fetches them by itself.")
    link: Action = Field("flag", description="Links and bare addresses that carry data.")
    html: Action = Field("redact", description="Tags that run or embed something: script, iframe, object, embed.")


@dataclass(frozen=True, slots=True)
class _Limits:
    """How much an address may carry: characters of a value of high entropy, of words, and of a query at all."""

    dense: int
    words: int
    query: int


_LIMITS = {"image": _Limits(16, 20, 80), "link": _Limits(40, 60, 400)}
_LEAST = 16
"""Characters below which nothing is data, whatever it looks like."""


@dataclass(frozen=True, slots=True)
class ExfiltrationGuard:
    """A span guard: an address ends where it ends, and only what stands before it says what it is."""

    config: ExfiltrationConfig
    name: str = field(default="exfiltration")

    def find(self, text: str, path: str) -> list[Finding]:
        """Every address and tag at fault. Linear: each character is part of one address at most."""
        return self._found(text, path, 0)

    def judge(self, text: str, path: str) -> tuple[list[Finding], int]:
        """`find(text, path)` and `settled(text)`."""
        return self.judge_from(text, path, 0)

    def judge_from(self, text: str, path: str, since: int) -> tuple[list[Finding], int]:
        """What `judge` says of the part of `text` that is not settled yet.

        Args:
            since: where what has been settled before ends. Findings that start before it are left out.
        """
        return self._found(text, path, since), self.settled(text)

    def _found(self, text: str, path: str, since: int) -> list[Finding]:
        found = [
            Finding(self.name, rule, CATEGORY, action, path, start, end)
            for start, end, rule, action in self._at(text, since)
        ]
        return sorted(found, key=lambda finding: finding.start)

    def _at(self, text: str, since: int) -> Iterator[tuple[int, int, str, Action]]:
        if "//" in text:
            for match in _ADDRESS.finditer(text):
                if match.start() < since:
                    continue
                address = match.group().rstrip(_CLOSING)
                if not _carries(address, _LIMITS["image"]):  # what is too little for an image is so for a link
                    continue
                kind = _kind(text[max(0, match.start() - LOOK_BACK) : match.start()])
                much = kind == "image" or _carries(address, _LIMITS[kind])
                if much and not _allowed(address, self.config.allow_hosts):
                    action = self.config.image if kind == "image" else self.config.link
                    yield match.start(), match.start() + len(address), f"{kind}-with-data", action
        if "<" in text:
            for match in _TAG.finditer(text):
                if match.start() < since:
                    continue
                yield match.start(), match.end(), "active-tag", self.config.html

    def settled(self, text: str) -> int:
        """The start of an address that ends where the text does, or of what may become one; else the whole length."""
        if "//" in text:
            last = deque(_ADDRESS.finditer(text), maxlen=1)
            if last and last[0].end() == len(text):
                return last[0].start()
        tail = text[-8:].lower()
        for length in range(len(tail), 0, -1):
            end = tail[-length:]
            if any(opening.startswith(end) for opening in _OPENINGS) and not _inside(text, len(text) - length, end):
                return len(text) - length
        for opening in ("](//", "](/"):
            if tail.endswith(opening):
                return len(text) - len(opening) + 2
        return len(text)

    def shortest_context(self) -> int:
        """How far back the kind of an address is looked for."""
        return LOOK_BACK


def _inside(text: str, at: int, opening: str) -> bool:
    """Does an opening of letters stand inside a word, where no address begins?"""
    return opening[0] == "h" and at > 0 and text[at - 1].isascii() and text[at - 1].isalnum()


def _kind(before: str) -> Literal["image", "link"]:
    for image in (_MARKDOWN_IMAGE, _REFERENCE, _HTML_IMAGE):
        if image.search(before):
            return "image"
    return "link"


def _allowed(address: str, hosts: tuple[str, ...]) -> bool:
    authority = re.split(r"[/?#]", address.partition("//")[2], maxsplit=1)[0]
    host = authority.rpartition("@")[2].partition(":")[0].lower().rstrip(".")
    return any(fnmatchcase(host, allowed) or (allowed[0] == "*" and host == allowed[2:]) for allowed in hosts)


def _carries(address: str, limits: _Limits) -> bool:
    """Does the address hold more than an address needs?"""
    rest = address.partition("//")[2]
    if len(rest) < _LEAST:
        return False
    where, _, query = rest.replace("#", "?", 1).partition("?")
    host, _, path = where.partition("/")
    if len(query) >= limits.query:
        return True
    values = [part.partition("=")[2] or part for part in re.split(r"[&;?]", query)] if query else []
    if any(_is_data(value, limits) for value in values):
        return True
    parts = [*path.split("/"), *host.split(".")]
    return any(_is_dense(part, 2 * limits.dense) or _is_encoded_text(part) for part in parts)


def _is_data(value: str, limits: _Limits) -> bool:
    if len(value) >= limits.words and len(_ENCODED_SPACE.findall(value)) >= 2:
        return True
    plain = unquote_plus(value)
    return _is_dense(plain, limits.dense) or _is_encoded_text(plain)


def _is_dense(value: str, least: int) -> bool:
    """Is `value` long and as mixed as encoded data, rather than words or a counter?"""
    if len(value) < least or len(_WORDY.findall(value)) >= len(value) / 12:
        return False
    if not any(character.isdigit() for character in value) or not any(character.isalpha() for character in value):
        return False
    counts = Counter(value)
    entropy = -sum(count / len(value) * log2(count / len(value)) for count in counts.values())
    mixed = value.lower() != value and value.upper() != value
    return entropy >= (3.5 if mixed else 3.9)


def _is_encoded_text(value: str) -> bool:
    """Is there a sentence in it, in base64 or hexadecimal?"""
    return any(len(piece.text) >= 15 for piece in (*decoding.base64(value), *decoding.hexadecimal(value)))


def build(config: ExfiltrationConfig) -> ExfiltrationGuard:
    """The guard for `config`."""
    return ExfiltrationGuard(config)
