"""Bearer tokens in place of keys: an issuer's keys kept at hand, and the principal that a token's claims make.

The issuer's keys are read when the first token comes, and again beside the requests once they are `refresh` seconds
old. A token that names an unknown key has them read at once, every ten seconds at most, so that a new key works from
its first token on and nobody can have the issuer asked without end. When the issuer cannot be reached its keys serve on
for a day.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from time import monotonic, time
from typing import Any

from gateway.config.jwt import JwtSettings
from gateway.errors import GatewayError, Unavailable
from gateway.identity.signatures import BadToken, Rules, UnknownKey, VerifyKey, library, read_keys, verified
from gateway.principal import MAX_NAME, Principal, clean_name
from gateway.types import HttpRequest
from gateway.version import __version__

Caller = Callable[[HttpRequest, float], Awaitable[tuple[int, bytes]]]
"""Sends a request within so many seconds: status and body. Raises a GatewayError when nobody answers."""

FETCH_SECONDS = 5.0
COOLDOWN_SECONDS = 10.0
KEPT_SECONDS = 86_400.0
MAX_BYTES = 1_048_576
MAX_CHECKED = 4096
"""Tokens that are remembered to be good, by their SHA-256."""

MAX_LISTED = 64
"""Tags or models that are taken from a claim."""


class KeySet:
    """The public keys of an issuer.

    Args:
        settings: where they are, and how old they may get.
        folder: what a relative path of a file starts from.
        call: how the issuer is asked.
        clock: seconds; tests turn it.
    """

    def __init__(
        self, settings: JwtSettings, folder: Path, call: Caller, clock: Callable[[], float] = monotonic
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._call = call
        self._clock = clock
        self._keys: list[VerifyKey] = []
        self._as_of = float("-inf")
        self._asked_at = float("-inf")
        self._fault: str | None = "have not been read yet"
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<KeySet {len(self._keys)} keys{f' {self._fault}' if self._fault else ''}>"

    @property
    def state(self) -> tuple[bool, str]:
        """In words whether the keys could be read when they were last asked for. An issuer that cannot be reached does
        not keep this gateway from serving: there are other keys."""
        asked = self._asked_at != float("-inf")
        return True, f"the issuer's keys {self._fault}" if self._fault and asked else "ok"

    async def usable(self) -> list[VerifyKey]:
        """The keys.

        Raises:
            Unavailable: there are none, or they are a day old.
        """
        age = self._clock() - self._as_of
        if age > self._settings.refresh and self._clock() - self._asked_at > COOLDOWN_SECONDS:
            self._renewing()
        if not self._keys and self._task is not None:
            await asyncio.wait({self._renewing(again=False)}, timeout=FETCH_SECONDS)
        if self._clock() - self._as_of > KEPT_SECONDS:
            raise Unavailable(
                "The gateway cannot read the keys that tokens are signed with now; send the request again in a moment.",
                code="keys_unavailable",
            )
        return self._keys

    async def renewed(self) -> list[VerifyKey]:
        """The keys as the issuer publishes them now, unless it has been asked a moment ago."""
        if self._clock() - self._asked_at > COOLDOWN_SECONDS or (self._task is not None and not self._task.done()):
            await asyncio.wait({self._renewing()}, timeout=FETCH_SECONDS)
        return self._keys

    def close(self) -> None:
        """End the question that is under way."""
        if self._task is not None and not self._task.get_loop().is_closed():
            self._task.cancel()

    def _renewing(self, again: bool = True) -> "asyncio.Task[None]":
        """The question that is under way on this event loop, or a new one; with `again` false, one that is over too."""
        task, loop = self._task, asyncio.get_running_loop()
        if task is None or (task.done() and again) or task.get_loop() is not loop:
            self._asked_at = self._clock()
            task = self._task = loop.create_task(self._renew(), context=Context())
        return task

    async def _renew(self) -> None:
        try:
            self._keys = read_keys(await self._published(), self._settings.algorithms)
        except GatewayError:
            self._fault = "cannot be fetched"
        except OSError as error:
            self._fault = f"cannot be read: {error.strerror or 'unknown reason'}"
        except ValueError as error:
            self._fault = f"cannot be used: {error}"
        else:
            self._as_of, self._fault = self._clock(), None

    async def _published(self) -> bytes:
        if self._settings.jwks_file is not None:
            file = self._folder / self._settings.jwks_file
            return await asyncio.to_thread(_read, file)
        headers = {"accept": "application/json", "user-agent": f"guardrail-gateway/{__version__}"}
        request = HttpRequest("GET", str(self._settings.jwks_url), headers, b"")
        status, body = await self._call(request, FETCH_SECONDS)
        if status != 200:
            raise ValueError(f"the answer's status is {status}, not 200")
        if len(body) > MAX_BYTES:
            raise ValueError(f"the answer is larger than {MAX_BYTES} bytes")
        return body


def _read(file: Path) -> bytes:
    with file.open("rb") as opened:
        data = opened.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"the file is larger than {MAX_BYTES} bytes")
    return data


@dataclass(frozen=True, slots=True)
class _Checked:
    """A token that was good: with these keys, and until then."""

    principal: Principal
    keys: Sequence[VerifyKey]
    until: float


class Tokens:
    """Checks bearer tokens. A signature costs two hundred microseconds to check: a token that was good is not checked
    again as long as it and the issuer's keys are the same, and its time has not run out.

    Args:
        settings: which are taken, and which claim says what.
        keys: the issuer's.
        clock: the time of day in seconds.

    Raises:
        ConfigError: PyJWT is not installed.
    """

    def __init__(self, settings: JwtSettings, keys: KeySet, clock: Callable[[], float] = time) -> None:
        library()
        audience = settings.audience
        audiences = (audience,) if isinstance(audience, str) else audience
        self.settings = settings
        self.keys = keys
        self._rules = Rules(settings.algorithms, settings.issuer, audiences, settings.leeway)
        self._clock = clock
        self._checked: dict[bytes, _Checked] = {}

    def __repr__(self) -> str:
        return f"<Tokens {self.settings.issuer} {self.keys!r}>"

    async def find(self, token: str) -> Principal | None:
        """Who the bearer of `token` is; None for every token that is not valid, whatever the reason.

        Raises:
            Unavailable: the issuer's keys cannot be had.
        """
        keys = await self.keys.usable()
        digest = sha256(token.encode("utf-8", "surrogatepass")).digest()
        known = self._checked.get(digest)
        if known is not None and known.keys is keys and self._clock() < known.until:
            return known.principal
        try:
            try:
                claims = verified(token, keys, self._rules)
            except UnknownKey:
                keys = await self.keys.renewed()
                claims = verified(token, keys, self._rules)
            principal = self._principal(claims)
        except BadToken:
            return None
        while len(self._checked) >= MAX_CHECKED:
            del self._checked[next(iter(self._checked))]
        self._checked[digest] = _Checked(principal, keys, int(claims["exp"]) + self.settings.leeway)
        return principal

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        named, chosen = self.settings.claims, self.settings
        whose = f"{chosen.issuer}\0{claims['sub']}".encode("utf-8", "surrogatepass")
        team = _text(claims, named.team)
        models = chosen.models
        if named.models is not None:
            listed = _texts(claims, named.models)
            models = tuple(name for name in listed if not models or _within(name, models)) or ("",)
        return Principal(
            "jwt",
            f"jwt_{sha256(whose).hexdigest()[:24]}",
            f"jwt:{team}" if team else "jwt",
            models=models,
            tags=_texts(claims, named.tags),
            team=team,
            end_user=self._end_user(claims),
        )

    def _end_user(self, claims: Mapping[str, Any]) -> str | None:
        """Whom the token is for. A token without the claim that says so is nobody's to use as anybody's.

        Raises:
            BadToken: it does not say.
        """
        if self.settings.claims.user is None:
            return None
        user = _text(claims, self.settings.claims.user)
        if user is None:
            raise BadToken
        return user


def _within(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether everything that `name`, a glob perhaps, stands for is among `patterns`."""
    return Principal("jwt", "", "", models=patterns).may_use(name)


def _claim(claims: Mapping[str, Any], name: str | None) -> Any:
    """A claim by its name, or by the path to it."""
    if name is None or name in claims:
        return claims.get(name) if name else None
    value: Any = claims
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _text(claims: Mapping[str, Any], name: str | None) -> str | None:
    """A name that a claim gives; None for one that is none, and for one that cleaning would make another's.

    Raises:
        BadToken: the claim is there and is not a name.
    """
    value = _claim(claims, name)
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > MAX_NAME or clean_name(value) != value:
        raise BadToken
    return value


def _texts(claims: Mapping[str, Any], name: str | None) -> tuple[str, ...]:
    """The names in a claim: a list, or words in one text as in `scope` (RFC 8693)."""
    value = _claim(claims, name)
    listed = value.split() if isinstance(value, str) else value if isinstance(value, list) else ()
    found = (clean_name(item) for item in listed if isinstance(item, str))
    return tuple(dict.fromkeys(item for item in found if item))[:MAX_LISTED]
