"""What the official exporters log while they work for the gateway, kept from the log: they say each failure several
times for each batch, and the gateway says it once a minute (`gateway.telemetry.export.trouble`)."""

import logging
from threading import local

_LOGGERS = (
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.exporter.otlp.proto.http.metric_exporter",
    "opentelemetry.exporter.otlp.proto.grpc.exporter",
)

_LONGEST_REASON = 200


class Overheard(logging.Filter):
    """Keeps what an exporter logs within `with`, in the thread that works there, rather than let it through; others'
    exporters go on talking. It hears from `listen` until `leave`.

    `reason` is the first thing said about the last batch.
    """

    def __init__(self) -> None:
        super().__init__()
        self._here = local()
        self.reason = ""

    def __enter__(self) -> None:
        self._here.now = True
        self.reason = ""

    def __exit__(self, *_: object) -> None:
        self._here.now = False

    def listen(self) -> None:
        """Begin to hear, before the exporters' own filter, which drops what they say twice within 20 seconds, whoever
        they say it of."""
        for name in _LOGGERS:
            logging.getLogger(name).filters.insert(0, self)

    def leave(self) -> None:
        """Hear no more."""
        for name in _LOGGERS:
            logging.getLogger(name).removeFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        if not getattr(self._here, "now", False):
            return True
        self.reason = self.reason or record.getMessage()[:_LONGEST_REASON]
        return False
