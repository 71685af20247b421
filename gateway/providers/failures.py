"""What a provider's failures become: its statuses, its error bodies, and bytes that are not its language."""

import re
from collections.abc import Mapping
from typing import Any

from gateway.errors import (
    UpstreamConnectionError,
    UpstreamError,
    UpstreamInvalidResponse,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
)
from gateway.wire import json


def parse_object(body: bytes, provider: str) -> dict[str, Any]:
    """A JSON object from a provider's bytes.

    Raises:
        UpstreamInvalidResponse: anything else.
    """
    try:
        value = json.loads(body)
    except json.JSONDecodeError as error:
        raise invalid_response(provider, "its answer is not JSON") from error
    if not isinstance(value, dict):
        raise invalid_response(provider, "its answer is not a JSON object")
    return value


def invalid_response(provider: str, what: str) -> UpstreamInvalidResponse:
    """The error for bytes that are not the provider's language; `what` completes "…: <what>"."""
    return UpstreamInvalidResponse(f"The provider {provider} sent an answer the gateway cannot read: {what}.")


_ABOUT_THE_REQUEST = frozenset({400, 404, 413, 422})
_MAX_MESSAGE = 1000


def error_from(
    provider: str, status: int, headers: Mapping[str, str], message: str | None, param: str | None = None
) -> UpstreamError:
    """The error of a provider's non-2xx answer, by its status.

    400, 404, 413 and 422 are about the request: status and message reach the client. 429 keeps its `retry-after`.
    401, 402 and 403 are about the operator's account: the client learns only that the provider refused the gateway.
    The status itself is in `answered`.
    """
    found = _error(provider, status, headers, message, param)
    found.answered = status
    return found


def _error(
    provider: str, status: int, headers: Mapping[str, str], message: str | None, param: str | None
) -> UpstreamError:
    retry = {"retry-after": headers["retry-after"]} if "retry-after" in headers else {}
    said = f": {' '.join(message.split())[:_MAX_MESSAGE]}" if message else "."
    if status in _ABOUT_THE_REQUEST:
        return UpstreamRejected(f"The provider {provider} refused the request{said}", status=status, param=param)
    if status == 429:
        return UpstreamRateLimited(f"The provider {provider} is limiting requests; try again later.", headers=retry)
    if status in (408, 504):
        return UpstreamTimeout(f"The provider {provider} did not finish in time (HTTP {status}); try again later.")
    if status in (401, 402, 403):
        return UpstreamError(
            f"The provider {provider} did not accept the gateway's credentials (HTTP {status}); "
            "the operator must check this deployment's key and account."
        )
    return UpstreamError(f"The provider {provider} failed with HTTP {status}; try again later.", headers=retry)


def message_in(body: bytes) -> tuple[str | None, str | None]:
    """The message and the parameter of an error body in one of the usual shapes.

    Read are `{"error": {"message", "param"}}`, `{"error": "…"}`, `{"message": "…"}`, `{"detail": "…"}`,
    `{"errors": [{"message"}]}` (Cloudflare, IBM) and a validator's `{"detail": [{"loc", "msg"}]}` (FastAPI: Mistral,
    DeepInfra), which Mistral also puts inside `message`.
    """
    try:
        value = json.loads(body)
    except json.JSONDecodeError:
        return None, None
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, dict):
        return None, None
    errors = value.get("errors")
    error = errors[0] if isinstance(errors, list) and errors else value.get("error", value)
    if isinstance(error, str):
        return error, None
    if not isinstance(error, dict):
        return None, None
    message = error.get("message") or error.get("detail")
    if isinstance(message, dict):
        message = message.get("detail")
    if isinstance(message, list):
        return _validation(message)
    param = error.get("param")
    return message if isinstance(message, str) else None, param if isinstance(param, str) else None


def _validation(faults: list[Any]) -> tuple[str | None, str | None]:
    """A validator's first fault. Only place and words are read: its other keys repeat what the client sent."""
    first = faults[0] if faults else None
    if not isinstance(first, dict) or not isinstance(first.get("msg"), str):
        return None, None
    place = first.get("loc")
    names = [part for part in place if isinstance(part, str) and part != "body"] if isinstance(place, list) else []
    param = names[0] if names else None
    return (f"{param}: {first['msg']}" if param else first["msg"]), param


def reported(provider: str, error: Any) -> UpstreamError:
    """The error told inside a 200 answer, by its `code` or `status` where one is an HTTP status, else as a 500."""
    if not isinstance(error, Mapping):
        return error_from(provider, 500, {}, str(error))
    said = (str(error.get("code")), str(error.get("status")))
    status = next((int(value) for value in said if re.fullmatch("[45][0-9][0-9]", value)), 500)
    message = error.get("message")
    return error_from(provider, status, {}, message if isinstance(message, str) else None)


def filtered(provider: str) -> UpstreamRejected:
    """A provider whose content policy has ended an answer, in place of refusing the prompt."""
    error = UpstreamRejected(f"{provider} ended its answer by its content policy.", status=400)
    error.answered = 400
    return error


def cut(provider: str) -> UpstreamError:
    """The error for a stream that ended before its answer did."""
    return UpstreamConnectionError(f"The provider {provider} ended its stream before the answer was complete.")
