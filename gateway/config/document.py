"""A YAML document as plain values and the line of each, or everything that is wrong with it as YAML.

Keys are always text. Dates stay text (`api_version: 2024-02-01`) and `1e-6` is a number, as in YAML 1.2. No tag makes
an object, aliases cannot blow up, and size and depth are bounded.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from gateway.config.source import Path_

MAX_BYTES = 1_048_576
MAX_DEPTH = 40
MAX_NODES = 100_000
"""Bounds of a configuration: bytes as it stands, and nesting and values with its aliases written out."""

_STR = "tag:yaml.org,2002:str"
_MERGE = "tag:yaml.org,2002:merge"

Fault = tuple[int | None, Path_, str]
"""Line, path and message."""


@dataclass(frozen=True, slots=True)
class Document:
    """`value` is mappings with text keys, tuples and scalars; `lines` counts from 1."""

    value: Any
    lines: dict[Path_, int]
    faults: list[Fault]


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The safe loader without dates and with YAML 1.2's floats."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rows if not tag.endswith(":timestamp")]
    for first, rows in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+\Z"), list("-+0123456789")
)


_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def scalar(text: str) -> Any:
    """`text` as the number or truth value it spells, as in YAML without quotes; any other text as it is."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def parse(text: str) -> Document:
    """The document in `text`; its faults are those of the YAML, and its value is None when there is no reading it."""
    if len(text) > MAX_BYTES:
        return _broken(None, f"is larger than {MAX_BYTES} bytes")
    try:
        if (line := _too_deep(text)) is not None:
            return _broken(line, f"is nested more than {MAX_DEPTH} levels deep")
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return Document(None, {}, [])
            if fault := _bounds(node):
                return Document(None, {}, [fault])
            faults = list(_key_faults(node, (), set()))
            if any(fault[2] == _NOT_TEXT for fault in faults):
                return Document(None, {}, faults)
            value = frozen(loader.construct_document(node))
            lines: dict[Path_, int] = {}
            _lines(node, (), lines)
            return Document(value, lines, faults)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return _broken(mark.line + 1 if mark else None, f"is not YAML: {_problem(error)}")
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        return _broken(None, f"is not YAML: {_reason(error)}")


_NOT_TEXT = "a key must be text"


def _problem(error: yaml.MarkedYAMLError) -> str:
    """What is wrong, without names from the document: an unquoted password may look like a tag or an alias."""
    if isinstance(error, yaml.constructor.ConstructorError) and "tag" in (error.problem or ""):
        return "tags are not read; put text that begins with ! in quotes"
    return re.sub(r"""(['"]).{2,}\1""", "…", error.problem or error.context or "it cannot be read")


def _reason(error: Exception) -> str:
    """What is wrong, without the text around it."""
    if isinstance(error, yaml.reader.ReaderError):
        return "it holds a control character"
    return "an alias stands inside what it names" if isinstance(error, RecursionError) else "a value cannot be read"


def _broken(line: int | None, message: str) -> Document:
    return Document(None, {}, [(line, (), message)])


def _too_deep(text: str) -> int | None:
    """The line where the text nests too deeply: libyaml composes by recursion and would overflow the stack."""
    depth = 0
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                return event.start_mark.line + 1 if event.start_mark else 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return None


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [child for pair in node.value for child in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []


def _bounds(root: yaml.Node) -> Fault | None:
    """A fault when the document with its aliases written out is too large or too deep.

    Raises:
        RecursionError: it contains itself.
    """
    sizes: dict[int, tuple[int, int]] = {}
    open_: set[int] = set()

    def measure(node: yaml.Node) -> tuple[int, int]:
        """Values in `node` and levels below it."""
        if id(node) in open_:
            raise RecursionError
        if id(node) not in sizes:
            open_.add(id(node))
            below = [measure(child) for child in _children(node)]
            open_.discard(id(node))
            sizes[id(node)] = (1 + sum(n for n, _ in below), 1 + max((d for _, d in below), default=0))
        return sizes[id(node)]

    nodes, depth = measure(root)
    line = root.start_mark.line + 1
    if depth > MAX_DEPTH:
        return line, (), f"is nested more than {MAX_DEPTH} levels deep"
    return (line, (), f"holds more than {MAX_NODES} values, aliases written out") if nodes > MAX_NODES else None


def _key_faults(node: yaml.Node, path: Path_, seen: set[int]) -> Iterator[Fault]:
    """Keys given twice and keys that are not text; every other key is made text, whatever YAML would read in it."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _key_faults(item, (*path, index), seen)
    if not isinstance(node, yaml.MappingNode):
        return
    first: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            yield line, path, _NOT_TEXT
            continue
        if key.tag != _MERGE:
            key.tag = _STR
            if key.value in first:
                yield line, (*path, key.value), f"is given twice; the first is on line {first[key.value]}"
            first.setdefault(key.value, line)
        yield from _key_faults(value, path if key.tag == _MERGE else (*path, key.value), seen)


def _lines(node: yaml.Node, path: Path_, lines: dict[Path_, int]) -> None:
    """The line of every value; after construction, so that merged mappings are already written out."""
    lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _lines(item, (*path, index), lines)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                _lines(value, (*path, key.value), lines)
                lines[(*path, key.value)] = key.start_mark.line + 1


def frozen(value: Any) -> Any:
    """`value` with lists as tuples, which the settings classes take, and every key as text."""
    if isinstance(value, Mapping):
        return {str(key): frozen(item) for key, item in value.items()}
    return tuple(frozen(item) for item in value) if isinstance(value, list) else value
