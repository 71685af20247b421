"""Every text in a JSON value, by construction: what is not known to be something else is a text.

A string is left out only where both its place and what it says are known (a role, a type, an id), never because its
field is unknown. Keys that no API defines are texts too, and so are numbers as long as an account's. Places are written
as `messages.content.text`, without positions; paths, as findings name them, as `messages[0].content[1].text`. Neither
holds a word of the client's: a key that is not known is told by its position.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from gateway.errors import InvalidValue
from gateway.wire import json, jsontext
from gateway.wire.known import KNOWN, PAYLOADS, PLAIN, TOKENS, WORDS, unreadable_part

MAX_DEPTH = 200
"""How deep a body may be nested; JSON libraries write about 250 levels at most."""

LONG_NUMBER = 10**11
"""An integer from here on is judged as the digits it is written with: shorter ones are no card's and no account's."""

_KEY_END = re.compile(rb'"[ \t\r\n]*:')
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"([ \t\r\n]*:)?')

Identity = tuple[tuple[str, Any], ...]
Step = str | Identity
"""A key, or what an element of a list says of itself (its `index` and `type`)."""


@dataclass(slots=True)
class Leaf:
    """One text of a value, and where it stands. `kind` is `json` for a text that holds JSON (tool arguments).

    `rest` is what follows in the same string and is no text (the payload of a data URL). `trail` leads from the value
    to the leaf.
    """

    path: str
    place: str
    value: str = field(repr=False)
    kind: Literal["text", "json", "number", "key"]
    holder: Any = field(repr=False)
    at: Any = field(repr=False)
    trail: tuple[Step, ...] = field(default=(), repr=False)
    rest: str = field(default="", repr=False)

    def put(self, text: str) -> None:
        """Write `text` where the leaf stands; keys are written by `rename`."""
        self.holder[self.at] = text + self.rest


@dataclass(slots=True)
class Found:
    """What a walk found: the texts in order, and the paths of what nobody can read here. `box` holds the value."""

    box: list[Any] = field(repr=False)
    leaves: list[Leaf] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)

    @property
    def value(self) -> Any:
        """The value, with every text that was written back."""
        return self.box[0]


class Walker:
    """Walks values of one kind.

    Args:
        chat: the value is for a model to read: a content part of a type that is not known is unreadable. Elsewhere only
            parts of some known types are.
        merged: elements of a list are told apart by their `index` alone, as the pieces of a stream are put together.
        skip: places that somebody else looks at.
    """

    def __init__(self, *, chat: bool, merged: bool = False, skip: frozenset[str] = frozenset()) -> None:
        self._chat = chat
        self._merged = merged
        self._skip = skip

    def walk(self, value: Any, path: str = "", place: str = "") -> Found:
        """Everything in `value`, which stands at `path`.

        Raises:
            InvalidValue: it is nested too deep.
        """
        found = Found([value])
        self._value(value, path, place, (), found, found.box, 0)
        return found

    def _value(
        self, value: Any, path: str, place: str, trail: tuple[Step, ...], found: Found, holder: Any, at: Any
    ) -> None:
        if len(trail) > MAX_DEPTH:
            raise InvalidValue(f"The body must not be nested deeper than {MAX_DEPTH} levels.")
        kind = type(value)
        if kind is str:
            leaf = _text(value, path, place, trail, holder, at)
            if leaf is not None:
                found.leaves.append(leaf)
            if place in PAYLOADS and (leaf is None or leaf.rest):
                found.unreadable.append(path)
        elif kind is dict:
            self._object(value, path, place, trail, found)
        elif kind is list:
            self._list(value, path, place, trail, found)
        elif kind is int and not -LONG_NUMBER < value < LONG_NUMBER and place not in PLAIN:
            found.leaves.append(Leaf(path, place, str(value), "number", holder, at, trail))

    def _object(self, value: dict[str, Any], path: str, place: str, trail: tuple[Step, ...], found: Found) -> None:
        for number, (key, inner) in enumerate(value.items()):
            if key in KNOWN:
                name = "message" if key == "delta" and place == "choices" else key
                below = f"{place}.{name}" if place else name
                here = f"{path}.{name}" if path else name
            else:
                below = f"{place}.?" if place else "?"
                here = f"{path or 'body'}[{number}]"
                found.leaves.append(Leaf(f"{here}.key", below, key, "key", value, key, trail))
            if below not in self._skip:
                self._value(inner, here, below, (*trail, key), found, value, key)

    def _list(self, value: list[Any], path: str, place: str, trail: tuple[Step, ...], found: Found) -> None:
        if place in TOKENS and any(type(item) in (int, list) for item in value):
            found.unreadable.append(path)
        parts = place.endswith("content")
        for number, item in enumerate(value):
            identity: Identity = ()
            here = f"{path}[{number}]"
            if type(item) is dict:
                identity = tuple((name, item[name]) for name in ("index", "type") if type(item.get(name)) in (int, str))
                if self._merged:
                    index = item.get("index")
                    here = f"{path}[{index}]" if type(index) is int else path
                if parts and unreadable_part(item, chat=self._chat):
                    found.unreadable.append(here)
            elif self._merged:
                here = path
            self._value(item, here, place, (*trail, identity), found, value, number)


def _text(value: str, path: str, place: str, trail: tuple[Step, ...], holder: Any, at: Any) -> Leaf | None:
    """The leaf of a string; None when it is known to be no text."""
    if place in PLAIN:
        return None
    if place in PAYLOADS:
        head, comma, payload = value.partition(",")
        if comma and head.startswith("data:") and head.endswith(";base64"):
            return Leaf(path, place, head, "text", holder, at, trail, f",{payload}")
        if "://" not in value[:64] and not value.startswith("data:"):
            return None
    name = place.rpartition(".")[2]
    words = WORDS.get(name)
    if words is not None and value in words:
        return None
    return Leaf(path or "body", place, value, "json" if name == "arguments" else "text", holder, at, trail)


def texts(leaves: Sequence[Leaf]) -> Iterator[tuple[str, str]]:
    """Every text with a path of its own: a text that holds JSON is one per string in it."""
    for leaf in leaves:
        if leaf.kind != "json":
            if leaf.value:
                yield leaf.path, leaf.value
            continue
        for number, part in enumerate(jsontext.whole(leaf.value)):
            if readable(part):
                yield f"{leaf.path}[{number}]", part.text


def readable(part: jsontext.Part) -> bool:
    """Whether a part of a JSON text is to be judged."""
    if part.kind == "number":
        return sum(map(str.isdigit, part.text)) >= len(str(LONG_NUMBER))
    return part.kind != "signs" and bool(part.text)


def rewrite(leaves: Sequence[Leaf], texts: Mapping[str, str]) -> None:
    """Write the texts back, by the paths that `texts` gave out; what is not among them stays."""
    keys: dict[int, tuple[dict[str, Any], dict[str, str]]] = {}
    for leaf in leaves:
        if leaf.kind == "json":
            leaf.put(_rejoined(leaf, texts))
            continue
        text = texts.get(leaf.path, leaf.value)
        if text == leaf.value:
            continue
        if leaf.kind == "key":
            keys.setdefault(id(leaf.holder), (leaf.holder, {}))[1][leaf.at] = text
        else:
            leaf.put(text)
    for holder, names in keys.values():
        rename(holder, names)


def rename(holder: dict[str, Any], names: Mapping[str, str]) -> None:
    """Give keys of `holder` other names, in their places; of two that become the same, the later is counted."""
    items = list(holder.items())
    holder.clear()
    for key, value in items:
        name = wanted = names.get(key, key)
        number = 2
        while name in holder:
            name = f"{wanted}_{number}"
            number += 1
        holder[name] = value


def _rejoined(leaf: Leaf, texts: Mapping[str, str]) -> str:
    """A JSON text with its strings written anew where they changed; a number that changed becomes a string."""
    out: list[str] = []
    for number, part in enumerate(jsontext.whole(leaf.value)):
        text = texts.get(f"{leaf.path}[{number}]", part.text)
        out.append(part.raw if text == part.text else WRITTEN[part.kind](text))
    return "".join(out)


WRITTEN: Mapping[str, Callable[[str], str]] = {
    "string": jsontext.escaped,
    "number": lambda text: json.dumps(text).decode(),
    "loose": str,
}
"""How a changed text is written in a JSON text, by the kind of the part it stands for."""


def repeats(body: bytes, value: Any) -> bool:
    """Whether some object of a JSON text has a key twice; `value` is what the text was read as, where the last counts.

    Another parser may take the first of them: what it reads is then not what was judged.
    """
    count = members(value)
    # Every key ends like this, and so may a text that looks like one: only then the strings are told apart.
    return len(_KEY_END.findall(body)) != count and members_in(body) != count


def members_in(body: bytes) -> int:
    """How many members the objects of a JSON text have, repeated keys counted each time."""
    return sum(match.group(1) is not None for match in _STRING.finditer(body))


def members(value: Any) -> int:
    """How many members the objects in `value` have."""
    count, level = 0, [value]
    while level:
        item = level.pop()
        if type(item) is dict:
            count += len(item)
            level += item.values()
        elif type(item) is list:
            level += item
    return count
