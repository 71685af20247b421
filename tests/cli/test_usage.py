"""`gateway usage`: what a person reads at a terminal, and what a program reads from a pipe."""

import csv
import io
import json
import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from gateway.cli import usage
from gateway.cli.main import app
from gateway.ledger.reports import Sums
from gateway.ledger.store import Store
from tests.ledger.kit import put
from tests.ledger.records import DAY, made

NOW = datetime.now(UTC)
MIDNIGHT = int(NOW.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()) * 10**9
TODAY = NOW.date()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "config.yaml"
    file.write_text(f"general_settings: {{database_url: 'sqlite:///{tmp_path}/gateway.db'}}\n")
    return file


@pytest.fixture
def filled(config: Path) -> Path:
    store = Store(f"sqlite:///{config.parent}/gateway.db")
    store.prepare()
    put(
        store,
        [
            made(1, at=MIDNIGHT, cost=Decimal(2)),
            made(2, at=MIDNIGHT - DAY, cost=Decimal(1)),
            made(3, at=MIDNIGHT, end_user="bob", cost=Decimal("0.5"), outcome="blocked"),
            made(4, at=MIDNIGHT, end_user=None, cost=None),
            made(5, at=MIDNIGHT - 40 * DAY, end_user="\x1b[31mred", cost=Decimal(9)),
        ],
    )
    store.close()
    return config


def run(config: Path, *options: str, status: int = 0) -> Result:
    done = CliRunner().invoke(app, ["usage", *options, "--config", str(config)])
    assert done.exit_code == status, done.output
    return done


def test_json_when_piped(filled: Path) -> None:
    said = json.loads(run(filled).stdout)
    assert [(line["user"], line["requests"], line["cost_usd"]) for line in said["data"]] == [
        ("alice", 2, 3.0),
        ("bob", 1, 0.5),
        ("", 1, 0.0),
    ]
    assert said["total"]["requests"] == 4


def test_csv(filled: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(run(filled, "--by", "model", "--format", "csv", "--since", "all").stdout)))
    assert [(row["model"], row["requests"]) for row in rows] == [("gpt-3.5-turbo-instruct", "5")]


def test_a_table_has_a_line_for_each_with_its_days_and_a_total(filled: Path) -> None:
    lines = run(filled, "--format", "table").stdout.splitlines()
    assert lines[0].startswith(f"Usage by user since {TODAY - timedelta(days=6)}")
    rows = {line.split()[0]: line for line in lines[2:]}
    assert list(rows) == ["alice", "bob", "(none)", "total"]
    assert "     ▅█" in rows["alice"]
    assert rows["alice"].split()[-6:] == ["2", "200", "40", "3.00", "0", "0"]
    assert rows["bob"].split()[-6:] == ["1", "100", "20", "0.50", "0", "1"]
    assert rows["total"].split()[-6:] == ["4", "400", "80", "3.50+", "0", "1"]


def test_days_come_in_order_with_bars(filled: Path) -> None:
    lines = run(filled, "--by", "day", "--format", "table", "--since", "all").stdout.splitlines()
    days = [line.split()[0] for line in lines[2:]]
    assert days == [str(TODAY - timedelta(days=40)), str(TODAY - timedelta(days=1)), str(TODAY), "total"]
    lengths = [line.count("█") for line in lines[2:]]
    assert lengths[0] > lengths[2] > lengths[1] > lengths[3] == 0


def test_a_table_that_is_cut_says_so(filled: Path) -> None:
    said = run(filled, "--format", "table", "--limit", "1").stdout
    assert "alice" in said
    assert "bob" not in said
    assert "2 more, with less" in said


def test_a_name_does_nothing_to_a_terminal(filled: Path) -> None:
    said = run(filled, "--format", "table", "--since", "all").stdout
    assert "\x1b" not in said
    assert "?[31mred" in said


def test_no_requests_are_said_in_a_sentence(filled: Path) -> None:
    tomorrow = str(TODAY + timedelta(days=1))
    assert run(filled, "--format", "table", "--since", tomorrow).stdout.startswith(
        f"No requests are recorded since {tomorrow}"
    )
    assert json.loads(run(filled, "--since", tomorrow).stdout)["data"] == []


def test_a_database_that_is_not_there_is_not_made(config: Path) -> None:
    assert "there is no database" in run(config, status=1).stderr
    assert not (config.parent / "gateway.db").exists()


def test_a_database_without_a_ledger_is_told(config: Path) -> None:
    with closing(sqlite3.connect(config.parent / "gateway.db")) as other:
        other.execute("CREATE TABLE any (thing)")
    assert "nothing has been recorded in this database" in run(config, status=1).stderr


def test_a_file_that_is_no_database_is_told(config: Path) -> None:
    (config.parent / "gateway.db").write_bytes(b"once upon a time " * 100)
    assert "the file is not an SQLite database" in run(config, status=1).stderr


@pytest.mark.parametrize("since", ["", "7", "7h", "0d", "-1d", "soon", "2026-02-30"])
def test_a_since_that_is_none_is_refused(config: Path, since: str) -> None:
    assert "--since" in run(config, "--since", since, status=2).output


def test_a_since_of_days_counts_today() -> None:
    today = date(2026, 1, 31)
    assert [str(usage._first(text, today)) for text in ("1d", "7d", "2w", "2025-12-31", "all")] == [
        "2026-01-31",
        "2026-01-25",
        "2026-01-18",
        "2025-12-31",
        "None",
    ]


@pytest.mark.parametrize(
    ("values", "drawn"),
    [([], ""), ([0, 0], "  "), ([1], "█"), ([1, 0, 8], "▂ █"), ([1] * 60, "█" * 30), ([1, 2, 3, 4], "▃▅▇█")],
)
def test_sparklines(values: list[int], drawn: str) -> None:
    assert usage.sparkline(list(map(Decimal, values))) == drawn


@pytest.mark.parametrize(
    ("cost", "said"),
    [("0", "0.00"), ("1234.5", "1,234.50"), ("0.0123", "0.01"), ("0.0012345", "0.001234"), ("0.0000001", "<0.000001")],
)
def test_costs(cost: str, said: str) -> None:
    assert usage.money(Sums(cost=Decimal(cost))) == said
    assert usage.money(Sums(cost=Decimal(cost), unpriced=1)) == f"{said}+"
