"""The log: one line per request, one form for everybody, and nothing in it that a client wrote."""

import logging

import orjson
import pytest

from gateway.exchange import Trace
from gateway.telemetry import logs

CANARY = "canary-4111"


def test_json_lines_carry_time_and_severity(capfdbinary):
    logs.make("json").info("request", a=1)
    line = orjson.loads(capfdbinary.readouterr().out)
    assert (line["event"], line["severity_text"], line["a"]) == ("request", "INFO", 1)
    assert line["timestamp"].endswith("Z")


@pytest.mark.parametrize("kind", ["json", "console"])
def test_a_traceback_never_shows_the_values_of_variables(kind, capfdbinary):
    def fails(prompt: str) -> None:
        raise ValueError("no")

    try:
        fails(CANARY)
    except ValueError:
        logs.make(kind).exception("internal_error")
    out = capfdbinary.readouterr().out.decode()
    assert "fails" in out
    assert CANARY not in out


@pytest.fixture
def root_logger():
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    yield root
    root.handlers[:], root.level = before


def test_libraries_log_in_the_same_form_and_chatter_stays_out(capfdbinary, root_logger):
    logs.take_over(logs.make("json"))
    logging.getLogger("some.library").warning("told %s", "once")
    logging.getLogger("httpx").info("HTTP Request: GET https://example.org/?key=secret")
    lines = [orjson.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
    assert [(line["event"], line["logger"], line["severity_text"]) for line in lines] == [
        ("told once", "some.library", "WARN")
    ]


def test_in_process_events_go_to_the_host_applications_logger(caplog):
    with caplog.at_level(logging.INFO, logger="gateway"):
        logs.make("library").info("request", **{"http.response.status_code": 200})
    assert [record.getMessage() for record in caplog.records] == ["request"]


@pytest.fixture
def request_at_work():
    token = logs.trace.set(Trace("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"))
    yield
    logs.trace.reset(token)


def test_whatever_is_logged_during_a_request_says_which(request_at_work, capfdbinary, root_logger):
    log = logs.make("json")
    logs.take_over(log)
    log.info("ours")
    logging.getLogger("some.library").warning("theirs")
    lines = [orjson.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
    assert {(line["trace_id"], line["span_id"]) for line in lines} == {
        ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
    }


def test_a_line_outside_of_any_request_belongs_to_no_trace(capfdbinary):
    logs.make("json").info("started")
    assert "trace_id" not in orjson.loads(capfdbinary.readouterr().out)


@pytest.mark.parametrize("kind", ["json", "console"])
def test_a_traceback_of_a_request_shows_what_was_raised_and_where_but_not_what_it_says(
    kind, request_at_work, capfdbinary
):
    def fails() -> None:
        try:
            raise ExceptionGroup(CANARY, [ValueError(CANARY)])
        except ExceptionGroup as error:
            error.add_note(CANARY)
            raise KeyError(CANARY) from error

    try:
        fails()
    except KeyError:
        logs.make(kind).exception("internal_error")
    out = capfdbinary.readouterr().out.decode()
    assert "KeyError" in out
    assert "ExceptionGroup" in out
    assert "fails" in out
    assert CANARY not in out


def test_a_host_application_is_not_told_either(request_at_work, caplog):
    try:
        raise ValueError(CANARY)
    except ValueError:
        with caplog.at_level(logging.INFO, logger="gateway"):
            logs.make("library").exception("internal_error")
    (record,) = caplog.records
    assert record.exc_info is None
    assert CANARY not in caplog.text
    assert record.exception[0]["exc_type"] == "ValueError"


def test_a_line_is_written_whatever_numbers_and_texts_others_choose(capfdbinary):
    logs.make("json").info("request", tokens=10**30, name="a\ud800", nested=[{"n": 2**70, "none": None}])
    line = orjson.loads(capfdbinary.readouterr().out)
    assert (line["event"], line["tokens"], line["nested"][0]["none"]) == ("request", str(10**30), None)


class _Gone:
    """Standard output whose reader is gone."""

    def write(self, _data: object) -> int:
        raise BrokenPipeError

    def flush(self) -> None:
        raise ValueError("I/O operation on closed file")

    @property
    def buffer(self) -> "_Gone":
        return self


@pytest.mark.parametrize("kind", ["json", "console", "library"])
def test_a_line_that_nobody_reads_any_more_is_lost_and_stops_nobody(kind, monkeypatch):
    class Unread(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            written.append(record.getMessage())
            raise BrokenPipeError

    written: list[str] = []
    host, handler = logging.getLogger("gateway"), Unread()
    monkeypatch.setattr("sys.stdout", _Gone())
    before = logs.lost()
    log = logs.make(kind)
    host.addHandler(handler)
    try:
        log.warning("request", a=1)
        log.error("internal_error")
        log.warning("request")
    finally:
        host.removeHandler(handler)
    assert len(written) == (3 if kind == "library" else 0)
    assert logs.lost() - before == 3
