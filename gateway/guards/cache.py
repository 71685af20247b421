"""Findings of texts that come again: chat histories, system prompts. Keyed by a MAC of the text; it holds no text.

Whoever reads the memory of a process learns where something was found, not what, and cannot test a guess without the
key, which is made when the cache is and never leaves it.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b
from secrets import token_bytes

from gateway.guards.base import Finding, Stage

Key = tuple[str, int, Stage, int, bytes]
"""Policy, version, stage, which guard (-1: all that judge at once), and the MAC of the text."""


class VerdictCache:
    """A bounded map from (policy, its version, stage, guard, text) to findings; the longest unused goes first.

    It belongs to the policies of one loading: others of the same name and version may find other things.

    Args:
        capacity: how many entries and findings, together, it may hold. An entry without findings weighs one.
    """

    __slots__ = ("_capacity", "_entries", "_keyed", "_weight", "hits", "misses")

    def __init__(self, capacity: int = 10_000) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[Key, tuple[Finding, ...]] = OrderedDict()
        self._keyed = blake2b(key=token_bytes(32), digest_size=16)
        self._weight = 0
        self.hits = 0
        self.misses = 0

    def __repr__(self) -> str:
        return f"<VerdictCache {len(self._entries)} entries, {self.hits} hits, {self.misses} misses>"

    def __len__(self) -> int:
        return len(self._entries)

    def digest(self, text: str) -> bytes:
        """The MAC of a text: keyed BLAKE2b (RFC 7693, §2.9), 16 bytes."""
        mac = self._keyed.copy()  # which is cheaper than to read the key anew
        mac.update(text.encode("utf-8", "surrogatepass"))
        return mac.digest()

    def get(self, key: Key, path: str) -> list[Finding] | None:
        """What was found in that text, as found at `path`; None when it is not known."""
        found = self._entries.get(key)
        if found is None:
            self.misses += 1
            return None
        self.hits += 1
        self._entries.move_to_end(key)
        if not found:
            return []
        return [finding if finding.path == path else replace(finding, path=path) for finding in found]

    def put(self, key: Key, findings: Sequence[Finding]) -> None:
        """Keep what was found; a text with more findings than the whole cache may hold is not kept."""
        weight = 1 + len(findings)
        if weight > self._capacity:
            return
        before = self._entries.pop(key, None)
        if before is not None:
            self._weight -= 1 + len(before)
        self._entries[key] = tuple(findings)
        self._weight += weight
        while self._weight > self._capacity:
            _, gone = self._entries.popitem(last=False)
            self._weight -= 1 + len(gone)
