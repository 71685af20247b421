"""`protect` while it serves: its configuration read again, a probe of the gateway's own parts, shared counters."""

import asyncio
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from gateway import protect
from gateway.errors import ConfigError
from gateway.wire import json
from gateway.wire.lifespan import lifespan
from tests.ledger import redis
from tests.middleware.foreign.kit import CHAT, Reply, aask
from tests.test_embed_callers import MASTER, Backend, ask, config, key_in, starlette, told
from tests.test_embed_sockets import running

HEALTH = "/gateway/ready"
MAIL = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Write to bob@corp.example.com"}]}


def serve(served: Any, work: Callable[[], Any]) -> Any:
    async def living() -> Any:
        async with lifespan(served):
            return await work()

    return asyncio.run(asyncio.wait_for(living(), 60))


def probe(served: Any, path: str = HEALTH, method: str = "GET") -> Any:
    return aask(served, b"", path, method=method)


def test_a_configuration_that_is_read_again_holds_from_the_next_request_on(tmp_path: Path):
    file, backend = tmp_path / "config.yaml", Backend()
    file.write_text("policies: []\n")
    key_in(tmp_path)
    served = protect(starlette(backend), file)

    async def work() -> None:
        assert (await ask(None, MAIL)(served)).status == 200
        assert b"bob@corp" in backend.bodies[-1]
        file.write_text("policies: [pii]\n")
        assert await served.reload()
        assert [policy.name for policy in served.policies] == ["pii"]
        assert (await ask(None, MAIL)(served)).status == 200
        assert b"bob@corp" not in backend.bodies[-1]
        file.write_text(f"policies: []\ngeneral_settings: {{master_key: {MASTER}}}\n")
        assert await served.reload()
        assert told(await ask(None, MAIL)(served)) == (401, "invalid_api_key")
        assert (await ask(MASTER, MAIL)(served)).status == 200
        assert b"bob@corp" in backend.bodies[-1]

    serve(served, work)


def test_one_with_faults_leaves_the_old_one_in_force_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    file = tmp_path / "config.yaml"
    file.write_text("limits: {all: {rpm: 1}}\npolicies: []\n")
    served = protect(starlette(Backend()), file, health=HEALTH)

    async def work() -> None:
        assert (await ask()(served)).status == 200
        for faulty in ("policies: [nobody-knows-it]\n", "policies: nonsense: x\n", "limits: {all: {rpm: none}}\n"):
            file.write_text(faulty)
            assert await served.reload() is False
            assert told(await ask()(served)) == (429, "rate_limit_exceeded")
            assert (await probe(served)).json["configuration"].startswith("an older one is in force")
        file.unlink()
        assert await served.reload() is False
        file.write_text("policies: []\n")
        assert await served.reload()
        assert served.state()["configuration"] == (True, "ok")
        assert (await ask()(served)).status == 200

    serve(served, work)
    assert [record.message for record in caplog.records].count("config_refused") == 4


def test_what_is_counted_stays_counted_and_what_waits_for_a_restart_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    file = tmp_path / "config.yaml"
    file.write_text("limits: {all: {rpm: 2}}\npolicies: []\n")
    served = protect(starlette(Backend()), file)

    async def work() -> list[Reply]:
        replies = [await ask()(served)]
        file.write_text(
            f"limits: {{all: {{rpm: 2}}}}\npolicies: []\n"
            f"general_settings: {{database_url: 'sqlite:///{tmp_path}/other.db'}}\n"
        )
        assert await served.reload()
        return [*replies, await ask()(served), await ask()(served)]

    assert [reply.status for reply in serve(served, work)] == [200, 200, 429]
    waiting = [record for record in caplog.records if record.message == "setting_waits_for_restart"]
    assert [vars(record)["setting"] for record in waiting] == ["general_settings.database_url"]
    assert not (tmp_path / "other.db").exists()


def test_a_request_under_way_finishes_as_it_began(tmp_path: Path):
    file, asked, go_on = tmp_path / "config.yaml", asyncio.Event(), asyncio.Event()
    file.write_text("policies: [pii]\n")

    async def complete(request: Request) -> JSONResponse:
        asked.set()
        await go_on.wait()
        text = "Write to bob@corp.example.com"
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        return JSONResponse({"id": "1", "object": "chat.completion", "model": "m", "choices": [choice]})

    served = protect(Starlette(routes=[Route(CHAT, complete, methods=["POST"])]), file)

    async def work() -> tuple[Reply, Reply]:
        first = asyncio.create_task(ask(None)(served))
        await asked.wait()
        file.write_text("policies: []\n")
        assert await served.reload()
        go_on.set()
        return await first, await ask(None)(served)

    before, after = serve(served, work)
    assert [b"bob@corp" in reply.body for reply in (before, after)] == [False, True]


def test_the_probe_tells_of_the_gateways_own_parts_without_a_key_and_of_nothing_secret(tmp_path: Path):
    key_in(tmp_path)
    served = protect(starlette(Backend()), config(tmp_path), health=HEALTH)

    async def work() -> list[Reply]:
        await ask(MASTER)(served)
        return [await probe(served), await probe(served, method="POST"), await probe(served, "/other")]

    said, posted, other = serve(served, work)
    assert (said.status, said.json["status"]) == (200, "ready")
    assert set(said.json) == {"status", "configuration", "ledger", "keys", "counters"}
    assert {said.json[name] for name in ("configuration", "keys", "counters")} == {"ok"}
    assert said.json["ledger"].startswith("ok, ")
    assert MASTER.encode() not in said.body
    assert [told(reply) for reply in (posted, other)] == [(401, "invalid_api_key")] * 2


def test_the_probe_says_where_requests_are_refused(tmp_path: Path):
    (tmp_path / "journal").write_text("in the way")
    ledger = {"folder": str(tmp_path / "journal"), "when_full": "refuse"}
    served = protect(starlette(Backend()), {"policies": [], "ledger": ledger}, health=HEALTH)

    async def work() -> tuple[Reply, Reply]:
        return await ask()(served), await probe(served)

    refused, said = serve(served, work)
    assert (refused.status, said.status, said.json["status"]) == (503, 503, "not ready")
    assert "folder of its journal cannot be used" in said.json["ledger"]


def test_without_a_path_probes_are_the_apps_own():
    own = Starlette(routes=[Route("/health/ready", lambda _: JSONResponse({"mine": True}))])
    served = protect(own, {"general_settings": {"master_key": MASTER, "database_url": "sqlite://"}})
    assert asyncio.run(probe(served, "/health/ready")).json == {"mine": True}
    with pytest.raises(ConfigError, match="health: must be a path"):
        protect(own, health="ready")


def test_a_real_server_is_probed_asked_and_changed(tmp_path: Path):
    file, backend = tmp_path / "config.yaml", Backend()
    file.write_text("policies: [pii]\n")
    served = protect(starlette(backend), file, health=HEALTH)

    async def reloading(scope: Any, receive: Any, send: Any) -> None:
        """As an application has its own route or signal for it."""
        if scope["type"] == "http" and scope["path"] == "/reload":
            await JSONResponse(await served.reload())(scope, receive, send)
        else:
            await served(scope, receive, send)

    with running(reloading) as port:

        def http(path: str, body: Any = None) -> tuple[int, Any]:
            data = None if body is None else json.dumps(body)
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}{path}", data, {"content-type": "application/json"}
            )
            try:
                with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as reply:
                    return reply.status, json.loads(reply.read())
            except urllib.error.HTTPError as error:
                return error.code, json.loads(error.read())

        assert http(HEALTH)[0] == 200
        assert http(CHAT, MAIL)[0] == 200
        file.write_text("policies: []\n")
        assert http("/reload") == (200, True)
        assert http(CHAT, MAIL)[0] == 200
        file.write_text("policies: [nonsense\n")
        assert http("/reload") == (200, False)
        assert http(HEALTH)[1]["configuration"].startswith("an older one")
    assert [b"bob@corp" in body for body in backend.bodies] == [False, True]


@pytest.mark.e2e
def test_apps_that_share_redis_count_together_and_say_when_it_is_away(tmp_path: Path):
    if why := redis.missing():
        pytest.skip(why)
    with redis.server() as server:
        settings = {
            "policies": [],
            "limits": {"all": {"rpm": 3}, "when_counters_fail": "refuse"},
            "general_settings": {"redis_url": server.url},
        }
        one, other = (protect(starlette(Backend()), settings, health=HEALTH) for _ in range(2))

        async def asked(served: Any) -> Reply:
            """A completion, asked again while the counters are too slow for a busy machine."""
            for _ in range(200):
                reply: Reply = await ask()(served)
                if reply.status != 503:
                    return reply
                await asyncio.sleep(0.05)
            raise AssertionError(reply.body)

        async def work() -> None:
            async with lifespan(other):
                replies = [await asked(each) for each in (one, other, one, other, one)]
                assert [reply.status for reply in replies] == [200, 200, 200, 429, 429]
                assert replies[-1].json["error"]["code"] == "rate_limit_exceeded"
                server.kill()
                assert told(await ask()(one)) == (503, "counters_unavailable")
                said = await probe(one)
                assert (said.status, said.json["counters"] != "ok") == (200, True)

        serve(one, work)
