"""Signed tokens and the public keys they are checked with. PyJWT is the extra `jwt` and imported here only.

What is decided here is decided by the operator's list of algorithms and the issuer's keys, never by a token: its header
only says which of those keys to try. Keys that are named or carried in it (`jku`, `x5u`, `jwk`, `x5c`) are not looked
at, a key is used with algorithms of its own kind alone, and shared secrets are no keys here, so that a public key
cannot be taken for one (RFC 8725).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from gateway.errors import ConfigError
from gateway.wire import json

MAX_TOKEN = 16_384
"""Characters of the longest token that is looked at."""

MAX_KEYS = 100
"""Keys of an issuer that are kept; no issuer needs more."""

_MIN_RSA_BITS = 2048
_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
_TYPES = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}


class BadToken(Exception):
    """A token that is not valid. Which of its many reasons it is, nobody is told."""


class UnknownKey(BadToken):
    """A token that names a key which is not among those known: the issuer may have a new one."""


@dataclass(frozen=True, slots=True)
class VerifyKey:
    """One public key, with the algorithms it may be used with."""

    id: str | None
    algorithms: frozenset[str]
    key: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class Rules:
    """What a token must be: signed with one of these algorithms, by this issuer, for one of these audiences."""

    algorithms: tuple[str, ...]
    issuer: str
    audiences: tuple[str, ...]
    leeway: float


def library() -> ModuleType:
    """PyJWT, with what public keys need.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import cryptography  # noqa: F401 - PyJWT has public keys only beside it
        import jwt
    except ImportError as error:
        said = "general_settings.jwt: needs the package pyjwt; install it: pip install 'guardrail-gateway[jwt]'"
        raise ConfigError([said]) from error
    return jwt


def read_keys(data: bytes, algorithms: Sequence[str]) -> list[VerifyKey]:
    """The public keys in a key set (RFC 7517) that one of `algorithms` can be checked with; all others are left out.

    Raises:
        ValueError: it is not a key set.
    """
    try:
        found = json.loads(data)
    except json.JSONDecodeError:
        raise ValueError("it is not JSON") from None
    listed = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(listed, list):
        raise ValueError("it is not a key set")
    keys = [key for item in listed[:MAX_KEYS] if isinstance(item, dict) and (key := _key(item, algorithms))]
    if not keys:
        raise ValueError("it has no key that the configured algorithms can be checked with")
    return keys


def _key(jwk: Mapping[str, Any], algorithms: Sequence[str]) -> VerifyKey | None:
    if jwk.get("use", "sig") != "sig" or "verify" not in jwk.get("key_ops", ("verify",)):
        return None
    usable = [name for name in algorithms if _suits(name, jwk)]
    if not usable:
        return None
    jwt = library()
    public = {name: value for name, value in jwk.items() if name in ("kty", "crv", "x", "y", "n", "e")}
    try:
        key = jwt.PyJWK(public, usable[0]).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if getattr(key, "key_size", _MIN_RSA_BITS) < _MIN_RSA_BITS and jwk["kty"] == "RSA":
        return None
    kid = jwk.get("kid")
    return VerifyKey(kid if isinstance(kid, str) else None, frozenset(usable), key)


def _suits(algorithm: str, jwk: Mapping[str, Any]) -> bool:
    return (
        jwk.get("kty") == _TYPES[algorithm[:2]]
        and jwk.get("alg", algorithm) == algorithm
        and _CURVES.get(algorithm, jwk.get("crv")) == jwk.get("crv")
    )


def verified(token: str, keys: Sequence[VerifyKey], rules: Rules) -> Mapping[str, Any]:
    """The claims of a token whose signature, times, issuer and audience are right.

    Raises:
        UnknownKey: none of `keys` is the one it names.
        BadToken: it is not valid, for any other reason.
    """
    jwt = library()
    if len(token) > MAX_TOKEN:
        raise BadToken
    try:
        header = jwt.get_unverified_header(token)
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm not in rules.algorithms or "crit" in header:
            raise BadToken
        fitting = [key for key in keys if algorithm in key.algorithms and (kid is None or key.id == kid)]
        if not fitting:
            raise UnknownKey
        if len(fitting) > 1:
            raise BadToken  # which key it is must be said, not tried
        claims: Mapping[str, Any] = jwt.decode(
            token,
            fitting[0].key,
            algorithms=[algorithm],
            issuer=rules.issuer,
            audience=list(rules.audiences),
            leeway=rules.leeway,
            options={"require": ["exp", "iss", "aud", "sub"]},
        )
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
        raise BadToken from None
    return claims
