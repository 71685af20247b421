"""Spans read back from a real MLflow, over OTLP/JSON and over protobuf."""

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
  otlp_headers: {{x-mlflow-experiment-id: "{experiment}"}}
  {more}
"""
RUNS = {"auto": "capture_content: guarded\n  compat: [mlflow]", "http/json": "otlp_protocol: http/json"}


@dataclass(frozen=True, slots=True)
class Run:
    """Every case, sent through a gateway that exports in one way."""

    way: str
    experiment: str
    gateway: processes.Process
    asked: Mapping[str, kit.Asked]


@pytest.fixture(scope="module", params=RUNS)
def run(request, mlflow: servers.Mlflow, models: str, tmp_path_factory) -> Iterator[Run]:
    way = request.param
    experiment = mlflow.experiment(way)
    config = models + TELEMETRY.format(url=mlflow.url, experiment=experiment, more=RUNS[way])
    with processes.gateway(tmp_path_factory.mktemp("gateway"), config) as gateway:
        yield Run(way, experiment, gateway, {case.name: kit.ask(gateway, case) for case in kit.CASES})


@pytest.fixture(params=kit.CASES, ids=str)
def asked(request, run: Run) -> kit.Asked:
    return run.asked[request.param.name]


def test_a_trace_comes_back_as_it_was_sent(run: Run, asked: kit.Asked, mlflow: servers.Mlflow):
    spans = servers.whole(asked, mlflow.spans)
    kit.check_tree(spans, asked, "UNKNOWN")
    kit.check_words(spans, asked)
    kit.check_guardrails(spans, asked)


def test_it_knows_user_session_state_and_experiment_of_a_trace(run: Run, asked: kit.Asked, mlflow: servers.Mlflow):
    servers.whole(asked, mlflow.spans)
    info = mlflow.info(asked.trace_id)
    assert info is not None
    assert info["trace_location"]["mlflow_experiment"]["experiment_id"] == run.experiment
    assert info["state"] == ("ERROR" if asked.case.failed else "OK")
    assert info["trace_metadata"]["mlflow.trace.user"] == kit.USER
    assert info["trace_metadata"]["mlflow.trace.session"] == "session-7"
    assert info["tags"]["service.name"] == "gateway"


def test_it_counts_the_tokens_of_a_trace(run: Run, asked: kit.Asked, mlflow: servers.Mlflow):
    servers.whole(asked, mlflow.spans)
    counted = (mlflow.info(asked.trace_id) or {})["trace_metadata"].get("mlflow.trace.tokenUsage")
    names = ("input_tokens", "output_tokens")
    found = {} if counted is None else {name: json.loads(counted)[name] for name in names}
    assert found == {
        name: asked.record[f"gen_ai.usage.{name}"] for name in names if f"gen_ai.usage.{name}" in asked.record
    }


def test_with_its_profile_it_has_the_cost_that_the_gateway_counted(run: Run, asked: kit.Asked, mlflow: servers.Mlflow):
    servers.whole(asked, mlflow.spans)
    told = (mlflow.info(asked.trace_id) or {})["trace_metadata"].get("mlflow.trace.cost")
    if run.way != "auto" or asked.cost is None:
        assert told is None  # it reads no other name, and knows no price of these models
        return
    cost = json.loads(told)
    assert cost["total_cost"] == pytest.approx(asked.cost)
    assert cost["input_cost"] + cost["output_cost"] == pytest.approx(asked.cost)


def test_content_is_there_only_where_it_is_wanted_and_is_the_guarded_text(run: Run, mlflow: servers.Mlflow):
    asked = run.asked["masked"]
    assert kit.MAIL in asked.text  # the caller has the value back
    (call,) = [span for span in servers.whole(asked, mlflow.spans) if span.kind == "LLM"]
    shown = json.dumps([call.attributes.get("mlflow.spanInputs"), call.attributes.get("mlflow.spanOutputs")])
    assert shown.count(b"<EMAIL_ADDRESS_1>") == (2 if run.way == "auto" else 0), shown


def test_it_knows_which_tokens_came_from_a_cache(run: Run, mlflow: servers.Mlflow):
    asked = run.asked["cached"]
    servers.whole(asked, mlflow.spans)
    counted = json.loads((mlflow.info(asked.trace_id) or {})["trace_metadata"]["mlflow.trace.tokenUsage"])
    assert counted == {"input_tokens": 100, "output_tokens": 40, "total_tokens": 140, "cache_read_input_tokens": 60}


@pytest.mark.parametrize("run", ["auto"], indirect=True)
def test_auto_asked_once_and_went_on_in_protobuf(run: Run, mlflow: servers.Mlflow):
    """MLflow takes OTLP/JSON, but not an empty request, which is what `auto` asks with."""
    servers.whole(run.asked["whole"], mlflow.spans)
    assert (mlflow.process.out + mlflow.process.err).count('"POST /v1/traces HTTP/1.1" 400') == 1


def test_no_byte_of_what_it_stored_is_a_masked_or_a_blocked_value(run: Run, mlflow: servers.Mlflow):
    for asked in run.asked.values():
        servers.whole(asked, mlflow.spans)
    assert kit.holding(mlflow.folder, *kit.NEEDLES) == []
    assert ("mlflow.db", "session-7") in kit.holding(mlflow.folder, "session-7")  # which says that it is looked at


@pytest.mark.parametrize("run", ["auto"], indirect=True)
def test_a_trace_that_a_caller_began_goes_on(run: Run, mlflow: servers.Mlflow):
    trace_id, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    asked = kit.ask(run.gateway, kit.CASES[0], {"traceparent": f"00-{trace_id}-{parent}-01"})
    assert asked.trace_id == trace_id
    kit.check_tree(servers.whole(asked, mlflow.spans), asked, "UNKNOWN", parent)
    assert (mlflow.info(trace_id) or {})["state"] == "IN_PROGRESS"  # until the caller's own root has come
