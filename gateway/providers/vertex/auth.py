"""Access tokens for Vertex AI, from a credentials file or from the machine the gateway runs on.

google-auth does the work; it blocks, so it runs in a thread, once however many requests wait for it. It is the extra
`vertex` and imported here only.
"""

import asyncio
import functools
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.config.secret import Secret
from gateway.errors import ConfigError, UpstreamConnectionError, UpstreamError
from gateway.providers.base import Authorizer, Target
from gateway.types import HttpRequest
from gateway.wire import json

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
TOKEN_TIMEOUT = 20.0
"""Seconds one call to the token service may take."""

_MISSING = "The provider vertex_ai needs the package google-auth; install it: pip install 'guardrail-gateway[vertex]'"


def authorizer(target: Target) -> Authorizer:
    """What adds an access token to each request; with an API key the request needs none and stays as it is.

    `vertex_credentials` is the path of a credentials file or its content (JSON text, a mapping or a Secret); without
    it, Application Default Credentials are looked up when the first request needs them.

    Raises:
        ConfigError: google-auth is not installed, or `vertex_credentials` is not what it should be.
    """
    if target.api_key is not None:
        return _as_it_is
    tokens = _Tokens(_loader(target.options.get("vertex_credentials")), target.provider)

    async def authorize(request: HttpRequest) -> HttpRequest:
        return replace(request, headers={**request.headers, **await tokens.headers()})

    return authorize


async def _as_it_is(request: HttpRequest) -> HttpRequest:
    return request


def _loader(given: Any) -> Callable[[], Any]:
    """What makes Google's credentials object for what the operator gave.

    A service account's key is read at once, so that a bad one is a fault of the configuration. The other kinds
    (workload identity, a person's own, the machine's) may ask the network already to be loaded: they wait.
    """
    try:
        import google.auth
        import google.auth.exceptions
        import google.auth.transport.requests  # needs requests too, which is better missed now than later
        from google.oauth2 import service_account
    except ImportError as error:
        raise ConfigError([_MISSING]) from error
    if not given:
        return lambda: google.auth.default(scopes=[SCOPE])[0]
    info = _info(given)
    load: Any = google.auth.load_credentials_from_dict
    key: Any = service_account.Credentials
    if not isinstance(info.get("type"), str):
        raise ConfigError(["vertex_credentials has no type, so it is no credentials file of Google's."])
    if info["type"] != "service_account":
        return lambda: load(info, scopes=[SCOPE])[0]
    try:
        account = key.from_service_account_info(info, scopes=[SCOPE])
    except (google.auth.exceptions.GoogleAuthError, ValueError) as error:
        raise ConfigError(["vertex_credentials is not the key of a service account as Google writes it."]) from error
    return lambda: account


def _info(given: Any) -> dict[str, Any]:
    """The content of a credentials file, whichever way it was given."""
    if isinstance(given, Mapping):
        return dict(given)
    text = given.reveal() if isinstance(given, Secret) else str(given)
    if not text.lstrip().startswith("{"):
        try:
            text = Path(text).expanduser().read_text("utf-8")
        except (OSError, ValueError) as error:
            raise ConfigError(["vertex_credentials is neither JSON nor the path of a readable file."]) from error
    try:
        info = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(["vertex_credentials is not valid JSON."]) from error
    if not isinstance(info, dict):
        raise ConfigError(["vertex_credentials is not a JSON object."])
    return info


class _Tokens:
    """One credentials object and the refresh that is under way, if any.

    A token that is about to expire (google-auth: within 225 s) still serves while it is being renewed.
    """

    def __init__(self, load: Callable[[], Any], provider: str) -> None:
        self._load = load
        self._credentials: Any = None
        self._provider = provider
        self._refreshing: asyncio.Task[None] | None = None
        self._lock = threading.Lock()  # event loops share the credentials; google-auth's are not thread-safe

    async def headers(self) -> dict[str, str]:
        """`authorization`, and `x-goog-user-project` where the credentials name a project for quotas.

        Raises:
            UpstreamConnectionError: the token service cannot be reached.
            UpstreamError: it gives no token for these credentials, or there are none; `answered` is 401 then.
        """
        from google.auth.credentials import TokenState

        state = self._credentials.token_state if self._credentials else TokenState.INVALID
        if state is not TokenState.FRESH:
            refreshing = self._start()
            if state is TokenState.INVALID:
                await asyncio.shield(refreshing)  # who leaves does not take the others' token along
        headers: dict[str, str] = {}
        self._credentials.apply(headers)
        return headers

    def _start(self) -> "asyncio.Task[None]":
        """The refresh under way in this event loop, or a new one."""
        task = self._refreshing
        loop = asyncio.get_running_loop()
        if task is None or task.done() or task.get_loop() is not loop:
            task = loop.create_task(asyncio.to_thread(self._refresh))
            task.add_done_callback(_retrieve)
            self._refreshing = task
        return task

    def _refresh(self) -> None:
        from google.auth.credentials import TokenState
        from google.auth.exceptions import GoogleAuthError, TransportError
        from google.auth.transport.requests import Request

        with self._lock:
            try:
                credentials = self._credentials or self._load()
                if credentials.token_state is not TokenState.FRESH:
                    credentials.refresh(functools.partial(Request(), timeout=TOKEN_TIMEOUT))
                self._credentials = credentials
            except TransportError as error:
                raise UpstreamConnectionError(
                    f"The gateway cannot reach Google's token service for the provider {self._provider}."
                ) from error
            except (GoogleAuthError, OSError, ValueError) as error:
                raise _no_token(self._provider, lasting=not _may_pass(error)) from error


def _no_token(provider: str, *, lasting: bool) -> UpstreamError:
    """`lasting` where it stays so until an operator mends it: then it counts as a provider's 401."""
    error = UpstreamError(
        f"Google gives no access token for the provider {provider}; "
        "the operator must check vertex_credentials or the machine's default credentials."
    )
    if lasting:
        error.answered = 401
    return error


def _may_pass(error: Exception) -> bool:
    """Whether the token service itself is at fault: it fails (google-auth says so where it knows the status), is not
    reached, or, asked to exchange a workload's token, says nothing in the words of RFC 6749 §5.2."""
    from google.auth.exceptions import GoogleAuthError, OAuthError, TransportError

    if isinstance(error, OAuthError):
        said = str(error.args[0]) if error.args else ""
        return not said.startswith("Error code ") or "server_error" in said
    return (isinstance(error, GoogleAuthError) and bool(error.retryable)) or isinstance(error.__cause__, TransportError)


def _retrieve(task: "asyncio.Task[None]") -> None:
    """Read the outcome of a refresh nobody may be waiting for any more, so that asyncio does not complain of it."""
    if not task.cancelled():
        task.exception()
