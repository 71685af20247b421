"""Two running gateways on one database, and the command line beside them: a key counts everywhere at once, and so does
its end within two seconds."""

from pathlib import Path
from time import monotonic

import pytest

from gateway.wire import json
from tests.e2e import kit, process
from tests.e2e.kit import fetch

pytestmark = pytest.mark.e2e

MASTER = {"authorization": "Bearer master-key-of-the-tests"}
CONFIG = """
model_list:
  - {{model_name: demo, litellm_params: {{model: demo/demo}}}}
general_settings: {{master_key: master-key-of-the-tests, database_url: "sqlite:///{folder}/gateway.db"}}
policies: []
"""
SECONDS = 2.5
"""Two, and a little for a slow machine."""


def completes(served: process.Served, key: str, **fields: str) -> int:
    body = json.dumps({"model": "demo", "prompt": "Say hello", "max_tokens": 3, **fields})
    return served.post(body, {"authorization": f"Bearer {key}"})[0]


def becomes(status: int, served: process.Served, key: str, **fields: str) -> bool:
    """Whether requests with `key` are answered with `status` in time, and from then on."""
    began = monotonic()
    while completes(served, key, **fields) != status:
        if monotonic() - began > SECONDS:
            return False
    return all(completes(served, key, **fields) == status for _ in range(20))


def test_what_one_gateway_is_told_counts_in_the_other(tmp_path: Path) -> None:
    config = CONFIG.format(folder=tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with process.serving(tmp_path / "a", config) as here, process.serving(tmp_path / "b", config) as there:
        assert completes(there, "gk-" + "a" * 43) == 401, "it has looked, and there was nothing"
        status, made = fetch(f"{here.url}/admin/keys", {"alias": "team-a"}, MASTER)
        assert status == 201
        assert completes(there, made["key"]) == 200
        assert completes(here, made["key"]) == 200

        done = kit.run(tmp_path / "a", "end-users", "block", "bob", "--config", "config.yaml")
        assert done.returncode == 0, done.stderr
        for served in (here, there):
            assert becomes(403, served, made["key"], user="bob")
            assert completes(served, made["key"], user="eve") == 200

        done = kit.run(tmp_path / "b", "keys", "revoke", "team-a", "--config", "config.yaml")
        assert done.returncode == 0, done.stderr
        for served in (here, there):
            assert becomes(401, served, made["key"])
    for log in (here.log, there.log):
        assert made["key"][3:].encode() not in log.read_bytes()
