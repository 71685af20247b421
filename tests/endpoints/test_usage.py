"""`/admin/usage`: who used what, asked for by the holder of the master key and by nobody else."""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from jsonschema_rs import validator_for

from gateway.endpoints.openapi import description
from tests.inprocess import InProcess, Reply

MASTER = "master-key-of-the-tests"
ELSEWHERE = {"gateway.local": False, "client": ("192.0.2.1", 1)}


class Served:
    """A gateway with a ledger, as callers on other machines see it."""

    def __init__(self, folder: Path, **sections: Any) -> None:
        params = {"model": "demo/demo", "input_cost_per_token": 0.001, "output_cost_per_token": 0.002}
        self.gateway = InProcess(
            {
                "model_list": [{"model_name": name, "litellm_params": params} for name in ("demo", "other")],
                "policies": [],
                "general_settings": {"master_key": MASTER, "database_url": f"sqlite:///{folder}/gateway.db"},
                **sections,
            }
        )

    def ask(self, path: str, key: str | None = MASTER, method: str = "GET", body: Any = b"", **query: str) -> Reply:
        sent = [(b"authorization", f"Bearer {key}".encode())] if key else []
        scope = {**ELSEWHERE, "query_string": urlencode(query).encode()}
        return self.gateway.ask(body, path, sent, method=method, scope=scope)

    def complete(self, model: str = "demo", key: str = MASTER, **fields: Any) -> Reply:
        body = {"model": model, "prompt": "Say hello", "max_tokens": 3, **fields}
        return self.ask("/v1/completions", key, "POST", body)

    def usage(self, **query: str) -> Any:
        reply = self.ask("/admin/usage", **query)
        assert reply.status == 200, reply.body
        return reply.json


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    made = Served(tmp_path)
    yield made
    made.gateway.close()


def today() -> str:
    return datetime.now(UTC).date().isoformat()


def code(reply: Reply) -> tuple[int, str, str | None]:
    return reply.status, reply.error["code"], reply.error["param"]


def test_usage_by_every_dimension(served: Served) -> None:
    made = served.ask("/admin/keys", method="POST", body={"alias": "team", "tags": ["prod"]}).json
    served.complete(user="alice")
    served.complete(user="bob", key=made["key"])
    served.complete("other", user="bob", key=made["key"])
    served.complete("nobody")
    lines = {
        by: [(line[by], line["requests"]) for line in served.usage(by=by)["data"]]
        for by in ("user", "model", "provider", "key", "tag", "day")
    }
    assert {by: sorted(found) for by, found in lines.items()} == {
        "user": [("", 1), ("alice", 1), ("bob", 2)],
        "model": [("", 1), ("demo", 2), ("other", 1)],
        "provider": [("", 1), ("demo", 3)],
        "key": [("master", 2), ("team", 2)],
        "tag": [("", 2), ("prod", 2)],
        "day": [(today(), 4)],
    }
    total = served.usage()["total"]
    assert (total["requests"], total["errors"], total["blocked"]) == (4, 1, 0)
    assert total["cost_usd"] == pytest.approx(total["prompt_tokens"] * 0.001 + total["completion_tokens"] * 0.002)


def test_days_are_utc_and_the_last_one_is_included(served: Served) -> None:
    served.complete()
    assert served.usage(**{"from": today(), "to": today()})["total"]["requests"] == 1
    assert served.usage(to="2020-01-01") == {"data": [], "total": served.usage(to="2020-01-01")["total"]}
    assert served.usage(**{"from": "2100-01-01"})["total"]["requests"] == 0


def test_csv_is_what_json_is(served: Served) -> None:
    served.complete(user='a,"b"')
    served.complete(user="=HYPERLINK()")
    reply = served.ask("/admin/usage", by="user", format="csv")
    assert reply.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(reply.body.decode())))
    assert sorted(row["user"] for row in rows) == ["'=HYPERLINK()", 'a,"b"']
    assert [float(row["cost_usd"]) for row in rows] == [line["cost_usd"] for line in served.usage(by="user")["data"]]


@pytest.mark.parametrize(
    ("path", "query", "param"),
    [
        ("/admin/usage", {"by": "colour"}, "by"),
        ("/admin/usage", {"by": "key_id"}, "by"),
        ("/admin/usage", {"from": "yesterday"}, "from"),
        ("/admin/usage", {"from": "2026-02-30"}, "from"),
        ("/admin/usage", {"to": "2026-01-01T00:00:00"}, "to"),
        ("/admin/usage", {"from": "2026-01-02", "to": "2026-01-01"}, "from"),
        ("/admin/usage", {"format": "xml"}, "format"),
        ("/admin/usage", {"since": "7d"}, "since"),
        ("/admin/usage/records", {"limit": "0"}, "limit"),
        ("/admin/usage/records", {"limit": "1001"}, "limit"),
        ("/admin/usage/records", {"limit": "ten"}, "limit"),
        ("/admin/usage/records", {"cursor": "'; DROP TABLE usage; --"}, "cursor"),
        ("/admin/usage/records", {"by": "user"}, "by"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(served: Served, path: str, query: dict[str, str], param: str) -> None:
    assert code(served.ask(path, **query)) == (400, "invalid_value", param)


def test_a_parameter_given_twice_is_refused(served: Served) -> None:
    reply = served.gateway.ask(
        path="/admin/usage",
        headers=[(b"authorization", f"Bearer {MASTER}".encode())],
        method="GET",
        scope={**ELSEWHERE, "query_string": b"by=user&by=model"},
    )
    assert code(reply) == (400, "invalid_value", "by")


def test_records_come_page_by_page_and_by_request_and_user(served: Served) -> None:
    ids = [served.complete(user=f"user {number % 2}").headers["x-request-id"] for number in range(5)]
    found: list[str] = []
    query = {"limit": "2"}
    while True:
        page = served.ask("/admin/usage/records", **query).json
        found += [record["request_id"] for record in page["data"]]
        if page["cursor"] is None:
            break
        query["cursor"] = page["cursor"]
    assert found == ids[::-1]
    one = served.ask("/admin/usage/records", request_id=ids[2]).json["data"]
    assert [(record["request_id"], record["end_user"]) for record in one] == [(ids[2], "user 0")]
    theirs = served.ask("/admin/usage/records", user="user 1").json["data"]
    assert [record["request_id"] for record in theirs] == [ids[3], ids[1]]


@pytest.mark.parametrize("path", ["/admin/usage", "/admin/usage/records"])
def test_nobody_but_the_holder_of_the_master_key_may_ask(served: Served, path: str) -> None:
    key = served.ask("/admin/keys", method="POST", body={"alias": "team", "scopes": ["completions", "metrics"]}).json
    for presented in (None, key["key"], "gk-unknown"):
        assert served.ask(path, presented).status == 401


def test_answers_are_what_their_description_says(served: Served) -> None:
    served.complete(user="bob")
    served.complete("nobody")
    said = description()
    for path in ("/admin/usage", "/admin/usage/records", "/admin/end-users"):
        described = said["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        schema = {**described, "components": said["components"]}
        validator_for(schema).validate(served.ask(path).json)


def test_an_end_user_who_is_deleted_is_forgotten_under_every_pseudonym_they_had(tmp_path: Path) -> None:
    before = Served(tmp_path, end_users={"pseudonymize": True, "pseudonym_key": "an old secret"})
    before.complete(user="bob")
    before.gateway.close()
    after = Served(
        tmp_path,
        end_users={
            "pseudonymize": True,
            "pseudonym_key": "a new secret",
            "previous_pseudonym_keys": ["an old secret"],
        },
    )
    after.complete(user="bob")
    after.complete(user="carol")
    assert len(after.ask("/admin/usage/records", user="bob").json["data"]) == 2
    assert len(after.ask("/admin/end-users").json["data"]) == 3
    gone = after.ask("/admin/end-users/bob", method="DELETE").json
    assert gone == {"id": "bob", "deleted": True, "records": 2}
    assert after.ask("/admin/usage/records", user="bob").json["data"] == []
    assert [row["spend"]["requests"] for row in after.ask("/admin/end-users").json["data"]] == [1]
    assert after.usage()["total"]["requests"] == 3, "what was spent stays spent"
    after.gateway.close()


def test_where_nothing_is_recorded_the_answer_says_so(tmp_path: Path) -> None:
    served = Served(tmp_path, ledger={"enabled": False})
    served.complete(user="bob")
    assert code(served.ask("/admin/usage")) == (404, "not_found", None)
    assert served.ask("/admin/end-users").json == {"data": [], "after": None}
    assert served.ask("/health/ready", None).json["ledger"] == "nothing is recorded"
    served.gateway.close()
    assert list(tmp_path.iterdir()) == []
