"""`os.environ/NAME` and `file:/path` in place of a text: the value is elsewhere, most often because it is a secret."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.config.source import Path_

ENVIRONMENT = "os.environ/"
FILE = "file:"
MAX_FILE_BYTES = 65_536

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

Report = Callable[[Path_, str], None]


class Resolved(str):
    """Text that came through a reference: where a number is expected it is read as YAML would read it."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class References:
    """What references are resolved against.

    `environ` holds the variables; `folder` is what a relative path in `file:` starts from; `report` takes what cannot
    be resolved; `files` collects the files read. Values never reach a message.
    """

    environ: Mapping[str, str] = field(repr=False)
    folder: Path
    report: Report
    files: list[Path]

    def resolve(self, value: Any, path: Path_) -> Any:
        """`value` with every reference in it replaced; one that cannot be resolved is reported and becomes None."""
        if isinstance(value, Mapping):
            return {key: self.resolve(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, tuple | list):
            return tuple(self.resolve(item, (*path, index)) for index, item in enumerate(value))
        if not isinstance(value, str):
            return value
        if value.startswith(ENVIRONMENT):
            return self._variable(value.removeprefix(ENVIRONMENT), path)
        return self._file(value.removeprefix(FILE), path) if value.startswith(FILE) else value

    def _variable(self, name: str, path: Path_) -> Resolved | None:
        if not _NAME.fullmatch(name):
            self.report(path, f"{ENVIRONMENT} must be followed by the name of an environment variable")
            return None
        value = self.environ.get(name)
        if not value:
            self.report(path, f"the environment variable {name} is {'not set' if value is None else 'empty'}")
            return None
        return Resolved(value)

    def _file(self, name: str, path: Path_) -> Resolved | None:
        if not name or "\0" in name:
            self.report(path, f"{FILE} must be followed by a path")
            return None
        file = self.folder / (name[2:] if name.startswith("//") else name)
        try:
            with file.open("rb") as opened:
                data = opened.read(MAX_FILE_BYTES + 1)
            text = data.decode().rstrip("\r\n")
        except OSError as error:
            self.report(path, f"the file {file} cannot be read: {error.strerror or 'unknown reason'}")
            return None
        except UnicodeDecodeError:
            self.report(path, f"the file {file} is not UTF-8 text")
            return None
        self.files.append(file)
        if len(data) > MAX_FILE_BYTES or not text:
            self.report(path, f"the file {file} is {f'larger than {MAX_FILE_BYTES} bytes' if text else 'empty'}")
            return None
        return Resolved(text)
