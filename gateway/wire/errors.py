"""An error's body, read back: what a client over HTTP is answered is raised where the gateway is called in process."""

from collections.abc import Mapping
from typing import Any

from gateway.errors import ConfigError, GatewayError, InternalError, RequestError, UpstreamError, error_classes


def from_body(status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> GatewayError:
    """The error that `body` describes, so that a caller in process catches what a client over HTTP would read.

    Args:
        status: the HTTP status; 200 for an error inside a stream.
        body: an object with an `error` key as `GatewayError.body` makes it.
    """
    error = body["error"]
    code, kind = error.get("code"), error.get("type")
    candidates = [cls for cls in error_classes() if cls.code == code and cls.type == kind]
    exact = [cls for cls in candidates if cls.status == status]
    # The last one is the most particular: parents come first, and a parent may share its code with a child.
    cls = (exact or candidates or [UpstreamError if status == 200 or status >= 500 else RequestError])[-1]
    if cls in (ConfigError, GatewayError):
        cls = InternalError
    made = cls(error["message"], param=error.get("param"), code=code, headers=headers)
    if status != 200:
        made.status = status
    return made
