"""The span of one policy's judgement. It says what kind of thing was found, never what or where."""

from gateway.exchange import Trace
from gateway.judgement import Found, Judgement
from gateway.telemetry import compat
from gateway.telemetry import conventions as names
from gateway.telemetry.options import Options
from gateway.telemetry.span import Clock, Event, Kind, Span, Value, child

_RESULTS = {"allow": "allow", "flag": "warn", "hash": "modify", "mask": "modify", "redact": "modify", "block": "deny"}
"""A policy's decisions in the words of `gen_ai.guardrail.result.type`; in shadow all but `allow` are `audit`."""

_GRAVITY = {action: number for number, action in enumerate(_RESULTS)}
_CHANGES = frozenset({"hash", "mask", "redact"})


def guardrail(one: Judgement, trace: Trace, clock: Clock, options: Options) -> Span:
    """A policy's judgement of one stage. `gen_ai.guardrail.result` tells each category of findings, once."""
    start, end = clock.at(one.began), clock.at(one.began + one.duration)
    result = _RESULTS.get(one.decision, one.decision)
    attributes: dict[str, Value] = {
        names.OPERATION_NAME: names.APPLY_GUARDRAIL,
        names.SPAN_KIND: "GUARDRAIL",
        names.GUARDRAIL_NAME: one.policy,
        names.GUARDRAIL_POLICY_ID: one.policy,
        names.GUARDRAIL_POLICY_VERSION: str(one.version),
        names.GUARDRAIL_SOURCE: one.stage,
        names.GUARDRAIL_RESULT: result if one.enforced or result == "allow" else "audit",
        names.GUARDRAIL_ACTION: one.decision,
        names.GUARDRAIL_ENFORCED: one.enforced,
        names.GUARDRAIL_STATUS: one.status,
        names.GUARDRAIL_FINDINGS: len(one.findings),
    }
    events: list[Event] = []
    if one.findings:
        attributes[names.GUARDRAIL_MASKED] = sum(one.enforced and each.action in _CHANGES for each in one.findings)
        gravest, events = _events(one, end)
        attributes[names.GUARDRAIL_CATEGORY] = gravest.category
        attributes[names.GUARDRAIL_SCORE] = float(gravest.score)
    error = one.status if one.status in ("error", "timeout") else None
    if error:
        attributes[names.ERROR_TYPE] = error
    for tool in options.compat:
        if add := compat.GUARDRAIL.get(tool):
            add(attributes, start)
    name = f"{names.APPLY_GUARDRAIL} {one.policy}"
    return child(trace, name, Kind.INTERNAL, (start, end), attributes, error, tuple(events))


def _events(one: Judgement, at: int) -> tuple[Found, list[Event]]:
    """The gravest finding, and an event for each category of findings, told by its gravest one."""
    by_category: dict[str, list[Found]] = {}
    for each in one.findings:
        by_category.setdefault(each.category, []).append(each)
    gravest = {category: max(found, key=_gravity) for category, found in by_category.items()}
    events = [
        Event(
            names.GUARDRAIL_RESULT_EVENT,
            at,
            {
                names.GUARDRAIL_NAME: each.guard,
                names.GUARDRAIL_CATEGORY: category,
                names.GUARDRAIL_SCORE: float(each.score),
                names.GUARDRAIL_ACTION: each.action,
                names.GUARDRAIL_FINDINGS: len(by_category[category]),
            },
        )
        for category, each in gravest.items()
    ]
    return max(gravest.values(), key=_gravity), events


def _gravity(found: Found) -> tuple[int, float]:
    return _GRAVITY.get(found.action, 0), found.score
