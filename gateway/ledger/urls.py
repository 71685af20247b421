"""What the URL of an SQLite database says of it. Nothing of SQLAlchemy is imported here, which takes its time."""

from pathlib import Path

_SQLITE = "sqlite:///"


def sqlite_file(url: str) -> Path | None:
    """The file of an SQLite URL, None for every other database."""
    name = url.removeprefix(_SQLITE).partition("?")[0]
    return Path(name) if url.startswith(_SQLITE) and name and not name.startswith((":memory:", "file:")) else None


def in_memory(url: str) -> bool:
    """Whether a URL is that of an SQLite database that ends with its process, and that nobody else sees."""
    name, _, options = url.removeprefix(_SQLITE.rstrip("/")).lstrip("/").partition("?")
    return url.startswith("sqlite:") and (name in ("", ":memory:", "file::memory:") or "mode=memory" in options)
