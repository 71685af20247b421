"""Keyed hashes (HMAC-SHA256, RFC 2104) of what is not to be kept itself: virtual keys, and end users' names.

A `HashKey` comes from a secret of the configuration and a purpose, so that one secret serves several purposes and none
of their hashes says anything about another's. Its id stands beside each hash: when the secret changes, what was hashed
with the old one is still told apart, and found by those who list the old secret too.
"""

import hmac
from dataclasses import dataclass, field

VIRTUAL_KEYS = b"gateway: virtual keys"
END_USERS = b"gateway: pseudonyms of end users"

_HASH = "sha256"
_ID_DIGITS = 8
_NAME_DIGITS = 32


@dataclass(frozen=True, slots=True)
class HashKey:
    """A key of hashes. `id` is eight hex digits that name it and give nothing of it away."""

    id: str
    key: bytes = field(repr=False)

    def digest(self, text: str) -> bytes:
        """The 32 bytes that stand for `text`; any text has one, lone surrogates too."""
        return hmac.digest(self.key, text.encode("utf-8", "surrogatepass"), _HASH)

    def pseudonym(self, name: str) -> str:
        """What stands for an end user's name: `eu-`, the id of this key, and 128 bits of the hash in hex.

        The same name has the same pseudonym as long as the secret stays; without the secret nobody can tell whose it
        is, nor try names out.
        """
        return f"eu-{self.id}-{self.digest(name).hex()[:_NAME_DIGITS]}"


def derive(secret: str, purpose: bytes) -> HashKey:
    """The key for one purpose that comes from `secret`, the same in every process that has the secret."""
    key = hmac.digest(secret.encode("utf-8", "surrogatepass"), purpose, _HASH)
    return HashKey(hmac.digest(key, b"id", _HASH).hex()[:_ID_DIGITS], key)
