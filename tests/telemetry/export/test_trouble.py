"""Trouble is told, and does not fill the log."""

import pytest

from gateway.telemetry.export import trouble
from gateway.telemetry.export.trouble import Trouble
from tests.telemetry.export.kit import LOG, troubles


def test_one_line_a_minute_holds_the_count_of_all_since_the_last(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 1000.0
    monkeypatch.setattr(trouble, "monotonic", lambda: now)
    told = Trouble(LOG, "http://collector")
    for second in range(121):
        now = 1000.0 + second
        told.tell("down", 2)
    assert troubles(caplog) == [("down", 2), ("down", 120), ("down", 120)]


def test_what_was_kept_back_is_told_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    told = Trouble(LOG, "http://collector")
    told.last()
    told.tell("down", 2)
    told.tell("down", 3)
    told.last()
    told.last()
    assert troubles(caplog) == [("down", 2), ("the gateway closes", 3)]
