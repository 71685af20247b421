"""What telemetry does: the configuration's `telemetry` over the standard's variables, every default filled in.

The standard's variables are honoured, so that a gateway fits into a fleet that is set up by them; what the
configuration says wins. Everything that is wrong is told at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gateway.config import environment
from gateway.config.model import Settings
from gateway.config.otel_receiver import Otlp, receiver
from gateway.config.otel_variables import Variables
from gateway.config.telemetry import TelemetrySettings
from gateway.errors import ConfigError

NEWEST_NAMES = "gen_ai_latest_experimental"
"""The word in OTEL_SEMCONV_STABILITY_OPT_IN that asks for the newest draft of the conventions."""

_SAMPLERS: Mapping[str, tuple[float | None, bool]] = {
    "always_on": (1.0, False),
    "always_off": (0.0, False),
    "traceidratio": (None, False),
    "parentbased_always_on": (1.0, True),
    "parentbased_always_off": (0.0, True),
    "parentbased_traceidratio": (None, True),
}
"""The share of new traces that a sampler keeps (None: OTEL_TRACES_SAMPLER_ARG says), and whether it follows the
caller's decision."""
_SAMPLERS_ELSEWHERE = ("jaeger_remote", "parentbased_jaeger_remote", "xray")


@dataclass(frozen=True, slots=True)
class Plan:
    """What telemetry does.

    Attributes:
        otlp: where spans are sent, or None.
        configured: `otlp` comes from the configuration, not from variables, which an application around the gateway
            may have for its own sake.
        metrics: where numbers are sent, or None.
        metrics_interval: seconds between two sendings of them.
        disabled: OTEL_SDK_DISABLED: nothing leaves, whatever else is set.
        file, file_max_bytes: where spans are written as OTLP/JSON lines, and when a new file is begun.
        resource: what this process says of itself, `service.name` among it.
        sample_ratio: the share of requests without a caller's trace whose spans are kept.
        follow_caller: whether the caller's own decision is followed where there is one.
        newest_names: write the names of the newest draft of the conventions.
        queue, batch, delay: OTEL_BSP_*: spans that wait, spans sent at one time, seconds between; None for defaults.
        warnings: sentences for the operator: what is set and has no effect.
    """

    otlp: Otlp | None = None
    configured: bool = False
    metrics: Otlp | None = None
    metrics_interval: float = 60.0
    disabled: bool = False
    file: Path | None = None
    file_max_bytes: int = 104_857_600
    resource: Mapping[str, str] = field(default_factory=dict)
    sample_ratio: float = 1.0
    follow_caller: bool = True
    newest_names: bool = False
    queue: int | None = None
    batch: int | None = None
    delay: float | None = None
    warnings: tuple[str, ...] = ()


def plan(settings: TelemetrySettings, environ: Mapping[str, str]) -> Plan:
    """What telemetry does with these settings and variables.

    Args:
        environ: the process's variables with `environment_variables` of the configuration over them.

    Raises:
        ConfigError: everything that is wrong with the variables, and with what they and the settings are together.
    """
    variables = Variables(environ)
    otlp = receiver(settings, variables, "TRACES")
    disabled = variables.true("OTEL_SDK_DISABLED")
    ratio, follow = _sampling(settings, variables)
    queue, batch = variables.count("OTEL_BSP_MAX_QUEUE_SIZE"), variables.count("OTEL_BSP_MAX_EXPORT_BATCH_SIZE")
    if queue and batch and batch > queue:
        variables.fault("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "must not be larger than OTEL_BSP_MAX_QUEUE_SIZE")
    found = Plan(
        otlp=otlp,
        configured=settings.otlp_endpoint is not None,
        metrics=None if disabled else receiver(settings, variables, "METRICS"),
        metrics_interval=variables.milliseconds("OTEL_METRIC_EXPORT_INTERVAL") or 60.0,
        disabled=disabled,
        file=_file(settings, variables),
        file_max_bytes=settings.otlp_file_max_bytes,
        resource=_resource(settings, variables),
        sample_ratio=ratio,
        follow_caller=follow,
        newest_names=NEWEST_NAMES in (variables.first("OTEL_SEMCONV_STABILITY_OPT_IN")[1] or "").split(","),
        queue=queue,
        batch=batch,
        delay=variables.milliseconds("OTEL_BSP_SCHEDULE_DELAY"),
        warnings=tuple(dict.fromkeys(variables.warnings)),
    )
    if variables.faults:
        raise ConfigError(list(dict.fromkeys(variables.faults)))  # what is for all signals is read for each of them
    return found


def of(settings: Settings) -> Plan:
    """What telemetry does with a configuration and this process's variables.

    Raises:
        ConfigError: as `plan`.
    """
    return plan(settings.telemetry, {**environment.snapshot(), **settings.environment_variables})


def _resource(settings: TelemetrySettings, variables: Variables) -> Mapping[str, str]:
    found = dict(variables.pairs("OTEL_RESOURCE_ATTRIBUTES", tokens=False))
    if name := variables.first("OTEL_SERVICE_NAME")[1]:
        found["service.name"] = name
    found |= settings.resource_attributes
    if "service_name" in settings.model_fields_set or "service.name" not in found:
        found["service.name"] = settings.service_name
    return found


def _sampling(settings: TelemetrySettings, variables: Variables) -> tuple[float, bool]:
    name, value = variables.first("OTEL_TRACES_SAMPLER")
    sampler = (value or "parentbased_always_on").lower()
    ratio, follow = _SAMPLERS.get(sampler, (1.0, True))
    if sampler in _SAMPLERS_ELSEWHERE:
        variables.warnings.append(f"{name}: this sampler is not known here; telemetry.sample_ratio decides instead")
    elif sampler not in _SAMPLERS:
        variables.fault(name, f"must be one of {', '.join(_SAMPLERS)}")
    if ratio is None:
        ratio = variables.ratio("OTEL_TRACES_SAMPLER_ARG")
    return (settings.sample_ratio if "sample_ratio" in settings.model_fields_set else ratio), follow


def _file(settings: TelemetrySettings, variables: Variables) -> Path | None:
    if settings.otlp_file is None:
        return None
    path = Path(settings.otlp_file)
    if path.is_dir():
        variables.fault("telemetry.otlp_file", f"{path} is a folder; name a file in it")
    elif not path.parent.is_dir():
        variables.fault("telemetry.otlp_file", f"the folder {path.parent} does not exist")
    return path
