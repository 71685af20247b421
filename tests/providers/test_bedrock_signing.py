"""AWS signatures and credentials: what botocore's own client sends is what we send."""

import asyncio
import dataclasses
import datetime
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import botocore.auth
import pytest
from botocore.config import Config
from botocore.credentials import Credentials, RefreshableCredentials
from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError, NoCredentialsError
from botocore.session import Session

from gateway.config.secret import Secret
from gateway.errors import ConfigError, UpstreamError
from gateway.providers.base import Target
from gateway.providers.bedrock.language import BedrockConverse
from gateway.providers.bedrock.signing import Signer, authorizer
from gateway.types import HttpRequest
from tests.providers.kit import call

KEYS = {
    "aws_access_key_id": "AKIDEXAMPLE",
    "aws_secret_access_key": Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
    "aws_session_token": Secret("session-token"),
}
OPTIONS_SET = {"aws_region_name": "us-east-1", **KEYS}
ARN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3"
NOW = datetime.datetime(2026, 1, 2, 3, 4, 5)  # botocore's clock is naive UTC


def sign(target, request):
    return asyncio.run(authorizer(target)(request))


class Sent(Exception):
    """Stops botocore's client where it would have opened a socket."""


def clients_request(operation, model):
    """What botocore's own client would send for `model`."""
    client = Session().create_client(
        "bedrock-runtime", "us-east-1", config=Config(retries={"total_max_attempts": 1}),
        **{name: value.reveal() if isinstance(value, Secret) else value for name, value in KEYS.items()},
    )  # fmt: skip
    caught = []

    def stop(request, **_):
        caught.append(request)
        raise Sent

    client.meta.events.register("before-send.bedrock-runtime", stop)
    with pytest.raises(Sent):
        getattr(client, operation)(modelId=model, messages=[{"role": "user", "content": [{"text": "Grüße"}]}])
    return caught[0]


@pytest.mark.parametrize("model", ["anthropic.claude-3-haiku-20240307-v1:0", "us.amazon.nova-lite-v1:0", ARN])
@pytest.mark.parametrize(("operation", "stream"), [("converse", False), ("converse_stream", True)])
def test_a_signed_request_is_the_one_botocores_client_sends(monkeypatch, operation, stream, model):
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *_, **__: NOW)
    theirs = clients_request(operation, model)
    target = Target("bedrock", model, options=OPTIONS_SET)
    ours = BedrockConverse(target).request(call(stream=stream))
    signed = sign(target, dataclasses.replace(ours, body=theirs.body))
    assert signed.url == theirs.url
    headers = {name.lower(): value for name, value in signed.headers.items()}
    assert set(headers) == {"content-type", "authorization", "x-amz-date", "x-amz-security-token"}
    for name, value in headers.items():
        assert value == theirs.headers[name].decode(), name


def test_the_operators_headers_are_signed_too_and_the_body_is_left_as_it_is():
    target = Target("bedrock", "m", options=OPTIONS_SET, extra_headers={"x-tenant": "t"})
    request = BedrockConverse(target).request(call())
    signed = sign(target, request)
    assert "x-tenant" in signed.headers["Authorization"]
    assert (signed.method, signed.url, signed.body) == (request.method, request.url, request.body)
    assert "authorization" not in {name.lower() for name in request.headers}
    assert "session-token" not in repr(signed)


def test_a_request_with_an_api_key_is_not_signed():
    target = Target("bedrock", "m", api_key=Secret("k"), options={"aws_region_name": "us-east-1"})
    request = BedrockConverse(target).request(call())
    assert sign(target, request) is request


def test_a_profile_is_read_from_the_shared_credentials_file(monkeypatch, tmp_path):
    (tmp_path / "credentials").write_text("[team]\naws_access_key_id = AKIDPROFILE\naws_secret_access_key = s\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    target = Target("bedrock", "m", options={"aws_region_name": "eu-west-1", "aws_profile_name": "team"})
    signed = sign(target, BedrockConverse(target).request(call()))
    assert "Credential=AKIDPROFILE/" in signed.headers["Authorization"]
    assert "/eu-west-1/bedrock/aws4_request" in signed.headers["Authorization"]


def test_a_profile_that_does_not_exist_is_the_operators_fault(monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    target = Target("bedrock", "m", options={"aws_region_name": "eu-west-1", "aws_profile_name": "nobody"})
    with pytest.raises(UpstreamError, match="no valid AWS credentials"):
        sign(target, BedrockConverse(target).request(call()))


REQUEST = HttpRequest("POST", "https://bedrock-runtime.us-east-1.amazonaws.com/model/m/converse", {}, b"{}")


def raises(error):
    raise error


@pytest.mark.parametrize("load", [lambda: None, lambda: raises(NoCredentialsError()), lambda: raises(OSError("disk"))])
def test_no_credentials_are_an_error_that_the_operator_can_act_on(load):
    with pytest.raises(UpstreamError, match="AWS credentials") as caught:
        asyncio.run(Signer("us-east-1", load)(REQUEST))
    assert (caught.value.status, caught.value.answered) == (502, 401)


def refusal(code: str, status: int) -> ClientError:
    said = {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(said, "AssumeRole")


@pytest.mark.parametrize(
    ("error", "answered"),
    [
        (refusal("AccessDenied", 403), 401),
        (refusal("InvalidClientTokenId", 401), 401),
        (refusal("ExpiredToken", 400), 401),
        (refusal("Throttling", 400), None),
        (refusal("TooManyRequestsException", 429), None),
        (refusal("InternalFailure", 500), None),
        (EndpointConnectionError(endpoint_url="https://sts.example.com"), None),
        (ConnectTimeoutError(endpoint_url="https://sts.example.com"), None),
        (RuntimeError("still expired"), 401),
    ],
    ids=["403", "401", "expired", "throttled", "429", "500", "unreachable", "silent", "still expired"],
)
def test_credentials_that_are_refused_are_a_401_and_a_service_that_fails_is_none(error, answered):
    with pytest.raises(UpstreamError, match="AWS credentials") as caught:
        asyncio.run(Signer("us-east-1", lambda: raises(error))(REQUEST))
    assert caught.value.answered == answered


def test_credentials_are_looked_up_once_and_off_the_event_loop():
    threads = []

    def load():
        threads.append(threading.current_thread())
        return Credentials("AKID", "secret")

    signer = Signer("us-east-1", load)

    async def several():
        await asyncio.gather(*(signer(REQUEST) for _ in range(8)))
        await signer(REQUEST)

    asyncio.run(several())
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()


def test_credentials_are_refreshed_before_they_expire_and_off_the_event_loop():
    clock = [datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)]
    threads = []

    def renew():
        threads.append(threading.current_thread())
        return {
            "access_key": f"AKID{len(threads)}",
            "secret_key": "s",
            "token": "t",
            "expiry_time": (clock[0] + datetime.timedelta(hours=1)).isoformat(),
        }

    first = clock[0] + datetime.timedelta(hours=1)
    held = RefreshableCredentials("AKID0", "s", "t", first, renew, "test", time_fetcher=lambda: clock[0])
    signer = Signer("us-east-1", lambda: held)

    def used_after(minutes):
        clock[0] += datetime.timedelta(minutes=minutes)
        return asyncio.run(signer(REQUEST)).headers["Authorization"].split("Credential=")[1].split("/")[0]

    assert [used_after(minutes) for minutes in (0, 39, 4, 4, 30)] == ["AKID0", "AKID0", "AKID0", "AKID1", "AKID1"]
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()


def test_without_botocore_the_error_says_what_to_install(monkeypatch):
    for name in ("botocore", "botocore.auth", "botocore.session"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match=r"pip install 'guardrail-gateway\[bedrock\]'"):
        authorizer(Target("bedrock", "m", options=OPTIONS_SET))
    keyed = Target("bedrock", "m", api_key=Secret("k"), options={"aws_region_name": "us-east-1"})
    assert asyncio.run(authorizer(keyed)(REQUEST)) is REQUEST


@pytest.mark.parametrize("half", ["aws_access_key_id", "aws_secret_access_key"])
def test_half_a_key_pair_is_a_configuration_error(half):
    with pytest.raises(ConfigError, match="go together"):
        authorizer(Target("bedrock", "m", options={"aws_region_name": "us-east-1", half: "x"}))


def test_no_region_to_sign_for_is_a_configuration_error():
    with pytest.raises(ConfigError, match="aws_region_name"):
        authorizer(Target("bedrock", "m", base_url="https://vpce-1.example", options=KEYS))


def test_a_signer_prints_its_state_and_no_key():
    signer = authorizer(Target("bedrock", "m", options=OPTIONS_SET))
    assert repr(signer) == "<Signer us-east-1 credentials=not looked up yet>"
    asyncio.run(signer(REQUEST))
    assert repr(signer) == "<Signer us-east-1 credentials=explicit>"


ASSUMED = b"""<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>
<AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/r/s</Arn><AssumedRoleId>A:s</AssumedRoleId></AssumedRoleUser>
<Credentials><AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>
<SessionToken>role-token</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration></Credentials>
</AssumeRoleResult></AssumeRoleResponse>"""


@pytest.fixture
def sts():
    """A server that speaks STS's language and keeps the bodies it was sent."""
    bodies = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            bodies.append(parse_qs(self.rfile.read(int(self.headers["content-length"])).decode()))
            self.send_response(200)
            self.send_header("content-length", str(len(ASSUMED)))
            self.end_headers()
            self.wfile.write(ASSUMED)

        def log_message(self, *_):
            """Nothing: the test reads the bodies."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", bodies
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_role_is_assumed_once_and_signs(sts):
    endpoint, bodies = sts
    role = {
        "aws_role_name": "arn:aws:iam::123456789012:role/r",
        "aws_session_name": "gateway",
        "aws_external_id": "ext",
        "aws_sts_endpoint": endpoint,
    }
    signer = authorizer(Target("bedrock", "m", options={**OPTIONS_SET, **role}))
    for _ in range(2):
        headers = asyncio.run(signer(REQUEST)).headers
        assert "Credential=ASIAROLE/" in headers["Authorization"]
        assert headers["X-Amz-Security-Token"] == "role-token"
    (body,) = bodies
    assert (body["RoleArn"], body["RoleSessionName"], body["ExternalId"]) == (
        [role["aws_role_name"]], ["gateway"], ["ext"],
    )  # fmt: skip
    assert repr(signer) == "<Signer us-east-1 credentials=assume-role>"
