"""The standard's variables under the configuration: what is honoured, what wins, what is wrong."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.load import loads
from gateway.config.otel import Plan, plan
from gateway.config.otel_receiver import shown
from gateway.config.telemetry import TelemetrySettings
from gateway.errors import ConfigError

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACES = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
HERE = {ENDPOINT: "http://c:4318"}


def made(environ: dict[str, str] | None = None, text: str = "") -> Plan:
    return plan(loads(f"telemetry: {{{text}}}").settings.telemetry, environ or {})


def test_without_settings_and_variables_nothing_is_sent_and_everything_kept() -> None:
    assert made() == Plan(resource={"service.name": "gateway"})


@pytest.mark.parametrize(
    ("environ", "text", "url", "protocol"),
    [
        ({ENDPOINT: "http://c:4318"}, "", "http://c:4318/v1/traces", "auto"),
        ({ENDPOINT: "http://c:4318/"}, "", "http://c:4318/v1/traces", "auto"),
        ({ENDPOINT: "https://c/otlp?team=a"}, "", "https://c/otlp/v1/traces?team=a", "auto"),
        ({ENDPOINT: "http://c/v1/traces"}, "", "http://c/v1/traces", "auto"),
        ({TRACES: "http://c:4318/custom"}, "", "http://c:4318/custom", "auto"),
        ({TRACES: "http://c:4318"}, "", "http://c:4318", "auto"),
        ({TRACES: "http://t/x", ENDPOINT: "http://c"}, "", "http://t/x", "auto"),
        ({ENDPOINT: "http://c:4317"}, "", "http://c:4317", "grpc"),
        ({ENDPOINT: "http://c:4317/path"}, "", "http://c:4317", "grpc"),
        ({ENDPOINT: "grpc://c"}, "", "http://c:4317", "grpc"),
        ({ENDPOINT: "grpcs://c:443"}, "", "https://c:443", "grpc"),
        ({ENDPOINT: "c:4317"}, "", "https://c:4317", "grpc"),
        ({ENDPOINT: "c:4317", "OTEL_EXPORTER_OTLP_INSECURE": "true"}, "", "http://c:4317", "grpc"),
        (
            {ENDPOINT: "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
            "",
            "http://c:4317/v1/traces",
            "http/json",
        ),
        ({ENDPOINT: "http://c", "OTEL_EXPORTER_OTLP_PROTOCOL": "GRPC"}, "", "http://c:4317", "grpc"),
        (HERE, "otlp_endpoint: 'http://mine:4318/'", "http://mine:4318/v1/traces", "auto"),
        (HERE, "otlp_endpoint: 'grpc://mine'", "http://mine:4317", "grpc"),
        ({TRACES: "http://t/x"}, "otlp_endpoint: 'http://[::1]:4318'", "http://[::1]:4318/v1/traces", "auto"),
        (
            {**HERE, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "otlp_protocol: http/json",
            "http://c:4318/v1/traces",
            "http/json",
        ),
        (
            {**HERE, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
            "otlp_protocol: auto",
            "http://c:4318/v1/traces",
            "auto",
        ),
    ],
)
def test_the_endpoint_follows_the_specification_and_the_configuration_wins(
    environ: dict[str, str], text: str, url: str, protocol: str
) -> None:
    found = made(environ, text)
    assert found.otlp is not None
    assert (found.otlp.url, found.otlp.protocol) == (url, protocol)
    assert found.configured is ("otlp_endpoint" in text)


@pytest.mark.parametrize(
    ("variables", "text", "headers"),
    [
        ({"OTEL_EXPORTER_OTLP_HEADERS": "a=1,B=two%20words, c = x=y "}, "", {"a": "1", "b": "two words", "c": "x=y"}),
        ({"OTEL_EXPORTER_OTLP_HEADERS": "a=1", "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "b=2"}, "", {"b": "2"}),
        ({"OTEL_EXPORTER_OTLP_HEADERS": "a=1,b=2"}, "otlp_headers: {A: mine}", {"a": "mine", "b": "2"}),
        ({"OTEL_EXPORTER_OTLP_HEADERS": ",a=,"}, "", {"a": ""}),
    ],
)
def test_headers_are_percent_decoded_and_the_configurations_come_over_them(
    variables: dict[str, str], text: str, headers: dict[str, str]
) -> None:
    found = made({**HERE, **variables}, text)
    assert found.otlp is not None
    assert found.otlp.headers == headers


def test_no_key_is_shown() -> None:
    found = made({**HERE, "OTEL_EXPORTER_OTLP_HEADERS": "x-api-key=s3cret"}, "otlp_headers: {authorization: hunter2}")
    assert "s3cret" not in repr(found)
    assert "hunter2" not in repr(found)
    settings = loads("telemetry: {otlp_headers: {authorization: hunter2}}").settings
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in str(settings.model_dump())
    assert shown("https://user:pass@c/v1/traces?key=s3cret") == "https://**********@c/v1/traces"


@pytest.mark.parametrize(
    ("variables", "text", "attribute", "value"),
    [
        ({"OTEL_EXPORTER_OTLP_TIMEOUT": "2500"}, "", "timeout", 2.5),
        ({"OTEL_EXPORTER_OTLP_TIMEOUT": "2500", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "500"}, "", "timeout", 0.5),
        ({"OTEL_EXPORTER_OTLP_TIMEOUT": "2500"}, "otlp_timeout: 3", "timeout", 3.0),
        ({}, "", "timeout", 10.0),
        ({"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}, "", "compression", "gzip"),
        ({"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}, "otlp_compression: none", "compression", "none"),
        (
            {"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip", "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION": "none"},
            "",
            "compression",
            "none",
        ),
    ],
)
def test_how_to_send(variables: dict[str, str], text: str, attribute: str, value: Any) -> None:
    assert getattr(made({**HERE, **variables}, text).otlp, attribute) == value


@pytest.mark.parametrize(
    ("environ", "text", "attribute", "value"),
    [
        ({"OTEL_SDK_DISABLED": "TRUE"}, "", "disabled", True),
        ({"OTEL_SDK_DISABLED": "yes"}, "", "disabled", False),
        ({"OTEL_TRACES_EXPORTER": "none", **HERE}, "", "otlp", None),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, "", "sample_ratio", 0.0),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_on"}, "", "sample_ratio", 1.0),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}, "", "sample_ratio", 0.25),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}, "", "sample_ratio", 0.0),
        ({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio"}, "", "sample_ratio", 1.0),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, "sample_ratio: 0.5", "sample_ratio", 0.5),
        ({"OTEL_TRACES_SAMPLER_ARG": "0.25"}, "", "sample_ratio", 1.0),
        ({"OTEL_TRACES_SAMPLER": "always_on"}, "", "follow_caller", False),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_off"}, "", "follow_caller", True),
        ({"OTEL_SEMCONV_STABILITY_OPT_IN": "http,gen_ai_latest_experimental"}, "", "newest_names", True),
        ({"OTEL_SEMCONV_STABILITY_OPT_IN": "http"}, "", "newest_names", False),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "100"}, "", "queue", 100),
        ({"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "10"}, "", "batch", 10),
        ({"OTEL_BSP_SCHEDULE_DELAY": "200"}, "", "delay", 0.2),
        ({"OTEL_SERVICE_NAME": "s"}, "", "resource", {"service.name": "s"}),
        ({"OTEL_SERVICE_NAME": "s"}, "service_name: mine", "resource", {"service.name": "mine"}),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=r,a=b%2Cc"}, "", "resource", {"service.name": "r", "a": "b,c"}),
        (
            {"OTEL_RESOURCE_ATTRIBUTES": "service.name=r,a=b", "OTEL_SERVICE_NAME": "s"},
            "resource_attributes: {a: mine}",
            "resource",
            {"service.name": "s", "a": "mine"},
        ),
    ],
)
def test_what_else_is_honoured(environ: dict[str, str], text: str, attribute: str, value: Any) -> None:
    assert getattr(made(environ, text), attribute) == value


@pytest.mark.parametrize(
    ("environ", "text", "fault"),
    [
        ({ENDPOINT: "collector"}, "", f"{ENDPOINT}: must start with http:// or https:// for http/json"),
        ({ENDPOINT: "ftp://c"}, "", f"{ENDPOINT}: must be a URL such as http://127.0.0.1:4318, or host:port for gRPC"),
        ({ENDPOINT: "http://["}, "", f"{ENDPOINT}: must be a URL such as"),
        ({ENDPOINT: "http://a b"}, "", f"{ENDPOINT}: must be a URL such as"),
        ({ENDPOINT: "http://c:port"}, "", f"{ENDPOINT}: must be a URL such as"),
        ({}, "otlp_endpoint: 'grpc://c'", "telemetry.otlp_endpoint: must start with http:// or https:// for http/json"),
        (
            {**HERE, "OTEL_EXPORTER_OTLP_PROTOCOL": "thrift"},
            "",
            "OTEL_EXPORTER_OTLP_PROTOCOL: must be one of http/json, ",
        ),
        (
            {**HERE, "OTEL_EXPORTER_OTLP_COMPRESSION": "deflate"},
            "",
            "OTEL_EXPORTER_OTLP_COMPRESSION: must be one of none",
        ),
        (
            {**HERE, "OTEL_EXPORTER_OTLP_TIMEOUT": "10s"},
            "",
            "OTEL_EXPORTER_OTLP_TIMEOUT: must be a whole number of millis",
        ),
        ({**HERE, "OTEL_EXPORTER_OTLP_TIMEOUT": "9" * 5000}, "", "OTEL_EXPORTER_OTLP_TIMEOUT: must be a whole number"),
        ({**HERE, "OTEL_EXPORTER_OTLP_HEADERS": "s3cret"}, "", "OTEL_EXPORTER_OTLP_HEADERS: part 1 must be name=value"),
        ({**HERE, "OTEL_EXPORTER_OTLP_HEADERS": "a=%0As3cret"}, "", "HEADERS: part 1 cannot stand in an HTTP header"),
        (
            {**HERE, "OTEL_EXPORTER_OTLP_HEADERS": "a=100%"},
            "",
            "HEADERS: the value of 'a' is not percent-encoded UTF-8",
        ),
        (
            {**HERE, "OTEL_EXPORTER_OTLP_CERTIFICATE": "absent"},
            "",
            "OTEL_EXPORTER_OTLP_CERTIFICATE: there is no file absent",
        ),
        ({"OTEL_TRACES_SAMPLER": "sometimes"}, "", "OTEL_TRACES_SAMPLER: must be one of always_on"),
        (
            {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "2"},
            "",
            "OTEL_TRACES_SAMPLER_ARG: must be a number from 0 to 1",
        ),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "-1"}, "", "OTEL_BSP_MAX_QUEUE_SIZE: must be a whole number from 1"),
        (
            {"OTEL_BSP_MAX_QUEUE_SIZE": "5", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "6"},
            "",
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE: must not be larger than OTEL_BSP_MAX_QUEUE_SIZE",
        ),
        ({"OTEL_RESOURCE_ATTRIBUTES": "a=1,b"}, "", "OTEL_RESOURCE_ATTRIBUTES: part 2 must be name=value"),
        (
            {},
            "otlp_file: /no/such/folder/spans.jsonl",
            "telemetry.otlp_file: the folder /no/such/folder does not exist",
        ),
        ({}, "otlp_file: /", "telemetry.otlp_file: / is a folder; name a file in it"),
    ],
)
def test_what_is_wrong_is_said_with_what_would_be_right(environ: dict[str, str], text: str, fault: str) -> None:
    protocol = "otlp_protocol: http/json" if "http/json" in fault and "one of" not in fault else ""
    with pytest.raises(ConfigError) as raised:
        made(environ, ", ".join(filter(None, (text, protocol))))
    [said] = raised.value.faults
    assert fault in said
    assert "s3cret" not in said


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as raised:
        made({**HERE, "OTEL_EXPORTER_OTLP_TIMEOUT": "x", "OTEL_BSP_SCHEDULE_DELAY": "x", "OTEL_TRACES_SAMPLER": "x"})
    assert len(raised.value.faults) == 3


def test_variables_about_sending_are_not_judged_where_nothing_is_sent() -> None:
    assert made({"OTEL_EXPORTER_OTLP_COMPRESSION": "zstd", "OTEL_EXPORTER_OTLP_PROTOCOL": "thrift"}).otlp is None


@pytest.mark.parametrize(
    ("environ", "warning"),
    [
        ({"OTEL_TRACES_SAMPLER": "xray"}, "OTEL_TRACES_SAMPLER: this sampler is not known here"),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER: only otlp and none are known here"),
        ({**HERE, "OTEL_EXPORTER_OTLP_TIMEOUT": "10"}, "OTEL_EXPORTER_OTLP_TIMEOUT: 10 is read as milliseconds"),
    ],
)
def test_what_has_no_effect_is_said(environ: dict[str, str], warning: str) -> None:
    [said] = made(environ).warnings
    assert said.startswith(warning)


def test_certificates_lead_to_the_exporter_that_knows_them(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(b"pem")
    environ = {ENDPOINT: "https://c:4318", "OTEL_EXPORTER_OTLP_CERTIFICATE": str(tmp_path / "ca.pem")}
    otlp = made(environ).otlp
    assert otlp is not None
    assert (otlp.protocol, otlp.certificates.authorities) == ("http/protobuf", str(tmp_path / "ca.pem"))
    with pytest.raises(ConfigError, match="is not read for http/json; use http/protobuf, or SSL_CERT_FILE"):
        made(environ, "otlp_protocol: http/json")
    with pytest.raises(ConfigError, match="given together"):
        made({**environ, "OTEL_EXPORTER_OTLP_CLIENT_KEY": str(tmp_path / "ca.pem")})


def test_the_usual_authorities_are_trusted_by_every_exporter(tmp_path: Path) -> None:
    otlp = made({ENDPOINT: "https://c:4318", "SSL_CERT_FILE": "/etc/ca.pem"}).otlp
    assert otlp is not None
    assert (otlp.protocol, otlp.certificates.authorities) == ("auto", "/etc/ca.pem")


names = st.sampled_from(
    [
        ENDPOINT,
        TRACES,
        *(f"OTEL_EXPORTER_OTLP_{name}" for name in ("PROTOCOL", "HEADERS", "TIMEOUT", "COMPRESSION", "INSECURE")),
        *(f"OTEL_BSP_{name}" for name in ("SCHEDULE_DELAY", "MAX_QUEUE_SIZE", "MAX_EXPORT_BATCH_SIZE")),
        "OTEL_RESOURCE_ATTRIBUTES",
        "OTEL_TRACES_SAMPLER",
        "OTEL_TRACES_SAMPLER_ARG",
        "OTEL_TRACES_EXPORTER",
    ]
)
texts = st.one_of(
    st.text(max_size=30), st.sampled_from(["grpc", "http://c:1", "a=b", "1", "nan", "traceidratio", "http://["])
)


@given(st.dictionaries(names, texts, max_size=6))
def test_any_variables_are_a_plan_or_faults(environ: dict[str, str]) -> None:
    with suppress(ConfigError):
        plan(TelemetrySettings(), environ)


@pytest.mark.parametrize(
    ("environ", "text", "url"),
    [
        ({}, "otlp_endpoint: 'http://127.0.0.1:4318'", "http://127.0.0.1:4318/v1/metrics"),
        ({}, "otlp_endpoint: 'http://127.0.0.1:4318/v1/traces'", "http://127.0.0.1:4318/v1/metrics"),
        ({}, "otlp_endpoint: 'http://127.0.0.1:4317'", "http://127.0.0.1:4317"),
        (HERE, "", "http://c:4318/v1/metrics"),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://m:1/here", **HERE}, "", "http://m:1/here"),
        ({"OTEL_METRICS_EXPORTER": "none", **HERE}, "", None),
        ({"OTEL_METRICS_EXPORTER": "none"}, "otlp_endpoint: 'http://127.0.0.1:4318'", None),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t:1/here"}, "", None),
        ({"OTEL_SDK_DISABLED": "true", **HERE}, "", None),
    ],
)
def test_numbers_go_where_spans_go_but_for_variables_of_their_own(
    environ: dict[str, str], text: str, url: str | None
) -> None:
    metrics = made(environ, text).metrics
    assert (metrics and metrics.url) == url


def test_numbers_are_sent_as_often_as_the_variable_says() -> None:
    assert made({}, "").metrics_interval == 60
    assert made({"OTEL_METRIC_EXPORT_INTERVAL": "1500"}, "").metrics_interval == 1.5


def test_a_fault_in_a_variable_for_all_signals_is_told_once() -> None:
    with pytest.raises(ConfigError) as caught:
        made({"OTEL_EXPORTER_OTLP_TIMEOUT": "soon", **HERE}, "")
    assert len(caught.value.faults) == 1
