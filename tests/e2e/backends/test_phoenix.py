"""Spans read back from a real Arize Phoenix, sent over HTTP and over gRPC."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest

from gateway.wire import json
from tests.e2e import kit as processes
from tests.e2e.backends import kit, servers

pytestmark = pytest.mark.e2e

TELEMETRY = """
telemetry:
  otlp_endpoint: {url}
  resource_attributes: {{openinference.project.name: {way}}}
  {more}
"""
HTTP = "capture_content: guarded\n  compat: [openinference]\n"
GRPC = "otlp_protocol: grpc\nend_users: {pseudonymize: true}\n"

TRACE = """
query ($id: String!) {
  getTraceByOtelId(traceId: $id) {
    numSpans userId errorCount session { sessionId } rootSpan { spanId spanKind }
    spans(first: 20) { edges { node {
      spanKind tokenCountPrompt tokenCountCompletion tokenPromptDetails { cacheRead }
    } } }
    costSummary { total { cost } prompt { cost } completion { cost } }
  }
}
"""
PRICE = """
mutation ($name: String!, $pattern: String!, $input: Float!, $output: Float!) {
  createModel(input: {name: $name, namePattern: $pattern, costs: [
    {tokenType: "input", kind: PROMPT, costPerMillionTokens: $input}
    {tokenType: "output", kind: COMPLETION, costPerMillionTokens: $output}
  ]}) { model { id } }
}
"""


@dataclass(frozen=True, slots=True)
class Run:
    """Every case, sent through a gateway that exports in one way."""

    way: str
    gateway: processes.Process
    asked: Mapping[str, kit.Asked]
    phoenix: servers.Phoenix

    def whole(self, asked: kit.Asked) -> list[kit.Stored]:
        """The spans of a trace, once they are all there."""
        return servers.whole(asked, lambda trace_id: self.phoenix.spans(self.way, trace_id))


@pytest.fixture(scope="module", params=["http", "grpc"])
def run(request, phoenix: servers.Phoenix, models: str, tmp_path_factory) -> Iterator[Run]:
    way = request.param
    url, more = (phoenix.url, HTTP) if way == "http" else (phoenix.grpc, GRPC)
    config = models + TELEMETRY.format(url=url, way=way, more=more)
    with processes.gateway(tmp_path_factory.mktemp("gateway"), config) as gateway:
        yield Run(way, gateway, {case.name: kit.ask(gateway, case) for case in kit.CASES}, phoenix)


@pytest.fixture(params=kit.CASES, ids=str)
def asked(request, run: Run) -> kit.Asked:
    return run.asked[request.param.name]


def test_a_trace_comes_back_as_it_was_sent(run: Run, asked: kit.Asked):
    spans = run.whole(asked)
    kit.check_tree(spans, asked, "CHAIN" if run.way == "http" else "UNKNOWN")
    kit.check_words(spans, asked, asked.record["user.id"])
    kit.check_guardrails(spans, asked)


def test_it_knows_root_user_session_kinds_tokens_and_errors_of_a_trace(run: Run, asked: kit.Asked):
    spans = run.whole(asked)
    trace = run.phoenix.graphql(TRACE, id=asked.trace_id)["getTraceByOtelId"]
    assert trace["numSpans"] == len(spans)
    assert trace["rootSpan"]["spanId"] == asked.record["span_id"]
    assert trace["userId"] == asked.record["user.id"]
    assert trace["session"]["sessionId"] == "session-7"
    assert trace["errorCount"] == sum(span.failed for span in spans)
    nodes = [edge["node"] for edge in trace["spans"]["edges"]]
    guardrails = sum(span.kind == "GUARDRAIL" for span in spans)
    assert sum(node["spanKind"] == "guardrail" for node in nodes) == guardrails > 0
    for side, theirs in (("input", "tokenCountPrompt"), ("output", "tokenCountCompletion")):
        counted = sum(node[theirs] or 0 for node in nodes if node["spanKind"] == "llm")
        assert counted == asked.record.get(f"gen_ai.usage.{side}_tokens", 0)


def test_an_end_user_is_told_by_a_pseudonym_where_that_is_wanted(run: Run, asked: kit.Asked):
    hidden = run.way == "grpc"
    assert (asked.record["user.id"] == kit.USER) is not hidden
    shown = json.dumps([span.attributes for span in run.whole(asked)])
    assert (kit.USER.encode() in shown) is not hidden


def test_content_is_there_only_where_it_is_wanted_and_is_the_guarded_text(run: Run):
    asked = run.asked["masked"]
    assert kit.MAIL in asked.text  # the caller has the value back
    (call,) = [span for span in run.whole(asked) if span.kind == "LLM"]
    names = [f"llm.{side}_messages.0.message.content" for side in ("input", "output")]
    shown = [call.attributes.get(name) for name in names]
    assert shown == (["Say <EMAIL_ADDRESS_1> is it", "<EMAIL_ADDRESS_1> is it."] if run.way == "http" else [None, None])


def test_it_knows_which_tokens_came_from_a_cache(run: Run):
    asked = run.asked["cached"]
    run.whole(asked)
    trace = run.phoenix.graphql(TRACE, id=asked.trace_id)["getTraceByOtelId"]
    (call,) = [edge["node"] for edge in trace["spans"]["edges"] if edge["node"]["spanKind"] == "llm"]
    assert (call["tokenCountPrompt"], call["tokenCountCompletion"]) == (100, 40)
    assert call["tokenPromptDetails"] == {"cacheRead": 60}
    assert asked.cost == pytest.approx(40 * 1e-5 + 60 * 1e-6 + 10 * 1e-4 + 30 * 2e-4)


@pytest.mark.parametrize("run", ["http"], indirect=True)
def test_auto_asked_once_and_went_on_in_protobuf(run: Run):
    """Phoenix refuses OTLP/JSON with 415."""
    run.whole(run.asked["whole"])
    assert (run.phoenix.process.out + run.phoenix.process.err).count('"POST /v1/traces HTTP/1.1" 415') == 1


@pytest.mark.parametrize("run", ["http"], indirect=True)
def test_it_counts_a_cost_of_its_own_which_is_the_gateways_where_it_is_given_the_same_prices(run: Run):
    """Phoenix reads nobody's cost: `llm.cost.total` is kept as an attribute, its sums are made of its own prices."""
    before = run.asked["whole"]
    (call,) = [span for span in run.whole(before) if span.kind == "LLM"]
    assert call.attributes["llm.cost.total"] == pytest.approx(before.cost)
    assert not run.phoenix.graphql(TRACE, id=before.trace_id)["getTraceByOtelId"]["costSummary"]["total"]["cost"]
    run.phoenix.graphql(PRICE, name="lantern-small", pattern="^lantern-small$", input=2.0, output=10.0)
    case = kit.CASES[0]

    def priced() -> tuple[float, float] | None:
        """What both count for one more request; None while Phoenix has not read its prices anew."""
        asked = kit.ask(run.gateway, case)
        run.whole(asked)
        total = run.phoenix.graphql(TRACE, id=asked.trace_id)["getTraceByOtelId"]["costSummary"]["total"]["cost"]
        return (total, asked.cost or 0.0) if total else None

    theirs, ours = processes.until("a cost of its own", priced)
    assert theirs == pytest.approx(ours)


def test_a_trace_that_a_caller_began_goes_on(run: Run):
    trace_id, parent = "0af7651916cd43dd8448eb211c8031" + ("aa" if run.way == "http" else "bb"), "b7ad6b7169203331"
    asked = kit.ask(run.gateway, kit.CASES[0], {"traceparent": f"00-{trace_id}-{parent}-01"})
    assert asked.trace_id == trace_id
    spans = run.whole(asked)
    kit.check_tree(spans, asked, "CHAIN" if run.way == "http" else "UNKNOWN", parent)


def test_no_byte_of_what_it_stored_is_a_masked_or_a_blocked_value(run: Run):
    for asked in run.asked.values():
        run.whole(asked)
    assert kit.holding(run.phoenix.folder, *kit.NEEDLES) == []
    files = {name for name, _ in kit.holding(run.phoenix.folder, "session-7")}
    assert files & {"phoenix.db", "phoenix.db-wal"}  # which says that it is looked at
