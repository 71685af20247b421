"""Two tenants on one gateway, and every way that the API offers for one to pass for the other, each refused.

What a single step refuses is tested beside it: keys and paths in `endpoints/test_keys.py`, forged tokens in
`identity/test_tokens.py`, answers that are kept or shared in `routing/test_reuse.py`. Here are the ways through all of
them together: who pays, whose record it is, and what the one that tries is told.
"""

import asyncio
import hmac
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.wire import json
from tests.inprocess import InProcess, Reply

MASTER = "master-key-of-the-tests"
ELSEWHERE = {"gateway.local": False, "client": ("192.0.2.1", 1)}
ISSUER, AUDIENCE = "https://issuer.example", "gateway"
RSA, OTHER = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
PEM = RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
KEY_SET = {"keys": [{**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(RSA.public_key())), "kid": "r"}]}

Header = tuple[bytes, bytes]


class Tenants:
    """A gateway with two tenants. `ours` may use `demo` alone; `theirs` is bound to alice, has the tag payroll, and
    alone may use `secret`. Budgets of alice, of the tag and of `theirs` last for two requests."""

    def __init__(self, folder: Path) -> None:
        (folder / "keys.json").write_bytes(json.dumps(KEY_SET))
        params = {"model": "demo/demo", "tokenizer": "cl100k_base", "input_cost_per_token": 0.001}
        tokens = {"issuer": ISSUER, "audience": AUDIENCE, "jwks_file": str(folder / "keys.json")}
        self.inner = InProcess(
            {
                "model_list": [{"model_name": name, "litellm_params": params} for name in ("demo", "secret", "many/*")],
                "policies": [],
                "limits": {"tags": {"payroll": {"budget": {"max_tokens": 30}}}},
                "general_settings": {
                    "master_key": MASTER,
                    "database_url": f"sqlite:///{folder}/gateway.db",
                    "jwt": {**tokens, "models": ["demo"], "claims": {"user": None, "tags": "scope", "team": "team"}},
                },
            }
        )
        budget = {"max_tokens": 30}
        their = {"alias": "theirs", "end_user": "alice", "tags": ["payroll"], "budget": budget}
        self.their_id, self.theirs = self.key(**their)
        self.our_id, self.ours = self.key(alias="ours", models=["demo", "many/ours"])
        self.admin("PATCH", "/admin/end-users/alice", {"budget": budget})

    def send(
        self,
        key: str | None,
        method: str,
        path: str,
        body: Any = b"",
        headers: tuple[Header, ...] = (),
        query: str = "",
    ) -> Reply:
        sent = list(headers) + ([(b"authorization", f"Bearer {key}".encode())] if key is not None else [])
        scope = {**ELSEWHERE, "query_string": query.encode()}
        return self.inner.ask(body, path, sent, method=method, scope=scope)

    def admin(self, method: str, path: str, body: Any = b"", **query: str) -> Any:
        reply = self.send(MASTER, method, path, body, query=urlencode(query))
        assert reply.status < 300, reply.body
        return reply.json

    def key(self, **fields: Any) -> tuple[str, str]:
        """The id of a new key, and the key."""
        made = self.admin("POST", "/admin/keys", fields)
        return made["id"], made["key"]

    def complete(self, key: str | None, headers: tuple[Header, ...] = (), **fields: Any) -> Reply:
        body = {"model": "demo", "prompt": "Say hello", "max_tokens": 3, **fields}
        return self.send(key, "POST", "/v1/completions", body, headers)

    def usage(self, by: str) -> dict[str, int]:
        """Requests by name."""
        return {line[by]: line["requests"] for line in self.admin("GET", "/admin/usage", by=by)["data"]}

    def records(self, **query: str) -> list[dict[str, Any]]:
        """Single records, the newest first."""
        found: list[dict[str, Any]] = self.admin("GET", "/admin/usage/records", **query)["data"]
        return found

    def theirs_is_untouched(self) -> None:
        """Nothing of their budgets is used: two requests pass, as on the first day, and the third does not."""
        for _ in range(100):
            if "open=0" in repr(self.inner.gateway.admitting):
                break
            self.inner.run(asyncio.sleep(0))
        assert [self.complete(self.theirs).status for _ in range(3)] == [200, 200, 429]


@pytest.fixture
def tenants(tmp_path: Path) -> Iterator[Tenants]:
    made = Tenants(tmp_path)
    yield made
    made.inner.close()


def code(reply: Reply) -> tuple[int, str]:
    return reply.status, reply.error["code"]


# Whose key it is.


def token(key: Any = RSA, algorithm: str = "RS256", **more: Any) -> str:
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "bob", "iat": now, "exp": now + 600, **more}
    return jwt.encode(claims, key, algorithm, headers={"kid": "r"})


def part(value: Any) -> str:
    return urlsafe_b64encode(value if isinstance(value, bytes) else json.dumps(value)).rstrip(b"=").decode()


def confused() -> str:
    """A token signed with the issuer's public key, as if that were a shared secret."""
    text = f"{part({'alg': 'HS256', 'kid': 'r'})}.{token().split('.')[1]}"
    return f"{text}.{part(hmac.digest(PEM, text.encode(), 'sha256'))}"


def revoked(tenants: Tenants) -> str:
    key_id, key = tenants.key(alias="left")
    assert tenants.complete(key).status == 200
    tenants.admin("DELETE", f"/admin/keys/{key_id}")
    return key


def expired(tenants: Tenants) -> str:
    key = tenants.key(alias="late", expires_at="2100-01-01T00:00:00Z")[1]
    assert tenants.complete(key).status == 200
    tenants.inner.gateway.identity.keyring._clock = lambda: 4_102_444_800.0
    return key


NO_KEYS: Mapping[str, Callable[[Tenants], str]] = {
    "a key that nobody has": lambda _: "gk-" + "a" * 43,
    "theirs with another end": lambda t: t.theirs[:-1] + ("A" if t.theirs[-1] != "A" else "B"),
    "theirs in another case": lambda t: t.theirs.swapcase(),
    "theirs without its prefix": lambda t: t.theirs[3:],
    "theirs and something": lambda t: t.theirs + "x",
    "both keys at once": lambda t: f"{t.ours} {t.theirs}",
    "the id of theirs": lambda t: t.their_id,
    "the alias of theirs": lambda _: "theirs",
    "the hash of theirs": lambda t: next(iter(t.inner.gateway.identity.keyring._by_digest)).hex(),
    "one that is revoked": revoked,
    "one that is expired": expired,
    "the beginning of the master key": lambda _: MASTER[:-1],
    "the end of the master key": lambda _: MASTER[1:],
    "the master key and something": lambda _: MASTER + "s",
    "the master key in another case": lambda _: MASTER.upper(),
    "the name of the master key": lambda _: "master",
    "a star": lambda _: "*",
    "SQL": lambda _: "' OR '1'='1",
    "an unsigned token": lambda _: f"{part({'alg': 'none'})}.{token().split('.')[1]}.",
    "a token signed with the public key": lambda _: confused(),
    "a token of somebody else's": lambda _: token(OTHER),
    "a token for somebody else": lambda _: token(aud="another"),
    "a token of another issuer": lambda _: token(iss="https://evil.example"),
    "a token that is over": lambda _: token(exp=int(time.time()) - 3600),
}
PLACES = [
    ("POST", "/v1/completions"), ("GET", "/v1/models"), ("POST", "/v1/guardrails/check"), ("GET", "/metrics"),
    ("GET", "/admin/keys"), ("GET", "/admin/usage"), ("GET", "/nowhere"),
]  # fmt: skip


def test_whatever_is_no_key_gets_the_answer_of_a_key_that_nobody_has(tenants: Tenants):
    presented = {what: key(tenants) for what, key in NO_KEYS.items()}
    for method, path in PLACES:
        body = {"model": "demo", "prompt": "Say hello", "text": "x"} if method == "POST" else b""
        usual = tenants.send("gk-" + "b" * 43, method, path, body)
        assert code(usual) == (401, "invalid_api_key")
        for what, key in presented.items():
            found = tenants.send(key, method, path, body)
            assert (found.status, found.body) == (401, usual.body), (what, path)
            assert found.headers.keys() == usual.headers.keys(), "nor do headers tell which it was"


@pytest.mark.parametrize("place", ["query", "cookie", "basic", "proxy", "litellm", "body"])
def test_a_key_counts_where_keys_stand_and_nowhere_else(tenants: Tenants, place: str):
    headers: dict[str, tuple[Header, ...]] = {
        "cookie": ((b"cookie", f"api_key={MASTER}; token={MASTER}".encode()),),
        "basic": ((b"authorization", b"Basic " + urlsafe_b64encode(f"master:{MASTER}".encode())),),
        "proxy": ((b"proxy-authorization", f"Bearer {MASTER}".encode()),),
        "litellm": ((b"x-litellm-api-key", MASTER.encode()), (b"x-goog-api-key", MASTER.encode())),
    }
    query = urlencode({"api_key": MASTER, "key": MASTER, "access_token": MASTER}) if place == "query" else ""
    body = {"api_key": MASTER, "master_key": MASTER, "alias": "x"} if place == "body" else b""
    for key in (None, tenants.ours):
        sent = headers.get(place, ())
        if place == "basic" and key is not None:
            continue  # a second header of the same name is the next test's
        reply = tenants.send(key, "POST", "/admin/keys", body, sent, query)
        assert code(reply) == (401, "invalid_api_key")


def test_of_several_keys_the_first_is_who_calls_and_no_other_is_looked_at(tenants: Tenants):
    def bearer(key: str) -> Header:
        return (b"authorization", f"Bearer {key}".encode())

    ours, theirs = bearer(tenants.ours), bearer(tenants.theirs)
    for headers in ((ours, theirs), (ours, bearer(MASTER)), ((b"x-api-key", MASTER.encode()), ours), (ours, ours)):
        assert code(tenants.send(None, "GET", "/admin/keys", headers=headers)) == (401, "invalid_api_key")
        assert tenants.complete(None, headers).status == 200
        assert code(tenants.complete(None, headers, model="secret")) == (403, "model_not_allowed")
    assert tenants.usage("key") == {"ours": 8}


# Who administers.


ADMINISTRATION = [
    ("PATCH", "/admin/keys/{their}"), ("DELETE", "/admin/keys/{their}"), ("PATCH", "/admin/keys/{our}"),
    ("DELETE", "/admin/keys/{our}"), ("PATCH", "/admin/end-users/alice"), ("DELETE", "/admin/end-users/alice"),
    ("GET", "/admin/usage"), ("GET", "/admin/usage/records"), ("GET", "/admin/end-users"), ("GET", "/admin/usage/"),
    ("GET", "//admin//usage/records"), ("GET", "/ADMIN/Usage"), ("PATCH", "/admin/end-users//alice"),
    ("GET", "/v1/../admin/usage"), ("GET", "/admin/usage/../usage"), ("GET", "/admin%2fusage%2frecords"),
    ("PATCH", "/admin/end-users/..%2fkeys%2f{their}"), ("GET", "/v1/models/../../admin/usage"),
    ("GET", "/engines/x/completions/../../../admin/usage"), ("HEAD", "/admin/usage"), ("OPTIONS", "/admin/keys"),
    ("PUT", "/admin/keys/{their}"), ("DELETE ", "/admin/keys/{their}"), ("get", "/admin/keys"),
]  # fmt: skip


@pytest.mark.parametrize("bearer", ["ours", "token"])
def test_nobody_but_the_master_changes_or_sees_what_is_a_tenants(tenants: Tenants, bearer: str):
    key = tenants.ours if bearer == "ours" else token(scope="admin master payroll-admin", role="admin", team="master")
    before = tenants.admin("GET", "/admin/keys"), tenants.admin("GET", "/admin/end-users")
    for method, path in ADMINISTRATION:
        body = {"models": [], "tags": ["payroll"], "budget": None, "end_user": "alice"}
        reply = tenants.send(key, method, path.format(their=tenants.their_id, our=tenants.our_id), body)
        assert reply.status in (401, 404, 405), (method, path)
        assert b"theirs" not in reply.body
    assert (tenants.admin("GET", "/admin/keys"), tenants.admin("GET", "/admin/end-users")) == before
    tenants.theirs_is_untouched()


MOVES: list[Header] = [
    (b"x-original-url", b"/admin/keys"), (b"x-rewrite-url", b"/admin/keys"), (b"x-forwarded-prefix", b"/admin"),
    (b"x-forwarded-path", b"/admin/keys"), (b"x-http-method-override", b"DELETE"), (b"x-forwarded-for", b"127.0.0.1"),
    (b"forwarded", b"for=127.0.0.1;host=localhost"), (b"x-real-ip", b"127.0.0.1"), (b"host", b"localhost"),
    (b"x-gateway-local", b"true"), (b"gateway.local", b"1"), (b"x-litellm-user-role", b"proxy_admin"),
]  # fmt: skip


def test_no_header_moves_a_request_to_another_path_or_another_machine(tenants: Tenants):
    for header in MOVES:
        for key, method, path in (
            (None, "GET", "/v1/models"), (tenants.ours, "GET", "/admin/keys"),
            (tenants.ours, "DELETE", "/admin/keys/x"),
        ):  # fmt: skip
            assert code(tenants.send(key, method, path, headers=(header,))) == (401, "invalid_api_key"), header
        reply = tenants.send(tenants.ours, "GET", "/v1/models", headers=(header,))
        assert [model["id"] for model in reply.json["data"]] == ["demo", "many/ours"]


# Which model.


MODELS = [
    "secret", "many/theirs", "many/ours/../theirs", "many/ours/theirs", "many/*", "*", "Secret", "demo,secret",
]  # fmt: skip


def test_a_model_of_others_is_refused_for_calls_and_for_checks_alike(tenants: Tenants):
    check, refused = "/v1/guardrails/check", (403, "model_not_allowed")
    for key in (tenants.ours, token()):
        for model in MODELS:
            asked = {"text": "hello", "model": model}
            assert code(tenants.complete(key, model=model)) == refused, model
            assert code(tenants.send(key, "POST", f"/engines/{quote(model)}/completions", {"prompt": "x"})) == refused
            assert code(tenants.send(key, "POST", check, asked)) == refused, model
        for asked in ({"text": "hello", "model": "demo"}, {"text": "hello"}):
            assert tenants.send(key, "POST", check, asked).status == 200
    assert tenants.send(MASTER, "POST", check, {"text": "hello", "model": "secret"}).status == 200


FIELDS: list[dict[str, Any]] = [
    {"fallbacks": ["secret"]}, {"api_base": "http://192.0.2.9"}, {"api_key": "x"}, {"base_url": "http://192.0.2.9"},
    {"model_list": [{"model_name": "secret"}]}, {"litellm_params": {"model": "demo/demo"}}, {"mock_response": "x"},
    {"user_config": {}}, {"extra_headers": {"x": "y"}}, {"deployment_id": "secret"}, {"custom_llm_provider": "x"},
    {"router_settings_override": {"fallbacks": [{"demo": ["secret"]}]}}, {"guardrails": []}, {"no-log": True},
]  # fmt: skip


def test_no_field_of_a_body_chooses_a_deployment_or_an_address(tenants: Tenants):
    for field in FIELDS:
        reply = tenants.complete(tenants.ours, **field)
        assert (reply.status, reply.error["type"]) == (400, "invalid_request_error"), field


# Who pays.

ZERO_WIDTH, DECOMPOSED = "al\u200bice", "\u00e5lice"
CLAIMS: Mapping[str, dict[str, Any]] = {
    "user": {"user": "alice"},
    "metadata": {"metadata": {"user_id": "alice"}},
    "safety_identifier": {"safety_identifier": "alice"},
    "header": {"headers": ((b"x-gateway-end-user", b"alice"),)},
    "spaces around it": {"headers": ((b"x-gateway-end-user", b"\t alice \t"),)},
    "an invisible character in it": {"user": ZERO_WIDTH},
    "a control character in it": {"headers": ((b"x-gateway-end-user", b"ali\x00ce"),)},
    "an empty header before it": {"headers": ((b"x-gateway-end-user", b" "), (b"x-litellm-end-user-id", b"alice"))},
    "two headers of one name": {"headers": ((b"x-gateway-end-user", b"alice"), (b"x-gateway-end-user", b"ours"))},
    "a body that says otherwise": {"headers": ((b"x-gateway-end-user", b"alice"),), "user": "ours"},
    "the tag": {"tags": ["payroll"]},
    "the tag among others": {"headers": ((b"x-gateway-tags", b"a, ,payroll ,b"),)},
    "the tag in disguise": {"tags": ["pay\u200broll"]},
    "the tag twice": {"tags": ["payroll", "payroll"]},
}


@pytest.mark.parametrize("bearer", ["ours", "token"])
def test_nobody_spends_what_another_tenant_has(tenants: Tenants, bearer: str):
    key = tenants.ours if bearer == "ours" else token()
    for claim, given in CLAIMS.items():
        reply = tenants.complete(key, **given)
        expected = "tag_not_allowed" if "tag" in claim else "end_user_not_allowed"
        assert code(reply) == (403, expected), claim
        assert "theirs" not in reply.error["message"]
        assert not [name for name in reply.headers if name.startswith("x-ratelimit")], "nor is it told what is left"
    tenants.theirs_is_untouched()


LOOKS_LIKE: list[dict[str, Any]] = [
    {"metadata": {"tags": ["payroll"]}}, {"metadata": {"user_api_key_alias": "theirs", "end_user": "alice"}},
    {"user": "theirs"}, {"tags": ["theirs", "PAYROLL", "pay roll", "payroll/x"]}, {"user": "master"},
    {"headers": ((b"x-gateway-tags", b"x"), (b"x-gateway-tags", b"payroll"))},
    {"headers": ((b"x-gateway-end-user", b"ours"), (b"x-gateway-end-user", b"alice"))},
    {"headers": ((b"x-gateway-end-user", b"ours"),), "user": "alice"},
    {"headers": ((b"x-gateway-session", b"alice"), (b"x-gateway-key", b"theirs"))},
    {"headers": ((b"x-gateway-end-user", b"ours\r\nx-gateway-end-user: alice"),)},
    {"user": "Alice"}, {"user": "alice,ours"}, {"user": "alice%00"}, {"user": "\u0430lice"}, {"user": "al*ce"},
    {"user": "' OR end_user = 'alice"}, {"user": "alice\uff07--"},
]  # fmt: skip


def test_what_only_looks_like_anothers_name_is_the_callers_own_to_pay_for(tenants: Tenants):
    for claim in LOOKS_LIKE:
        assert tenants.complete(tenants.ours, **claim).status == 200, claim
        record = tenants.records(limit="1")[0]
        assert (record["key_alias"], record["key_id"]) == ("ours", tenants.our_id)
        assert record["end_user"] != "alice", claim
        assert "payroll" not in record["tags"], claim
    tenants.theirs_is_untouched()


def test_the_id_of_a_key_as_an_end_user_or_a_tag_is_not_the_key(tenants: Tenants):
    for _ in range(3):
        assert tenants.complete(tenants.ours, user=tenants.their_id, tags=[tenants.their_id]).status == 200
    tenants.theirs_is_untouched()


def test_a_name_that_is_cut_to_anothers_is_refused_as_theirs(tenants: Tenants):
    tenants.key(alias="long", end_user="x" * 256, tags=["y" * 256])
    for user in ("x" * 256, "x" * 257, "x" * 5_000):
        assert code(tenants.complete(tenants.ours, user=user)) == (403, "end_user_not_allowed")
    for tag in ("y" * 257, "y" * 5_000):
        headers = ((b"x-gateway-tags", tag.encode()),)
        assert code(tenants.complete(tenants.ours, headers)) == (403, "tag_not_allowed")


def test_a_request_id_of_anothers_makes_a_record_of_ones_own(tenants: Tenants):
    mine = ((b"x-request-id", b"their-request"),)
    assert tenants.complete(tenants.theirs, mine).headers["x-request-id"] == "their-request"
    before = tenants.records(request_id="their-request")
    assert tenants.complete(tenants.ours, mine).status == 200
    assert tenants.complete(tenants.ours, mine, model="secret").status == 403
    found = tenants.records(request_id="their-request")
    assert found[-1:] == before, "it is as it was"
    assert [(record["key_alias"], record["status"]) for record in found] == [
        ("ours", 403), ("ours", 200), ("theirs", 200),
    ]  # fmt: skip
    assert tenants.usage("key") == {"ours": 2, "theirs": 1}


# What is written down.

SQL = [
    "'; DROP TABLE usage; --", "' OR '1'='1", "\" OR \"\"=\"", "x') ON CONFLICT DO NOTHING; --", "%", "_", "\\",
    "'||(SELECT digest FROM virtual_keys LIMIT 1)||'", "{{7*7}}", "${jndi:ldap://x}", "=HYPERLINK(1)", "🦜",
    "alice'--",
]  # fmt: skip


def test_sql_in_a_name_is_a_name(tenants: Tenants):
    assert tenants.complete(tenants.theirs).status == 200
    for count, text in enumerate(SQL, 1):
        _, key = tenants.key(alias=text, tags=[text])
        assert tenants.complete(key, user=text, model=f"many/{text}").status == 200
        for by, name in (("key", text), ("user", text), ("tag", text), ("model", f"many/{text}")):
            assert tenants.usage(by)[name] == 1, (by, text)
        (record,) = tenants.records(user=text)
        assert (record["key_alias"], record["end_user"], record["tags"]) == (text, text, [text])
        assert tenants.admin("DELETE", "/admin/end-users/nobody")["records"] == 0
        assert len(tenants.records()) == count + 1
        refused = tenants.complete(tenants.ours, tags=[text])
        assert code(refused) == (403, "tag_not_allowed"), text
        assert tenants.admin("DELETE", f"/admin/end-users/{quote(text)}")["records"] == 1
        assert len(tenants.records()) == count + 1


QUESTIONS = [*SQL, "1.1 OR 1=1", "1.1;", "1e3.1", "-1.1", "1.-1", "9" * 30 + ".1", "\u0661.\u0661", "x" * 9_000]


@pytest.mark.parametrize("name", ["request_id", "user", "cursor", "limit", "by", "from", "to", "format"])
def test_sql_in_a_question_is_refused_or_finds_nothing(tenants: Tenants, name: str):
    assert tenants.complete(tenants.theirs).status == 200
    path = "/admin/usage" if name in ("by", "from", "to", "format") else "/admin/usage/records"
    for text in QUESTIONS:
        reply = tenants.send(MASTER, "GET", path, query=urlencode({name: text}))
        if name in ("request_id", "user"):
            assert (reply.status, reply.json) == (200, {"data": [], "cursor": None})
        else:
            assert (reply.status, reply.error["param"]) == (400, name)
            assert text not in reply.error["message"] or len(text) == 1
    assert len(tenants.records()) == 1


VALUES = [b"a\r\nx-evil: 1", b"a\nx-evil: 1", b"a\x00b", b"\xff\xfe", "n\u00e4me\u2028x".encode(), b"x" * 20_000]


@pytest.mark.parametrize(
    "name", ["x-request-id", "x-gateway-end-user", "x-gateway-tags", "x-gateway-session", "traceparent", "user-agent"]
)
def test_nothing_in_a_header_becomes_a_header_or_a_line(tenants: Tenants, name: str, caplog: pytest.LogCaptureFixture):
    for value in VALUES:
        caplog.clear()
        with caplog.at_level("INFO", logger="gateway"):
            reply = tenants.complete(tenants.ours, ((name.encode(), value),))
        assert reply.status == 200
        assert "x-evil" not in reply.headers
        assert all(text.isprintable() and text.isascii() for text in reply.headers.values())
        assert [record.getMessage() for record in caplog.records] == ["request"]
        record = tenants.records(limit="1")[0]
        texts = [record["request_id"], record["end_user"] or "", record["session"] or "", *record["tags"]]
        assert all(text.isprintable() and len(text) <= 256 for text in texts)
