"""The demo's "model": English made from a hash of the prompt, in real tokens with made-up probabilities.

Everything is a pure function of its arguments: the same prompt, context, seed and choice give the same tokens on every
machine. A prompt "Say …" is answered with what it asks for; any other with a few sentences about nothing, some with
words or emoji outside ASCII, so that tokens which are a part of a character occur.
"""

import functools
import hashlib
import itertools
import math
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from gateway.ledger import tokens

ENCODING = "cl100k_base"
"""The demo's vocabulary, that of gpt-3.5-turbo-instruct."""

MAX_TOP = 20
"""How many alternatives are known per token."""

_SENTENCES = (
    "The {adjective} {person} {verb} the {thing} {place}.",
    "In {city}, every {person} {verb} a {adjective} {thing} {time}.",
    "A {thing} is only as {adjective} as the {person} who {verb} it.",
    "It was {time} when the {person} {verb} a {thing} {place}.",
    "Nobody in {city} had seen such a {adjective} {thing} before.",
    "The {thing} {place} was {adjective}, and the {person} knew it.",
    "Some say the {person} from {city} still {verb} the {thing} {time}.",
    "So the {adjective} {thing} stayed {place}, just as before.",
)
_WORDS: Mapping[str, tuple[str, ...]] = {
    "adjective": ("quiet", "patient", "bright", "curious", "naïve", "careful", "worn", "gentle", "plain", "steady"),
    "person": ("gardener", "baker", "sailor", "teacher", "clockmaker", "painter", "farmer", "librarian", "pilot"),
    "verb": ("repaired", "carried", "remembered", "painted", "borrowed", "followed", "described", "kept", "found"),
    "thing": ("lantern", "map", "piñata", "letter", "kettle", "garden", "bridge", "violin", "crème brûlée", "compass"),
    "place": (
        "by the river",
        "near the harbour",
        "in the café",
        "under the bridge",
        "behind the mill",
        "at the market",
    ),
    "time": ("in the morning", "after the rain", "at noon", "late in autumn", "on Sundays", "before the snow came"),
    "city": ("Zürich", "Lisbon", "Kraków", "São Paulo", "東京", "Oslo", "Αθήνα", "Dublin"),
}
_FLOURISHES = (" 🦜", " 🌦️", " 🙂", " ☕")
_SLOT = re.compile(r"\{(\w+)\}")
_SAY = re.compile(r"\s*say:?\s+(?=\S)", re.IGNORECASE)
_SHORTEST, _SPREAD = 20, 36


@dataclass(frozen=True, slots=True)
class Generation:
    """One choice: its tokens' bytes, why it ended, and how many tokens were sampled.

    `sampled` counts the tokens of a stop string too, which the text does not show. `key` seeds the probabilities.
    """

    raw: tuple[bytes, ...]
    ids: tuple[int, ...]
    finish_reason: Literal["stop", "length", "content_filter"]
    sampled: int
    key: bytes

    @property
    def text(self) -> str:
        """The text; a character that `max_tokens` cut in two ends it as U+FFFD."""
        return b"".join(self.raw).decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Scored:
    """One token with its natural-log probability and the likeliest tokens in its place, best first."""

    raw: bytes
    logprob: float
    top: tuple[tuple[bytes, float], ...]


def generate(
    prompt: str,
    *,
    context: str = "",
    seed: int | None = None,
    index: int = 0,
    max_tokens: int | None = None,
    stop: Sequence[str] = (),
    lead: str = " ",
) -> Generation:
    """The answer to `prompt`.

    Args:
        prompt: the text to continue or to answer.
        context: what else the answer depends on: a suffix, the messages before the last.
        seed: another seed, another answer; "Say …" has one first choice, whatever the seed.
        index: the choice; another choice, another answer.
        max_tokens: at most so many tokens; None for as many as it takes, between 20 and 80.
        stop: the text ends before the first of these.
        lead: what the text begins with: a space to continue a prompt, nothing to answer a message.
    """
    key = hashlib.blake2b(repr((prompt, context, seed, index)).encode("utf-8", "replace"), digest_size=16).digest()
    ids = _ids(prompt, key, index, max_tokens, lead)
    natural = max_tokens is None or len(ids) < max_tokens
    ids = ids[:max_tokens]
    whole = Generation(
        tuple(tokens.token_bytes(ids, ENCODING)), tuple(ids), "stop" if natural else "length", len(ids), key
    )
    return _stopped(whole, stop)


def score(ids: Sequence[int], raw: Sequence[bytes], key: bytes, top: int) -> list[Scored]:
    """Each token's probability, with the `top` likeliest in its place (at most `MAX_TOP`).

    Args:
        ids, raw: the tokens, a generation's or a prompt's; `raw` is shorter than its id's where a stop cut it.
        key: seeds the probabilities.
    """
    found = []
    for position, (token_id, token) in enumerate(zip(ids, raw, strict=True)):
        dice = _dice(key + b"/" + str(position).encode())
        logprobs = _distribution(dice)
        roll = next(dice)
        rank = 0 if roll % 5 else roll // 5 % (MAX_TOP - 1)
        ranked = _others(dice, token_id)
        ranked.insert(rank, token)
        found.append(Scored(token, logprobs[rank], tuple(zip(ranked[:top], logprobs, strict=False))))
    return found


def _ids(prompt: str, key: bytes, index: int, limit: int | None, lead: str) -> list[int]:
    """Token ids of the whole answer, or at least `limit` of them. A further sentence never changes the ids before."""
    dice = _dice(key)
    said = _SAY.match(prompt)
    text = lead + _sentence(prompt[said.end() :].strip()) if said else ""
    if said and index == 0:
        return tokens.encode(text, ENCODING)
    ids = tokens.encode(text, ENCODING)
    enough = len(ids) + _SHORTEST + next(dice) % _SPREAD
    while len(ids) < enough and (limit is None or len(ids) <= limit):
        text += (" " if text else lead) + _made_up(dice)
        ids = tokens.encode(text, ENCODING)
    return ids


def _sentence(phrase: str) -> str:
    """What "Say …" asks for as a sentence: without quotes around it, a capital first, a full stop last."""
    if phrase[:1] in "\"'“‘" and len(phrase) > 2:  # noqa: RUF001 - the quotes people paste
        phrase = phrase[1:].rstrip("\"'”’")  # noqa: RUF001
    phrase = phrase[:1].upper() + phrase[1:]
    return phrase if phrase.endswith((".", "!", "?", "…")) else phrase + "."


def _made_up(dice: Iterator[int]) -> str:
    template = _SENTENCES[next(dice) % len(_SENTENCES)]
    sentence = _SLOT.sub(lambda slot: _pick(dice, _WORDS[slot[1]]), template)
    return sentence + _pick(dice, _FLOURISHES) if next(dice) % 6 == 0 else sentence


def _stopped(whole: Generation, stop: Sequence[str]) -> Generation:
    """`whole` up to the earliest of `stop`; the token the stop begins in keeps only what is before it."""
    data = b"".join(whole.raw)
    places = [(at, len(needle)) for word in stop if (needle := word.encode()) and (at := data.find(needle)) >= 0]
    if not places:
        return whole
    start, length = min(places)
    ends = list(itertools.accumulate(len(raw) for raw in whole.raw))
    kept = sum(1 for raw, end in zip(whole.raw, ends, strict=True) if end - len(raw) < start)
    sampled = 1 + sum(1 for end in ends if end < start + length)
    raw = list(whole.raw[:kept])
    if raw:
        raw[-1] = raw[-1][: len(raw[-1]) - (ends[kept - 1] - start if ends[kept - 1] > start else 0)]
    return Generation(tuple(raw), whole.ids[:kept], "stop", sampled, whole.key)


def _dice(key: bytes) -> Iterator[int]:
    """Endless numbers from 0 to 65,535 that follow from `key`."""
    for block in itertools.count():
        yield from struct.unpack("<32H", hashlib.blake2b(key + block.to_bytes(4, "little")).digest())


def _pick(dice: Iterator[int], options: Sequence[str]) -> str:
    return options[next(dice) % len(options)]


def _distribution(dice: Iterator[int]) -> list[float]:
    """`MAX_TOP` descending logprobs whose probabilities sum to less than one."""
    falls = [0.1 + next(dice) % 1000 / 400 for _ in range(MAX_TOP)]
    weights = [math.exp(-fallen) for fallen in itertools.accumulate(falls)]
    total = 1.02 * sum(weights)  # the rest of the vocabulary has a little, too
    return [round(math.log(weight / total), 6) for weight in weights]


def _others(dice: Iterator[int], chosen: int) -> list[bytes]:
    """`MAX_TOP` different tokens, none of them the chosen one."""
    pool = _alternatives()
    first = next(dice)
    at = [(first + step) % len(pool) for step in range(MAX_TOP + 1)]
    return [pool[place][1] for place in at if pool[place][0] != chosen][:MAX_TOP]


@functools.cache
def _alternatives() -> tuple[tuple[int, bytes], ...]:
    """The first token of every word the demo knows: what it might have said instead."""
    words = sorted({word for pool in _WORDS.values() for word in pool})
    ids = dict.fromkeys(tokens.encode(f" {word}", ENCODING)[0] for word in words)
    return tuple(zip(ids, tokens.token_bytes(list(ids), ENCODING), strict=True))
