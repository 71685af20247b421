"""Where one kind of telemetry is sent: the configuration's endpoint, else the one the standard's variables name.

The rules for addresses and variables are those of "OpenTelemetry Protocol Exporter", "Endpoint URLs for OTLP/HTTP".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

from gateway.config.environment import CA_BUNDLE_VARIABLES
from gateway.config.fields import masked_url
from gateway.config.otel_variables import Variables
from gateway.config.telemetry import TelemetrySettings

Protocol = Literal["auto", "http/json", "http/protobuf", "grpc"]
Compression = Literal["none", "gzip"]

Signal = Literal["TRACES", "METRICS"]
"""What is sent, as the variables name it."""

PATHS: Mapping[Signal, str] = {"TRACES": "/v1/traces", "METRICS": "/v1/metrics"}
"""What the standard puts behind a base address, by signal."""

GRPC_PORT = 4317
_EXPORTER = "OTEL_EXPORTER_OTLP_"
_SCHEMES = ("", "http", "https", "grpc", "grpcs")
_SOON = 0.1
"""Seconds; a shorter time-out is most likely one that was meant in seconds."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """Paths of PEM files: authorities to trust, and a client's own certificate with its key."""

    authorities: str | None = None
    certificate: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Otlp:
    """A receiver of spans or of metrics.

    `url` is the whole one over HTTP; over gRPC its path is empty, and `https` says that the connection is encrypted.
    `timeout` is in seconds, for one attempt with its retries where the official exporters make them. `headers` may
    hold keys.
    """

    url: str
    protocol: Protocol
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: float = 10.0
    compression: Compression = "none"
    certificates: Certificates = Certificates()


def receiver(settings: TelemetrySettings, variables: Variables, signal: Signal) -> Otlp | None:
    """Who is sent this signal, or None. What is wrong is kept in `variables`."""
    found = _endpoint(settings, variables, signal)
    if found is None:
        return None  # variables that say how to send are for others here
    asked = variables.choice(("http/json", "http/protobuf", "grpc"), *_names(signal, "PROTOCOL"))
    headers = variables.pairs(*_names(signal, "HEADERS"), tokens=True)
    compression = variables.choice(("none", "gzip"), *_names(signal, "COMPRESSION"))
    timeout = _timeout(settings, variables, signal)
    trusted, certificates = _certificates(variables, signal)
    protocol: str = settings.otlp_protocol
    if "otlp_protocol" not in settings.model_fields_set and asked:
        protocol = asked
    reached = _reached(found, protocol, variables, signal)
    if reached is None:
        return None
    url, protocol = reached
    if certificates and protocol == "auto":
        protocol = "http/protobuf"  # the exporter that knows certificates of its own
    elif certificates and protocol == "http/json":
        authorities = " or ".join(CA_BUNDLE_VARIABLES)
        variables.fault(certificates, f"is not read for http/json; use http/protobuf, or {authorities} for authorities")
    return Otlp(
        url,
        protocol,  # type: ignore[arg-type] # one of the four: the settings and the choice say so
        {**headers, **{key.lower(): value for key, value in settings.otlp_headers.items()}},
        timeout,
        settings.otlp_compression or compression or "none",  # type: ignore[arg-type] # one of the two
        trusted,
    )


@dataclass(frozen=True, slots=True)
class _Address:
    """An address, the setting it stands in, and whether it is the signal's whole one already."""

    name: str
    url: str
    whole: bool


def _reached(found: _Address, protocol: str, variables: Variables, signal: Signal) -> tuple[str, str] | None:
    """The URL that is called, and the protocol with `auto` decided where the address decides it."""
    name, url = found.name, found.url
    try:
        parts = urlsplit(url if "://" in url else f"//{url}")
        port, known = parts.port, bool(parts.hostname) and parts.scheme in _SCHEMES and url.isprintable()
    except ValueError:
        known = False
    if not known or " " in url:
        variables.fault(name, "must be a URL such as http://127.0.0.1:4318, or host:port for gRPC")
        return None
    if protocol == "auto" and (port == GRPC_PORT or parts.scheme in ("", "grpc", "grpcs")):
        protocol = "grpc"
    if protocol == "grpc":
        secure = parts.scheme in ("https", "grpcs") or (not parts.scheme and not _insecure(variables, signal))
        server = parts.netloc if port else f"{parts.netloc}:{GRPC_PORT}"
        return f"{'https' if secure else 'http'}://{server}", protocol
    if parts.scheme not in ("http", "https"):
        variables.fault(name, f"must start with http:// or https:// for {protocol}")
        return None
    if not found.whole:
        path = parts.path.rstrip("/")
        for each in PATHS.values():
            path = path.removesuffix(each)
        url = urlunsplit((parts.scheme, parts.netloc, path + PATHS[signal], parts.query, ""))
    return url, protocol


def _names(signal: Signal, what: str) -> tuple[str, str]:
    """The signal's own variable, and the one for all signals."""
    return f"{_EXPORTER}{signal}_{what}", f"{_EXPORTER}{what}"


def _endpoint(settings: TelemetrySettings, variables: Variables, signal: Signal) -> _Address | None:
    chosen = f"OTEL_{signal}_EXPORTER"
    exporters = (variables.first(chosen)[1] or "otlp").lower().split(",")
    if signal == "METRICS" and exporters == ["none"]:
        return None  # the configuration has no word about numbers alone
    if settings.otlp_endpoint is not None:
        return _Address("telemetry.otlp_endpoint", settings.otlp_endpoint, False)
    if "otlp" not in exporters:
        if exporters != ["none"]:
            variables.warnings.append(f"{chosen}: only otlp and none are known here; nothing is sent")
        return None
    own, _ = _names(signal, "ENDPOINT")
    name, url = variables.first(*_names(signal, "ENDPOINT"))
    return None if url is None else _Address(name, url, name == own)


def _timeout(settings: TelemetrySettings, variables: Variables, signal: Signal) -> float:
    name, value = variables.first(*_names(signal, "TIMEOUT"))
    found = variables.milliseconds(name)
    if found is not None and found < _SOON and settings.otlp_timeout is None:
        variables.warnings.append(f"{name}: {value} is read as milliseconds, as the standard counts")
    return settings.otlp_timeout or found or 10.0


def _insecure(variables: Variables, signal: Signal) -> bool:
    return variables.true(*_names(signal, "INSECURE"))


def _certificates(variables: Variables, signal: Signal) -> tuple[Certificates, str]:
    """The files that variables name, and the variable that names the first one of the exporter's own."""
    found: dict[str, str | None] = {}
    first = ""
    for kind in ("CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"):
        name, value = variables.first(*_names(signal, kind))
        found[kind] = value
        if value is None:
            continue
        first = first or name
        if not Path(value).is_file():
            variables.fault(name, f"there is no file {value}")
    if (found["CLIENT_KEY"] is None) != (found["CLIENT_CERTIFICATE"] is None):
        variables.fault(first, "a client's certificate and its key are given together")
    authorities = found["CERTIFICATE"] or variables.first(*CA_BUNDLE_VARIABLES)[1]
    return Certificates(authorities, found["CLIENT_CERTIFICATE"], found["CLIENT_KEY"]), first


def shown(url: str) -> str:
    """`url` as it may be logged: without a user, a password or a query."""
    return masked_url(url).partition("?")[0]
