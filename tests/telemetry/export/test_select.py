"""Which exporter is made of which settings."""

import multiprocessing
from collections.abc import Mapping
from pathlib import Path

import orjson
import pytest

from gateway.config.load import loads
from gateway.config.otel import Plan, plan
from gateway.errors import ConfigError
from gateway.telemetry.export import select
from gateway.telemetry.export.port import Exporter, Several
from gateway.version import __version__
from tests.routing.servers import looped
from tests.telemetry.export.kit import LOG, collector, posting, running, spans

CA = "OTEL_EXPORTER_OTLP_CERTIFICATE"


async def post(*_: object) -> object:
    raise AssertionError("nothing is sent while exporters are made")


def made(text: str, environ: Mapping[str, str] | None = None) -> Exporter | None:
    settings = loads(f"telemetry: {{{text}}}").settings.telemetry
    return select.make(plan(settings, environ or {}), post, LOG)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "environ", "kind"),
    [
        ("", {}, "NoneType"),
        ("otlp_endpoint: 'http://c:4318'", {}, "AutoExporter"),
        ("otlp_endpoint: 'http://c:4318', otlp_protocol: http/json", {}, "LeanExporter"),
        ("otlp_endpoint: 'http://c:4318'", {"OTEL_SDK_DISABLED": "true"}, "NoneType"),
        ("", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, "AutoExporter"),
        (
            "",
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
            "LeanExporter",
        ),
    ],
)
@looped
async def test_settings_choose_the_exporter(text: str, environ: dict[str, str], kind: str) -> None:
    assert type(made(text, environ)).__name__ == kind


@pytest.mark.parametrize(
    "text",
    ["otlp_endpoint: 'http://127.0.0.1:4317'", "otlp_endpoint: 'http://127.0.0.1:1', otlp_protocol: http/protobuf"],
)
@looped
async def test_the_official_exporters_are_made_where_they_are_named(text: str) -> None:
    exporter = made(text)
    assert type(exporter).__name__ == "OfficialExporter"
    assert exporter is not None
    await exporter.close(1)


@looped
async def test_a_file_is_written_beside_a_collector(tmp_path: Path) -> None:
    async with collector() as server, posting() as posts:
        settings = loads(
            f"telemetry: {{otlp_endpoint: '{server.url}', otlp_file: '{tmp_path / 'spans.jsonl'}', service_name: mine}}"
        ).settings.telemetry
        exporter = select.make(plan(settings, {"OTEL_BSP_SCHEDULE_DELAY": "10"}), posts, LOG)
        assert isinstance(exporter, Several)
        async with running(exporter):
            exporter.add(spans(2))
            await exporter.flush()
            assert server.names() == ["span 0", "span 1"]
    written = orjson.loads((tmp_path / "spans.jsonl").read_bytes())
    assert written == orjson.loads(server.bodies[-1])
    attributes = {
        each["key"]: each["value"]["stringValue"] for each in written["resourceSpans"][0]["resource"]["attributes"]
    }
    assert attributes.pop("service.instance.id")
    assert attributes == {
        "service.name": "mine",
        "service.version": __version__,
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "guardrail-gateway",
        "telemetry.sdk.version": __version__,
    }
    assert exporter.dropped() == 0
    assert repr(exporter).startswith("<Several <AutoExporter <LeanExporter ")


def test_all_that_a_process_sends_names_the_same_instance_and_a_forked_one_another() -> None:
    first = select.resource(Plan())["service.instance.id"]
    assert select.resource(Plan())["service.instance.id"] == first
    fork = multiprocessing.get_context("fork")
    with fork.Pool(1) as pool:
        assert pool.apply(select.resource, (Plan(),))["service.instance.id"] != first


@looped
async def test_a_bounded_queue_bounds_the_batch_too() -> None:
    exporter = made(
        "otlp_endpoint: 'http://c', otlp_protocol: http/json",
        {"OTEL_BSP_MAX_QUEUE_SIZE": "30", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "20", "OTEL_BSP_SCHEDULE_DELAY": "250"},
    )
    limits = exporter._batches._limits  # type: ignore[union-attr]
    assert (limits.spans, limits.batch, limits.fewest, limits.wait) == (30, 20, 20, 0.25)


@looped
async def test_a_file_that_is_no_certificate_is_a_fault_and_not_a_crash(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir()
    with pytest.raises(ConfigError, match="there is no file"):
        made("otlp_endpoint: 'https://c:4317'", {CA: str(tmp_path / "locked")})
