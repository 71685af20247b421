"""The former name of the default engine, until `app.py` imports `gateway.routing.pool` itself."""

from gateway.routing.pool import PooledUpstream as ReqwestUpstream

__all__ = ["ReqwestUpstream"]
