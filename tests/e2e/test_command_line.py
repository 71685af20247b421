"""`gateway check` and `gateway explain`, and what every command says of a configuration with faults."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.version import __version__
from tests.e2e import kit

pytestmark = pytest.mark.e2e

GOOD = """
model_list:
  - {model_name: demo, litellm_params: {model: demo/demo}}
  - {model_name: "[bold]x[/bold]", litellm_params: {model: openai/gpt-4o, api_key: sk-very-secret}}
"""
FAULTY = """model_list:
  - model_name: demo
    litellm_params: {model: demo/demo, temprature: 1}
  - model_name: other
    litellm_params: {model: nobody/knows}
  - model_name: keyless
    litellm_params: {model: groq/llama}
"""


def write(folder: Path, text: str) -> Path:
    file = folder / "config.yaml"
    file.write_text(text)
    return file


@pytest.mark.parametrize("command", [["serve", "--port", "0"], ["check"], ["explain", "-m", "demo", "Hello"]])
def test_every_fault_is_listed_with_its_file_and_line(tmp_path: Path, command: list[str]):
    write(tmp_path, FAULTY)
    done = kit.run(tmp_path, *command, "--config", "config.yaml")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    lines = done.stderr.splitlines()
    assert any(line.startswith("config.yaml:3: model_list[0].litellm_params.temprature: ") for line in lines)


def test_faults_that_only_a_provider_knows_are_listed_together(tmp_path: Path):
    write(tmp_path, FAULTY.replace(", temprature: 1", ""))
    done = kit.run(tmp_path, "check", "--config", "config.yaml")
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert [line.split(": ")[0] for line in lines] == ["config.yaml:5", "config.yaml:7"]
    assert json.loads(done.stdout) == {"ok": False, "config": "config.yaml", "faults": lines}


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path):
    done = kit.run(tmp_path, "check", "--config", "nowhere.yaml")
    assert (done.returncode, done.stderr) == (1, "nowhere.yaml: cannot be read: No such file or directory\n")


def test_check_writes_json_into_a_pipe(tmp_path: Path):
    write(tmp_path, GOOD)
    done = kit.run(tmp_path, "check", "--config", "config.yaml")
    assert done.returncode == 0
    said = json.loads(done.stdout)
    assert said["ok"] is True
    assert [row["alias"] for row in said["deployments"]] == ["demo", "[bold]x[/bold]"]
    assert "sk-very-secret" not in done.stdout + done.stderr


def at_a_terminal(folder: Path, *args: str) -> tuple[int, str]:
    """A command's exit status and what a person sees of it."""
    own, its = pty.openpty()
    with subprocess.Popen(  # noqa: S603
        kit.command(*args), cwd=folder, env=kit.environment(TERM="dumb"), stdin=its, stdout=its, stderr=its
    ) as popen:
        os.close(its)
        said = b""
        try:
            while part := os.read(own, 65536):
                said += part
        except OSError:
            pass  # how Linux tells that the other end of a terminal is closed
        os.close(own)
    return popen.returncode, said.decode()


def test_check_without_a_configuration_runs_the_tests_of_the_default_policies(tmp_path: Path):
    done = kit.run(tmp_path, "check")
    assert done.returncode == 0
    (tested,) = json.loads(done.stdout)["policies"]
    assert tested["policy"] == "default"
    assert tested["passed"] == tested["tests"] >= 10


@pytest.mark.parametrize("command", [["--help"], ["--version"], ["check", "--help"]])
def test_asking_for_help_imports_no_detector(tmp_path: Path, command: list[str]):
    program = "import sys; from gateway.cli.main import app; app(sys.argv[1:], standalone_mode=False);"
    program += "print(sorted({'presidio_analyzer', 'spacy', 'phonenumbers'} & set(sys.modules)))"
    argv = [sys.executable, "-c", program, *command]
    done = subprocess.run(argv, cwd=tmp_path, env=kit.environment(), capture_output=True, timeout=kit.SECONDS)  # noqa: S603
    assert done.stdout.splitlines()[-1:] == [b"[]"], done.stderr


def test_check_shows_a_table_at_a_terminal(tmp_path: Path):
    write(tmp_path, GOOD)
    status, said = at_a_terminal(tmp_path, "check", "--config", "config.yaml")
    assert status == 0
    assert "ALIAS" in said
    assert "[bold]x[/bold]" in said
    assert "ok  config.yaml" in said


def test_explain_tells_the_route_and_the_call_without_the_key(tmp_path: Path):
    write(tmp_path, GOOD.replace("[bold]x[/bold]", "gpt"))
    done = kit.run(tmp_path, "explain", "-m", "gpt", "-p", "n=2", "Hello there", "--config", "config.yaml")
    assert done.returncode == 0
    said = json.loads(done.stdout)
    assert (said["provider"], said["provider_model"]) == ("openai", "gpt-4o")
    (call,) = said["calls"]
    assert call["url"] == "https://api.openai.com/v1/chat/completions"
    assert call["body"]["messages"] == [{"role": "user", "content": "Hello there"}]
    assert call["body"]["n"] == 2
    assert "sk-very-secret" not in done.stdout
    status, seen = at_a_terminal(tmp_path, "explain", "-m", "gpt", "Hello", "--config", "config.yaml")
    assert status == 0
    assert "POST https://api.openai.com/v1/chat/completions" in seen


def test_explain_says_why_a_request_would_be_refused(tmp_path: Path):
    write(tmp_path, GOOD)
    done = kit.run(tmp_path, "explain", "-m", "demmo", "Hello", "--config", "config.yaml")
    assert done.returncode == 1
    said = json.loads(done.stdout)
    assert said["status"] == 404
    assert said["error"]["code"] == "model_not_found"
    assert "Did you mean demo?" in said["error"]["message"]


def test_options_before_a_command_count_for_it(tmp_path: Path):
    write(tmp_path, FAULTY)
    assert kit.run(tmp_path, "--config", "config.yaml", "check").returncode == 1
    done = kit.run(tmp_path, "--port", "1", "check")
    assert done.returncode == 2
    assert "check does not take it" in done.stderr


def test_an_authority_file_that_cannot_be_read_is_one_line(tmp_path: Path):
    done = kit.run(tmp_path, "serve", "--port", "0", SSL_CERT_FILE="/nowhere.pem")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr + done.stdout
    assert "/nowhere.pem" in done.stderr


def test_the_version(tmp_path: Path):
    done = kit.run(tmp_path, "--version")
    assert (done.returncode, done.stdout) == (0, f"{__version__}\n")
