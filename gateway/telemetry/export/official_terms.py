"""How the official exporters are told what a receiver wants: the same for spans and for numbers."""

from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped] # its types are a package of their own
from opentelemetry.exporter.otlp.proto.http import Compression

from gateway.config.otel_receiver import Certificates, Otlp


def over_http(otlp: Otlp) -> dict[str, Any]:
    """The arguments of an exporter over HTTP, in protobuf."""
    certificates = otlp.certificates
    return {
        "endpoint": otlp.url,
        "certificate_file": certificates.authorities,
        "client_key_file": certificates.key,
        "client_certificate_file": certificates.certificate,
        "headers": dict(otlp.headers),
        "timeout": otlp.timeout,
        "compression": Compression.Gzip if otlp.compression == "gzip" else Compression.NoCompression,
    }


def over_grpc(otlp: Otlp) -> dict[str, Any]:
    """The arguments of an exporter over gRPC.

    Raises:
        OSError: a file of certificates cannot be read.
    """
    secure = otlp.url.startswith("https:")
    return {
        "endpoint": otlp.url,
        "insecure": not secure,
        "credentials": _credentials(otlp.certificates) if secure else None,
        "headers": tuple((name.lower(), value) for name, value in otlp.headers.items()),
        "timeout": otlp.timeout,
        "compression": grpc.Compression.Gzip if otlp.compression == "gzip" else grpc.Compression.NoCompression,
    }


def _credentials(certificates: Certificates) -> grpc.ChannelCredentials:
    files = (certificates.authorities, certificates.key, certificates.certificate)
    authorities, key, chain = (None if name is None else Path(name).read_bytes() for name in files)
    return grpc.ssl_channel_credentials(authorities, key, chain)
