"""A running gateway takes a changed configuration whole or not at all."""

import os
import signal
from pathlib import Path

import pytest

from tests.e2e import kit

pytestmark = pytest.mark.e2e

ONE = "model_list:\n  - {model_name: one, litellm_params: {model: demo/demo}}\n"
TWO = ONE + "  - {model_name: two, litellm_params: {model: demo/demo}}\n"
BROKEN = ONE + "  - {model_name: two, litellm_params: {model: nobody/knows}}\n"

WORKERS = pytest.mark.parametrize("workers", ["1", "2"])


def aliases(process: kit.Process) -> list[str]:
    """Asked several times, so that each of several workers has its turn."""
    answers = [kit.fetch(f"{process.url}/v1/models")[1] for _ in range(8)]
    found = [[entry["id"] for entry in answer["data"]] for answer in answers]
    return found[0] if all(names == found[0] for names in found) else []


def configuration(process: kit.Process) -> str:
    status, ready = kit.fetch(f"{process.url}/health/ready")
    assert status == 200
    return str(ready["configuration"])


def replace(folder: Path, text: str) -> None:
    """As a careful editor does: written beside, then renamed."""
    (folder / "new").write_text(text)
    os.replace(folder / "new", folder / "config.yaml")


def started(process: kit.Process, workers: str) -> None:
    kit.until("all workers", lambda: process.out.count("Application startup complete.") == int(workers))


@WORKERS
def test_a_changed_file_is_served_without_a_signal(tmp_path: Path, workers: str):
    with kit.gateway(tmp_path, ONE, "--workers", workers) as process:
        started(process, workers)
        replace(tmp_path, TWO)
        kit.until("the new alias", lambda: aliases(process) == ["one", "two"])
        (tmp_path / "config.yaml").write_text(ONE)
        kit.until("the old aliases", lambda: aliases(process) == ["one"])


@WORKERS
def test_sighup_reloads_without_a_new_process(tmp_path: Path, workers: str):
    with kit.gateway(tmp_path, ONE, "--workers", workers) as process:
        started(process, workers)
        before = kit.children(process.pid)
        process.signal(signal.SIGHUP)
        kit.until("every worker's reload", lambda: len(process.lines("config_reloaded")) == int(workers))
        assert kit.children(process.pid) == before
        assert kit.fetch(f"{process.url}/v1/completions", {"model": "one", "prompt": "Hi"})[0] == 200


@WORKERS
def test_a_broken_file_leaves_the_old_one_serving_and_a_good_one_heals(tmp_path: Path, workers: str):
    with kit.gateway(tmp_path, ONE, "--workers", workers) as process:
        started(process, workers)
        assert configuration(process) == "ok"
        replace(tmp_path, BROKEN)
        kit.until("every worker's refusal", lambda: len(process.lines("config_refused")) == int(workers))
        assert aliases(process) == ["one"]
        assert configuration(process) == "an older one is served: the newest has faults, which the log names"
        (faults,) = {tuple(line["faults"]) for line in process.lines("config_refused")}
        assert faults[0].startswith("config.yaml:3: model_list[1].litellm_params.model: unknown provider 'nobody'")
        process.signal(signal.SIGHUP)
        kit.until("every worker's second refusal", lambda: len(process.lines("config_refused")) == 2 * int(workers))
        assert aliases(process) == ["one"]
        replace(tmp_path, TWO)
        kit.until("the new alias", lambda: aliases(process) == ["one", "two"])
        kit.until("a good state everywhere", lambda: {configuration(process) for _ in range(8)} == {"ok"})


def test_a_file_that_vanishes_leaves_the_old_one_serving(tmp_path: Path):
    with kit.gateway(tmp_path, ONE) as process:
        (tmp_path / "config.yaml").unlink()
        kit.until("the refusal", lambda: process.lines("config_refused"))
        assert aliases(process) == ["one"]
        replace(tmp_path, TWO)
        kit.until("the new alias", lambda: aliases(process) == ["one", "two"])


def test_a_changed_secret_file_is_read_again(tmp_path: Path):
    (tmp_path / "key").write_text("sk-the-first-key")
    config = ONE + "general_settings: {master_key: 'file:key'}\n"

    def status(key: str) -> int:
        return kit.fetch(f"{process.url}/v1/models", headers={"x-api-key": key})[0]

    with kit.gateway(tmp_path, config) as process:
        assert status("sk-the-first-key") == 200
        (tmp_path / "key").write_text("sk-the-second-key")
        kit.until("the new key", lambda: status("sk-the-second-key") == 200)
        assert status("sk-the-first-key") == 401
    assert "sk-the" not in process.out + process.err
