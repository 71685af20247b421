"""Keys and end users through the whole gateway: what an administrator lays down, and every way for one tenant to pass
for another, each refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.inprocess import InProcess, Reply

MASTER = "master-key-of-the-tests"
ASCII = "".join(map(chr, range(33, 127)))
ELSEWHERE = {"gateway.local": False, "client": ("192.0.2.1", 1)}
MODELS = ("demo", "other", "many/*")


class Served:
    """A gateway as callers on other machines see it."""

    def __init__(
        self, folder: Path, end_users: dict[str, Any] | None = None, *, ledger: bool = True, **general: Any
    ) -> None:
        models = [{"model_name": name, "litellm_params": {"model": f"demo/{name[-1:]}"}} for name in MODELS]
        url = f"sqlite:///{folder}/gateway.db"
        self.gateway = InProcess(
            {
                "model_list": models,
                "policies": [],
                "end_users": end_users or {},
                "ledger": {"enabled": ledger},
                "general_settings": {"master_key": MASTER, "database_url": url, **general},
            }
        )

    def ask(self, key: str | None, path: str, body: Any = b"", method: str = "POST", **headers: str) -> Reply:
        sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        if key is not None:
            sent.append((b"authorization", f"Bearer {key}".encode()))
        return self.gateway.ask(body, quote(path, safe=ASCII), sent, method=method, scope=ELSEWHERE)

    def admin(self, path: str, body: Any = b"", method: str = "POST") -> Reply:
        return self.ask(MASTER, path, body, method)

    def key(self, alias: str, **fields: Any) -> tuple[str, str]:
        """The id of a new key, and the key."""
        reply = self.admin("/admin/keys", {"alias": alias, **fields})
        assert reply.status == 201, reply.body
        return reply.json["id"], reply.json["key"]

    def complete(
        self, key: str | None, model: str = "demo", headers: dict[str, str] | None = None, **fields: Any
    ) -> Reply:
        body = {"model": model, "prompt": "Say hello", "max_tokens": 3, **fields}
        return self.ask(key, "/v1/completions", body, **(headers or {}))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    made = Served(tmp_path)
    yield made
    made.gateway.close()


def code(reply: Reply) -> tuple[int, str]:
    return reply.status, reply.error["code"]


def test_a_key_is_shown_once_and_in_no_other_answer(served: Served) -> None:
    reply = served.admin("/admin/keys", {"alias": "team-a", "models": ["demo"]})
    assert (reply.status, reply.headers["cache-control"]) == (201, "no-store")
    assert list(reply.json)[:3] == ["id", "key", "alias"]
    key_id, key = reply.json["id"], reply.json["key"]
    others = [
        served.admin("/admin/keys", method="GET"),
        served.admin(f"/admin/keys/{key_id}", {"tags": ["x"]}, "PATCH"),
        served.admin(f"/admin/keys/{key_id}", method="DELETE"),
        served.admin("/admin/keys", method="GET"),
    ]
    for other in others:
        assert other.status == 200
        assert key[3:].encode() not in other.body
        assert b"digest" not in other.body
        assert b"hash" not in other.body


def test_a_key_works_until_it_is_revoked_and_a_change_counts_at_once(served: Served) -> None:
    key_id, key = served.key("team-a", models=["demo"])
    assert served.complete(key).status == 200
    assert code(served.complete(key, "other")) == (403, "model_not_allowed")
    served.admin(f"/admin/keys/{key_id}", {"models": ["other"]}, "PATCH")
    assert code(served.complete(key)) == (403, "model_not_allowed")
    assert served.complete(key, "other").status == 200
    assert served.admin(f"/admin/keys/{key_id}", method="DELETE").json["revoked_at"]
    assert code(served.complete(key, "other")) == (401, "invalid_api_key")
    assert served.admin("/admin/keys", method="GET").json["data"][0]["id"] == key_id


def test_a_restart_loses_nothing(tmp_path: Path) -> None:
    before = Served(tmp_path)
    _, key = before.key("team-a", models=["demo"])
    before.admin("/admin/end-users/bob", {"blocked": True}, "PATCH")
    before.gateway.close()
    after = Served(tmp_path)
    assert after.complete(key).status == 200
    assert code(after.complete(key, user="bob")) == (403, "end_user_blocked")
    after.gateway.close()


def test_a_master_key_alone_needs_no_disk_where_no_usage_is_recorded(tmp_path: Path) -> None:
    nowhere = tmp_path / "not-there"
    served = Served(nowhere, ledger=False)
    assert served.complete(MASTER, user="bob").status == 200
    assert code(served.complete("gk-" + "a" * 43)) == (401, "invalid_api_key")
    assert served.admin("/admin/keys", method="GET").json == {"data": [], "after": None}
    assert served.admin("/admin/end-users", method="GET").json == {"data": [], "after": None}
    ready = served.ask(None, "/health/ready", method="GET")
    assert (ready.status, ready.json["keys"]) == (200, "ok")
    assert code(served.admin("/admin/keys", {"alias": "a"})) == (503, "keys_unavailable")
    assert not nowhere.exists()
    served.gateway.close()


def test_a_model_that_a_key_may_not_use_is_as_none_to_it(served: Served) -> None:
    _, key = served.key("team-a", models=["demo", "many/one", "nowhere"])

    def listed(who: str) -> list[str]:
        return [model["id"] for model in served.ask(who, "/v1/models", method="GET").json["data"]]

    assert listed(key) == ["demo", "many/one"]
    assert listed(MASTER) == list(MODELS)
    assert served.ask(key, "/v1/models/many/one", method="GET").status == 200
    for name in ("other", "many/two", "nowhere", "othr"):
        reply = served.ask(key, f"/v1/models/{name}", method="GET")
        assert code(reply) == (404, "model_not_found")
        assert reply.error["message"] == f"There is no model {name} here. GET /v1/models lists what this key may use."
    reply = served.complete(key, "nowhere")
    assert code(reply) == (404, "model_not_found")
    assert "Did you mean" not in reply.error["message"]
    for name in ("other", "othr", "many/two"):
        assert code(served.complete(key, name)) == (403, "model_not_allowed"), "there or not, the answer is the same"


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/engines/other/completions", None), ("/openai/deployments/other/completions", None),
        ("/v1/engines/other/completions", "demo"), ("/completions", "other"), ("/v1/completions", "Other"),
        ("/v1/completions", "demo\u200b"), ("/v1/completions", " other"),
    ],
)  # fmt: skip
def test_no_path_and_no_spelling_opens_another_model(served: Served, path: str, model: str | None) -> None:
    _, key = served.key("team-a", models=["demo"])
    body = {"prompt": "Say hello", **({"model": model} if model else {})}
    reply = served.ask(key, path, body)
    assert reply.status in (400, 403)
    assert "usage" not in reply.json


ADMIN = [
    ("GET", "/admin/keys"), ("POST", "/admin/keys"), ("PATCH", "/admin/keys/{id}"), ("DELETE", "/admin/keys/{id}"),
    ("GET", "/admin/end-users"), ("PATCH", "/admin/end-users/bob"), ("DELETE", "/admin/end-users/bob"),
    ("GET", "/admin/policies"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), ADMIN)
def test_only_the_master_key_administers(served: Served, method: str, path: str) -> None:
    key_id, key = served.key("team-a", scopes=["completions", "metrics"], metadata={"admin": True, "role": "master"})
    for who in (None, key, "gk-" + "a" * 43, key_id, "master", "", MASTER[:-1], MASTER + "x", MASTER.upper()):
        reply = served.ask(who, path.format(id=key_id), {"alias": "evil", "models": []}, method)
        assert code(reply) == (401, "invalid_api_key"), who
    assert [row["alias"] for row in served.admin("/admin/keys", method="GET").json["data"]] == ["team-a"]


SPELLINGS = (
    "//admin/keys /admin//keys /Admin/keys /ADMIN/KEYS /admin/keys/ /admin/./keys /admin/../admin/keys /admin "
    "/admin/%2e%2e/keys /v1/../admin/keys /v1/%2e%2e/admin/keys /admin/keys%00 /admin/keys;x=1 /%61dmin/keys "
    "/health/live/../../admin/keys /openapi.json/../admin/keys /admin/keys/key_x/../../keys /\\admin\\keys "
    "/v1/admin/keys /admin\u2215keys /%2561dmin/keys /admin%2fkeys /admin/keys?x=/health/live /admin/keys%0d%0a"
)


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
def test_no_spelling_of_a_path_administers(served: Served, method: str) -> None:
    _, key = served.key("team-a")
    for path in SPELLINGS.split(" "):
        for who in (None, key):
            reply = served.ask(who, path, {"alias": "evil"}, method)
            assert reply.status in (401, 404, 405), path
            assert b"team-a" not in reply.body
    assert len(served.admin("/admin/keys", method="GET").json["data"]) == 1


@pytest.mark.parametrize(
    "claim",
    [
        {"user": "bob"}, {"metadata": {"user_id": "bob"}}, {"safety_identifier": "bob"},
        {"headers": {"x_gateway_end_user": "bob"}}, {"headers": {"x_litellm_end_user_id": "bob"}},
        {"headers": {"x_litellm_customer_id": "bob"}}, {"headers": {"x_gateway_end_user": "b\u200bob "}},
    ],
)  # fmt: skip
def test_nobody_passes_for_an_end_user_that_another_key_is_bound_to(served: Served, claim: dict[str, Any]) -> None:
    served.key("team-a", end_user="bob")
    _, key = served.key("team-b")
    _, bound = served.key("team-c", end_user="carol")
    assert code(served.complete(key, **claim)) == (403, "end_user_not_allowed")
    assert served.complete(bound, **claim).status == 200, "for carol, whatever it claims"
    served.admin("/admin/end-users/carol", {"blocked": True}, "PATCH")
    assert code(served.complete(bound, **claim)) == (403, "end_user_blocked")
    assert served.complete(MASTER, **claim).status == 200


def test_a_key_has_an_end_user_for_requests_that_name_none(served: Served) -> None:
    _, key = served.key("team-a", default_end_user="everybody")
    served.admin("/admin/end-users/everybody", {"blocked": True}, "PATCH")
    assert code(served.complete(key)) == (403, "end_user_blocked")
    assert served.complete(key, user="bob").status == 200
    assert code(served.admin("/admin/keys", {"alias": "x", "end_user": "a", "default_end_user": "b"})) == (
        400,
        "invalid_value",
    )


@pytest.mark.parametrize("claim", [{"tags": ["payroll"]}, {"headers": {"x_gateway_tags": "x,payroll"}}])
def test_nobody_takes_a_tag_that_was_given_to_another_key(served: Served, claim: dict[str, Any]) -> None:
    _, own = served.key("team-a", tags=["payroll"])
    _, key = served.key("team-b", tags=["lunch"])
    assert code(served.complete(key, **claim)) == (403, "tag_not_allowed")
    assert served.complete(own, **claim).status == 200
    assert served.complete(key, tags=["lunch", "my-own"]).status == 200


def test_requests_may_be_kept_from_naming_tags_at_all(tmp_path: Path) -> None:
    served = Served(tmp_path, reject_clientside_metadata_tags=True)
    _, key = served.key("team-a", tags=["payroll"])
    assert code(served.complete(key, tags=["my-own"])) == (403, "tag_not_allowed")
    assert served.complete(key, tags=["payroll"]).status == 200
    served.gateway.close()


def test_a_scope_opens_its_paths_and_no_other(served: Served) -> None:
    _, scraper = served.key("prometheus", scopes=["metrics"])
    _, plain = served.key("team-a")
    assert served.ask(scraper, "/metrics", method="GET").status == 200
    assert code(served.complete(scraper)) == (401, "invalid_api_key")
    assert code(served.ask(scraper, "/v1/models", method="GET")) == (401, "invalid_api_key")
    assert code(served.ask(plain, "/metrics", method="GET")) == (401, "invalid_api_key")
    assert served.ask(plain, "/Metrics/", method="GET").status == 401


@pytest.mark.parametrize("body", [b"", b"[]", b"{", {"alias": "a", "limits": {"rpm": "x"}}, {"alias": "a\r\nb"}])
def test_a_body_with_faults_makes_no_key(served: Served, body: Any) -> None:
    reply = served.admin("/admin/keys", body)
    assert reply.status == 400
    assert reply.error["type"] == "invalid_request_error"
    assert served.admin("/admin/keys", method="GET").json["data"] == []


@pytest.mark.parametrize("key_id", ["key_1", "..", "'; DROP TABLE virtual_keys; --", "%", "x" * 3000])
def test_an_id_that_nothing_has_is_not_found(served: Served, key_id: str) -> None:
    served.key("team-a")
    for method, body in (("PATCH", {"tags": []}), ("DELETE", b"")):
        assert code(served.admin(f"/admin/keys/{key_id}", body, method)) == (404, "not_found")
    assert len(served.admin("/admin/keys", method="GET").json["data"]) == 1


@pytest.mark.parametrize("name", ["bob", "a/b@c.example", "'; DROP TABLE end_users; --", "名前", "x" * 256])
def test_an_end_user_is_blocked_given_a_budget_and_forgotten(served: Served, name: str) -> None:
    _, key = served.key("team-a")
    path = f"/admin/end-users/{name}"
    said = served.admin(
        path, {"blocked": True, "budget": {"max_usd": 5, "period": "1d"}, "limits": {"rpm": 3}}, "PATCH"
    )
    assert (said.status, said.json["id"], said.json["budget"]["max_usd"]) == (200, name, 5)
    assert code(served.complete(key, user=name)) == (403, "end_user_blocked")
    assert [row["id"] for row in served.admin("/admin/end-users", method="GET").json["data"]] == [name]
    assert served.admin(path, {"blocked": False}, "PATCH").json["limits"]["rpm"] == 3
    assert served.complete(key, user=name).status == 200
    served.admin(path, {"blocked": True}, "PATCH")
    assert served.admin(path, method="DELETE").json == {"id": name, "deleted": True, "records": 2}
    assert name not in [row["id"] for row in served.admin("/admin/end-users", method="GET").json["data"]]
    assert served.admin(path, method="DELETE").json["deleted"] is False
    assert served.complete(key, user=name).status == 200


@pytest.mark.parametrize("name", [" bob", "b\u200bob", "x" * 257, "e\u0301"])
def test_an_end_user_of_a_name_that_no_request_can_have_is_refused(served: Served, name: str) -> None:
    assert code(served.admin(f"/admin/end-users/{name}", {"blocked": True}, "PATCH")) == (400, "invalid_value")


def test_with_pseudonyms_no_name_is_kept_anywhere(tmp_path: Path) -> None:
    served = Served(tmp_path, {"pseudonymize": True})
    _, key = served.key("team-a")
    said = served.admin("/admin/end-users/roberta", {"blocked": True}, "PATCH").json
    assert said["id"].startswith("eu-")
    assert code(served.complete(key, user="roberta")) == (403, "end_user_blocked")
    assert served.complete(key, user=said["id"]).status == 200, "a pseudonym is nobody's name"
    assert served.admin(f"/admin/end-users/{said['id']}", {"blocked": False}, "PATCH").json["id"] == said["id"]
    assert served.complete(key, user="roberta").status == 200
    served.gateway.close()
    assert b"roberta" not in b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())


def pages(served: Served, path: str, limit: int) -> list[list[str]]:
    """The ids on each page of a list."""
    found, after = [], ""
    while True:
        page = served.admin(f"{path}?limit={limit}&after={quote(after, safe='')}", method="GET").json
        found.append([row["id"] for row in page["data"]])
        if page["after"] is None:
            return found
        after = page["after"]


def test_keys_and_end_users_are_listed_page_by_page(served: Served) -> None:
    made = [served.key(f"team-{number}") for number in range(5)]
    names = [f"user & {number}" for number in range(5)]
    for number, name in enumerate(names):
        if number % 2:
            served.admin(f"/admin/end-users/{quote(name)}", {"blocked": False}, "PATCH")
        else:
            assert served.complete(made[0][1], user=name).status == 200
    ids = sorted(key_id for key_id, _ in made)
    for path, known in (("/admin/keys", ids), ("/admin/end-users", names)):
        assert [len(page) for page in pages(served, path, 2)] == [2, 2, 1]
        assert sorted(one for page in pages(served, path, 2) for one in page) == known
        assert [len(page) for page in pages(served, path, 5)] == [5]
    spent = served.admin("/admin/end-users", method="GET").json["data"]
    assert [row["spend"] and row["spend"]["requests"] for row in spent] == [1, None, 1, None, 1]


def test_end_users_are_listed_page_by_page_where_nothing_is_recorded(tmp_path: Path) -> None:
    served = Served(tmp_path, ledger=False)
    for number in range(3):
        served.admin(f"/admin/end-users/user-{number}", {"blocked": True}, "PATCH")
    assert pages(served, "/admin/end-users", 2) == [["user-0", "user-1"], ["user-2"]]
    served.gateway.close()


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "limit=1&limit=2", "page=2", "limit=-1"])
@pytest.mark.parametrize("path", ["/admin/keys", "/admin/end-users"])
def test_a_page_that_there_is_not_is_refused(served: Served, path: str, query: str) -> None:
    assert code(served.admin(f"{path}?{query}", method="GET")) == (400, "invalid_value")


def test_a_page_behind_no_key_is_refused(served: Served) -> None:
    assert code(served.admin("/admin/keys?after=key_0", method="GET")) == (400, "invalid_value")
    served.key("team-a")
    assert code(served.admin("/admin/keys?after=key_0", method="GET")) == (400, "invalid_value")


@pytest.mark.parametrize("time", ["9999-12-31T23:59:59-01:00", "9999-12-31T12:00:00-12:00"])
def test_a_time_beyond_the_calendar_makes_no_key_and_lists_go_on(served: Served, time: str) -> None:
    key_id, _ = served.key("team-a", expires_at="9999-12-31T23:59:59Z")
    assert code(served.admin("/admin/keys", {"alias": "b", "expires_at": time})) == (400, "invalid_value")
    assert code(served.admin(f"/admin/keys/{key_id}", {"expires_at": time}, "PATCH")) == (400, "invalid_value")
    (row,) = served.admin("/admin/keys", method="GET").json["data"]
    assert row["expires_at"] == "9999-12-31T23:59:59Z"
