"""`general_settings.http2`: what the gateway offers to providers, chosen when it starts."""

import asyncio
import ssl
from pathlib import Path

import pytest

from gateway.app import Gateway, default_upstream
from gateway.config.load import Loaded, from_mapping
from gateway.routing.upstream import Timeouts
from gateway.telemetry import logs
from gateway.types import HttpRequest
from tests.routing import servers
from tests.routing.http2_server import Exchange, serve2
from tests.routing.servers import looped


def loaded(http2: bool) -> Loaded:
    return from_mapping({"general_settings": {"http2": http2}})


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server whose authority the environment names, and that prefers HTTP/2."""
    pem, context = servers.certificate(tmp_path)
    context.set_alpn_protocols(["h2", "http/1.1"])
    bundle = tmp_path / "authority.pem"
    bundle.write_bytes(pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return context


@looped
async def test_http2_is_spoken_only_where_it_is_set(tls: ssl.SSLContext) -> None:
    async def hello(exchange: Exchange) -> None:
        await exchange.answer(b"hello")

    async with serve2(hello, tls) as server:
        upstream = default_upstream(http2=True)
        answer = await upstream.send(HttpRequest("GET", server.url, {}, b""), Timeouts(), stream=False)
        assert await answer.read() == b"hello"
        await upstream.close()
    async with servers.serve(servers.says(servers.response(b"hello")), tls) as old:
        upstream = default_upstream()
        answer = await upstream.send(HttpRequest("GET", old.url, {}, b""), Timeouts(), stream=False)
        assert await answer.read() == b"hello"
        assert old.requests[0].head.startswith(b"GET / HTTP/1.1\r\n")
        await upstream.close()


@pytest.mark.parametrize(("before", "after"), [(False, True), (True, False), (False, False)])
def test_a_reload_that_changes_it_says_that_it_waits_for_a_restart(
    before: bool, after: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    log = logs.make("json")
    found = loaded(before)
    gateway = Gateway(found.settings, found.source, log)
    found = loaded(after)
    for _ in range(2):  # and again at each later reload, as long as it is so
        gateway.use(found.settings, found.source)
        out, err = capsys.readouterr()
        assert ("setting_waits_for_restart" in out + err) is (before != after)
    asyncio.run(gateway.close())
