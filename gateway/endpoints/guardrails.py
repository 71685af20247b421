"""`POST /v1/guardrails/check` judges a text without calling a provider; `GET /admin/policies` lists what is loaded."""

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any

from starlette.types import Receive, Scope, Send

from gateway import exchange as exchanges
from gateway.endpoints import admin, respond
from gateway.errors import InvalidJson, InvalidType, InvalidValue, MissingParameter
from gateway.guards.base import SEVERITY, Context, Finding, Stage, Text
from gateway.guards.engine import Outcome, judge
from gateway.guards.policy import Policy
from gateway.guards.verdict import Verdict
from gateway.middleware.permission import check_model
from gateway.wire import json

_FIELDS = frozenset({"text", "stage", "model", "policies"})
_PATHS: Mapping[str, str] = {"input": "prompt[0]", "output": "choices[0].text"}


class GuardrailCheck:
    """Answers with the decision, the masked text (null when blocked), the findings and the verdicts.

    A key that may not use a model is not told either what its policies say.

    Args:
        policies: all that are loaded.
        max_seconds: how long the client has to send its body.
    """

    def __init__(self, policies: Sequence[Policy], max_seconds: float) -> None:
        self.policies = tuple(policies)
        self.max_seconds = max_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = read(await admin.body(receive, self.max_seconds))
        exchange = exchanges.of(scope)
        if exchange.principal is not None and "model" in asked:
            check_model(exchange.principal, asked["model"])
        policies = self._chosen(asked.get("policies"))
        stage: Stage = asked["stage"]
        context = Context(stage, asked.get("model", ""), key=exchange.key_alias, request_id=exchange.id)
        began = perf_counter()
        outcome = await judge(policies, [Text(_PATHS[stage], asked["text"])], context)
        duration = (perf_counter() - began) * 1e6
        exchange.judges.append(lambda: outcome.verdicts)
        await respond.plain(send, {**answer(outcome), "duration_us": round(duration, 1)})

    def _chosen(self, names: Sequence[str] | None) -> tuple[Policy, ...]:
        if names is None:
            return self.policies
        known = [policy.name for policy in self.policies]
        unknown = next((name for name in names if name not in known), None)
        if unknown is not None:
            loaded = f"those loaded here are {', '.join(known)}" if known else "none is loaded here"
            raise InvalidValue(f"There is no policy {unknown[:64]!r}; {loaded}.", param="policies")
        return tuple(policy for policy in self.policies if policy.name in names)


def answer(outcome: Outcome) -> dict[str, Any]:
    """What became of one text, as the endpoint and `gateway explain` tell it; never what was matched."""
    findings = [(verdict, finding) for verdict in outcome.verdicts for finding in verdict.findings]
    return {
        "decision": outcome.blocked.decision if outcome.blocked else _decision(outcome.verdicts),
        "text": None if outcome.blocked else outcome.texts[0].value,
        "findings": [_finding(verdict, finding) for verdict, finding in findings],
        "verdicts": [_verdict(verdict) for verdict in outcome.verdicts],
    }


def _decision(verdicts: Sequence[Verdict]) -> str:
    order = ("allow", "flag", "hash", "mask", "redact", "block")
    return max((verdict.decision for verdict in verdicts if verdict.enforced), key=order.index, default="allow")


def _finding(verdict: Verdict, finding: Finding) -> dict[str, Any]:
    return {
        "policy": verdict.policy,
        "guard": finding.guard,
        "rule": finding.rule,
        "category": finding.category,
        "action": finding.action,
        "start": finding.start,
        "end": finding.end,
        "score": finding.score,
    }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "policy": verdict.policy,
        "version": verdict.version,
        "decision": verdict.decision,
        "enforced": verdict.enforced,
        "status": verdict.status,
    }


def read(body: bytes) -> dict[str, Any]:
    """The request of a check, its stage filled in.

    Raises:
        RequestError: with `param` naming the field.
    """
    try:
        asked = json.loads(body)
    except json.JSONDecodeError:
        raise InvalidJson("The body is not valid JSON; send an object with text.") from None
    if not isinstance(asked, dict):
        raise InvalidJson("The body must be a JSON object with text.")
    for name in asked.keys() - _FIELDS:
        raise InvalidValue(f"{name[:80]} is not a field of a guardrail check.", param=name[:80])
    if asked.get("text") is None:
        raise MissingParameter("The field text is required.", param="text")
    for name in ("text", "stage", "model"):
        if not isinstance(asked.get(name, ""), str):
            raise InvalidType(f"{name} must be a string.", param=name)
    if asked.setdefault("stage", "input") not in _PATHS:
        raise InvalidValue("stage must be input or output.", param="stage")
    policies = asked.get("policies")
    if policies is not None and not (isinstance(policies, list) and all(isinstance(name, str) for name in policies)):
        raise InvalidType("policies must be an array of strings.", param="policies")
    return asked


class Policies:
    """The loaded policies, with how often each decided what since this configuration is served.

    Args:
        policies: all that are loaded.
        counts: decisions by policy; whoever judges keeps them.
    """

    def __init__(self, policies: Sequence[Policy], counts: Mapping[str, Mapping[str, int]]) -> None:
        self.policies = tuple(policies)
        self.counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        admin.only_the_master(scope)
        data = [
            {
                "policy": policy.name,
                "version": policy.version,
                "mode": policy.mode,
                "stages": sorted(policy.stages),
                "guards": [guard.name for guard in policy.guards],
                **self._counted(policy.name),
            }
            for policy in self.policies
        ]
        await respond.plain(send, {"data": data})

    def _counted(self, policy: str) -> dict[str, dict[str, int]]:
        """How often it decided what, and how often it could not be judged, or not wholly, whatever followed."""
        counted = self.counts.get(policy, {})
        return {
            "decisions": {said: count for said, count in counted.items() if said in SEVERITY},
            "statuses": {said: count for said, count in counted.items() if said not in SEVERITY},
        }
