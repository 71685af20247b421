"""The spans of a request, written once, when everything about it is known (telemetry.md §1).

    SERVER   POST /v1/completions
    ├ INTERNAL apply_guardrail <policy>          stage input
    ├ CLIENT   text_completion <request model>   one per call to a provider
    └ INTERNAL apply_guardrail <policy>          stage output

A pure function of the finished Exchange: nothing is started that would have to be ended, so no path through the gateway
can leave a span open, end it twice or lose its parent. Messages of errors are never told, only their codes.
"""

from gateway.exchange import Exchange, Trace
from gateway.telemetry import compat, content, usage
from gateway.telemetry import conventions as names
from gateway.telemetry.options import Options
from gateway.telemetry.routes import OTHER_ROUTE, route_of
from gateway.telemetry.span import Clock, Kind, Span, Value
from gateway.telemetry.spans_guardrail import guardrail
from gateway.telemetry.spans_inference import About, inference

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})
"""What `http.request.method` may be (semantic conventions, HTTP spans)."""


def of(exchange: Exchange, options: Options) -> list[Span]:
    """Every span of a finished request, its server span last; none where it is not sampled."""
    trace = exchange.trace
    if trace is None or not trace.sampled:
        return []
    texts = content.kept(exchange)
    clock, user = Clock(exchange), options.user(exchange.end_user)
    made = [guardrail(one, trace, clock, options) for one in exchange.judgements()]
    about = About(exchange, trace, clock, options, user, texts)
    made += [inference(record, about) for record in exchange.calls]
    made.append(_server(exchange, trace, clock, options, user))
    return made


def _server(exchange: Exchange, trace: Trace, clock: Clock, options: Options, user: str | None) -> Span:
    method = exchange.method if exchange.method in _METHODS else names.OTHER_METHOD
    route, request, error = route_of(exchange.path), exchange.request, usage.error_type(exchange)
    attributes: dict[str, Value] = {
        names.HTTP_METHOD: method,
        names.URL_PATH: usage.path(exchange, options),
        names.URL_SCHEME: exchange.scheme,
        names.REQUEST_ID: exchange.id,
        names.OUTCOME: usage.outcome(exchange),
    }
    if exchange.status:
        attributes[names.HTTP_STATUS] = exchange.status
    if exchange.server is not None:
        attributes[names.SERVER_ADDRESS] = exchange.server[0]
        if exchange.server[1] is not None:
            attributes[names.SERVER_PORT] = exchange.server[1]
    name = "HTTP" if method == names.OTHER_METHOD else method
    if route != OTHER_ROUTE:
        attributes[names.HTTP_ROUTE] = route
        name = f"{name} {route}"
    if request is not None:
        attributes[names.MODEL] = request.model[: usage.LONGEST_NAME]
    optional: tuple[tuple[str, Value | None], ...] = (
        (names.USER_AGENT, exchange.user_agent),
        (names.ERROR_TYPE, error),
        (names.USER_ID, user),
        (names.SESSION_ID, exchange.session),
        (names.KEY_ALIAS, exchange.key_alias),
        (names.TAGS, exchange.tags),
    )
    attributes.update({key: value for key, value in optional if value})
    for tool in options.compat:
        if add := compat.SERVER.get(tool):
            add(attributes, clock.began)
    if options.content and not compat.WHOLE.keys().isdisjoint(options.compat):
        compat.add_whole(attributes, options.compat, content.whole(exchange, options.content_characters))
    status = exchange.status if exchange.error is None else exchange.error.status
    return Span(
        trace.trace_id,
        trace.span_id,
        trace.parent_id,
        name,
        Kind.SERVER,
        clock.began,
        clock.ended,
        attributes,
        error=(error or str(status)) if status >= 500 else None,
        state=trace.state,
        parent_remote=trace.remote and bool(trace.parent_id),
    )
