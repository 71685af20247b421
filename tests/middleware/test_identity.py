"""Who may call: the master key in every form a client may send it, or the machine's own loopback."""

import asyncio

import pytest

from gateway.config.secret import Secret
from gateway.errors import AuthenticationError
from gateway.exchange import LOCAL_KEY, SCOPE_KEY, Exchange
from gateway.middleware.identity import IdentityMiddleware, presented_key
from tests.identity.kit import callers, key_of

KEY = "sk-master-1"


def passes(*headers: tuple[str, str], master: str | None = KEY, path: str = "/v1/models", **scope: object) -> Exchange:
    exchange = Exchange("r", "GET", path)
    reached = []

    async def app(scope, receive, send):
        reached.append(scope)

    sent = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    whole = {"type": "http", "path": path, "headers": sent, "client": ("127.0.0.1", 1), SCOPE_KEY: exchange, **scope}
    middleware = IdentityMiddleware(app, Secret(master) if master else None)
    asyncio.run(middleware(whole, None, None))
    assert reached
    return exchange


@pytest.mark.parametrize(
    "header",
    [
        ("authorization", f"Bearer {KEY}"), ("authorization", f"bearer  {KEY} "), ("x-api-key", KEY), ("api-key", KEY),
    ],
)  # fmt: skip
def test_the_master_key_is_taken_in_every_usual_header(header):
    assert passes(header).key_alias == "master"


@pytest.mark.parametrize(
    "headers",
    [
        [], [("authorization", "Bearer")], [("authorization", "Bearer ")], [("authorization", f"Basic {KEY}")],
        [("authorization", KEY)], [("x-api-key", "sk-other-1")], [("x-api-key", KEY[:-1])], [("x-api-key", KEY + "1")],
        [("x-api-key", "k\xe9y")], [("authorization", "Bearer wrong"), ("x-api-key", KEY)],
    ],
)  # fmt: skip
def test_anything_else_is_refused_without_saying_why(headers):
    with pytest.raises(AuthenticationError) as refused:
        passes(*headers)
    assert (refused.value.status, refused.value.code) == (401, "invalid_api_key")
    assert KEY not in refused.value.message


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/openapi.json"])
def test_health_needs_no_key(path):
    assert passes(path=path).key_alias is None


@pytest.mark.parametrize("client", [("127.0.0.1", 1), ("127.8.8.8", 1), ("::1", 1), None])
def test_without_a_master_key_the_machine_itself_is_served(client):
    passes(master=None, client=client)


@pytest.mark.parametrize("client", [("10.0.0.1", 1), ("2001:db8::1", 1), ("example.org", 1)])
def test_without_a_master_key_nobody_else_is(client):
    with pytest.raises(AuthenticationError):
        passes(master=None, client=client)


def test_a_call_in_process_needs_no_key():
    passes(**{LOCAL_KEY: True})


KEYED = {"authorization": "Bearer {}", "x-api-key": "{}", "api-key": "{}"}


@pytest.mark.parametrize("header", KEYED)
def test_a_virtual_key_is_taken_in_every_usual_header(header):
    async def run():
        who, _ = callers()
        record, key = await key_of(who, tags=["a"])
        exchange = Exchange("r", "GET", "/v1/models")
        sent = [(header.encode(), KEYED[header].format(key).encode())]
        await IdentityMiddleware(nothing, callers=who)(scope_of("/v1/models", sent, exchange), None, None)
        assert exchange.principal is not None
        assert (exchange.key_alias, exchange.principal.id) == ("team-a", record.id)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("scopes", "path", "opens"),
    [
        (["completions"], "/v1/completions", True), (["completions"], "/v1/models", True),
        (["completions"], "/anything", True), (["completions"], "/metrics", False),
        (["completions"], "//METRICS/", False),
        (["metrics"], "/metrics", True), (["metrics"], "/v1/completions", False), (["metrics"], "/health/live", True),
        (["completions", "metrics"], "/admin", False), (["completions", "metrics"], "/admin/keys", False),
        (["completions", "metrics"], "//Admin//x", False), (["completions", "metrics"], "/administer", True),
    ],
)  # fmt: skip
def test_a_key_opens_the_paths_of_its_scopes(scopes, path, opens):
    async def run():
        who, _ = callers()
        _, key = await key_of(who, scopes=scopes)
        step = IdentityMiddleware(nothing, callers=who)
        sent = [(b"x-api-key", key.encode())]
        for root in ("", "/mounted"):
            asked = scope_of(root + path, sent, Exchange("r", "GET", path), root_path=root)
            if opens:
                await step(asked, None, None)
            else:
                with pytest.raises(AuthenticationError):
                    await step(asked, None, None)

    asyncio.run(run())


async def nothing(_scope, _receive, _send):
    """An app that does nothing."""


def scope_of(path, sent, exchange, **more):
    return {"type": "http", "path": path, "headers": sent, "client": ("192.0.2.1", 1), SCOPE_KEY: exchange, **more}


def test_the_first_header_that_holds_a_key_is_the_one_that_counts():
    scope = {"headers": [(b"api-key", b"c"), (b"x-api-key", b"b"), (b"authorization", b"Bearer a")]}
    assert presented_key(scope) == "a"
