"""The process's environment, read in one place and never written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.config import environment
from gateway.config.load import loads


def test_a_variable_that_is_empty_is_not_set(monkeypatch):
    monkeypatch.setenv("GATEWAY_TEST_A", "")
    monkeypatch.setenv("GATEWAY_TEST_B", "b")
    assert environment.get("GATEWAY_TEST_A") is None
    assert environment.get("GATEWAY_TEST_B") == "b"
    assert environment.get("GATEWAY_TEST_C") is None


def test_variables_of_the_configuration_hide_the_process_s(monkeypatch):
    monkeypatch.setenv("GATEWAY_TEST_B", "b")
    assert environment.get("GATEWAY_TEST_B", {"GATEWAY_TEST_B": "other"}) == "other"
    assert environment.get("GATEWAY_TEST_B", {"GATEWAY_TEST_C": "other"}) == "b"


def test_a_configuration_never_changes_the_process_s_environment():
    before = dict(os.environ)
    loads("environment_variables: {GATEWAY_TEST_Z: z}")
    assert dict(os.environ) == before
    with pytest.raises(TypeError):
        environment.snapshot()["GATEWAY_TEST_Z"] = "z"


@pytest.mark.parametrize("name", environment.CA_BUNDLE_VARIABLES)
def test_the_certificate_bundle_is_the_one_a_variable_names(monkeypatch, tmp_path, name):
    for each in environment.CA_BUNDLE_VARIABLES:
        monkeypatch.delenv(each, raising=False)
    assert environment.ca_bundle() is None
    (tmp_path / "ca.pem").write_bytes(b"pem")
    monkeypatch.setenv(name, str(tmp_path / "ca.pem"))
    assert environment.ca_bundle() == b"pem"
    monkeypatch.setenv(name, str(tmp_path / "absent.pem"))
    with pytest.raises(FileNotFoundError):
        environment.ca_bundle()


def test_secrets_and_sources_are_imported_without_pydantic_and_yaml():
    code = (
        "import sys, gateway.config.secret, gateway.config.environment, gateway.config.source;"
        "sys.exit(bool({'pydantic', 'yaml'} & set(sys.modules)))"
    )
    root = Path(environment.__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0  # noqa: S603
