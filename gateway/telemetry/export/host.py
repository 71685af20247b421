"""Mounted in someone's application: spans go where that application's own spans go, through the span processors of the
TracerProvider it has configured. Its sampler is not asked; whether a request is traced was decided when it came in.

Imported only where the SDK is in use already.
"""

from collections.abc import Sequence
from typing import Any

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import get_tracer_provider

from gateway.telemetry.export.aside import aside
from gateway.telemetry.export.readable import readable
from gateway.telemetry.export.trouble import Trouble
from gateway.telemetry.logs import Logger
from gateway.telemetry.span import Span


class HostExporter:
    """Hands spans to the processors of `provider`, each after it has ended: `on_end` is called and `on_start` is not.

    Closing it closes nothing: the provider is the application's.
    """

    def __init__(self, provider: TracerProvider, scope: tuple[str, str], log: Logger) -> None:
        self._provider = provider
        self._scope = InstrumentationScope(*scope)
        self._trouble = Trouble(log, "the application's TracerProvider")
        self._closed = False
        self._sent = 0
        self._dropped = 0

    def __repr__(self) -> str:
        return f"<HostExporter sent={self._sent} dropped={self._dropped}>"

    def start(self) -> None:
        """There is nothing to start."""

    def add(self, spans: Sequence[Span]) -> None:
        """Hand spans to the processors, as the application's own tracers would; how long that takes is theirs."""
        if self._closed:
            self._dropped += len(spans)
            return
        processor = self._provider._active_span_processor  # the SDK has no public way to its processors
        for one in spans:
            try:
                processor.on_end(readable(one, self._provider.resource, self._scope))
                self._sent += 1
            except Exception as error:  # a processor of the application's: no request fails over it
                self._dropped += 1
                self._trouble.tell(f"a span processor raised {type(error).__name__}", 1)

    async def flush(self) -> None:
        """See `Exporter`."""
        await aside(self._provider.force_flush)

    async def close(self, seconds: float) -> None:
        """Take no more."""
        self._closed = True

    def dropped(self) -> int:
        """Spans that a processor failed on; what a processor loses later is its own affair."""
        return self._dropped


def provider() -> TracerProvider | None:
    """The application's TracerProvider, where it is one of the SDK's."""
    found: Any = get_tracer_provider()
    return found if isinstance(found, TracerProvider) else None
