"""What the gateway tells of itself (`telemetry`)."""

from typing import Literal

from pydantic import Field

from gateway.config.fields import Headers, Names, OtlpUrl, Seconds, Strict

Compat = Literal["litellm", "openinference", "langfuse", "mlflow"]


class TelemetrySettings(Strict):
    """What the gateway tells of itself (`telemetry`)."""

    service_name: str = Field("gateway", min_length=1, description="service.name of spans and metrics.")
    resource_attributes: Names = Field({}, description="Further attributes of this process in spans and metrics.")
    otlp_endpoint: OtlpUrl | None = Field(
        None,
        description="Base URL spans and metrics are sent to; OTEL_EXPORTER_OTLP_ENDPOINT, else nowhere, when left out.",
    )
    otlp_protocol: Literal["auto", "http/json", "http/protobuf", "grpc"] = Field(
        "auto", description="How they are sent; auto is grpc at port 4317, and elsewhere asks the endpoint once."
    )
    otlp_headers: Headers = Field({}, repr=False, description="Headers sent along, such as an API key.")
    otlp_timeout: Seconds | None = Field(None, description="Seconds a receiver has to take a batch; 10 when left out.")
    otlp_compression: Literal["none", "gzip"] | None = Field(
        None, description="Compression of what is sent; none when left out."
    )
    otlp_file: str | None = Field(None, min_length=1, description="File that spans are written to as OTLP/JSON lines.")
    otlp_file_max_bytes: int = Field(
        104_857_600, ge=1024, description="Size at which a new file is begun; five full ones are kept."
    )
    sample_ratio: float = Field(1.0, ge=0, le=1, description="Share of requests whose spans are kept.")
    capture_content: Literal["none", "guarded"] = Field(
        "none", description="Whether guarded text is kept in telemetry."
    )
    log_format: Literal["json", "console"] = Field("json", description="Logs for machines or for people.")
    compat: tuple[Compat, ...] = Field((), description="Further attributes and headers for other tools.")
