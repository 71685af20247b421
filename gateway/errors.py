"""Every error the gateway can answer with, drawn as a tree.

    GatewayError
    ├── RequestError                     400 invalid_request_error
    │   ├── InvalidJson                      invalid_json
    │   ├── MissingParameter                 missing_required_parameter
    │   ├── InvalidType                      invalid_type
    │   ├── InvalidValue                     invalid_value
    │   ├── UnsupportedParameter             unsupported_parameter
    │   ├── ContextTooLong                   context_length_exceeded
    │   ├── ModelNotFound                404 model_not_found
    │   ├── RouteNotFound                404 route_not_found
    │   ├── MethodNotAllowed             405 method_not_allowed
    │   ├── RequestTimeout               408 request_timeout
    │   ├── RequestTooLarge              413 request_too_large
    │   └── HeadersTooLarge              431 headers_too_large
    ├── PolicyBlocked                    400 guardrail_violation / policy_blocked
    ├── AuthenticationError              401 authentication_error / invalid_api_key
    ├── PermissionDenied                 403 permission_error / model_not_allowed, end_user_blocked
    ├── RateLimited                      429 rate_limit_error / rate_limit_exceeded
    ├── BudgetExceeded                   429 insufficient_quota / budget_exceeded
    ├── UpstreamError                    502 upstream_error
    │   ├── UpstreamRejected             4xx the provider refused the request; its status and message are kept
    │   ├── UpstreamRateLimited          429 rate_limit_error / rate_limit_exceeded
    │   ├── UpstreamConnectionError      502 no connection, or one that broke
    │   ├── UpstreamInvalidResponse      502 upstream_invalid_response
    │   └── UpstreamTimeout              504 timeout_error / upstream_timeout
    ├── Unavailable                      503 service_unavailable / no_healthy_deployment
    │   └── GuardrailUnavailable             guardrail_unavailable
    ├── InternalError                    500 internal_error
    ├── ClientDisconnected               499 never sent: the client has left
    └── ConfigError                          not an answer: what is wrong with the configuration

A message is one plain sentence that says what to do. It never holds matched text, a key or a traceback.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar


class GatewayError(Exception):
    """An answer other than the one asked for.

    Attributes: `status` (HTTP), `type` and `code` (stable, contract §4), `message` (public), `param` (the request
    field at fault, or None), `headers` (sent with the answer) and `retryable` (may another deployment do better?).
    """

    status: int = 500
    type: str = "internal_error"
    code: str | None = "internal_error"
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        status: int | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.headers: Mapping[str, str] = headers or {}
        self.status = status or self.status
        self.code = code or self.code

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.status} {self.code} param={self.param!r}>"

    def body(self) -> dict[str, Any]:
        """The error as the client reads it: `{"error": {"message", "type", "param", "code"}}`."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


class RequestError(GatewayError):
    """The request is at fault; sending it again unchanged will not help."""

    status = 400
    type = "invalid_request_error"
    code = "invalid_value"


class InvalidJson(RequestError):
    """The body is not one JSON object in UTF-8."""

    code = "invalid_json"


class MissingParameter(RequestError):
    """A required parameter is absent."""

    code = "missing_required_parameter"


class InvalidType(RequestError):
    """A parameter has the wrong JSON type."""

    code = "invalid_type"


class InvalidValue(RequestError):
    """A parameter is out of range or contradicts another."""

    code = "invalid_value"


class UnsupportedParameter(RequestError):
    """A parameter that nobody knows, or that the chosen provider cannot honour."""

    code = "unsupported_parameter"


class ContextTooLong(RequestError):
    """The prompt is longer than any deployment of the model takes; the code is the one OpenAI's API has."""

    code = "context_length_exceeded"


class ModelNotFound(RequestError):
    """No alias of that name."""

    status = 404
    code = "model_not_found"


class RouteNotFound(RequestError):
    """No endpoint at that path."""

    status = 404
    code = "route_not_found"


class MethodNotAllowed(RequestError):
    """The endpoint exists, the method does not."""

    status = 405
    code = "method_not_allowed"


class RequestTimeout(RequestError):
    """The client took too long to send its request."""

    status = 408
    code = "request_timeout"


class RequestTooLarge(RequestError):
    """The body is over `max_request_bytes`."""

    status = 413
    code = "request_too_large"


class HeadersTooLarge(RequestError):
    """The request's headers are over the limit."""

    status = 431
    code = "headers_too_large"


class PolicyBlocked(GatewayError):
    """A policy refused the text; `param` names the field.

    `guardrail` says which: policy, guard, category and the request's id. What was matched is nowhere in it.
    """

    status = 400
    type = "guardrail_violation"
    code = "policy_blocked"

    def __init__(self, message: str, *, guardrail: Mapping[str, str] | None = None, **rest: Any) -> None:
        super().__init__(message, **rest)
        self.guardrail: Mapping[str, str] = guardrail or {}

    def body(self) -> dict[str, Any]:
        """As for every error, with `guardrail` beside the other keys."""
        whole = super().body()
        whole["error"]["guardrail"] = dict(self.guardrail)
        return whole


class AuthenticationError(GatewayError):
    """No key, or one that is not valid."""

    status = 401
    type = "authentication_error"
    code = "invalid_api_key"


class PermissionDenied(GatewayError):
    """A valid key that may not do this; `code` is `model_not_allowed` or `end_user_blocked`."""

    status = 403
    type = "permission_error"
    code = "model_not_allowed"


class RateLimited(GatewayError):
    """A limit of the gateway is reached: of the key, the end user, a tag, the model, or of all."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"


class BudgetExceeded(GatewayError):
    """A budget does not suffice for the request; the message says which, and when it begins anew."""

    status = 429
    type = "insufficient_quota"
    code = "budget_exceeded"


class UpstreamError(GatewayError):
    """The provider failed; another deployment may do better. `answered` is its HTTP status, where it sent one."""

    answered: int | None = None
    status = 502
    type = "upstream_error"
    code = "upstream_error"
    retryable = True


class UpstreamRejected(UpstreamError):
    """The provider refused this request (its 400, 404, 413, 422): its status and message are the client's to see."""

    type = "invalid_request_error"
    code = "upstream_rejected"
    retryable = False


class UpstreamRateLimited(RateLimited, UpstreamError):
    """The provider's rate limit or quota is used up."""


class UpstreamConnectionError(UpstreamError):
    """No connection to the provider, or one that broke."""


class UpstreamInvalidResponse(UpstreamError):
    """The provider answered with something that is not its documented language."""

    code = "upstream_invalid_response"


class UpstreamTimeout(UpstreamError):
    """The provider did not answer in time. `which` limit passed: `connect`, `read` or `total`."""

    which: str = "read"
    status = 504
    type = "timeout_error"
    code = "upstream_timeout"


class Unavailable(GatewayError):
    """Nothing here can serve the request now; `code` says what is missing."""

    status = 503
    type = "service_unavailable"
    code = "no_healthy_deployment"


class GuardrailUnavailable(Unavailable):
    """A guard that must judge could not, and its policy fails closed."""

    code = "guardrail_unavailable"


class InternalError(GatewayError):
    """A fault of the gateway; the log has the details under the request id."""


class ClientDisconnected(GatewayError):
    """The client left before its answer was complete. Only logs see this status."""

    status = 499
    type = "client_closed_request"
    code = "client_disconnected"


class ConfigError(GatewayError):
    """Everything that is wrong with a configuration, each fault with its file, line and path."""

    type = "config_error"
    code = "config_error"

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


def error_classes() -> list[type[GatewayError]]:
    """Every class of the tree, parents first."""
    found: list[type[GatewayError]] = [GatewayError]
    for cls in found:
        found.extend(sub for sub in cls.__subclasses__() if sub not in found)
    return found
