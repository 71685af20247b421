"""Whether a policy is for a request: its globs, its condition, its sample."""

from collections.abc import Callable
from hashlib import blake2b

from gateway.guards.base import Context
from gateway.guards.conditions import Condition, request_values
from gateway.guards.document import Match
from gateway.guards.policy import everyone
from gateway.principal import fits

_HASH_BYTES = 8
_SPARE_BITS = 11
_NUMBERS = 1 << 53
"""As many as a float tells apart below 1."""


def matcher(match: Match, condition: Condition | None) -> Callable[[Context], bool]:
    """Whether a policy with this `match` and this `when` (None: without one) is for a request. The condition is asked
    last; what it raises, a `ConditionError`, is an error of the policy."""
    if condition is None:
        return everyone if _asks_nothing(match) else lambda context: matches(match, context)
    return lambda context: matches(match, context) and condition.holds(request_values(context))


def matches(match: Match, context: Context) -> bool:
    """Do all four lists of globs hold?"""
    return (
        _one(match.models, (context.model,))
        and _one(match.end_users, _given(context.end_user))
        and _one(match.keys, _given(context.key))
        and _one(match.tags, context.tags)
    )


def _asks_nothing(match: Match) -> bool:
    return all(not globs or "*" in globs for globs in (match.models, match.end_users, match.keys, match.tags))


def _given(value: str | None) -> tuple[str, ...]:
    return () if value is None else (value,)


def _one(globs: tuple[str, ...], values: tuple[str, ...]) -> bool:
    """Does one of `values` fit one of `globs`? Nothing is asked by an empty list, nor by a star."""
    return not globs or "*" in globs or any(fits(glob, value) for glob in globs for value in values)


def draw(policy: str, request_id: str, salt: bytes = b"") -> float:
    """A number from 0 up to 1: the request is in the sample of the policy of this name when it is below `sample`.

    It is the same for both stages of a request and on every replica, and two policies draw apart from each other. A
    client may choose its request id: with a secret `salt` (64 bytes at most) it cannot choose one that is left out.
    """
    digest = blake2b(f"{policy}\0{request_id}".encode(), digest_size=_HASH_BYTES, key=salt).digest()
    return (int.from_bytes(digest) >> _SPARE_BITS) / _NUMBERS
