"""`protect` and callers: virtual keys, signed tokens, end users, limits and budgets in front of somebody else's app."""

import asyncio
import gzip
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from gateway import EndUserMiddleware, GuardrailMiddleware, protect
from gateway.config.load import from_mapping
from gateway.errors import BudgetExceeded, RateLimited
from gateway.identity import administration
from gateway.identity.callers import BAD_KEY, NO_KEY, hashes
from gateway.identity.requests import EndUserChange, KeyRequest, made
from gateway.ledger.keys import Database, SqlEndUsers, SqlKeys
from gateway.ledger.store import Store
from gateway.usage import UsageRecord
from gateway.wire import json
from gateway.wire.lifespan import lifespan
from tests.ledger.kit import queries
from tests.middleware.foreign.kit import CHAT, JSON, TEXT, App, Reply, aask
from tests.middleware.foreign.telemetry_kit import answer, events

MASTER = "master-key-of-the-tests"
PRICES = {"input_cost_per_token": 0.001, "output_cost_per_token": 0.002}
MODELS = [
    {"model_name": name, "litellm_params": {"model": f"openai/{name}", "api_key": "sk-1", **PRICES}}
    for name in ("gpt-4o", "gpt-4.1")
]
ASKED = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Say hello"}], "max_tokens": 1000}
USED = {"prompt_tokens": 2006, "completion_tokens": 300, "total_tokens": 2306}
RESERVED = 9 + 1000
"""Two tokens of text, seven around a chat's one message, and `max_tokens`: 2.009 USD."""
SPENT = USED["prompt_tokens"] + USED["completion_tokens"]
"""What each answer says was used: 2.606 USD."""

Serve = Callable[..., Any]


class Backend:
    """What an app of OpenAI's shape remembers, and how it answers: usage told or not, as JSON and as events."""

    def __init__(self, usage: Any = USED, background: Callable[[], Awaitable[None]] | None = None) -> None:
        self.usage, self.background = usage, background
        self.bodies: list[bytes] = []

    async def complete(self, request: Request) -> Response:
        self.bodies.append(await request.body())
        chat = request.url.path.endswith("/chat/completions")
        raw = self.bodies[-1]
        plain = gzip.decompress(raw) if request.headers.get("content-encoding") == "gzip" else raw
        task = BackgroundTask(self.background) if self.background else None
        if plain and json.loads(plain).get("stream"):
            made = events(usage=self.usage, chat=chat)

            async def pieces():
                for one in made:
                    yield one

            return StreamingResponse(pieces(), media_type="text/event-stream", background=task)
        return Response(answer(usage=self.usage, chat=chat), media_type="application/json", background=task)


def starlette(backend: Backend) -> Any:
    @asynccontextmanager
    async def living(_app: Any):
        yield

    routes = [Route(path, backend.complete, methods=["POST"]) for path in (TEXT, CHAT, "/engines/{model}/completions")]
    other = [Route("/other", lambda _: JSONResponse({"fine": True}))]
    return Starlette(routes=[*routes, *other], lifespan=living)


def fastapi(backend: Backend) -> Any:
    module = pytest.importorskip("fastapi")
    made = module.FastAPI()
    for path in (TEXT, CHAT):
        made.add_route(path, backend.complete, methods=["POST"])
    return made


FRAMEWORKS = pytest.mark.parametrize("framework", [starlette, fastapi])
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


def config(folder: Path, **more: Any) -> dict[str, Any]:
    general = {"master_key": MASTER, "database_url": f"sqlite:///{folder}/gateway.db", **more.pop("general", {})}
    return {"model_list": MODELS, "policies": [], "general_settings": general, **more}


def key_in(folder: Path, alias: str = "team", **fields: Any) -> str:
    """A new virtual key of the database, as `gateway keys create` makes it."""
    settings = from_mapping(config(folder)).settings
    request = made(KeyRequest, {"alias": alias, **fields})
    store = SqlKeys(Database(settings.general.database_url))
    return asyncio.run(administration.create_key(store, hashes(settings), request))[1]


def lay_down(folder: Path, name: str, **fields: Any) -> None:
    """Something for an end user, as `gateway end-users` does."""
    database = Database(f"sqlite:///{folder}/gateway.db")
    asyncio.run(administration.change_end_user(SqlEndUsers(database), name, made(EndUserChange, fields)))


def ask(key: str | None = None, body: Any = None, path: str = CHAT, **headers: str) -> Callable[..., Any]:
    """One request, with further headers by their names."""
    sent = [JSON, *((name.replace("_", "-").encode(), value.encode()) for name, value in headers.items())]
    if key is not None:
        sent.append((b"authorization", f"Bearer {key}".encode()))
    return lambda one: aask(one, ASKED if body is None else body, path, headers=sent)


def run(served: Any, *asks: Callable[..., Any]) -> list[Reply]:
    """Ask an app during its lifespan."""

    async def work() -> list[Reply]:
        async with lifespan(served):
            return [await one(served) for one in asks]

    return asyncio.run(asyncio.wait_for(work(), 60))


def records(folder: Path) -> list[UsageRecord]:
    store = Store(f"sqlite:///{folder}/gateway.db")
    store.prepare()
    found = queries.records(store.engine, limit=1000).records[::-1]
    store.close()
    return list(found)


def told(reply: Reply) -> tuple[int, str | None]:
    return reply.status, reply.json["error"]["code"]


@FRAMEWORKS
@STREAMED
def test_virtual_keys_open_an_app_as_they_do_the_gateway_and_unknown_ones_do_not(framework, stream, tmp_path):
    backend, body = Backend(), {**ASKED, "stream": stream}
    key = key_in(tmp_path)
    replies = run(
        protect(framework(backend), config(tmp_path)),
        ask(key, body),
        ask(MASTER, body),
        ask(None, body),
        ask("gk-" + "x" * 43, body),
        ask("anything", body),
    )
    assert [one.status for one in replies] == [200, 200, 401, 401, 401]
    assert [one.json["error"] for one in replies[2:]] == [
        {"message": message, "type": "authentication_error", "param": None, "code": "invalid_api_key"}
        for message in (NO_KEY, BAD_KEY, BAD_KEY)
    ]
    assert len(backend.bodies) == 2
    assert [one.key_alias for one in records(tmp_path)] == ["team", "master"], "whom nobody knows is not recorded"


@FRAMEWORKS
@STREAMED
def test_a_key_asks_for_its_own_models_and_no_other_however_it_names_it(framework, stream, tmp_path):
    backend = Backend()
    key = key_in(tmp_path, models=["gpt-4.1"])
    other = {**ASKED, "stream": stream}
    own = {**other, "model": "gpt-4.1"}
    twice = json.dumps(other)[:-1] + b',"model":"gpt-4.1"}'
    none = {name: value for name, value in own.items() if name != "model"}
    replies = run(
        protect(framework(backend), config(tmp_path)),
        ask(key, own),
        ask(key, other),
        ask(key, none),
        ask(key, gzip.compress(json.dumps(other)), content_encoding="gzip"),
        ask(key, other, "/engines/gpt-4.1/completions"),
        ask(key, own, "/engines/gpt-4o/completions"),
        ask(key, other, "//V1/chat/completions/"),
        ask(key, twice),
    )
    assert replies[0].status == 200
    assert [told(one) for one in replies[1:7]] == [(403, "model_not_allowed")] * 6
    assert replies[7].status == 200
    assert backend.bodies[1].count(b'"model"') == 1, "the app reads what was checked"
    assert json.loads(backend.bodies[1])["model"] == "gpt-4.1"


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe{\x00}\x00", b'{"model": NaN}'])
def test_what_cannot_be_read_is_refused_where_callers_are_checked(body, tmp_path):
    backend = Backend()
    read, packed = run(
        protect(starlette(backend), config(tmp_path)), ask(MASTER, body), ask(MASTER, body, content_encoding="br")
    )
    assert (told(read), packed.status) == ((400, "invalid_json"), 400)
    assert backend.bodies == []


def test_other_paths_need_a_key_and_nothing_else(tmp_path):
    key = key_in(tmp_path, models=["gpt-4.1"])

    def other(key: str | None) -> Callable[..., Any]:
        sent = [(b"x-api-key", key.encode())] if key else []
        return lambda one: aask(one, b"", "/other", headers=sent, method="GET")

    found = run(protect(starlette(Backend()), config(tmp_path)), other(None), other(key))
    assert [one.status for one in found] == [401, 200]


def test_a_revoked_key_is_unknown(tmp_path):
    key = key_in(tmp_path)
    store = SqlKeys(Database(f"sqlite:///{tmp_path}/gateway.db"))
    (record,) = asyncio.run(store.list())
    asyncio.run(administration.revoke_key(store, record.id))
    (reply,) = run(protect(starlette(Backend()), config(tmp_path)), ask(key))
    assert told(reply) == (401, "invalid_api_key")


@STREAMED
def test_whom_a_key_is_bound_to_wins_over_whom_a_request_names(stream, tmp_path):
    bound = key_in(tmp_path, "bound", end_user="alice", tags=["paid"])
    default = key_in(tmp_path, "default", default_end_user="dora")
    body = {**ASKED, "user": "bob", "safety_identifier": "carl", "stream": stream}
    plain = {**ASKED, "stream": stream}
    run(
        protect(starlette(Backend()), config(tmp_path)),
        ask(bound, body, x_gateway_end_user="eve", x_gateway_tags="mine"),
        ask(default, plain),
        ask(default, body),
    )
    found = records(tmp_path)
    assert [one.end_user for one in found] == ["alice", "dora", "bob"]
    assert [one.tags for one in found] == [("paid", "mine"), (), ()]


@pytest.mark.parametrize(
    "around",
    [
        lambda one: GuardrailMiddleware(one, policies=["pii"]),
        lambda one: EndUserMiddleware(one, database_url="sqlite:///elsewhere.db"),
    ],
    ids=["guards", "accounts"],
)
def test_it_wins_over_what_a_step_further_out_has_read_too(around, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    key = key_in(tmp_path, end_user="alice")
    named = protect(starlette(Backend()), config(tmp_path, end_users={"sources": ["header"]}))
    (reply,) = run(around(named), ask(key, {**ASKED, "user": "bob"}, x_gateway_end_user="bob"))
    assert reply.status == 200
    assert {one.end_user for one in records(tmp_path)} <= {"alice"}


def test_nobody_uses_the_end_user_or_the_tag_of_another_key(tmp_path):
    key_in(tmp_path, "theirs", end_user="alice", tags=["paid"])
    key = key_in(tmp_path, "mine")
    backend = Backend()
    end_user, tag, free = run(
        protect(starlette(backend), config(tmp_path)),
        ask(key, {**ASKED, "user": "alice"}),
        ask(key, x_gateway_tags="paid"),
        ask(key, {**ASKED, "user": "bob"}, x_gateway_tags="free"),
    )
    assert told(end_user) == (403, "end_user_not_allowed")
    assert told(tag) == (403, "tag_not_allowed")
    assert (free.status, len(backend.bodies)) == (200, 1)


@pytest.mark.parametrize("general", [{}, {"master_key": None}], ids=["with keys", "without keys"])
def test_blocked_end_users_are_refused_under_any_spelling(general, tmp_path):
    lay_down(tmp_path, "\u00e9va", blocked=True)
    composed, apart = ({**ASKED, "user": name} for name in ("\u00e9va", "e\u0301va"))
    replies = run(
        protect(starlette(Backend()), config(tmp_path, general=general)),
        ask(MASTER, composed),
        ask(MASTER, apart),
        ask(MASTER, x_gateway_end_user=" \u00e9va "),
        ask(MASTER, {**ASKED, "user": "eva"}),
    )
    assert [told(one) for one in replies[:3]] == [(403, "end_user_blocked")] * 3
    assert replies[3].status == 200


def test_an_end_user_has_to_be_named_where_the_configuration_says_so(tmp_path):
    made = protect(starlette(Backend()), {"policies": [], "end_users": {"require": True}})
    nobody, somebody = run(made, ask(), ask(None, {**ASKED, "user": "bob"}))
    assert told(nobody) == (400, "missing_required_parameter")
    assert nobody.json["error"]["param"] == "user"
    assert somebody.status == 200


def test_what_asks_for_no_completion_passes_where_one_is_asked_for(tmp_path):
    """A browser asks before it asks, and names nobody then."""
    inner = App()
    made = protect(inner, {"policies": [], "end_users": {"require": True}, "limits": {"all": {"rpm": 1}}})

    def method(name: str, body: bytes = b"") -> Callable[..., Any]:
        return lambda one: aask(one, body, CHAT, method=name)

    asked = json.dumps(ASKED)
    replies = run(made, *(method(name) for name in ("OPTIONS", "GET", "HEAD")), method("GET", asked), method("POST"))
    assert [one.status for one in replies] == [200, 200, 200, 400, 400]
    assert len(inner.bodies) == 3


@FRAMEWORKS
@STREAMED
def test_a_budget_is_reserved_from_settled_to_what_was_used_and_then_exhausted(framework, stream, tmp_path):
    key = key_in(tmp_path, budget={"max_usd": 5, "period": "1d"})
    backend, body = Backend(), {**ASKED, "stream": stream}
    served = protect(framework(backend), config(tmp_path))
    replies = run(served, ask(key, body), ask(key, body), ask(key, body), ask(MASTER, body))
    assert [one.status for one in replies] == [200, 200, 429, 200]
    error = replies[2].json["error"]
    assert (error["type"], error["code"]) == ("insufficient_quota", BudgetExceeded("").code)
    assert len(backend.bodies) == 3
    rows = [(one.key_alias, one.status, one.error_type, one.cost) for one in records(tmp_path)]
    spent = Decimal("2.606")
    assert rows == [
        ("team", 200, None, spent),
        ("team", 200, None, spent),
        ("team", 429, "budget_exceeded", None),
        ("master", 200, None, spent),
    ]


@STREAMED
@pytest.mark.parametrize("path", [CHAT, TEXT])
def test_answers_say_what_is_left_of_a_limit_and_are_counted_as_they_were(path, stream, tmp_path):
    body = {**ASKED, "prompt": "Say hello", "stream": stream}
    around = 7 if path == CHAT else 0
    first, second, third = run(
        protect(starlette(Backend()), config(tmp_path, limits={"all": {"rpm": 10, "tpm": 5000}})),
        ask(MASTER, body, path),
        ask(MASTER, body, path),
        ask(MASTER, body, path),
    )
    assert first.headers["x-ratelimit-limit-requests"] == "10"
    assert first.headers["x-ratelimit-remaining-requests"] == "9"
    assert first.headers["x-ratelimit-remaining-tokens"] == str(5000 - 1002 - around)
    assert 5000 - 1002 - around - SPENT <= int(second.headers["x-ratelimit-remaining-tokens"]) < 5000 - 1002 - around
    assert told(third) == (429, RateLimited("").code)
    assert int(third.headers["retry-after"]) > 0
    assert third.headers["x-ratelimit-limit-tokens"] == "5000"


@STREAMED
def test_usage_that_an_app_does_not_tell_is_settled_to_an_estimate(stream, tmp_path):
    served = protect(starlette(Backend(usage=None)), config(tmp_path, limits={"all": {"budget": {"max_tokens": 1100}}}))
    replies = run(served, *(ask(MASTER, {**ASKED, "stream": stream}) for _ in range(3)))
    assert [one.status for one in replies] == [200, 200, 200], "each used about a dozen of the thousand it reserved"
    assert all(one.estimated for one in records(tmp_path))


def test_what_is_refused_or_fails_gives_back_what_was_reserved(tmp_path):
    inner = App(status=500)
    limits = {"all": {"budget": {"max_tokens": RESERVED}, "max_parallel": 1}}
    secret = "AKIA" + "QYLPMN5HHHFPZAM2"
    blocked = {**ASKED, "messages": [{"role": "user", "content": f"{secret}"}], "max_tokens": 900}
    failing = protect(inner, config(tmp_path, limits=limits), policies=["secrets"])
    replies = run(failing, *(ask(MASTER, body) for body in (blocked, ASKED, blocked, ASKED)))
    assert [one.status for one in replies] == [400, 500, 400, 500]


@STREAMED
def test_an_answer_that_a_policy_withholds_is_settled_to_what_the_app_used(stream, tmp_path):
    inner = Backend()
    policies = tmp_path / "mine.yaml"
    policies.write_text(
        "policy: mine\nversion: 1\nguards:\n"
        "  - phrases: {rules: [{name: canary, words: [hello there], action: block}]}\n"
    )
    limits = {"all": {"budget": {"max_tokens": RESERVED + 2000}}}
    body = {**ASKED, "stream": stream}
    served = protect(starlette(inner), config(tmp_path, limits=limits), policies=[policies])
    first, second = run(served, *(ask(MASTER, body) for _ in range(2)))
    assert b"ello there" not in first.body
    assert (second.status == 429) is not stream, (
        "a whole answer tells its usage; of a stream that is cut little was read"
    )
    used = [one.input_tokens + one.output_tokens for one in records(tmp_path) if one.input_tokens is not None]
    assert used, "the app was asked, and is to be paid"


def test_an_end_users_default_budget_holds_without_any_key_and_without_a_database(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bound = {"default_budget": {"max_usd": 3, "period": "1d"}}
    made = protect(starlette(Backend()), {"model_list": MODELS, "policies": [], "end_users": bound})
    bob, eve = ({**ASKED, "user": name} for name in ("bob", "eve"))
    replies = run(made, ask(None, bob), ask(None, bob), ask(None, eve), ask())
    assert [one.status for one in replies] == [200, 429, 200, 200]
    assert list(tmp_path.iterdir()) == []


def test_no_more_than_the_budget_is_spent_by_many_at_once(tmp_path):
    key = key_in(tmp_path, budget={"max_tokens": 5 * SPENT})
    body = {**ASKED, "max_tokens": SPENT - 9}

    async def many(one: Any) -> list[int]:
        return [reply.status for reply in await asyncio.gather(*(ask(key, body)(one) for _ in range(40)))]

    (found,) = run(protect(starlette(Backend()), config(tmp_path)), many)
    assert sorted(found) == [200] * 5 + [429] * 35  # type: ignore[comparison-overlap, list-item]


@STREAMED
def test_a_request_is_over_for_its_limits_when_its_last_byte_has_left(stream, tmp_path):
    """What an app does in the background after that is its own affair."""
    body = {**ASKED, "stream": stream}

    async def overlapping(one: Any) -> list[int]:
        first = asyncio.ensure_future(ask(MASTER, body)(one))
        await working.wait()
        second = await ask(MASTER, body)(one)
        return [second.status, (await first).status]

    working, done = asyncio.Event(), asyncio.Event()

    async def background() -> None:
        if working.is_set():
            done.set()
        working.set()
        await done.wait()

    limits = {"all": {"max_parallel": 1}}
    (found,) = run(protect(starlette(Backend(background=background)), config(tmp_path, limits=limits)), overlapping)
    assert found == [200, 200]  # type: ignore[comparison-overlap]


def test_signed_tokens_are_taken_in_place_of_keys(tmp_path):
    signer = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(signer.public_key()))
    (tmp_path / "keys.json").write_bytes(json.dumps({"keys": [{**public, "kid": "r"}]}))
    taken = {
        "issuer": "https://issuer.example",
        "audience": "app",
        "jwks_file": str(tmp_path / "keys.json"),
        "claims": {"user": "sub", "models": "models"},
    }
    now = int(time.time())
    claims = {"iss": taken["issuer"], "aud": "app", "sub": "bob", "iat": now, "exp": now + 60, "models": ["gpt-4o"]}
    token = jwt.encode(claims, signer, algorithm="RS256", headers={"kid": "r"})
    late = jwt.encode({**claims, "exp": now - 600}, signer, algorithm="RS256", headers={"kid": "r"})
    general = {"master_key": None, "jwt": taken}
    fine, model, old, nobody = run(
        protect(starlette(Backend()), config(tmp_path, general=general)),
        ask(token, {**ASKED, "user": "eve"}),
        ask(token, {**ASKED, "model": "gpt-4.1"}),
        ask(late),
        ask(),
    )
    assert fine.status == 200
    assert told(model) == (403, "model_not_allowed")
    assert (old.status, nobody.status) == (401, 401)
    assert records(tmp_path)[0].end_user == "bob"


class Unread(logging.Handler):
    """A log whose reader is gone."""

    def emit(self, record: logging.LogRecord) -> None:
        raise BrokenPipeError


def test_a_log_that_nobody_reads_any_more_refuses_no_request(tmp_path):
    """The ledger cannot be asked for a budget, which the log is told, and it comes to its end, which is told too."""
    log = logging.getLogger("gateway")
    unread = Unread()
    log.addHandler(unread)
    try:
        bounds = {"all": {"budget": {"max_tokens": RESERVED + 1, "period": "1d"}}}
        nowhere = {"database_url": "postgresql://nobody:x@127.0.0.1:1/x"}
        settings = config(tmp_path, general=nowhere, limits=bounds, ledger={"folder": str(tmp_path / "journal")})
        served = protect(starlette(Backend()), config=settings)
        first, second = run(served, ask(MASTER), ask(MASTER))
    finally:
        log.removeHandler(unread)
    assert (first.status, told(second)) == (200, (429, "budget_exceeded"))
