"""The texts of a foreign app's answer: taken out of a body or an event, judged, and written back in their places."""

import asyncio
import re
from collections.abc import Iterable, Sequence
from typing import Any

from gateway.guards.fields import Field, Fields, JsonField
from gateway.guards.policy import Run
from gateway.middleware.foreign.capture import Keeper
from gateway.middleware.foreign.logprobs import Logprobs
from gateway.wire import chat, walk
from gateway.wire.known import WORDS
from gateway.wire.paths import Language
from gateway.wire.walk import Leaf, Step, Walker

_CHOICES = frozenset({"choices"})
_LOGPROBS = frozenset({"choices.logprobs"})
_NOTHING: frozenset[str] = frozenset()
_CHOICE = re.compile(r"choices\[(\d+)\]")
_ENDS = re.compile(r"(?:stop|done|end|complete|finish|fail|error|incomplete)", re.IGNORECASE)
"""What the type of an event says after which no piece of a text is to come."""

_REMEMBERED, _SHORT = 256, 256
"""How many texts that every event repeats (a provider's name) are known not to change, and of how many characters."""

Key = tuple[int | None, str]
"""A choice and a path; no choice where the events are not those of a completion."""


class Texts:
    """One answer, whole or event by event.

    Args:
        fields: the policies at work.
        language: what the app speaks at this path; None for JSON of any kind.
        keeper: is told what may leave.

    `blocker` is the record of the policy that stopped the answer, `unreadable` says where something stands that no
    policy can read, `over` which choices have had their end, and `seen` which have begun. `kept` are the choices of the
    event at hand that have been judged: once one is blocked, what remains of it, and the later ones, are not. `name` is
    the type on the wire of events that are made up.
    """

    def __init__(self, fields: Fields, language: Language | None, keeper: Keeper) -> None:
        self._fields = fields
        self._keeper = keeper
        self._language = language
        self._open: dict[Key, tuple[Field | JsonField, tuple[Step, ...]]] = {}
        self._logprobs = Logprobs(fields)
        self._changed: set[int] = set()
        self._clean: set[tuple[str, str]] = set()
        self._last: dict[str, Any] = {}
        self._same: dict[str, Any] = {}
        self.name = ""
        self.head: dict[str, Any] = {}
        self.blocker: Run | None = None
        self.unreadable: str | None = None
        self.over: set[int] = set()
        self.seen: set[int] = set()
        self.kept: list[tuple[int, dict[str, Any]]] = []

    async def whole(self, value: Any) -> tuple[Any, bool]:
        """An answer that is complete, with its texts as they may leave, and whether any of them is another.

        Raises:
            InvalidValue: it is nested too deep to be read.
        """
        if self._language is not None and isinstance(value, dict):
            self.head = chat.envelope(value)
        changed = self._language is not None and self._logprobs.without_ids(value, *_choices(value))
        found = Walker(chat=False, skip=_LOGPROBS if self._language else _NOTHING).walk(value)
        changed |= await self._alone(found)
        for index, choice in enumerate(_choices(value) if self._language is not None else ()):
            if isinstance(choice, dict):
                self.seen.add(index)
                changed |= self._tokens(choice, index, final=True)
        return found.value, changed

    async def event(self, value: dict[str, Any], name: str = "") -> tuple[list[dict[str, Any]], bool]:
        """One event of a stream, changed in place; events to be sent before it, and whether it is another now.

        Args:
            name: the event's type on the wire.

        Raises:
            InvalidValue: it is nested too deep to be read.
        """
        choices = value.get("choices")
        if self._language is None or not isinstance(choices, list):
            return await self._piece(value, name)
        changed = self._logprobs.without_ids(value, *choices)
        self.kept = []
        around = {name: inner for name, inner in value.items() if name != "choices"}
        if around != self._same:  # most events of a stream repeat what is around their choices
            self.head = chat.envelope(value)
            altered = await self._alone(Walker(chat=False, skip=_CHOICES).walk(value))
            self._same = {} if altered else around
            changed |= altered
        before: list[dict[str, Any]] = []
        for position, choice in enumerate(choices):
            if self.blocker is not None:
                break
            if isinstance(choice, dict):
                index = chat.index_of(choice, position)
                changed |= await self._choice(choice, index, before)
                self.kept.append((index, choice))
            else:
                found = Walker(chat=False).walk(choice, f"choices[{position}]", "choices")
                changed |= await self._alone(found)
                choices[position] = found.value
        return before, changed

    async def late(self) -> list[dict[str, Any]]:
        """Events with what has been held for the end of a clause, and long enough."""
        before: list[dict[str, Any]] = []
        now = asyncio.get_running_loop().time()
        for (index, path), (field, trail) in self._open.items():
            if isinstance(field, Field) and field.due is not None and field.due <= now and self.blocker is None:
                out = await field.late()
                self._after(field, index)
                self._keeper.note(path, out)
                if out:
                    before.append(self._around(index, trail, out))
        return before

    async def flush(self, whose: str = "") -> list[dict[str, Any]]:
        """Events with all that is held, for nothing more comes; `whose` ends the paths of the texts it is about."""
        before: list[dict[str, Any]] = []
        for key in [key for key in self._open if key[1].endswith(whose)]:
            await self._close(key, {}, before)
        return before

    def expect(self, choices: int) -> list[int]:
        """The choices that have not had their end, of those that were asked for and those that came anyway."""
        return sorted(({*range(choices)} | self.seen) - self.over)

    async def _choice(self, choice: dict[str, Any], index: int, before: list[dict[str, Any]]) -> bool:
        """One choice of an event."""
        self.seen.add(index)
        leaf = chat.usual(choice, index)
        if leaf is not None and index not in self._logprobs:
            out = await self._taken((index, leaf.path), leaf)
            leaf.put(out)
            return out != leaf.value
        found = Walker(chat=False, merged=True, skip=_LOGPROBS).walk(choice, f"choices[{index}]", "choices")
        self._note(found)
        pieces = [leaf for leaf in found.leaves if leaf.kind in ("text", "json")]
        others = walk.Found(found.box, [leaf for leaf in found.leaves if leaf.kind in ("number", "key")])
        given: dict[str, tuple[Leaf, str]] = {}
        changed = False
        for leaf in pieces:
            out = "" if self.blocker is not None else await self._taken((index, leaf.path), leaf)
            changed |= out != leaf.value
            leaf.put(out)
            given[leaf.path] = (leaf, out)
        final = choice.get("finish_reason") is not None
        for key in self._ending(index, given, final=final):
            changed |= await self._close(key, given, before)
        changed |= await self._alone(others)  # at last, for a key with another name is another key
        if self.blocker is not None:
            return True
        changed |= self._tokens(choice, index, final=final)
        if final:
            self.over.add(index)
        return changed

    def _ending(self, index: int, given: Iterable[str], *, final: bool) -> list[Key]:
        """The texts that end with this event: all of a choice that ends, and names of tools whose arguments begin."""
        if final:
            return [key for key in self._open if key[0] == index]
        names = [f"{path.removesuffix('arguments')}name" for path in given if path.endswith(".arguments")]
        return [(index, name) for name in names if (index, name) in self._open]

    async def _taken(self, key: Key, leaf: Leaf) -> str:
        """What may leave of a piece of a text."""
        if key not in self._open:
            self._open[key] = (self._fields.opened(leaf), leaf.trail)
        field, _ = self._open[key]
        self._open[key] = (field, leaf.trail)
        out = await field.take(leaf.value, final=False)
        self._after(field, key[0])
        self._keeper.note(leaf.path, out)
        return out

    async def _close(self, key: Key, given: dict[str, tuple[Leaf, str]], before: list[dict[str, Any]]) -> bool:
        """The rest of a text: after its piece in this event, or in an event of its own before."""
        field, trail = self._open.pop(key)
        if self.blocker is not None:
            return True
        out = await field.take("", final=True)
        self._after(field, key[0])
        self._keeper.note(key[1], out)
        if not out:
            return False
        if key[1] in given:
            leaf, already = given[key[1]]
            leaf.put(already + out)
            given[key[1]] = (leaf, already + out)
        else:
            before.append(self._around(key[0], trail, out))
        return True

    def _after(self, field: Field | JsonField, index: int | None) -> None:
        if field.changed and index is not None:
            self._changed.add(index)
        self.blocker = self.blocker or field.blocker

    async def _piece(self, value: dict[str, Any], name: str) -> tuple[list[dict[str, Any]], bool]:
        """An event that is no completion's: what is called a delta goes on from event to event, the rest is whole."""
        before: list[dict[str, Any]] = []
        kind = value.get("type")
        whose = [item for key, item in value.items() if key.endswith("index") or key == "item_id"]
        if type(kind) is str and "delta" not in kind and _ENDS.search(kind):
            before = await self.flush(f" {whose}" if whose else "")
        found = Walker(chat=False, merged=True).walk(value)
        pieces = [leaf for leaf in found.leaves if leaf.kind in ("text", "json") and _goes_on(leaf.place.split("."))]
        rest = [leaf for leaf in found.leaves if not any(leaf is one for one in pieces)]
        self._note(found)
        changed = False
        if pieces:
            self._last, self.name = value, name
        for leaf in pieces:
            key = (None, f"{leaf.path} {whose}")
            out = "" if self.blocker is not None else await self._taken(key, leaf)
            changed |= out != leaf.value
            leaf.put(out)
        changed |= await self._alone(walk.Found(found.box, rest))
        return before, changed

    def _around(self, index: int | None, trail: Sequence[Step], text: str) -> dict[str, Any]:
        """An event that brings nothing but a piece of one text."""
        inner: dict[str, Any] = chat.built(trail, text)
        if index is not None:
            return chat.piece(self.head, index, inner)
        around = {name: item for name, item in self._last.items() if type(item) is int or name == "type"}
        delta = self._last.get("delta")
        if isinstance(delta, dict) and isinstance(inner.get("delta"), dict) and "type" in delta:
            inner = {"delta": {"type": delta["type"], **inner["delta"]}}
        return {**around, **inner}

    async def _alone(self, found: walk.Found) -> bool:
        """Judge texts that are whole, and write them back; says whether one of them changed."""
        self._note(found)
        leaves = [leaf for leaf in found.leaves if leaf.value and (leaf.path, leaf.value) not in self._clean]
        if self._fields.waits and len(leaves) > 1:
            outs: Sequence[str] = await asyncio.gather(*map(self._once, leaves))
        else:
            outs = [await self._once(leaf) for leaf in leaves]
        changed = False
        names: dict[int, tuple[dict[str, Any], dict[str, str]]] = {}
        for leaf, out in zip(leaves, outs, strict=True):
            self._keeper.note(leaf.path, out)
            if out == leaf.value:
                if len(self._clean) < _REMEMBERED and len(out) < _SHORT:
                    self._clean.add((leaf.path, out))
                continue
            changed = True
            if (choice := _CHOICE.match(leaf.path)) is not None:
                self._changed.add(int(choice[1]))
            if leaf.kind == "key":
                names.setdefault(id(leaf.holder), (leaf.holder, {}))[1][leaf.at] = out
            else:
                leaf.put(out)
        for holder, renamed in names.values():
            walk.rename(holder, renamed)
        return changed

    async def _once(self, leaf: Leaf) -> str:
        if self.blocker is not None:
            return ""
        field = self._fields.opened(leaf)
        out = await field.take(leaf.value, final=True)
        self.blocker = self.blocker or field.blocker
        return out

    def _tokens(self, choice: dict[str, Any], index: int, *, final: bool) -> bool:
        """Judge the logprobs of a choice, whose texts have been judged; says whether they are others now."""

        def left(path: str) -> int:
            opened = self._open.get((index, path))
            return opened[0].left if opened is not None else 0

        return self._logprobs.judge(choice, index, left, final=final, changed=index in self._changed)

    def _note(self, found: walk.Found) -> None:
        if found.unreadable:
            self.unreadable = self.unreadable or found.unreadable[0]


def _goes_on(place: Sequence[str]) -> bool:
    """Whether a text of an event goes on in the next one of its kind."""
    return "delta" in place and place[-1] not in WORDS


def _choices(value: Any) -> list[Any]:
    choices = value.get("choices") if isinstance(value, dict) else None
    return choices if isinstance(choices, list) else []
