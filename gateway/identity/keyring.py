"""The virtual keys that work, by the keyed hash of each: minted, and found again, in the same time whether or not."""

import hmac
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from secrets import token_bytes, token_hex, token_urlsafe
from time import time

from gateway.hashing import HashKey
from gateway.identity.mirror import Mirror
from gateway.principal import KeyRecord, KeyStore, Principal

PREFIX = "gk-"
KEY_BYTES = 32

_SHAPE = re.compile(r"gk-[A-Za-z0-9_-]{43}")


def new_key() -> str:
    """A virtual key: `gk-` and 256 random bits in URL-safe base64."""
    return PREFIX + token_urlsafe(KEY_BYTES)


def new_key_id() -> str:
    """An id of a key: random, and not a secret."""
    return f"key_{token_hex(12)}"


def has_shape(presented: str) -> bool:
    """Whether a text looks like a virtual key at all."""
    return _SHAPE.fullmatch(presented) is not None


@dataclass(frozen=True, slots=True)
class _Entry:
    record: KeyRecord
    principal: Principal


_NOBODY = KeyRecord("", "", token_bytes(32), "", 0, 0, revoked_at=0)
_NONE = _Entry(_NOBODY, _NOBODY.principal())
"""What an unknown key is compared with: it takes the way that a known one takes, and never works."""


class Keyring:
    """The keys of a store that are not revoked, at most two seconds behind it.

    Args:
        store: where keys are kept.
        clock: the time of day in seconds, for expiry.
    """

    def __init__(self, store: KeyStore, clock: Callable[[], float] = time) -> None:
        self.store = store
        self.mirror: Mirror[KeyRecord] = Mirror("key store", store.changed_since, self._take)
        self._clock = clock
        self._by_digest: dict[bytes, _Entry] = {}
        self._digests: dict[str, bytes] = {}
        self._revisions: dict[str, int] = {}
        self._tags: Counter[str] = Counter()
        self._bound: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<Keyring {len(self._digests)} keys {self.mirror!r}>"

    async def find(self, presented: str, hashes: Iterable[HashKey]) -> Principal | None:
        """Who calls with `presented`; None for every key that does not work, whatever the reason.

        Args:
            hashes: the keys of hashes that digests may have been made with.

        Raises:
            Unavailable: the store cannot be reached, and what is known of it is too old.
        """
        digests = [key.digest(presented) for key in hashes]
        await self.mirror.fresh()
        found = self._matching(digests)
        if found is None and has_shape(presented):
            await self.mirror.look()
            found = self._matching(digests)
        return found

    def _matching(self, digests: Sequence[bytes]) -> Principal | None:
        """One look, the same for every key: each digest is compared, none ends the comparison early."""
        now, found = self._clock(), None
        for digest in digests:
            entry = self._by_digest.get(digest, _NONE)
            same = hmac.compare_digest(entry.record.digest, digest)
            if entry.record.is_valid(now) & same:
                found = entry.principal
        return found

    def is_anothers_tag(self, tag: str, principal: Principal) -> bool:
        """Whether an operator has given `tag` to another key, and not to this one."""
        return tag in self._tags and tag not in principal.tags

    def is_anothers_end_user(self, name: str, principal: Principal) -> bool:
        """Whether an operator has bound another key to the end user `name`, and not this one."""
        return name in self._bound and name not in (principal.end_user, principal.default_end_user)

    def foreign(self, hashes: Iterable[HashKey]) -> int:
        """How many keys cannot be found with these `hashes`, as after a change of the secret."""
        ids = {key.id for key in hashes}
        return sum(entry.record.hash_id not in ids for entry in self._by_digest.values())

    def _take(self, records: Sequence[KeyRecord], anew: bool) -> None:
        if anew:
            for index in (self._by_digest, self._digests, self._revisions, self._tags, self._bound):
                index.clear()
        for record in records:
            if record.revision < self._revisions.get(record.id, 0):
                continue  # read before this process itself changed it
            self._revisions[record.id] = record.revision
            digest = self._digests.pop(record.id, None)
            if digest is not None:
                self._count(self._by_digest.pop(digest).record, -1)
            if record.revoked_at is None:
                self._digests[record.id] = record.digest
                self._by_digest[record.digest] = _Entry(record, record.principal())
                self._count(record, 1)

    def _count(self, record: KeyRecord, by: int) -> None:
        """Keep count of the tags and end users that keys hold; `in` is true for those with a key left."""
        for index, names in ((self._tags, record.tags), (self._bound, (record.end_user,))):
            for name in names:
                if name is None:
                    continue
                index[name] += by
                if not index[name]:
                    del index[name]
