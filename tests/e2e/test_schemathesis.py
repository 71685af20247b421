"""Requests made from the shipped description, sent to a real server: it never fails and says what it describes."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.process import serving

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "missing_required_header",
    "unsupported_method",
    "allow_header_conformance",
)
# A client that waits for nanoseconds gets the 504 it asked for, which is no fault to be found here.
SETTINGS = '[parameters]\n"header.x-gateway-timeout" = "30"\n'
ANY_NAME = """
model_list: [{model_name: "*", litellm_params: {model: demo/demo, tokenizer: cl100k_base, extra_params: allow}}]
policies: []
general_settings: {max_request_bytes: 100000}
"""
TEXT = ANY_NAME.replace("demo/demo", "text-completion-demo/demo")


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("config", "examples"), [(None, 20), (ANY_NAME, 60), (TEXT, 40)], ids=["built-in", "any name", "any name, text"]
)
def test_nothing_undescribed_happens(tmp_path: Path, config: str | None, examples: int) -> None:
    settings = tmp_path / "schemathesis.toml"
    settings.write_text(SETTINGS)
    with serving(tmp_path, config) as served:
        command = [
            *(str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(settings)),
            *("run", f"{served.url}/openapi.json", "--checks", ",".join(CHECKS)),
            *("--phases", "examples,coverage,fuzzing", "--max-examples", str(examples), "--seed", "1"),
            *("--generation-database", "none", "--suppress-health-check", "all", "--no-color"),
        ]
        done = subprocess.run(command, capture_output=True, cwd=tmp_path, timeout=60, check=False)  # noqa: S603
        assert done.returncode == 0, done.stdout.decode()
        assert served.is_well() or config is not None
