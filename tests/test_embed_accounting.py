"""Who used what of somebody else's app: `EndUserMiddleware` alone and beside others, and `protect` with a database."""

import asyncio
import logging
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import gateway
from gateway import EndUserMiddleware, GuardrailMiddleware, TelemetryMiddleware, protect
from gateway.errors import ConfigError
from gateway.ledger import entry
from gateway.ledger.store import Store
from gateway.usage import UsageRecord
from gateway.wire import asgi, json
from gateway.wire.lifespan import lifespan
from tests.ledger.kit import queries
from tests.middleware.foreign.kit import CHAT, JSON, TEXT, App, aask
from tests.middleware.foreign.telemetry_kit import USED, answer, app, events

PRICES = {"*": {"input_cost_per_token": 0.001, "output_cost_per_token": 0.002}}
ASKED = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Say hello"}], "user": "alice"}
PARAMS = {"model": "openai/gpt-4o", "api_key": "sk-1", **PRICES["*"]}
SPENT = Decimal("2.606")


def url(folder: Path) -> str:
    return f"sqlite:///{folder}/usage.db"


def records(folder: Path) -> list[UsageRecord]:
    """What is in the database, the oldest first."""
    store = Store(url(folder))
    store.prepare()
    found = queries.records(store.engine, limit=1000).records[::-1]
    store.close()
    return list(found)


def run(served: Any, *asks: Any) -> list[Any]:
    """Ask an app during its lifespan."""

    async def work() -> list[Any]:
        async with lifespan(served):
            return [await (ask(served) if callable(ask) else aask(served, ask)) for ask in asks]

    return asyncio.run(asyncio.wait_for(work(), 60))


class WithLifespan(App):
    """A foreign app that has a lifespan."""

    async def __call__(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        if scope["type"] != "lifespan":
            await super().__call__(scope, receive, send)
            return
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})


def served(*pieces: bytes, stream: bool = False, **rest: Any) -> App:
    return WithLifespan(pieces, headers=app(stream=stream).headers, **rest)


def test_each_call_of_an_app_is_recorded_with_whom_it_was_for_and_what_it_cost(tmp_path):
    made = EndUserMiddleware(served(answer()), database_url=url(tmp_path), prices=PRICES)
    tagged = [JSON, (b"x-gateway-tags", b"prod,eu"), (b"x-gateway-end-user", b"bob"), (b"x-request-id", b"mine")]
    run(made, ASKED, lambda one: aask(one, ASKED, headers=tagged))
    first, second = records(tmp_path)
    assert (first.end_user, first.tags, first.model, first.outcome) == ("alice", (), "gpt-4o", "allowed")
    assert (second.end_user, second.tags, second.request_id) == ("bob", ("prod", "eu"), "mine")
    for one in (first, second):
        assert (one.input_tokens, one.output_tokens) == (USED["prompt_tokens"], USED["completion_tokens"])
        assert (one.cost, one.cost_source, one.route) == (SPENT, "config", "/v1/chat/completions")


def test_a_streamed_call_is_recorded_before_its_last_byte(tmp_path):
    made = EndUserMiddleware(served(*events(), stream=True), database_url=url(tmp_path), prices=PRICES)
    there: list[int] = []

    async def ask(one: asgi.App) -> None:
        response = await asgi.request(one, "POST", CHAT, [JSON], json.dumps({**ASKED, "stream": True}))
        async for _ in response.chunks():
            files = (tmp_path / "usage.db-ledger").glob("*.jsonl")
            there.append(sum(file.stat().st_size for file in files))

    run(made, ask)
    assert there[-1]
    (record,) = records(tmp_path)
    assert (record.cost, record.stream, record.finish_reasons) == (SPENT, True, ("stop",))


def test_text_completions_errors_of_the_app_and_its_faults_are_recorded(tmp_path):
    class Broken(WithLifespan):
        async def __call__(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
            if scope["type"] == "http":
                raise RuntimeError("it is broken")
            await super().__call__(scope, receive, send)

    async def fails(one: asgi.App) -> None:
        with pytest.raises(RuntimeError):
            await aask(one, ASKED)

    text = {"model": "gpt-4o", "prompt": "Say hello"}
    run(EndUserMiddleware(served(answer(chat=False)), database_url=url(tmp_path)), lambda one: aask(one, text, TEXT))
    run(EndUserMiddleware(served(b"{}", status=503), database_url=url(tmp_path)), ASKED)
    run(EndUserMiddleware(Broken(), database_url=url(tmp_path)), fails)
    found = records(tmp_path)
    assert [(one.route, one.status, one.outcome) for one in found] == [
        ("/v1/completions", 200, "allowed"),
        ("/v1/chat/completions", 503, "error"),
        ("/v1/chat/completions", 500, "error"),
    ]


def test_a_client_that_leaves_is_recorded_with_what_it_used(tmp_path):
    async def leave(one: asgi.App) -> None:
        response = await asgi.request(one, "POST", CHAT, [JSON], json.dumps({**ASKED, "stream": True}))
        async for _ in response.chunks():
            break
        await response.close()

    run(EndUserMiddleware(served(*events(), stream=True), database_url=url(tmp_path), prices=PRICES), leave)
    (record,) = records(tmp_path)
    assert (record.outcome, record.estimated) == ("cancelled", True)
    assert record.cost


def test_what_is_no_call_and_who_is_not_known_to_the_app_is_not_recorded(tmp_path):
    one = EndUserMiddleware(served(b"{}", status=401), database_url=url(tmp_path))
    run(one, ASKED, lambda app: aask(app, b"", "/health", method="GET"), lambda app: aask(app, b"{}", "/anything"))
    assert not (tmp_path / "usage.db").exists() or records(tmp_path) == []


def test_end_users_may_be_recorded_by_pseudonym(tmp_path):
    end_users = {"pseudonymize": True, "pseudonym_key": "a secret of its own", "sources": ["header"]}
    run(EndUserMiddleware(served(answer()), database_url=url(tmp_path), end_users=end_users), ASKED)
    named = [JSON, (b"x-gateway-end-user", b"alice")]
    made = EndUserMiddleware(served(answer()), database_url=url(tmp_path), end_users=end_users)
    run(made, lambda one: aask(one, ASKED, headers=named))
    first, second = records(tmp_path)
    assert first.end_user is None, "the body is not a source here"
    assert (second.end_user or "").startswith("eu-")


Around = Callable[[asgi.App, Path], asgi.App]

HIDDEN = {"pseudonymize": True, "pseudonym_key": "a secret of its own"}
BESIDE: tuple[tuple[str, Around], ...] = (
    ("alone", lambda one, folder: EndUserMiddleware(one, database_url=url(folder), prices=PRICES)),
    (
        "in front of telemetry",
        lambda one, folder: EndUserMiddleware(
            TelemetryMiddleware(one, prices=PRICES), database_url=url(folder), prices=PRICES
        ),
    ),
    (
        "behind telemetry",
        lambda one, folder: TelemetryMiddleware(EndUserMiddleware(one, database_url=url(folder)), prices=PRICES),
    ),
    (
        "behind guards and telemetry",
        lambda one, folder: TelemetryMiddleware(
            GuardrailMiddleware(EndUserMiddleware(one, database_url=url(folder)), policies=["pii"]), prices=PRICES
        ),
    ),
    (
        "in front of guards",
        lambda one, folder: EndUserMiddleware(
            GuardrailMiddleware(one, policies=["pii"]), database_url=url(folder), prices=PRICES
        ),
    ),
    (
        "behind protect",
        lambda one, folder: protect(
            EndUserMiddleware(one, database_url=url(folder)),
            {"model_list": [{"model_name": "gpt-4o", "litellm_params": PARAMS}]},
            policies=[],
        ),
    ),
    (
        "protect",
        lambda one, folder: protect(
            one,
            {
                "general_settings": {"database_url": url(folder)},
                "model_list": [{"model_name": "gpt-4o", "litellm_params": PARAMS}],
            },
            policies=["pii"],
        ),
    ),
)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("name", "around"), BESIDE, ids=[name for name, _ in BESIDE])
def test_beside_other_steps_there_is_one_record_and_one_line_and_they_agree(name, around, stream, tmp_path, caplog):
    one = served(*(events() if stream else (answer(),)), stream=stream)
    with caplog.at_level(logging.INFO, "gateway"):
        run(around(one, tmp_path), {**ASKED, "stream": stream})
    (record,) = records(tmp_path)
    (line,) = [vars(told) for told in caplog.records if told.name == "gateway" and told.msg == "request"]
    assert record.end_user == "alice"
    assert record.cost
    assert line["gen_ai.usage.cost"] == float(record.cost)
    assert line["gateway.request.id"] == record.request_id
    assert line["gen_ai.usage.output_tokens"] == record.output_tokens
    assert line["user.id"] == "alice"


def test_a_step_that_names_people_and_one_that_does_not_keep_to_it(tmp_path, caplog):
    """A record says no name that its own step hides, and a log line none that its own hides."""
    hiding = TelemetryMiddleware(EndUserMiddleware(served(answer()), database_url=url(tmp_path)), end_users=HIDDEN)
    with caplog.at_level(logging.INFO, "gateway"):
        run(hiding, ASKED)
        run(
            TelemetryMiddleware(EndUserMiddleware(served(answer()), database_url=url(tmp_path), end_users=HIDDEN)),
            ASKED,
        )
    lines = [vars(told)["user.id"] for told in caplog.records if told.msg == "request"]
    assert [one.end_user == "alice" for one in records(tmp_path)] == [True, False]
    assert [line == "alice" for line in lines] == [False, True]


def test_protect_records_nothing_where_no_database_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(protect(served(answer()), {"model_list": []}, policies=[]), ASKED)
    assert list(tmp_path.iterdir()) == []


def test_protect_records_whose_key_it_was_and_nobody_who_has_none(tmp_path):
    general = {"database_url": url(tmp_path), "master_key": "a-master-key"}
    one = protect(served(answer()), {"general_settings": general}, policies=[])
    known = [JSON, (b"authorization", b"Bearer a-master-key")]
    run(one, ASKED, lambda app: aask(app, ASKED, headers=known))
    (record,) = records(tmp_path)
    assert record.key_alias == "master"


def test_what_a_policy_blocks_is_recorded_as_that(tmp_path):
    one = EndUserMiddleware(GuardrailMiddleware(served(answer()), policies=["secrets"]), database_url=url(tmp_path))
    secret = "AKIA" + "QYLPMN5HHHFPZAM2"
    asked = {**ASKED, "messages": [{"role": "user", "content": f"my key is {secret} keep it"}]}
    (reply,) = run(one, asked)
    assert reply.status == 400
    (record,) = records(tmp_path)
    assert (record.outcome, record.error_type, record.input_tokens) == ("blocked", "policy_blocked", None)
    assert secret not in entry.line(record).decode()


def test_a_call_that_could_not_be_recorded_is_refused_where_that_is_wanted(tmp_path):
    (tmp_path / "journal").write_text("in the way")
    ledger = {"folder": str(tmp_path / "journal"), "when_full": "refuse"}
    inner = served(answer())
    for one in (
        EndUserMiddleware(inner, database_url=url(tmp_path), ledger=ledger),
        TelemetryMiddleware(EndUserMiddleware(inner, database_url=url(tmp_path), ledger=ledger)),
    ):
        (reply,) = run(one, ASKED)
        assert (reply.status, reply.json["error"]["code"]) == (503, "ledger_full")
    assert inner.bodies == []


def test_in_starlette_it_is_added_like_any_step(tmp_path):
    async def complete(request: Request) -> Response:
        await request.body()
        return Response(answer(), media_type="application/json")

    one = Starlette(routes=[Route(CHAT, complete, methods=["POST"])])
    one.add_middleware(EndUserMiddleware, database_url=url(tmp_path), prices=PRICES)
    run(one, ASKED)
    (record,) = records(tmp_path)
    assert (record.end_user, record.cost) == ("alice", SPENT)


def test_faults_of_its_settings_are_told_at_once():
    with pytest.raises(ConfigError, match=r"ledger\.max_byte"):
        EndUserMiddleware(App(), ledger={"max_byte": 5})
    with pytest.raises(ConfigError, match="database_url"):
        EndUserMiddleware(App(), database_url="mysql://x")


def test_it_is_exported():
    assert gateway.EndUserMiddleware is EndUserMiddleware
