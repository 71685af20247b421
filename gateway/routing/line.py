"""A line of those who wait, fair between tenants. Nothing here waits: it says whose turn it is, and who has to go."""

from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)

Tenant = tuple[str, str]
"""A key and an end user of it, by whatever names tell them apart; either is empty where there is none."""


class Line(Generic[T]):
    """Keys take turns, and so do the end users of one key among themselves: as many end users as a client may make up,
    its key has one turn in each round. Those of one end user keep the order they came in.

    Whoever waits is served after at most one of every other key, and of his own key one of every other end user each
    time. When the line is too long, the one to go is the last of whoever has most in it, so that a burst of one tenant
    neither keeps the others waiting nor keeps them out.
    """

    __slots__ = ("_counts", "_keys", "_size")

    def __init__(self) -> None:
        self._keys: dict[str, dict[str, dict[T, None]]] = {}
        self._counts: dict[str, int] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __repr__(self) -> str:
        return f"<Line {len(self)} of {len(self._keys)} keys wait>"

    def join(self, tenant: Tenant, one: T) -> None:
        """Wait behind those of the same tenant."""
        key, user = tenant
        self._keys.setdefault(key, {}).setdefault(user, {})[one] = None
        self._counts[key] = self._counts.get(key, 0) + 1
        self._size += 1

    def leave(self, tenant: Tenant, one: T) -> bool:
        """Wait no longer; False for one who does not."""
        key, user = tenant
        users = self._keys.get(key)
        if users is None or one not in users.get(user, ()):
            return False
        self._take(key, user, one)
        return True

    def next(self) -> tuple[Tenant, T] | None:
        """Whose turn it is, who waits no longer; None where nobody waits."""
        if not self._keys:
            return None
        key, users = next(iter(self._keys.items()))
        user, waiting = next(iter(users.items()))
        one = next(iter(waiting))
        self._take(key, user, one)
        if user in users:
            users[user] = users.pop(user)  # behind the other end users of the key
        if key in self._keys:
            self._keys[key] = self._keys.pop(key)  # behind the other keys
        return (key, user), one

    def last(self, newcomer: Tenant) -> tuple[Tenant, T] | None:
        """Who has to go first when there are too many: the last of the end user with most, of the key with most. Of
        equal ones it is the newcomer."""
        if not self._keys:
            return None
        key = max(self._counts, key=lambda name: (self._counts[name], name == newcomer[0]))
        users = self._keys[key]
        user = max(users, key=lambda name: (len(users[name]), (key, name) == newcomer))
        return (key, user), next(reversed(users[user]))

    def _take(self, key: str, user: str, one: T) -> None:
        users = self._keys[key]
        del users[user][one]
        if not users[user]:
            del users[user]
        self._counts[key] -= 1
        self._size -= 1
        if not users:
            del self._keys[key], self._counts[key]
