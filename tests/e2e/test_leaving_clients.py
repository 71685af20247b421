"""Clients that leave before, during and after their answer: the provider's call ends at once, the gateway is well."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.wire import json, sse
from tests.e2e.process import Served, serving
from tests.routing.servers import Connection, Handler, Server, chunk, looped, serve

pytestmark = pytest.mark.e2e

STREAM = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-type: text/event-stream\r\n\r\n"
CHOICE = {"index": 0, "delta": {"content": "word "}, "finish_reason": None}
WORD = chunk(sse.encode(json.dumps({"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [CHOICE]})))


@dataclass(frozen=True, slots=True)
class Scene:
    """A gateway, the provider behind its alias `it`, and clients."""

    served: Served
    provider: Server

    async def client(self, sent: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A client that has sent these bytes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.served.port)
        writer.write(sent)
        await writer.drain()
        return reader, writer

    async def called(self, number: int = 1) -> Connection:
        """The provider's side of a call, once it has arrived."""
        while len(self.provider.requests) < number:
            self.provider.arrived.clear()
            await self.provider.arrived.wait()
        return self.provider.requests[number - 1]

    async def logged(self, code: str) -> dict[str, Any]:
        """The log line of the request that ended with this error."""
        while True:
            for line in self.served.lines():
                if line.get("error.type") == code:
                    return line
            await asyncio.sleep(0.02)

    async def is_well(self) -> bool:
        return await asyncio.to_thread(self.served.is_well)


@asynccontextmanager
async def scene(folder: Path, handler: Handler) -> AsyncIterator[Scene]:
    async with serve(handler) as provider:
        config = {
            "model_list": [
                {"model_name": "demo", "litellm_params": {"model": "demo/demo"}},
                {
                    "model_name": "it",
                    "litellm_params": {"model": "openai/it", "api_base": f"{provider.url}/v1", "api_key": "sk-it"},
                },
            ],
            "router_settings": {"num_retries": 0},
            "policies": [],
        }
        with serving(folder, json.dumps(config).decode()) as served:
            yield Scene(served, provider)


def request(cut: int | None = None, **params: Any) -> bytes:
    body = json.dumps({"model": "it", "prompt": "x", **params})
    head = b"POST /v1/completions HTTP/1.1\r\nhost: gateway\r\ncontent-length: %d\r\n\r\n" % len(body)
    return head + body[:cut]


async def silence(connection: Connection) -> None:
    await connection.gone.wait()


async def words(connection: Connection) -> None:
    await connection.send(STREAM)
    while not connection.gone.is_set():
        await connection.send(WORD)
        await asyncio.sleep(0.01)


@looped
async def test_a_client_that_leaves_within_its_request_costs_no_call(tmp_path: Path) -> None:
    async with scene(tmp_path, silence) as set_:
        for cut in (0, 5, -1):
            _, writer = await set_.client(request(cut))
            writer.close()
        await set_.logged("client_disconnected")
        assert await set_.is_well()
        assert set_.provider.requests == []


@pytest.mark.parametrize("params", [{}, {"stream": True}, {"prompt": ["a", "b", "c"]}], ids=["whole", "stream", "many"])
def test_a_client_that_leaves_while_it_waits_ends_every_call(tmp_path: Path, params: dict[str, Any]) -> None:
    @looped
    async def run() -> None:
        async with scene(tmp_path, silence) as set_:
            _, writer = await set_.client(request(**params))
            calls = [await set_.called(number) for number in range(1, len(params.get("prompt", "x")) + 1)]
            writer.close()
            for call in calls:
                await call.gone.wait()
            line = await set_.logged("client_disconnected")
            assert (line["http.response.status_code"], line["gateway.attempts"]) == (499, len(calls))
            assert await set_.is_well()

    run()


@looped
async def test_a_client_that_leaves_a_stream_ends_it_and_what_it_got_is_counted(tmp_path: Path) -> None:
    async with scene(tmp_path, words) as set_:
        reader, writer = await set_.client(request(stream=True))
        await reader.readuntil(b"word ")
        writer.close()
        await (await set_.called()).gone.wait()
        line = await set_.logged("client_disconnected")
        assert line["gen_ai.usage.output_tokens"] >= 1
        assert line["gateway.usage.estimated"] is True
        assert await set_.is_well()


@looped
async def test_a_client_that_stops_reading_slows_the_provider_down_and_may_leave(tmp_path: Path) -> None:
    sent = 0

    async def torrent(connection: Connection) -> None:
        nonlocal sent
        await connection.send(STREAM)
        while not connection.gone.is_set():
            await connection.send(WORD * 500)
            sent += 500 * len(WORD)

    async with scene(tmp_path, torrent) as set_:
        reader, writer = await set_.client(request(stream=True))
        await reader.readuntil(b"word ")
        before = -1
        while sent != before:  # until nothing moves any more
            before = sent
            await asyncio.sleep(0.5)
        assert sent < 64 << 20
        assert await set_.is_well()
        writer.transport.abort()
        await (await set_.called()).gone.wait()
        assert await set_.is_well()


@looped
async def test_a_client_that_leaves_with_more_requests_in_the_pipe_ends_the_running_one(tmp_path: Path) -> None:
    async with scene(tmp_path, silence) as set_:
        _, writer = await set_.client(request() + request() + request())
        call = await set_.called()
        writer.close()
        await call.gone.wait()
        await set_.logged("client_disconnected")
        assert await set_.is_well()
        assert len(set_.provider.requests) == 1


@looped
async def test_nonsense_in_the_pipe_never_stands_inside_a_running_answer(tmp_path: Path) -> None:
    async with scene(tmp_path, words) as set_:
        reader, writer = await set_.client(request(stream=True))
        said = await reader.readuntil(b"word ")
        writer.write(b"\x00\x00 nonsense\r\n\r\n")
        said += await reader.read()
        assert said.count(b"HTTP/1.1 ") == 1
        assert b"invalid_http" not in said
        await (await set_.called()).gone.wait()
        writer.close()
        assert await set_.is_well()


@looped
async def test_a_client_that_leaves_after_its_answer_has_had_an_answer(tmp_path: Path) -> None:
    async with scene(tmp_path, silence) as set_:
        for params in ({}, {"stream": True}):
            body = json.dumps({"model": "demo", "prompt": "Say hello", **params})
            head = b"POST /v1/completions HTTP/1.1\r\nhost: gateway\r\ncontent-length: %d\r\n\r\n" % len(body)
            reader, writer = await set_.client(head + body)
            await reader.readuntil(b"[DONE]" if params else b'"total_tokens"')
            writer.transport.abort()
        assert await set_.is_well()
        lines = [line for line in set_.served.lines() if line["event"] == "request" and "gateway.model" in line]
        assert [line["http.response.status_code"] for line in lines] == [200] * len(lines)
        assert not any("error.type" in line for line in lines)
