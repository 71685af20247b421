"""The span of one call to a provider: the one that carries what was used and what it cost."""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

from gateway.exchange import CallRecord, Exchange, Trace
from gateway.telemetry import compat, content
from gateway.telemetry import conventions as names
from gateway.telemetry.options import Options
from gateway.telemetry.routes import operation_of
from gateway.telemetry.span import Clock, Kind, Span, Value, child
from gateway.telemetry.usage import LONGEST_NAME
from gateway.types import Call, Cost, Usage

_PORTS = {"http": 80, "https": 443}


class About(NamedTuple):
    """What all calls of one request have in common. `texts` is what its choices say, where that may be kept."""

    exchange: Exchange
    trace: Trace
    clock: Clock
    options: Options
    user: str | None
    texts: Mapping[int, str] | None


def inference(record: CallRecord, about: About) -> Span:
    """A call to a provider, from the request to the end of its answer."""
    operation = operation_of(about.exchange.path)
    exchange, options, start = about.exchange, about.options, about.clock.at(record.began)
    attributes: dict[str, Value] = {
        names.OPERATION_NAME: operation,
        names.PROVIDER_NAME: names.PROVIDERS.get(record.provider, record.provider),
        names.REQUEST_MODEL: record.model,
        names.DEPLOYMENT: record.deployment,
        names.ATTEMPT: record.attempt,
    }
    if record.why != "first":
        attributes[names.CALL_REASON] = record.why
    address, port = server(record.url)
    if address:
        attributes[names.SERVER_ADDRESS] = address
    if port:
        attributes[names.SERVER_PORT] = port
    _add_request(attributes, record.call)
    _add_response(attributes, record, exchange)
    if record.usage is not None:
        _add_usage(attributes, record.usage, record.cost, options)
    if about.user:
        attributes[names.USER_ID] = about.user
    if exchange.session:
        attributes[names.SESSION_ID] = exchange.session
    if conversation := _conversation(exchange):
        attributes[names.CONVERSATION_ID] = conversation
    if about.texts is not None:
        _add_content(attributes, record, exchange, about.texts, options.content_characters)
    error = None if record.error is None else record.error.code or record.error.type
    if error is not None:
        attributes[names.ERROR_TYPE] = error
    for tool in options.compat:
        if add := compat.INFERENCE.get(tool):
            add(attributes, start)
    end = about.clock.ended if record.ended is None else about.clock.at(record.ended)
    name = f"{operation} {record.model}"
    return child(about.trace, name, Kind.CLIENT, (start, end), attributes, error)


def _add_request(attributes: dict[str, Value], call: Call) -> None:
    """The parameters that were sent; numbers that may have a fraction are always fractions, whatever the client wrote,
    for a backend's column has one type."""
    attributes[names.REQUEST_STREAM] = call.stream
    if call.max_tokens is not None:
        attributes[names.REQUEST_MAX_TOKENS] = call.max_tokens
    if call.n != 1:
        attributes[names.REQUEST_CHOICE_COUNT] = call.n
    if call.seed is not None:
        attributes[names.REQUEST_SEED] = call.seed
    if call.temperature is not None:
        attributes[names.REQUEST_TEMPERATURE] = float(call.temperature)
    if call.top_p is not None:
        attributes[names.REQUEST_TOP_P] = float(call.top_p)
    if call.frequency_penalty is not None:
        attributes[names.REQUEST_FREQUENCY_PENALTY] = float(call.frequency_penalty)
    if call.presence_penalty is not None:
        attributes[names.REQUEST_PRESENCE_PENALTY] = float(call.presence_penalty)


def _add_response(attributes: dict[str, Value], record: CallRecord, exchange: Exchange) -> None:
    opening = record.opening
    if opening is not None:
        if opening.id:
            attributes[names.RESPONSE_ID] = opening.id[:LONGEST_NAME]
        if opening.model:
            attributes[names.RESPONSE_MODEL] = opening.model[:LONGEST_NAME]
    if reasons := _reasons(record, exchange):
        attributes[names.RESPONSE_FINISH_REASONS] = reasons
    if record.first_chunk is not None:
        attributes[names.RESPONSE_TIME_TO_FIRST_CHUNK] = record.first_chunk - record.began


def _reasons(record: CallRecord, exchange: Exchange) -> tuple[str, ...]:
    """Why each choice of a call ended: `error` where the answer broke off, the gateway's own reason where that ended
    it, and none for a call that was refused."""
    found, first = record.finish_reasons, record.first
    if len(found) == 1 and record.call.n == 1:
        return tuple(found.values())
    broken = record.error is not None and record.status is not None and record.status < 300
    reasons: list[str] = []
    for index in range(first, first + record.call.n):
        ours = exchange.finish_reasons.get(index) if record.cut else None
        reason = found.get(index) or ours or ("error" if broken else None)
        if reason:
            reasons.append(reason)
    return tuple(reasons)


def _add_usage(attributes: dict[str, Value], used: Usage, cost: Cost | None, options: Options) -> None:
    attributes[names.USAGE_INPUT_TOKENS] = used.input_tokens
    attributes[names.USAGE_OUTPUT_TOKENS] = used.output_tokens
    attributes[names.USAGE_ESTIMATED] = used.estimated
    if used.cached_tokens:
        attributes[names.USAGE_CACHE_READ] = used.cached_tokens
    if used.cache_write_tokens:
        written = names.USAGE_CACHE_WRITE if options.newest_names else names.USAGE_CACHE_CREATION
        attributes[written] = used.cache_write_tokens
    if used.reasoning_tokens:
        attributes[names.USAGE_REASONING] = used.reasoning_tokens
    if cost is None:
        return
    attributes[names.COST_SOURCE] = cost.source
    if cost.version:
        attributes[names.COST_PRICE_VERSION] = cost.version
    if cost.total is not None:
        attributes[names.USAGE_COST] = float(cost.total)
    if cost.input is not None:
        attributes[names.COST_INPUT] = float(cost.input)
    if cost.output is not None:
        attributes[names.COST_OUTPUT] = float(cost.output)


def _add_content(
    attributes: dict[str, Value], record: CallRecord, exchange: Exchange, texts: Mapping[int, str], most: int
) -> None:
    if asked := content.asked(record.call, most):
        attributes[names.INPUT_MESSAGES] = asked
    if record.error is None and (answered := content.answered(exchange, record, texts, most)):
        attributes[names.OUTPUT_MESSAGES] = answered


def _conversation(exchange: Exchange) -> str | None:
    """The conversation a request belongs to, only where the application names one: `metadata.conversation_id`."""
    metadata = exchange.request.metadata if exchange.request is not None else None
    named = metadata.get("conversation_id") if metadata else None
    return named[:LONGEST_NAME] if isinstance(named, str) and named else None


@lru_cache(maxsize=256)
def server(url: str) -> tuple[str, int | None]:
    """The host and the port of a provider's URL, and nothing else of it: the rest may hold a key."""
    try:
        parts = urlsplit(url)
        return parts.hostname or "", parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return "", None
