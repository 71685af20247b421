"""Presidio's recognizers come without spaCy, and leave Presidio as everybody else knows it."""

import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from gateway.guards.pii import presidio, recognizers

BY_NAME = """
import sys
from gateway.guards.pii import presidio, recognizers
card = recognizers.recognizer("CREDIT_CARD")
match = card.patterns[0].expression.search("4111 1111 1111 1111")
assert card.judged(match.string, card.patterns[0], match) == (0, 19, 1.0)
assert not {"spacy", "numpy", "presidio_analyzer"} & set(sys.modules)
from presidio_analyzer import AnalyzerEngine, PatternRecognizer
assert AnalyzerEngine.__module__ == "presidio_analyzer.analyzer_engine"
assert presidio.classes(["CryptoRecognizer"])["CryptoRecognizer"].__base__ is PatternRecognizer
try:
    presidio.classes(["NobodysRecognizer"])
except ImportError as error:
    print(error)
"""


def test_presidio_is_imported_by_name_and_is_whole_for_everybody_else():
    argv = [sys.executable, "-c", BY_NAME]
    done = subprocess.run(argv, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60)  # noqa: S603
    assert (done.returncode, done.stderr) == (0, "")
    assert "NobodysRecognizer" in done.stdout


@given(st.from_regex(r"([0-9]{1,3}\.){2,4}[0-9]{0,3}(/[0-9]{1,2})?|[0-9.:/ \u0660a-f]{0,20}", fullmatch=True))
def test_an_address_of_a_machine_is_one_exactly_when_presidio_says_so(text):
    ours = recognizers.presidio("IP_ADDRESS").invalidate_result(text)
    assert bool(ours) == bool(presidio.classes(["IpRecognizer"])["IpRecognizer"]().invalidate_result(text))
