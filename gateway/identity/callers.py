"""Who may call: the master key, virtual keys and signed tokens, tried in one order and refused in one sentence."""

import hmac
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from gateway.config.jwt import JwtSettings
from gateway.config.model import Settings
from gateway.errors import AuthenticationError, ConfigError, PermissionDenied
from gateway.hashing import VIRTUAL_KEYS, HashKey, derive
from gateway.identity.end_users import EndUsers, Naming, naming
from gateway.identity.keyring import Keyring
from gateway.identity.tokens import Caller, KeySet, Tokens
from gateway.principal import MASTER_PRINCIPAL, EndUserStore, KeyStore, Principal

NO_KEY = "No API key was given; send it as 'Authorization: Bearer <key>', 'x-api-key' or 'api-key'."
BAD_KEY = "The API key is not valid; check it, or ask the operator for a new one."


def hashes(settings: Settings) -> tuple[HashKey, ...]:
    """The keys that virtual keys are hashed with, the one for new ones first; none without a master key, for without
    one there are no virtual keys."""
    general = settings.general
    if general.master_key is None:
        return ()
    secrets = (general.key_secret or general.master_key, *general.previous_key_secrets)
    return tuple(derive(secret.reveal(), VIRTUAL_KEYS) for secret in secrets)


@dataclass(frozen=True, slots=True)
class Callers:
    """Who may call under one configuration, and for whom.

    `master` is the digest of the master key, `hashes` are those of virtual keys, `tokens` checks signed ones. Without
    a master key and without tokens nobody is asked for anything: `asks` is False.
    """

    master: bytes | None = None
    hashes: tuple[HashKey, ...] = ()
    keyring: Keyring | None = None
    tokens: Tokens | None = None
    end_users: EndUsers | None = None
    naming: Naming = field(default_factory=Naming)
    own_tags_only: bool = False

    @property
    def asks(self) -> bool:
        """Whether a caller has to show a key."""
        return self.master is not None or self.tokens is not None

    async def principal(self, presented: str | None) -> Principal:
        """Who calls with the key `presented`.

        Raises:
            AuthenticationError: nobody; the sentence is the same for an unknown, a wrong, an expired and a revoked key.
            Unavailable: it cannot be told now, because the store of keys or the issuer of tokens cannot be reached.
        """
        if presented is None:
            raise AuthenticationError(NO_KEY)
        if self.master is not None and hmac.compare_digest(digest(presented), self.master):
            return MASTER_PRINCIPAL
        found = None
        if self.tokens is not None and presented.count(".") == 2:
            found = await self.tokens.find(presented)
            if self.keyring is not None:
                await self.keyring.mirror.fresh()  # which tags and end users are other keys' own is asked of it
        elif self.keyring is not None and self.hashes:
            found = await self.keyring.find(presented, self.hashes)
        if found is None:
            raise AuthenticationError(BAD_KEY)
        return found

    def check_tags(self, principal: Principal, tags: tuple[str, ...]) -> None:
        """Refuse a request that names a tag which is not its own to name.

        Raises:
            PermissionDenied: an operator has given the tag to another key, or requests may name none at all.
        """
        if principal.is_master:
            return
        for tag in tags:
            if tag in principal.tags:
                continue
            if self.own_tags_only or (self.keyring is not None and self.keyring.is_anothers_tag(tag, principal)):
                raise PermissionDenied(
                    "This key may not name a tag that the request names; leave it out.",
                    param="tags",
                    code="tag_not_allowed",
                )

    async def check_end_user(self, principal: Principal | None, name: str) -> None:
        """Refuse a request for an end user who is blocked, or whom another key is bound to.

        Raises:
            PermissionDenied: `end_user_blocked`, or `end_user_not_allowed`.
            Unavailable: the store cannot be reached, and what is known of it is too old.
        """
        keyring = None if principal is None or principal.is_master else self.keyring
        if keyring is not None and principal is not None and keyring.is_anothers_end_user(name, principal):
            raise PermissionDenied(
                "This key may not be used for the end user that the request names.",
                param="user",
                code="end_user_not_allowed",
            )
        if self.end_users is not None:
            record = await self.end_users.find(name, self.naming)
            if record is not None and record.blocked:
                raise PermissionDenied(
                    "This end user is blocked; the operator can unblock them.", param="user", code="end_user_blocked"
                )


def digest(key: str) -> bytes:
    """The master key is compared as a digest: in constant time, whatever the length of what is compared with it."""
    return sha256(key.encode("utf-8", "surrogatepass")).digest()


class Identity:
    """What is known of callers whatever the configuration: what the stores hold, and an issuer's keys.

    Args:
        keys: where virtual keys are kept.
        end_users: where it is kept what is laid down for end users.
    """

    def __init__(self, keys: KeyStore, end_users: EndUserStore) -> None:
        self.keyring = Keyring(keys)
        self.end_users = EndUsers(end_users)
        self._tokens: tuple[JwtSettings, Path, Tokens] | None = None

    def __repr__(self) -> str:
        return f"<Identity {self.keyring!r} {self.end_users!r}>"

    def using(self, settings: Settings, folder: Path, call: Caller | None) -> Callers:
        """Who may call under a configuration.

        Args:
            settings: the configuration.
            folder: what relative paths in it start from.
            call: how the issuer of tokens is asked for its keys; None where there is no way out.

        Raises:
            ConfigError: tokens are to be taken, and PyJWT is not installed, or the issuer cannot be asked.
        """
        general = settings.general
        return Callers(
            digest(general.master_key.reveal()) if general.master_key else None,
            hashes(settings),
            self.keyring if general.master_key else None,
            self._checking(general.jwt, folder, call) if general.jwt else None,
            self.end_users,
            naming(settings),
            general.reject_clientside_metadata_tags,
        )

    def _checking(self, settings: JwtSettings, folder: Path, call: Caller | None) -> Tokens:
        """What checks tokens; the issuer's keys outlive a reload that leaves these settings as they are."""
        if call is None:
            raise ConfigError(["general_settings.jwt: needs a way to call out, which is not to be had here"])
        if self._tokens is None or self._tokens[:2] != (settings, folder):
            if self._tokens is not None:
                self._tokens[2].keys.close()
            self._tokens = (settings, folder, Tokens(settings, KeySet(settings, folder, call)))
        return self._tokens[2]

    @property
    def state(self) -> tuple[bool, str]:
        """Whether callers can be told apart now, and that in words: one line of `/health/ready`."""
        states = [self.keyring.mirror.state, self.end_users.mirror.state]
        if self._tokens is not None:
            states.append(self._tokens[2].keys.state)
        said = [words for _, words in states if words != "ok"]
        return all(usable for usable, _ in states), "; ".join(said) or "ok"

    def start(self) -> None:
        """Begin to read what the stores hold, so that the first request need not wait for it."""
        self.keyring.mirror.start()
        self.end_users.mirror.start()

    def close(self) -> None:
        """End the questions that are under way."""
        self.keyring.mirror.close()
        self.end_users.mirror.close()
        if self._tokens is not None:
            self._tokens[2].keys.close()
