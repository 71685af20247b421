"""The ports of this room: what takes finished spans, and what carries bytes to a collector."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from gateway.telemetry.span import Span


class Exporter(Protocol):
    """Takes finished spans and sees to it that they arrive. Its repr is one line for operators.

    All of it is called on one event loop, and nothing of it raises.
    """

    def start(self) -> None:
        """Begin to send. Spans may be added before: they wait."""
        ...

    def add(self, spans: Sequence[Span]) -> None:
        """Take spans: microseconds, no waiting."""
        ...

    async def flush(self) -> None:
        """Return once every span added so far has been taken by its receiver, or dropped."""
        ...

    async def close(self, seconds: float) -> None:
        """Send what waits, within so many seconds; what is left then is dropped and told."""
        ...

    def dropped(self) -> int:
        """How many spans will never arrive, so far."""
        ...


class Several:
    """Several exporters as one: a collector, and a file beside it."""

    def __init__(self, exporters: Sequence[Exporter]) -> None:
        self._exporters = tuple(exporters)

    def __repr__(self) -> str:
        return f"<Several {' '.join(map(repr, self._exporters))}>"

    def start(self) -> None:
        for each in self._exporters:
            each.start()

    def add(self, spans: Sequence[Span]) -> None:
        for each in self._exporters:
            each.add(spans)

    async def flush(self) -> None:
        for each in self._exporters:
            await each.flush()

    async def close(self, seconds: float) -> None:
        """Close one after the other, the first ones first; each has the same number of seconds."""
        for each in self._exporters:
            await each.close(seconds)

    def dropped(self) -> int:
        """Those of all together: a span that one exporter lost is counted, though another may have it."""
        return sum(each.dropped() for each in self._exporters)


class Reply(NamedTuple):
    """What a collector answered: status 0 where it did not, `reason` then says why in a few words."""

    status: int
    body: bytes = b""
    retry_after: str | None = None
    reason: str = ""


Post = Callable[[str, Mapping[str, str], bytes, float], Awaitable[Reply]]
"""POSTs a body to a URL with headers, for so many seconds at most. Raises nothing but a cancellation."""
