"""No detector reaches anything: not on its first use in a fresh process, not for any text, not in a compiled library.

Nor is a file opened outside the installation while texts are judged, such as a cache of domain names.
"""

import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from gateway.guards import ner
from tests.guards import sealed

SECONDS = 300


def run(*arguments: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Run `sealed` in a process of its own, with a home that has nothing in it."""
    command = [sys.executable, "-W", "error", str(Path(sealed.__file__)), *arguments]
    environ = {"PATH": "", "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, env=environ, check=False)  # noqa: S603


def test_what_reaches_for_the_network_is_caught(tmp_path):
    told = run("caught", tmp_path=tmp_path)
    assert told.stdout.startswith("1 ["), told.stderr


@pytest.mark.skipif(not sealed.can_seal, reason="the kernel's seal is for Linux on x86-64 and ARM64")
@pytest.mark.parametrize("task", ["connects", "asks"])
def test_what_a_compiled_library_reaches_for_is_caught(task, tmp_path):
    assert run(task, tmp_path=tmp_path).returncode == -signal.SIGSYS


def test_every_shipped_pack_judges_every_text_without_network_and_without_foreign_files(tmp_path):
    told = run("judged", tmp_path=tmp_path)
    assert told.returncode == 0, told.stderr[-2_000:]
    count, _, rest = told.stdout.partition(" ")
    assert int(count) > 500
    assert rest == "[] []\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(find_spec(ner.MODEL) is None, reason="the extra `ner` is not installed")
def test_names_are_found_without_network(tmp_path):
    told = run("named", tmp_path=tmp_path)
    assert told.stdout == "2 [] []\n", told.stderr[-2_000:]
