"""The onion, outermost first. It is written once, here."""

from collections.abc import Sequence

from starlette.middleware import Middleware

from gateway.config.model import Settings
from gateway.guards.policy import Policy
from gateway.identity.callers import Callers, digest
from gateway.ledger.admission import Admission
from gateway.ledger.books import Books
from gateway.middleware.accountable import AccountableMiddleware
from gateway.middleware.accounting import AccountingMiddleware
from gateway.middleware.admission import AdmissionMiddleware
from gateway.middleware.body import BodyMiddleware
from gateway.middleware.body_limit import BodyLimitMiddleware
from gateway.middleware.deadline import DeadlineMiddleware
from gateway.middleware.errors import ErrorMiddleware
from gateway.middleware.guard_input import Counts, Decode, GuardInputMiddleware
from gateway.middleware.guard_output import GuardOutputMiddleware
from gateway.middleware.identity import IdentityMiddleware
from gateway.middleware.overload import Door, OverloadMiddleware
from gateway.middleware.permission import PermissionMiddleware
from gateway.middleware.scope import ScopeMiddleware
from gateway.telemetry.logs import Logger
from gateway.telemetry.options import Options
from gateway.telemetry.telemetry import Telemetry


def unread(_model: str, _ids: tuple[int, ...]) -> str | None:
    """Reads no token ids."""
    return None


def stack(
    settings: Settings,
    log: Logger,
    policies: Sequence[Policy] = (),
    decode: Decode = unread,
    counts: Counts | None = None,
    telemetry: Telemetry | None = None,
    callers: Callers | None = None,
    books: Books | None = None,
    admission: Admission | None = None,
    door: Door | None = None,
) -> list[Middleware]:
    """The steps every request passes on its way in, and in reverse on its way out."""
    general, end_users = settings.general, settings.end_users
    if callers is None:
        callers = Callers(digest(general.master_key.reveal()) if general.master_key else None)
    return [
        Middleware(ScopeMiddleware, log=log, telemetry=telemetry),
        Middleware(AccountingMiddleware, books=books, options=telemetry.options if telemetry else Options()),
        Middleware(ErrorMiddleware, log=log),
        Middleware(BodyLimitMiddleware, max_bytes=general.max_request_bytes),
        Middleware(IdentityMiddleware, callers=callers),
        Middleware(AccountableMiddleware, books=books),
        Middleware(
            BodyMiddleware,
            max_bytes=general.max_request_bytes,
            read_timeout=general.request_read_timeout,
            end_user_sources=end_users.sources,
            require_end_user=end_users.require,
        ),
        Middleware(DeadlineMiddleware),
        Middleware(PermissionMiddleware, callers=callers),
        Middleware(AdmissionMiddleware, callers=callers, admission=admission),
        Middleware(OverloadMiddleware, door=door),
        Middleware(GuardInputMiddleware, policies=policies, decode=decode, counts=counts),
        Middleware(GuardOutputMiddleware, policies=policies),
    ]
