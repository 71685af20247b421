"""The standard's variables (`OTEL_*`), read strictly: what is wrong with one is kept, to be told with all the others.

Source of the names and forms: OpenTelemetry specification, "Environment Variable Specification" and "OTLP Exporter
Configuration". An empty variable counts as one that is not set. No value reaches a message: it may be a key.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(slots=True)
class Variables:
    """Variables by name. `faults` and `warnings` are sentences that begin with the name of one."""

    environ: Mapping[str, str] = field(repr=False)
    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def first(self, *names: str) -> tuple[str, str | None]:
        """The first of `names` that is set, and its value without white space around it; the last name and None where
        none is."""
        for name in names:
            if value := self.environ.get(name, "").strip():
                return name, value
        return names[-1], None

    def fault(self, name: str, message: str) -> None:
        """Keep what is wrong with the variable `name`."""
        self.faults.append(f"{name}: {message}")

    def choice(self, options: Sequence[str], *names: str) -> str | None:
        """The first of `names` that is set, when it is one of `options`, in whatever case."""
        name, value = self.first(*names)
        if value is None or value.lower() in options:
            return value and value.lower()
        self.fault(name, f"must be one of {', '.join(options)}")
        return None

    def true(self, *names: str) -> bool:
        """Is the first of `names` that is set `true`, in whatever case? As in the standard, all else is false."""
        return (self.first(*names)[1] or "").lower() == "true"

    def milliseconds(self, *names: str) -> float | None:
        """A duration in seconds: the standard counts milliseconds."""
        name, value = self.first(*names)
        if value is None:
            return None
        if not value.isascii() or not value.isdigit() or not 0 < int(value[:12]) <= 86_400_000:
            self.fault(name, "must be a whole number of milliseconds, from 1 to 86400000")
            return None
        return int(value) / 1000

    def count(self, name: str) -> int | None:
        """A whole number from 1 on."""
        value = self.first(name)[1]
        if value is None:
            return None
        if not value.isascii() or not value.isdigit() or not 0 < int(value[:12]) <= 10_000_000:
            self.fault(name, "must be a whole number from 1 to 10000000")
            return None
        return int(value)

    def ratio(self, name: str) -> float:
        """A number from 0 to 1; 1 when it is not set."""
        value = self.first(name)[1]
        try:
            found = float(value or 1)
        except ValueError:
            found = -1.0
        if 0 <= found <= 1:
            return found
        self.fault(name, "must be a number from 0 to 1")
        return 1.0

    def pairs(self, *names: str, tokens: bool) -> Mapping[str, str]:
        """`name=value,name=value`, values percent-encoded, as W3C baggage without properties; with `tokens`, names and
        values as they can stand in an HTTP header, names in lower case."""
        name, value = self.first(*names)
        found: dict[str, str] = {}
        for number, part in enumerate((value or "").split(","), 1):
            if not part.strip():
                continue
            key, equals, content = (piece.strip() for piece in part.partition("="))
            content = unquote(content)
            if not equals or not key:
                self.fault(name, f"part {number} must be name=value; a comma within a value is written %2C")
            elif _BAD_PERCENT.search(part.partition("=")[2]) or "\ufffd" in content:
                self.fault(name, f"the value of {key!r} is not percent-encoded UTF-8; a percent sign is written %25")
            elif tokens and not (_TOKEN.fullmatch(key) and content.isascii() and content.isprintable()):
                self.fault(name, f"part {number} cannot stand in an HTTP header")
            else:
                found[key.lower() if tokens else unquote(key)] = content
        return found
