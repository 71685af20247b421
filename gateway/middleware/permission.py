"""What a caller may ask, and for whom: the model, the tags and the end user of a request that has been read."""

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway import exchange as exchanges
from gateway.errors import ModelNotFound, PermissionDenied
from gateway.exchange import Exchange
from gateway.identity.callers import Callers
from gateway.principal import Principal


class PermissionMiddleware:
    """Refuses a request that its key does not allow; everything but completions passes untouched.

    Args:
        app: the next step.
        callers: who may call.
    """

    def __init__(self, app: ASGIApp, callers: Callers) -> None:
        self.app = app
        self.callers = callers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = exchanges.of(scope) if scope["type"] == "http" else None
        if exchange is None or exchange.request is None:
            await self.app(scope, receive, send)
            return
        await check(self.callers, exchange)
        try:
            await self.app(scope, receive, send)
        except ModelNotFound as error:
            principal = exchange.principal
            if principal is None or not principal.models:
                raise
            # The error names the closest alias, which may be one that this key is not to know of.
            raise ModelNotFound(
                f"There is no model {exchange.request.model[:120]} here. GET /v1/models lists what this key may use.",
                param="model",
            ) from error


async def check(callers: Callers, exchange: Exchange) -> None:
    """Refuse a request whose key may not ask it: for its model, its tags, or its end user.

    Raises:
        PermissionDenied: the key may not.
        Unavailable: it cannot be told now, because the store cannot be reached.
    """
    principal, request = exchange.principal, exchange.request
    if principal is not None and request is not None:
        check_model(principal, request.model)
        callers.check_tags(principal, exchange.tags)
    if exchange.end_user is not None:
        await callers.check_end_user(principal, exchange.end_user)


def check_model(principal: Principal, model: str) -> None:
    """Refuse a key that may not use this alias, whether or not there is such a model.

    Raises:
        PermissionDenied: `model_not_allowed`.
    """
    if not principal.may_use(model):
        raise PermissionDenied(
            f"This key may not use the model {model[:120]}; GET /v1/models lists those it may use.", param="model"
        )
