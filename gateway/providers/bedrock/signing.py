"""AWS request signatures (SigV4) through botocore, the one file that knows it (extra `bedrock`).

Signing is arithmetic and runs on the event loop; finding credentials and refreshing them may read files, start
programs or call AWS, and runs in a thread.
"""

import asyncio
import threading
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import Any

from gateway.config.secret import Secret
from gateway.errors import ConfigError, UpstreamError
from gateway.providers.base import Authorizer, Target
from gateway.providers.bedrock import request as where
from gateway.types import HttpRequest

OPTIONS = (
    "aws_region_name",
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "aws_profile_name",
    "aws_role_name",
    "aws_session_name",
    "aws_external_id",
    "aws_sts_endpoint",
    "aws_bedrock_runtime_endpoint",
)
"""The settings this folder reads from a target's options."""

_SERVICE = "bedrock"

_REFRESH_WITHIN = 20 * 60
"""Seconds before their expiry from which credentials are only read in a thread. botocore refreshes them from 15 minutes
before, inside the call that reads them: the margin keeps that call off the event loop."""


def authorizer(target: Target) -> Authorizer:
    """What gives `target`'s requests their credentials: nothing more where an API key is in the header already.

    Raises:
        ConfigError: botocore is not installed, only half a key pair is given, or no region is known.
    """
    if target.api_key:
        return _as_it_is
    _check_installed()
    options = {name: _plain(target.options.get(name)) for name in OPTIONS}
    if bool(options["aws_access_key_id"]) != bool(options["aws_secret_access_key"]):
        raise ConfigError(["aws_access_key_id and aws_secret_access_key of the provider bedrock go together."])
    region = where.region(target)
    return Signer(region, partial(load, options, region))


def _check_installed() -> None:
    """Import now, at start-up, what would block the event loop at the first request."""
    try:
        import_module("botocore.auth")
        import_module("botocore.session")
    except ImportError as error:
        raise ConfigError([
            "The provider bedrock signs requests with botocore, which is not installed: "
            "pip install 'guardrail-gateway[bedrock]', or give the deployment a Bedrock API key as api_key."
        ]) from error  # fmt: skip


async def _as_it_is(request: HttpRequest) -> HttpRequest:
    return request


def _plain(value: Any) -> Any:
    return value.reveal() if isinstance(value, Secret) else value


def load(options: Mapping[str, str | None], region: str) -> Any:
    """botocore's credentials for `options`: the explicit key pair, else botocore's chain with the profile given.

    With `aws_role_name` these only serve to assume that role. None when the chain finds nothing. Blocks.
    """
    from botocore.credentials import Credentials  # type: ignore[import-untyped]
    from botocore.session import Session  # type: ignore[import-untyped]

    session = Session(profile=options["aws_profile_name"])
    if options["aws_access_key_id"]:
        found = Credentials(
            options["aws_access_key_id"], options["aws_secret_access_key"], options["aws_session_token"]
        )
    else:
        found = session.get_credentials()
    if options["aws_role_name"] and found is not None:
        return _assumed(options, session, region, found)
    return found


def _assumed(options: Mapping[str, str | None], session: Any, region: str, source: Any) -> Any:
    """Credentials of the role, asked of STS when they are first read and again before they expire."""
    from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials

    named = {"RoleSessionName": options["aws_session_name"], "ExternalId": options["aws_external_id"]}
    fetcher = AssumeRoleCredentialFetcher(
        partial(session.create_client, region_name=region, endpoint_url=options["aws_sts_endpoint"]),
        source,
        options["aws_role_name"],
        extra_args={name: value for name, value in named.items() if value},
    )
    return DeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role")


class Signer:
    """Signs requests for Bedrock in one region; an `Authorizer`.

    Credentials are found at the first request and kept. Each caller may be on an event loop of its own.
    """

    def __init__(self, region: str, load: Callable[[], Any]) -> None:
        """`load` gives botocore credentials or None; it may block."""
        self._region = region
        self._load = load
        self._lock = threading.Lock()
        self._credentials: Any = None

    async def __call__(self, request: HttpRequest) -> HttpRequest:
        """The request with its signature.

        Raises:
            UpstreamError: there are no credentials (`answered` is 401 then), or they could not be refreshed.
        """
        frozen = (
            await asyncio.to_thread(self._read) if self._may_block() else self._credentials.get_frozen_credentials()
        )
        return _signed(request, frozen, self._region)

    def __repr__(self) -> str:
        method = getattr(self._credentials, "method", "not looked up yet")
        return f"<Signer {self._region} credentials={method}>"

    def _may_block(self) -> bool:
        if self._credentials is None:
            return True
        refresh_needed = getattr(self._credentials, "refresh_needed", None)
        return bool(refresh_needed and refresh_needed(_REFRESH_WITHIN))

    def _read(self) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

        try:
            with self._lock:
                if self._credentials is None:
                    self._credentials = self._load()
            if self._credentials is not None:
                return self._credentials.get_frozen_credentials()
        except (BotoCoreError, ClientError, OSError, RuntimeError) as error:
            raise _no_credentials(lasting=not _may_pass(error)) from error
        raise _no_credentials(lasting=True)


def _no_credentials(*, lasting: bool) -> UpstreamError:
    """`lasting` where it stays so until an operator mends it: then it counts as a provider's 401."""
    error = UpstreamError(
        "The gateway has no valid AWS credentials for the provider bedrock; the operator must check this deployment's "
        "keys, profile or role."
    )
    if lasting:
        error.answered = 401
    return error


def _may_pass(error: Exception) -> bool:
    """Whether it is the service that gives credentials which fails: it is not reached, is busy, or breaks (5xx)."""
    from botocore.exceptions import ClientError, HTTPClientError, MetadataRetrievalError
    from botocore.exceptions import ConnectionError as Unconnected

    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
        return status >= 500 or status == 429 or error.response.get("Error", {}).get("Code") in _BUSY
    return isinstance(error, (Unconnected, HTTPClientError, MetadataRetrievalError))


_BUSY = frozenset({"Throttling", "ThrottlingException", "RequestLimitExceeded", "SlowDown"})
"""AWS' codes, with a status of 400, for asking too often."""


def _signed(request: HttpRequest, credentials: Any, region: str) -> HttpRequest:
    from botocore.auth import SigV4Auth  # type: ignore[import-untyped]
    from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]

    signed = AWSRequest(request.method, request.url, dict(request.headers), request.body)
    SigV4Auth(credentials, _SERVICE, region).add_auth(signed)
    return HttpRequest(request.method, request.url, dict(signed.headers.items()), request.body)
