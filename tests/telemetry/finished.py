"""Finished requests, for the tests of what is told of them."""

from dataclasses import dataclass
from decimal import Decimal

from gateway.errors import GatewayError
from gateway.exchange import Exchange, Trace
from gateway.guards.base import Action, Finding, Stage
from gateway.guards.verdict import Status, Verdict
from gateway.types import Call, CompletionRequest, Cost, Message, Opening, Usage

TRACE = Trace("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "1111111111111111", state="vendor=1")
USAGE = Usage(10, 20, cached_tokens=4)
COST = Cost(Decimal("0.000048"), "config", "config", Decimal("0.000008"), Decimal("0.00004"))
URL = "https://user:secret@api.example.com:8443/v1/chat?key=secret"


def request(*prompts: str, **fields: object) -> Exchange:
    """A request that came in half a second ago and is over."""
    made = Exchange("req_1", "POST", "/v1/completions")
    made.trace, made.status = TRACE, 200
    made.server, made.user_agent = ("10.0.0.1", 4000), "openai/1"
    made.request = CompletionRequest("fast", prompts or ("hello",), **fields)  # type: ignore[arg-type]
    made.ended = made.began + 0.5
    return made


@dataclass
class Answer:
    """What a provider made of one call."""

    usage: Usage | None = USAGE
    cost: Cost | None = COST
    error: GatewayError | None = None
    status: int | None = 200
    cut: bool = False


def call(exchange: Exchange, prompt: str = "hello", answer: Answer | None = None, first: int = 0, **fields: object):
    """A call to a provider, from 0.1 to 0.4 seconds."""
    made = answer or Answer()
    asked = Call((Message("user", prompt),), prompt, **fields)  # type: ignore[arg-type]
    record = exchange.begin("azure", "azure-1", "gpt-4o", asked, first)
    record.began, record.ended = exchange.began + 0.1, exchange.began + 0.4
    record.url, record.sent, record.status = URL, True, made.status
    record.error, record.cut = made.error, made.cut
    record.opening = Opening("chatcmpl-1", "gpt-4o-2024-08-06") if made.error is None else None
    if made.error is None and not made.cut:
        record.finish_reasons = {first + index: "stop" for index in range(asked.n)}
        exchange.finish_reasons |= record.finish_reasons
    exchange.provider, exchange.deployment, exchange.served_model = "azure", "azure-1", "gpt-4o"
    if made.usage is not None and made.cost is not None:
        exchange.settle(record, made.usage, made.cost)
    return record


def judged(
    exchange: Exchange,
    *findings: tuple[str, Action],
    stage: Stage = "input",
    enforced: bool = True,
    status: Status = "ok",
    decision: Action | None = None,
    policy: str = "pii",
) -> Verdict:
    """A policy's verdict about `exchange`; findings by category and action."""
    found = tuple(
        Finding("guard", "RULE", category, action, "prompt[0]", 0, 3, 0.5 + number / 10)
        for number, (category, action) in enumerate(findings)
    )
    gravest = decision or (findings[-1][1] if findings else "allow")
    verdict = Verdict(policy, 2, stage, gravest, enforced, status, findings=found, duration=0.01)
    verdict.began = exchange.began + 0.05
    exchange.judges.append(lambda: (verdict,))
    return verdict
