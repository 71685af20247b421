"""The usage record of a request, whatever happened to it, sampled or not.

It is made once, when the request is over, and written as one line of the log.
"""

from typing import Any

from gateway.errors import ClientDisconnected, PolicyBlocked
from gateway.exchange import Exchange
from gateway.judgement import Judgement
from gateway.telemetry import content
from gateway.telemetry import conventions as names
from gateway.telemetry.options import Options
from gateway.telemetry.routes import END_USERS_PATH, OTHER_ROUTE, route_of
from gateway.usage import Decision, Outcome, UsageRecord

_CHANGES = frozenset({"hash", "mask", "redact"})
LONGEST_NAME = 256
"""Characters of what a client names freely: a model, an agent."""
LONGEST_PATH = 512


def outcome(exchange: Exchange) -> Outcome:
    """What a request came to: the one place where that is decided."""
    error = exchange.error
    if error is not None:
        if isinstance(error, ClientDisconnected):
            return "cancelled"
        return "blocked" if isinstance(error, PolicyBlocked) else "error"
    if exchange.status >= 400:
        return "error"
    enforced = [judgement.decision for judgement in exchange.judgements() if judgement.enforced]
    if exchange.withheld is not None or "block" in enforced:
        return "blocked"
    return "masked" if not _CHANGES.isdisjoint(enforced) else "allowed"


def error_type(exchange: Exchange) -> str | None:
    """The class of a request's failure: a stable code of `gateway.errors`, or the status of another app's answer.

    Never a message: those of providers may hold anything.
    """
    error = exchange.error
    if error is not None:
        return error.code or error.type
    return str(exchange.status) if exchange.status >= 400 else None


def path(exchange: Exchange, options: Options) -> str:
    """The path of a request as telemetry may tell it: without an end user's name where pseudonyms are told."""
    told = exchange.path
    if options.pseudonym_key is not None and (at := told.find(END_USERS_PATH)) >= 0:
        told = f"{told[: at + len(END_USERS_PATH)]}{{id}}"
    return told[:LONGEST_PATH]


def record(exchange: Exchange, options: Options) -> UsageRecord:
    """The record of a finished request."""
    request, trace, opening = exchange.request, exchange.trace, exchange.opening
    principal = exchange.principal
    usage, cost = exchange.usage, exchange.cost
    reasons = exchange.finish_reasons
    route = route_of(exchange.path)
    inputs, outputs = content.whole(exchange, options.content_characters)
    return UsageRecord(
        at=exchange.began_at,
        request_id=exchange.id,
        trace_id=trace.trace_id if trace else "",
        span_id=trace.span_id if trace else "",
        method=exchange.method[:16],
        path=path(exchange, options),
        route="" if route == OTHER_ROUTE else route,
        status=exchange.status,
        outcome=outcome(exchange),
        error_type=error_type(exchange),
        duration=exchange.duration(),
        overhead=exchange.overhead(),
        time_to_first_chunk=exchange.first_chunk,
        key_alias=exchange.key_alias,
        key_id=principal.id if principal is not None and principal.kind == "key" else None,
        end_user=options.user(exchange.end_user),
        session=exchange.session,
        tags=exchange.tags,
        model=request.model[:LONGEST_NAME] if request else None,
        stream=request.stream if request else False,
        provider=exchange.provider,
        deployment=exchange.deployment,
        served_model=exchange.served_model,
        response_model=opening.model if opening else None,
        attempts=exchange.attempts,
        dropped=exchange.dropped,
        input_tokens=usage.input_tokens if usage else None,
        output_tokens=usage.output_tokens if usage else 0,
        cached_tokens=usage.cached_tokens if usage else 0,
        cache_write_tokens=usage.cache_write_tokens if usage else 0,
        reasoning_tokens=usage.reasoning_tokens if usage else 0,
        estimated=usage.estimated if usage else False,
        cost=cost.total if cost else None,
        input_cost=cost.input if cost else None,
        output_cost=cost.output if cost else None,
        cost_source=cost.source if cost else None,
        price_version=cost.version if cost else None,
        finish_reasons=tuple([reasons[index] for index in sorted(reasons)]),
        decisions=tuple([_decision(judgement) for judgement in exchange.judgements()]),
        inputs=inputs,
        outputs=outputs,
        resumed=exchange.resumed,
    )


def _decision(one: Judgement) -> Decision:
    found = len(one.findings)
    return Decision(one.policy, one.version, one.stage, one.decision, one.enforced, one.status, found)


def line(one: UsageRecord, options: Options) -> dict[str, Any]:
    """The record as attributes of a log line, named as on spans; what does not apply is left out."""
    told: dict[str, Any] = {names.REQUEST_ID: one.request_id}
    if one.trace_id:
        told[names.TRACE_ID], told[names.SPAN_ID] = one.trace_id, one.span_id
    told[names.HTTP_METHOD], told[names.URL_PATH] = one.method, one.path
    told[names.HTTP_STATUS], told[names.OUTCOME] = one.status, one.outcome
    told[names.DURATION_MS] = round(one.duration * 1000, 3)
    if one.model is not None:
        told[names.MODEL], told[names.REQUEST_STREAM] = one.model, one.stream
    if one.deployment is not None:
        _add_served(told, one)
    if one.input_tokens is not None:
        _add_usage(told, one, options)
    if one.cost_source is not None:
        told[names.USAGE_COST] = None if one.cost is None else float(one.cost)
        told[names.COST_SOURCE], told[names.COST_PRICE_VERSION] = one.cost_source, one.price_version
    if one.decisions:
        told[names.GUARDRAILS] = [_told(decision) for decision in one.decisions]
    optional = (
        (names.ERROR_TYPE, one.error_type),
        (names.USER_ID, one.end_user),
        (names.SESSION_ID, one.session),
        (names.KEY_ALIAS, one.key_alias),
        (names.TAGS, one.tags),
        (names.DROPPED_PARAMS, one.dropped),
        (names.RESUMED, one.resumed),
        (names.RESPONSE_FINISH_REASONS, one.finish_reasons),
        (names.INPUT_MESSAGES, one.inputs),
        (names.OUTPUT_MESSAGES, one.outputs),
    )
    told.update({name: value for name, value in optional if value})
    return told


def _add_served(told: dict[str, Any], one: UsageRecord) -> None:
    told[names.PROVIDER_NAME] = names.PROVIDERS.get(one.provider or "", one.provider)
    told[names.REQUEST_MODEL], told[names.DEPLOYMENT] = one.served_model, one.deployment
    told[names.ATTEMPTS], told[names.OVERHEAD_MS] = one.attempts, round(one.overhead * 1000, 3)
    if one.response_model:
        told[names.RESPONSE_MODEL] = one.response_model
    if one.time_to_first_chunk is not None:
        told[names.RESPONSE_TIME_TO_FIRST_CHUNK] = round(one.time_to_first_chunk, 6)


def _add_usage(told: dict[str, Any], one: UsageRecord, options: Options) -> None:
    told[names.USAGE_INPUT_TOKENS], told[names.USAGE_OUTPUT_TOKENS] = one.input_tokens, one.output_tokens
    told[names.USAGE_ESTIMATED] = one.estimated
    if one.cached_tokens:
        told[names.USAGE_CACHE_READ] = one.cached_tokens
    if one.cache_write_tokens:
        told[names.USAGE_CACHE_WRITE if options.newest_names else names.USAGE_CACHE_CREATION] = one.cache_write_tokens
    if one.reasoning_tokens:
        told[names.USAGE_REASONING] = one.reasoning_tokens


def _told(one: Decision) -> dict[str, Any]:
    return {
        "policy": one.policy,
        "version": one.version,
        "stage": one.stage,
        "decision": one.decision,
        "enforced": one.enforced,
        "status": one.status,
        "findings": one.findings,
    }
