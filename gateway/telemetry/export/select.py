"""Which exporter a gateway has: chosen once, at the start of the process that uses it, by the plan that
`gateway.config.otel` has made of settings and variables."""

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from uuid import uuid4, uuid5

from gateway.config.otel import Plan
from gateway.config.otel_receiver import Otlp, shown
from gateway.errors import ConfigError
from gateway.telemetry import conventions
from gateway.telemetry.export import otlp_json
from gateway.telemetry.export.auto import AutoExporter, asks
from gateway.telemetry.export.batches import Limits
from gateway.telemetry.export.file import FileExporter
from gateway.telemetry.export.lean import LeanExporter, Target
from gateway.telemetry.export.port import Exporter, Post, Several
from gateway.telemetry.logs import Logger
from gateway.telemetry.span import Value
from gateway.version import __version__

SCOPE = ("gateway", __version__)
"""The instrumentation scope of every span: its name and version."""

_BORN = uuid4()
"""With the process id it names a process: the same for all that this one sends, and another after a fork."""

_SDK = "opentelemetry.sdk.trace"


def make(plan: Plan, post: Post, log: Logger) -> Exporter | None:
    """The exporter, or None where spans have nowhere to go and none need be made.

    An endpoint of the configuration comes first; then the TracerProvider of the application this one is mounted in;
    then an endpoint that variables name. A file is written beside any of them.

    Args:
        plan: what is wanted.
        post: the HTTP client of the lean path.
        log: where trouble is told.

    Raises:
        ConfigError: a file of certificates cannot be read.
    """
    if plan.disabled:
        return None
    made = _Made(plan, resource(plan), post, log)
    exporters: list[Exporter] = []
    receiver = (None if plan.configured else _host(log)) or made.receiver()
    if receiver is not None:
        exporters.append(receiver)
    if plan.file is not None:
        exporters.append(made.file(plan.file))
    if not exporters:
        return None
    return exporters[0] if len(exporters) == 1 else Several(exporters)


def resource(plan: Plan) -> Mapping[str, Value]:
    """What this process says of itself. Spans are made and written by the gateway, whoever sends them, so that is what
    `telemetry.sdk.name` says."""
    own: dict[str, Value] = {
        conventions.SERVICE_VERSION: __version__,
        conventions.SERVICE_INSTANCE: str(uuid5(_BORN, str(os.getpid()))),
        conventions.SDK_LANGUAGE: "python",
        conventions.SDK_NAME: "guardrail-gateway",
        conventions.SDK_VERSION: __version__,
    }
    return {**own, **plan.resource}


def _host(log: Logger) -> Exporter | None:
    """The exporter for the application's own provider, when the SDK is in use in this process."""
    if _SDK not in sys.modules:
        return None  # and what is not loaded is not loaded for this question
    from gateway.telemetry.export import host

    provider = host.provider()
    return None if provider is None else host.HostExporter(provider, SCOPE, log)


class _Made:
    """Makes the exporters of one plan."""

    def __init__(self, plan: Plan, resource_: Mapping[str, Value], post: Post, log: Logger) -> None:
        self._plan, self._resource, self._post, self._log = plan, resource_, post, log
        self._encoded = (otlp_json.resource(resource_), otlp_json.scope(*SCOPE))

    def receiver(self) -> Exporter | None:
        """The exporter for the plan's endpoint."""
        otlp = self._plan.otlp
        if otlp is None:
            return None
        if otlp.protocol == "auto":
            decided = replace(otlp, protocol="http/protobuf")
            asking = asks(_target(otlp), self._post)
            return AutoExporter(
                shown(otlp.url), asking, lambda: self._lean(otlp), lambda: self._official(decided), self._log
            )
        return self._lean(otlp) if otlp.protocol == "http/json" else self._official(otlp)

    def file(self, path: Path) -> Exporter:
        """The exporter for the plan's file."""
        return FileExporter(path, self._plan.file_max_bytes, *self._encoded, self._log, self._limits())

    def _lean(self, otlp: Otlp) -> Exporter:
        return LeanExporter(_target(otlp), *self._encoded, self._post, self._log, self._limits())

    def _official(self, otlp: Otlp) -> Exporter:
        from gateway.telemetry.export import official

        try:
            inner = official.rpc(otlp) if otlp.protocol == "grpc" else official.http(otlp)
        except OSError as error:
            raise ConfigError([f"{error.filename}: cannot be read: {error.strerror or 'unknown reason'}"]) from error
        plan, usual = self._plan, official.Queue()
        spans = plan.queue or usual.spans
        queue = official.Queue(spans, min(plan.batch or usual.batch, spans), plan.delay or usual.delay)
        return official.OfficialExporter(inner, shown(otlp.url), self._resource, SCOPE, self._log, queue)

    def _limits(self) -> Limits:
        plan, usual = self._plan, Limits()
        batch = plan.batch or usual.batch
        return replace(
            usual,
            spans=plan.queue or usual.spans,
            batch=batch,
            fewest=min(usual.fewest, batch, plan.queue or usual.fewest),
            wait=plan.delay or usual.wait,
        )


def _target(otlp: Otlp) -> Target:
    return Target(otlp.url, otlp.headers, otlp.compression, otlp.timeout)
