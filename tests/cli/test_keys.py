"""`gateway keys` and `gateway end-users`: the database administered without a server."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "config.yaml"
    file.write_text(
        f"general_settings: {{master_key: master-key-of-the-tests, database_url: 'sqlite:///{tmp_path}/gateway.db'}}\n"
    )
    return file


def run(config: Path, *command: str, status: int = 0) -> Any:
    """What a command prints, as JSON."""
    done = CliRunner().invoke(app, [*command, "--config", str(config)])
    assert done.exit_code == status, done.output
    return json.loads(done.stdout) if done.stdout else done.stderr


def test_a_key_is_created_listed_changed_and_revoked(config: Path) -> None:
    assert run(config, "keys", "list") == {"data": []}
    given = "--model gpt-* --model demo --tag a --expires 30d --max-usd 5 --period 1d --rpm 3 --metadata owner=x=y"
    made = run(config, "keys", "create", "--alias", "team-a", *given.split())
    assert made["key"].startswith("gk-")
    assert (made["models"], made["tags"], made["metadata"]) == (["gpt-*", "demo"], ["a"], {"owner": "x=y"})
    assert (made["budget"], made["limits"]["rpm"]) == ({"max_usd": 5.0, "max_tokens": None, "period": "1d"}, 3)
    assert made["expires_at"].endswith("Z")
    shown = run(config, "keys", "list")["data"]
    assert [row["alias"] for row in shown] == ["team-a"]
    assert "key" not in shown[0]
    changed = run(
        config, "keys", "update", "team-a", "--rpm", "9", "--tpd", "70", "--clear", "budget", "--clear", "expires_at"
    )
    assert (changed["limits"]["rpm"], changed["limits"]["tpd"]) == (9, 70)
    assert (changed["budget"], changed["expires_at"]) == (None, None)
    assert changed["models"] == ["gpt-*", "demo"]
    assert run(config, "keys", "revoke", made["id"])["revoked_at"]
    assert run(config, "keys", "list") == {"data": []}
    assert len(run(config, "keys", "list", "--all")["data"]) == 1


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("create", "--alias", "master"), "invalid_value"),
        (("create", "--alias", "a", "--expires", "soon"), "invalid_value"),
        (("create", "--alias", "a", "--scope", "admin"), "invalid_value"),
        (("create", "--alias", "a", "--max-usd", "-1"), "invalid_value"),
        (("update", "nobody", "--rpm", "1"), "not_found"),
        (("update", "nobody", "--clear", "digest"), "invalid_value"),
        (("revoke", "nobody"), "not_found"),
    ],
)
def test_a_fault_is_said_and_the_status_is_1(config: Path, command: tuple[str, ...], code: str) -> None:
    assert run(config, "keys", *command, status=1)["error"]["code"] == code


def test_keys_need_a_master_key(config: Path) -> None:
    config.write_text("model_list: []\n")
    said = run(config, "keys", "create", "--alias", "a", status=1)
    assert "general_settings.master_key" in said["error"]["message"]


def test_a_configuration_with_faults_is_told_and_nothing_is_done(config: Path, tmp_path: Path) -> None:
    config.write_text("general_settings: {master_kay: x}\n")
    assert "master_kay" in run(config, "keys", "list", status=1)
    assert not (tmp_path / "gateway.db").exists()


def test_an_end_user_is_blocked_given_a_budget_and_unblocked(config: Path) -> None:
    assert run(config, "end-users", "block", "bob")["blocked"] is True
    assert (
        run(config, "end-users", "budget", "bob", "--max-tokens", "100", "--period", "1d")["budget"]["max_tokens"]
        == 100
    )
    (row,) = run(config, "end-users", "list")["data"]
    assert (row["id"], row["blocked"]) == ("bob", True)
    assert run(config, "end-users", "block", "bob", "--unblock")["blocked"] is False
    assert run(config, "end-users", "budget", "bob", "--clear", "budget")["budget"] is None
    assert run(config, "end-users", "block", " bob", status=1)["error"]["code"] == "invalid_value"


@pytest.mark.parametrize(
    "command",
    [
        "keys create",
        "keys create --alias a --period 1d",
        "keys create --alias a --metadata x",
        "keys update team-a",
        "end-users budget bob",
    ],
)
def test_a_wrong_use_is_said_with_status_2(config: Path, command: str) -> None:
    assert CliRunner().invoke(app, [*command.split(), "--config", str(config)]).exit_code == 2


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_what_would_be_kept_in_memory_is_not_said_to_be_done(tmp_path: Path, url: str) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"general_settings: {{master_key: master-key-of-the-tests, database_url: '{url}'}}\n")
    for command in ("keys create --alias a", "end-users block bob", "keys list", "usage"):
        assert "memory" in run(config, *command.split(), status=1)


def test_a_key_is_named_by_its_id_or_its_alias_and_a_wrong_one_is_told_so(config: Path) -> None:
    made = run(config, "keys", "create", "--alias", "team-a")
    assert "alias" in run(config, "keys", "revoke", "team-b", status=1)["error"]["message"]
    assert run(config, "keys", "revoke", "team-a") == run(config, "keys", "revoke", made["id"])
    assert "alias" in run(config, "keys", "revoke", "team-a", status=1)["error"]["message"]
