"""Access tokens for Vertex AI, from a real key of a service account and a real token service on the loopback."""

import asyncio
import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.config.secret import Secret
from gateway.errors import ConfigError, UpstreamConnectionError, UpstreamError
from gateway.providers.base import Target
from gateway.providers.vertex.auth import authorizer
from gateway.types import HttpRequest

PROJECT = {"vertex_project": "my-project"}


class TokenService:
    """A token endpoint on the loopback: it numbers the tokens it gives, and can hold its answer back."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.free = threading.Event()
        self.free.set()
        self.count = 0
        self.lifetimes: list[int] = []
        self.status = 200
        self.said = {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                service.count += 1
                body = service.token()
                service.asked.set()
                service.free.wait(10)
                self.send_response(service.status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/token"

    def token(self) -> bytes:
        if self.status != 200:
            return orjson.dumps(self.said)
        lifetime = self.lifetimes.pop(0) if self.lifetimes else 3600
        return orjson.dumps(
            {
                "access_token": f"ya29.{self.count}",
                "expires_in": lifetime,
                "token_type": "Bearer",
                "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            }
        )


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[TokenService]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    made = TokenService()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.free.set()
    made.server.shutdown()
    made.server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem.decode()


@pytest.fixture
def account(service: TokenService, private_key: str) -> dict[str, str]:
    """The key of a service account as Google's console writes it, but for the address of the token endpoint."""
    return {
        "type": "service_account",
        "project_id": "my-project",
        "private_key_id": "0",
        "private_key": private_key,
        "client_email": "gateway@my-project.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": service.url,
    }


REQUEST = HttpRequest("POST", "https://aiplatform.googleapis.com/v1/x", {"content-type": "application/json"}, b"{}")


def authorize_with(credentials: object):
    return authorizer(Target("vertex_ai", "m", options={**PROJECT, "vertex_credentials": credentials}))


def token_of(request: HttpRequest) -> str:
    return request.headers["authorization"]


async def others() -> None:
    """Wait for whatever runs in the background of this event loop."""
    await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)


@pytest.mark.parametrize("form", ["mapping", "json", "secret", "path"])
def test_credentials_come_as_a_path_or_as_their_content(form, account, tmp_path):
    written = orjson.dumps(account).decode()
    path = tmp_path / "key.json"
    path.write_text(written)
    given = {"mapping": account, "json": written, "secret": Secret(written), "path": str(path)}[form]
    request = asyncio.run(authorize_with(given)(REQUEST))
    assert request.headers == {"content-type": "application/json", "authorization": "Bearer ya29.1"}
    assert (request.url, request.body) == (REQUEST.url, REQUEST.body)
    assert "ya29" not in repr(request)


def test_fifty_requests_at_once_ask_for_one_token_and_later_ones_for_none(service, account):
    async def scenario() -> None:
        authorize = authorize_with(account)
        requests = await asyncio.gather(*(authorize(REQUEST) for _ in range(50)))
        assert {token_of(request) for request in requests} == {"Bearer ya29.1"}
        assert token_of(await authorize(REQUEST)) == "Bearer ya29.1"
        assert service.count == 1

    asyncio.run(scenario())


def test_a_token_that_has_expired_is_replaced_before_the_request_goes_out(service, account):
    service.lifetimes = [0, 3600]

    async def scenario() -> None:
        authorize = authorize_with(account)
        await authorize(REQUEST)
        assert [token_of(await authorize(REQUEST)) for _ in range(2)] == ["Bearer ya29.2"] * 2
        assert service.count == 2

    asyncio.run(scenario())


def test_a_token_about_to_expire_still_serves_while_the_next_one_is_fetched(service, account):
    service.lifetimes = [60, 3600]

    async def scenario() -> None:
        authorize = authorize_with(account)
        await authorize(REQUEST)
        service.free.clear()
        assert [token_of(await authorize(REQUEST)) for _ in range(3)] == ["Bearer ya29.1"] * 3
        service.free.set()
        await others()
        assert token_of(await authorize(REQUEST)) == "Bearer ya29.2"
        assert service.count == 2

    asyncio.run(scenario())


def test_the_event_loop_runs_on_while_the_token_service_thinks(service, account):
    service.free.clear()

    async def scenario() -> None:
        started = time.monotonic()
        waiting = asyncio.ensure_future(authorize_with(account)(REQUEST))
        assert await asyncio.to_thread(service.asked.wait, 5)
        assert not waiting.done()
        service.free.set()  # only a loop that still turns gets here
        assert token_of(await waiting) == "Bearer ya29.1"
        assert time.monotonic() - started < 5

    asyncio.run(scenario())


def test_a_request_that_is_given_up_leaves_the_token_to_the_others(service, account):
    service.free.clear()

    async def scenario() -> None:
        authorize = authorize_with(account)
        first, second = (asyncio.ensure_future(authorize(REQUEST)) for _ in range(2))
        assert await asyncio.to_thread(service.asked.wait, 5)
        first.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await first
        service.free.set()
        assert token_of(await second) == "Bearer ya29.1"
        assert service.count == 1

    asyncio.run(scenario())


def test_one_authorizer_serves_one_event_loop_after_another(service, account):
    authorize = authorize_with(account)
    tokens = [token_of(asyncio.run(authorize(REQUEST))) for _ in range(2)]
    assert tokens == ["Bearer ya29.1"] * 2
    assert service.count == 1


def test_a_token_service_that_says_no_is_the_operators_matter(service, account):
    service.status = 400

    async def scenario() -> None:
        authorize = authorize_with(account)
        with pytest.raises(UpstreamError, match="vertex_credentials") as raised:
            await authorize(REQUEST)
        assert "Invalid JWT" not in raised.value.message
        assert raised.value.answered == 401
        service.status = 200
        assert token_of(await authorize(REQUEST)).startswith("Bearer ya29.")

    asyncio.run(scenario())


@pytest.mark.parametrize(("status", "answered"), [(401, 401), (403, 401), (500, None), (503, None)])
def test_a_token_service_that_refuses_is_a_401_and_one_that_breaks_is_none(service, account, status, answered):
    service.status, service.said = status, {} if answered is None else {"error": "unauthorized_client"}
    with pytest.raises(UpstreamError, match="vertex_credentials") as raised:
        asyncio.run(authorize_with(account)(REQUEST))
    assert raised.value.answered == answered


def test_no_credentials_at_all_are_a_401(monkeypatch, tmp_path):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(UpstreamError, match="default credentials") as raised:
        asyncio.run(authorize_with(None)(REQUEST))
    assert raised.value.answered == 401


def workload(service: TokenService, folder: Path) -> dict[str, Any]:
    """The credentials of a workload that exchanges a token of its own."""
    (folder / "subject").write_text("the.workloads.jwt")
    return {
        "type": "external_account",
        "audience": "//iam.googleapis.com/locations/global/workloadIdentityPools/pool/providers/cluster",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": service.url,
        "credential_source": {"file": str(folder / "subject")},
    }


@pytest.mark.filterwarnings("ignore:The load_credentials_from_dict method:DeprecationWarning")
@pytest.mark.parametrize(
    ("said", "answered"),
    [({"error": "invalid_grant"}, 401), ({"error": "server_error"}, None), ({"something": "else"}, None)],
)
def test_a_workloads_token_that_is_not_exchanged_is_a_401_where_the_service_says_so(service, tmp_path, said, answered):
    service.status, service.said = 400, said
    with pytest.raises(UpstreamError) as raised:
        asyncio.run(authorize_with(workload(service, tmp_path))(REQUEST))
    assert raised.value.answered == answered


def test_a_token_service_that_is_not_there_is_a_broken_connection(account):
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as closed:
        port = closed.server_port
    authorize = authorize_with({**account, "token_uri": f"http://127.0.0.1:{port}/token"})
    with pytest.raises(UpstreamConnectionError):
        asyncio.run(authorize(REQUEST))


@pytest.mark.filterwarnings("ignore:The load_credentials_from_dict method:DeprecationWarning")
def test_workload_identity_exchanges_the_workloads_own_token_and_says_who_pays(service, tmp_path):
    federated = {**workload(service, tmp_path), "quota_project_id": "who-pays"}
    request = asyncio.run(authorize_with(federated)(REQUEST))
    assert token_of(request) == "Bearer ya29.1"
    assert request.headers["x-goog-user-project"] == "who-pays"


def test_default_credentials_are_found_where_google_looks_for_them(account, tmp_path, monkeypatch):
    path = tmp_path / "adc.json"
    path.write_bytes(orjson.dumps(account))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    assert token_of(asyncio.run(authorize_with(None)(REQUEST))) == "Bearer ya29.1"


def test_with_an_api_key_nothing_is_added():
    authorize = authorizer(Target("vertex_ai", "m", api_key=Secret("AQ.test")))
    assert asyncio.run(authorize(REQUEST)) is REQUEST


@pytest.mark.parametrize(
    "given",
    ["/no/such/file.json", "{not json", '{"type": "service_account"}', Secret("{}x"), "{}", {"kind": "none"},
     {"type": "service_account", "private_key": "no key", "client_email": "a", "token_uri": "b"}],
)  # fmt: skip
def test_credentials_that_are_none_are_a_fault_of_the_configuration(given):
    with pytest.raises(ConfigError, match="vertex_credentials"):
        authorize_with(given)


def test_without_google_auth_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "google.auth", None)
    with pytest.raises(ConfigError, match=r"guardrail-gateway\[vertex\]"):
        authorize_with(None)
