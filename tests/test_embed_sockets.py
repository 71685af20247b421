"""WebSockets in front of somebody else's app: no way around its keys and its policies, and open where nothing is."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from gateway import GuardrailMiddleware, protect
from gateway.wire import json
from tests.test_embed_callers import MASTER, config, key_in

TEXT, CHAT, OTHER = "/v1/completions", "/llm/v1/chat/completions/", "/live/news"


async def echo(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text(await socket.receive_text())
    await socket.close()


def app() -> Starlette:
    return Starlette(routes=[WebSocketRoute("/{path:path}", echo)])


def talked(served: Any, path: str, key: str | None = None, *, answers: bool = True, root: str = "") -> Any:
    """What becomes of a WebSocket: what it says, the status and the code of the error, or the number it is closed
    with by a server that has no answers for handshakes."""
    sent: list[Any] = []
    inbox = [{"type": "websocket.connect"}, {"type": "websocket.receive", "text": "hello"}]
    headers = [] if key is None else [(b"authorization", f"Bearer {key}".encode())]
    extensions = {"websocket.http.response": {}} if answers else None
    scope = {"type": "websocket", "path": path, "root_path": root, "headers": headers, "query_string": b""}

    async def receive() -> Any:
        return inbox.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    async def work() -> None:
        await served({**scope, "subprotocols": [], "extensions": extensions}, receive, send)

    asyncio.run(asyncio.wait_for(work(), 60))
    if sent[0]["type"] == "websocket.accept":
        return sent[1]["text"]
    if sent[0]["type"] == "websocket.close":
        return sent[0]["code"]
    return sent[0]["status"], json.loads(sent[1]["body"])["error"]["code"]


@pytest.mark.parametrize("path", [TEXT, CHAT, "/engines/m/completions", "//V1//Completions"])
@pytest.mark.parametrize(
    "make",
    [
        lambda one, _: protect(one),
        lambda one, _: protect(one, policies=["pii"]),
        lambda one, _: GuardrailMiddleware(one, ["pii"]),
        lambda one, folder: protect(one, config={"limits": {"all": {"rpm": 5}}}, policies=[]),
        lambda one, folder: protect(one, config={"end_users": {"require": True}}, policies=[]),
    ],
    ids=["default", "policy", "alone", "limit", "end user"],
)
def test_a_completion_over_a_websocket_is_refused_where_nobody_could_see_into_it(make, path: str, tmp_path: Path):
    served = make(app(), tmp_path)
    assert talked(served, path) == (405, "method_not_allowed")
    assert talked(served, path, answers=False) == 1008
    assert talked(served, f"/mounted{path}", root="/mounted") == (405, "method_not_allowed")
    assert talked(served, OTHER) == "hello"


@pytest.mark.parametrize(
    "make",
    [
        lambda one: protect(one, policies=[]),
        lambda one: protect(one, policies=["pii"], unreadable="allow"),
        lambda one: GuardrailMiddleware(one, ["pii"], unreadable="allow", guard_all=True),
    ],
)
def test_it_passes_where_nothing_is_to_be_seen_to_or_that_is_allowed(make):
    assert [talked(make(app()), path) for path in (TEXT, CHAT, OTHER)] == ["hello"] * 3


@pytest.mark.parametrize(
    "make", [lambda one: protect(one, guard_all=True), lambda one: GuardrailMiddleware(one, ["pii"], guard_all=True)]
)
def test_where_every_path_is_judged_none_takes_a_websocket(make):
    assert talked(make(app()), OTHER) == (405, "method_not_allowed")


def test_a_websocket_needs_a_key_where_requests_do(tmp_path: Path):
    key = key_in(tmp_path)
    counts = key_in(tmp_path, "counts", scopes=["metrics"])
    served = protect(app(), config=config(tmp_path))
    for path in (TEXT, CHAT, OTHER):
        for wrong in (None, "gk-wrong", f"{MASTER}x", counts):
            assert talked(served, path, wrong) == (401, "invalid_api_key")
            assert talked(served, path, wrong, answers=False) == 1008
    assert [talked(served, OTHER, known) for known in (key, MASTER)] == ["hello", "hello"]
    assert talked(served, TEXT, key) == (405, "method_not_allowed")
    assert talked(served, "/admin/live", key) == (401, "invalid_api_key")


@contextmanager
def running(served: Any) -> Iterator[int]:
    """A real server; its port."""
    server = uvicorn.Server(uvicorn.Config(served, port=0, log_level="error", ws="websockets-sansio", lifespan="on"))
    started = threading.Event()
    startup = server.startup

    async def noted(*args: Any, **kwargs: Any) -> None:
        await startup(*args, **kwargs)
        started.set()

    server.startup = noted  # type: ignore[method-assign]
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert started.wait(60)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(60)


def test_a_real_client_of_a_real_server_is_told_so(tmp_path: Path):
    client = pytest.importorskip("websockets.sync.client")
    refused = pytest.importorskip("websockets.exceptions").InvalidStatus
    known = {"additional_headers": {"authorization": f"Bearer {MASTER}"}, "proxy": None}
    with running(protect(app(), config=config(tmp_path))) as port:
        with pytest.raises(refused) as nobody:
            client.connect(f"ws://127.0.0.1:{port}{OTHER}", proxy=None)
        with pytest.raises(refused) as completion:
            client.connect(f"ws://127.0.0.1:{port}{TEXT}", **known)
        with client.connect(f"ws://127.0.0.1:{port}{OTHER}", **known) as socket:
            socket.send("hello")
            assert socket.recv() == "hello"
    assert nobody.value.response.status_code == 401
    assert json.loads(nobody.value.response.body)["error"]["code"] == "invalid_api_key"
    assert (completion.value.response.status_code, completion.value.response.headers["allow"]) == (405, "POST")
