"""Where each setting stands in its file, so that a fault found on any floor points at its line."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

Path_ = tuple[str | int, ...]
"""Keys and positions from the top of the file to a setting."""


@dataclass(frozen=True, slots=True)
class Source:
    """A configuration's name, the line of each of its settings, and the files it was read from.

    `name` is what faults begin with: the path as the operator gave it. `files` are the configuration and the files it
    refers to (`file:/…`): what a watcher should watch. Paths that the file does not have take the line of the nearest
    that it has.
    """

    name: str = "config"
    lines: Mapping[Path_, int] = field(default_factory=dict, repr=False)
    files: tuple[Path, ...] = ()

    def line(self, path: Path_) -> int | None:
        """The line of `path`, counted from 1; None for a configuration that is not from a file."""
        nearest = (path[:end] for end in range(len(path), -1, -1))
        return next((self.lines[prefix] for prefix in nearest if prefix in self.lines), None)

    def fault(self, path: Path_, message: str) -> str:
        """One line for the operator: `config.yaml:12: model_list[0].litellm_params.model: message`."""
        line = self.line(path)
        place = self.name if line is None else f"{self.name}:{line}"
        return f"{place}: {dotted(path)}: {message}" if path else f"{place}: {message}"


def dotted(path: Path_) -> str:
    """`("model_list", 0, "model_name")` as `model_list[0].model_name`."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{_key(part)}" for part in path]
    return "".join(parts).removeprefix(".")


def _key(part: str) -> str:
    """A key on one line: one with dots, spaces or controls in quotes."""
    plain = part and part.isprintable() and not set(part) & set(". []:'\"")
    return part if plain else ascii(part[:100])


def closest(name: str, known: Iterable[str]) -> str:
    """`; did you mean "x"?` for the known name most like `name`, or nothing."""
    found = get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    return f'; did you mean "{found[0]}"?' if found else ""
