"""What `gateway check` says of a configuration whose faults lie in several places."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app


def test_faults_of_telemetrys_variables_are_told_beside_those_of_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        f"telemetry: {{otlp_file: {tmp_path}}}\n"
        "environment_variables: {OTEL_EXPORTER_OTLP_TIMEOUT: soon}\n"
        "model_list:\n"
        "  - {model_name: a, litellm_params: {model: nobody/a}}\n"
    )
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "sometimes")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    done = CliRunner().invoke(app, ["check", "--config", str(file)])
    assert done.exit_code == 1
    for fault in ("OTEL_TRACES_SAMPLER", "OTEL_EXPORTER_OTLP_TIMEOUT", "telemetry.otlp_file", "nobody"):
        assert fault in done.stderr


def test_a_configuration_whose_telemetry_is_well_has_no_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_on")
    file = tmp_path / "config.yaml"
    file.write_text("policies: []\n")
    done = CliRunner().invoke(app, ["check", "--config", str(file)])
    assert done.exit_code == 0, done.output
