"""Presidio's classes without the rest of its package.

`import presidio_analyzer` imports spaCy, NumPy and every recognizer of every country: 0.6 s and 65 MB, of which the
recognizers used here need a tenth. They import names from the package itself, so that it cannot be gone around. While
they are imported, each package of Presidio's is therefore one that reads in its `__init__` where a name comes from and
imports it when somebody asks for it; afterwards it is gone, and whoever imports Presidio gets Presidio.
"""

import ast
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import resolve_name
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = "presidio_analyzer"
RECOGNIZERS = f"{ROOT}.predefined_recognizers"

_ENGINES = f"{ROOT}.nlp_engine"
"""Everything in it is made of spaCy, and pattern recognizers name it in annotations only."""


def classes(names: Sequence[str]) -> dict[str, Any]:
    """The classes of these names, of Presidio's package of recognizers.

    Where Presidio has been imported already they are those that everybody else sees.

    Raises:
        ImportError: Presidio has no such class, or is not installed.
    """
    if ROOT in sys.modules:
        return _imported(names)
    try:
        with _by_name():
            return _imported(names)
    except (ImportError, SyntaxError, OSError):  # another version of it, packed in another way: then all of it
        return _imported(names)


def _imported(names: Sequence[str]) -> dict[str, Any]:
    package = import_module(RECOGNIZERS)
    try:
        return {name: getattr(package, name) for name in names}
    except AttributeError as error:
        raise ImportError(f"presidio-analyzer has no {error.name}") from error


@contextmanager
def _by_name() -> Iterator[None]:
    """Presidio's packages import by name within this block."""
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name == ROOT or name.startswith(f"{ROOT}.")]:
            del sys.modules[name]


class _Finder(MetaPathFinder):
    """Finds Presidio's packages, and gives them another loader."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != ROOT and not fullname.startswith(f"{ROOT}."):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.submodule_search_locations is not None:
            spec.loader = _ByName()
        return spec


class _ByName(Loader):
    """Loads a package that imports a name when it is asked for it."""

    def exec_module(self, module: ModuleType) -> None:
        spec = module.__spec__
        if spec is None or spec.origin is None:
            raise ImportError(f"{module.__name__} has no file")
        homes = _homes(Path(spec.origin).read_text(encoding="utf-8"), module.__name__)

        def find(name: str) -> Any:
            if name not in homes:
                raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}", name=name, obj=module)
            return object if module.__name__ == _ENGINES else getattr(import_module(homes[name]), name)

        module.__dict__["__getattr__"] = find


def _homes(source: str, package: str) -> dict[str, str]:
    """By name: the module that an `__init__` imports it from."""
    found = [node for node in ast.parse(source).body if isinstance(node, ast.ImportFrom)]
    return {
        name.name: resolve_name("." * node.level + (node.module or ""), package)
        for node in found
        for name in node.names
    }
