"""Who a request is for: what an operator has laid down for an end user, and what stands for their name."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.config.model import Settings
from gateway.config.pseudonyms import pseudonym_keys
from gateway.hashing import HashKey
from gateway.identity.mirror import Mirror
from gateway.principal import EndUserRecord, EndUserStore


@dataclass(frozen=True, slots=True)
class Naming:
    """How end users are called where anything is kept of them: by name, or by a pseudonym.

    `keys` are those of the pseudonyms, the one in use first; empty is by name.
    """

    keys: tuple[HashKey, ...] = field(default=(), repr=False)

    def kept(self, name: str) -> str:
        """What stands for the `name` that a request gives in whatever is written down from now on. One that looks like
        a pseudonym is a name like any other: nobody passes for somebody by giving theirs."""
        return self.keys[0].pseudonym(name) if self.keys else name

    def given(self, name: str) -> str:
        """What an operator's `name` stands for: a pseudonym, as lists show it, for itself."""
        return name if any(name.startswith(f"eu-{key.id}-") for key in self.keys) else self.kept(name)

    def known(self, name: str) -> tuple[str, ...]:
        """Everything that may stand for `name` in what was written down, with this secret and those before it."""
        return tuple(key.pseudonym(name) for key in self.keys) or (name,)


def naming(settings: Settings) -> Naming:
    """How a configuration has end users called."""
    return Naming(pseudonym_keys(settings))


class EndUsers:
    """The end users a store keeps something about, at most two seconds behind it."""

    def __init__(self, store: EndUserStore) -> None:
        self.store = store
        self.mirror: Mirror[EndUserRecord] = Mirror("store of end users", store.changed_since, self._take)
        self._by_name: dict[str, EndUserRecord] = {}
        self._names: dict[str, str] = {}
        self._revisions: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"<EndUsers {len(self._by_name)} {self.mirror!r}>"

    async def find(self, name: str, naming: Naming) -> EndUserRecord | None:
        """What is laid down for the end user `name`; None for nothing. With several records, from before and after a
        change of secret, one that blocks counts, else the newest name's.

        Raises:
            Unavailable: the store cannot be reached, and what is known of it is too old.
        """
        await self.mirror.fresh()
        if not self._by_name:
            return None
        found = [record for known in naming.known(name) if (record := self._by_name.get(known))]
        return next((record for record in found if record.blocked), found[0] if found else None)

    def _take(self, records: Sequence[EndUserRecord], anew: bool) -> None:
        if anew:
            self._by_name.clear()
            self._names.clear()
            self._revisions.clear()
        for record in records:
            if record.revision < self._revisions.get(record.id, 0):
                continue  # read before this process itself changed it
            self._revisions[record.id] = record.revision
            before = self._names.pop(record.id, None)
            if before is not None:
                self._by_name.pop(before, None)
            if record.name is not None:
                self._by_name[record.name] = record
                self._names[record.id] = record.name
