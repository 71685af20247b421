"""The policies that come with the gateway: documents in one folder, found by name."""

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

SUFFIX = ".yaml"


def folder() -> Traversable:
    """The folder of the packs: inside an installed package `gateway/_policies`, in a checkout `policies` beside it."""
    package = files("gateway")
    installed = package / "_policies"
    return installed if installed.is_dir() else Path(str(package)).parent / "policies"


def names() -> list[str]:
    """The names of the packs, in order of the alphabet."""
    return sorted(item.name.removesuffix(SUFFIX) for item in folder().iterdir() if item.name.endswith(SUFFIX))


def pack(name: str) -> Traversable:
    """The document of the pack called `name`."""
    return folder() / f"{name}{SUFFIX}"
