"""Spans followed through a real collector with the shipped configuration, to backends on loopback."""

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from gateway.telemetry import compat
from gateway.telemetry import conventions as names
from gateway.telemetry.span import Kind, Span, Value
from gateway.wire import json
from tests.deploy import kit
from tests.deploy.kit import attributes

pytestmark = pytest.mark.e2e

SWITCHES = {
    "COLLECTOR_PHOENIX": "otlp_http/phoenix",
    "COLLECTOR_LANGFUSE": "otlp_http/langfuse",
    "COLLECTOR_MLFLOW": "otlp_http/mlflow",
    "COLLECTOR_TEMPO": "otlp_http/tempo",
    "COLLECTOR_JAEGER": "otlp_grpc/jaeger",
    "COLLECTOR_DATADOG": "otlp_http/datadog",
    "COLLECTOR_FILE": "file/traces",
    "COLLECTOR_DEBUG": "debug",
}
CALL: Mapping[str, Value] = {
    names.OPERATION_NAME: names.TEXT_COMPLETION,
    names.PROVIDER_NAME: "openai",
    names.REQUEST_MODEL: "gpt-4o-mini",
    names.RESPONSE_MODEL: "gpt-4o-mini-2024-07-18",
    names.REQUEST_MAX_TOKENS: 40,
    names.REQUEST_TEMPERATURE: 0.5,
    names.REQUEST_STREAM: True,
    names.RESPONSE_FINISH_REASONS: ("stop", "length"),
    names.RESPONSE_TIME_TO_FIRST_CHUNK: 0.125,
    names.USAGE_INPUT_TOKENS: 1234,
    names.USAGE_OUTPUT_TOKENS: 56,
    names.USAGE_CACHE_READ: 1024,
    names.USAGE_CACHE_CREATION: 100,
    names.USAGE_REASONING: 16,
    names.USAGE_COST: 0.000218,
    names.COST_INPUT: 0.000185,
    names.COST_OUTPUT: 0.000033,
    names.COST_SOURCE: "catalogue",
    names.USER_ID: "user-1",
    names.SESSION_ID: "session-1",
    names.INPUT_MESSAGES: '[{"role":"user","parts":[{"type":"text","content":"Hi"}]}]',
    names.OUTPUT_MESSAGES: '[{"role":"assistant","parts":[{"type":"text","content":"Ho"}]}]',
}
REQUEST: Mapping[str, Value] = {
    names.HTTP_METHOD: "POST",
    names.HTTP_ROUTE: "/v1/completions",
    names.URL_PATH: "/v1/completions",
    names.MODEL: "small",
    names.KEY_ALIAS: "team-a",
    names.TAGS: ("search", "beta"),
    names.OUTCOME: "allowed",
}
JUDGED: Mapping[str, Value] = {
    names.OPERATION_NAME: names.APPLY_GUARDRAIL,
    names.SPAN_KIND: "GUARDRAIL",
    names.GUARDRAIL_POLICY_ID: "secrets",
    names.GUARDRAIL_ACTION: "mask",
    names.GUARDRAIL_STATUS: "ok",
}


class Stage(NamedTuple):
    """One collector for many tests: every overlay, three live backends, and Datadog's is dead."""

    collector: kit.Collector
    backend: kit.Backend

    def through(self, *spans: Span) -> dict[str, dict[str, Any]]:
        """Spans of kept traces as a backend without further names gets them."""
        self.collector.send(*spans)
        return self.backend.wait("/tempo", *{span.trace_id for span in spans})


@pytest.fixture(scope="module")
def stage(program: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with kit.backend() as backend:
        places = {
            "PHOENIX_COLLECTOR_ENDPOINT": f"{backend.url}/phoenix",
            "LANGFUSE_HOST": f"{backend.url}/langfuse",
            "MLFLOW_TRACKING_URI": f"{backend.url}/mlflow",
            "TEMPO_ENDPOINT": f"{backend.url}/tempo",
            "DATADOG_ENDPOINT": kit.closed_port(),
            "COLLECTOR_SHARE_PERCENT": "0",
        }
        switches = {
            name: value for name, value in SWITCHES.items() if name not in ("COLLECTOR_JAEGER", "COLLECTOR_DEBUG")
        }
        folder = tmp_path_factory.mktemp("collector")
        with kit.collector(program, folder, kit.OVERLAYS, **switches, **places) as collector:
            yield Stage(collector, backend)


def kept(name: str, told: Mapping[str, Value], **changes: Any) -> Span:
    """A span whose trace is always kept: a policy blocked it."""
    return kit.call(name, {**told, names.OUTCOME: "blocked"}, **changes)


def combinations() -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Every overlay set with every switch alone, with none, and with all."""
    chosen = [(), *((name,) for name in SWITCHES), tuple(SWITCHES)]
    overlays = [each for size in range(len(kit.OVERLAYS) + 1) for each in itertools.combinations(kit.OVERLAYS, size)]
    return itertools.product(chosen, overlays)


def test_a_real_collector_finds_every_combination_of_switches_and_overlays_valid(program: str):
    for chosen, overlays in combinations():
        switches = {name: value if name in chosen else "nop" for name, value in SWITCHES.items()}
        said = kit.validate(program, overlays, **switches)
        assert (said.returncode, said.stderr) == (0, ""), (chosen, overlays)


def test_without_a_single_variable_it_is_valid_too(program: str):
    said = kit.validate(program)
    assert (said.returncode, said.stderr) == (0, "")


def test_a_misspelled_switch_is_refused_and_named(program: str):
    said = kit.validate(program, COLLECTOR_TEMPO="otlp_http/temppo")
    assert said.returncode == 1
    assert "otlp_http/temppo" in said.stderr


def test_a_span_arrives_as_it_was_sent_and_says_where_it_passed(stage: Stage):
    sent = kept("text_completion gpt-4o-mini", CALL, events=(kit.event("e", {"n": 1}),), state="a=b")
    got = stage.through(sent)[sent.name]
    assert attributes(got) == json.loads(json.dumps(dict(sent.attributes)))
    assert (got["traceId"], got["spanId"], got["kind"], got["traceState"]) == (sent.trace_id, sent.span_id, 3, "a=b")
    assert (int(got["startTimeUnixNano"]), int(got["endTimeUnixNano"])) == (sent.start, sent.end)
    assert [(each["name"], kit.plain(each["attributes"])) for each in got["events"]] == [("e", {"n": 1})]
    assert got["resource"]["service.name"] == "guardrail-gateway"
    assert {"host.name", "os.type"} <= set(got["resource"])


SECRETS = (
    "sk-proj-" + "Ab3dEf6hIj9kLm2n",
    "sk-ant-api03-" + "a1B2c3D4e5F6g7H8",
    "AKIA" + "IOSFODNN7EXAMPLE",
    "AIza" + "b" * 35,
    "ghp_" + "a" * 36,
    "github_pat_" + "a1" * 12,
    "glpat-" + "a1" * 10,
    "hf_" + "a1" * 16,
    "xoxb-" + "1234567890-abcdef",
    "sk_live_" + "a1" * 10,
    "Bearer " + "abcdefghijklmnop1234",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0." + "c2lnbmF0dXJl",
    "-----BEGIN PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY-----",
    "://user:hunter22@",
)


def test_a_secret_is_masked_wherever_a_span_may_hold_it(stage: Stage):
    assert len(SECRETS) > len(yaml.safe_load(kit.CONFIG.read_text())["processors"]["redaction"]["blocked_values"])
    sent = {}
    for secret in SECRETS:
        texts = {
            "note": f"it was {secret} again",
            "notes": ("fine", f"or {secret}"),
            names.INPUT_MESSAGES: f'["{secret}"]',
        }
        events = (kit.event("retry", {"why": secret}),)
        span = kept(secret[:9], {**CALL, **texts}, error=f"refused: {secret} is wrong", events=events)
        stage.collector.send(span, resource={"service.name": "other", "banner": secret})
        sent[secret] = span
    stage.backend.wait("/tempo", *(span.trace_id for span in sent.values()))
    for secret, span in sent.items():
        (got,) = stage.backend.wait("/tempo", span.trace_id).values()
        assert secret not in json.dumps(got | {"name": ""}).decode().replace("\\n", "\n")
        assert attributes(got)["note"] == "it was **** again"
        assert got["status"] == {"code": 2, "message": "refused: **** is wrong"}
        assert got["resource"]["banner"] == "****"
        assert attributes(got)["redaction.masked.count"] == 4


def test_a_value_is_masked_for_its_name_and_a_number_is_not(stage: Stage):
    secret = (
        "api_key",
        "http.request.header.authorization",
        "X-Api-Key",
        "db.password",
        "oauth.refresh_token",
        "cookie",
    )
    got = attributes(stage.through(kept("call", {**CALL, **dict.fromkeys(secret, "anything")}))["call"])
    assert {name: got[name] for name in secret} == dict.fromkeys(secret, "****")
    counts = {name: value for name, value in CALL.items() if type(value) in (int, float)}
    assert {names.USAGE_INPUT_TOKENS, names.USAGE_CACHE_READ, names.REQUEST_MAX_TOKENS, names.USAGE_COST} <= set(counts)
    assert {name: got[name] for name in counts} == counts
    assert [type(got[name]) for name in counts] == [type(value) for value in counts.values()]


def test_no_attribute_of_the_conventions_is_touched(stage: Stage):
    every = {value: "tokens" for key, value in vars(names).items() if key.isupper() and isinstance(value, str)}
    sent = kept("call", {key: value for key, value in every.items() if key != names.URL_PATH})
    got = attributes(stage.through(sent)["call"])
    assert got == dict(sent.attributes)


def test_a_cost_that_others_write_as_an_object_is_left_out_beside_ours(stage: Stage):
    got = attributes(stage.through(kept("call", {**CALL, "gen_ai.usage.cost.amount": 1.0}))["call"])
    assert "gen_ai.usage.cost.amount" not in got
    assert got[names.USAGE_COST] == CALL[names.USAGE_COST]


def test_errors_blocks_slow_and_expensive_traces_are_kept_and_others_left_to_the_share(stage: Stage):
    now = kit.call("clock", {}).start
    client = {**REQUEST, names.OUTCOME: "error", names.HTTP_STATUS: 400}
    wanted = {
        "failed": kit.call("failed", CALL, error="upstream_error"),
        "refused": kit.call("refused", client),
        "blocked": kit.call("blocked", {**REQUEST, names.OUTCOME: "blocked"}),
        "shadow": kit.call("shadow", {**JUDGED, names.GUARDRAIL_ACTION: "block"}),
        "unjudged": kit.call("unjudged", {**JUDGED, names.GUARDRAIL_STATUS: "timeout"}),
        "slow": kit.call("slow", CALL, start=now, end=now + 10_500_000_000),
        "expensive": kit.call("expensive", {**CALL, names.USAGE_COST: 0.25}),
    }
    unwanted = [
        kit.call("plain", CALL),
        kit.call("masked", {**REQUEST, names.OUTCOME: "masked"}),
        kit.call("unknown key", {**client, names.HTTP_STATUS: 401}),
        kit.call("too fast", {**client, names.HTTP_STATUS: 429}),
    ]
    stage.collector.send(*unwanted, *wanted.values())
    got = stage.backend.wait("/tempo", *(span.trace_id for span in wanted.values()))
    assert set(got) == set(wanted)
    assert not {span.trace_id for span in unwanted} & {span["traceId"] for span in stage.backend.at("/tempo")}


def test_a_trace_is_kept_whole(stage: Stage):
    blocked = kept("POST /v1/completions", REQUEST, kind=Kind.SERVER)
    under = [
        replace(kit.call(name, told, kind=kind), trace_id=blocked.trace_id, parent_id=blocked.span_id)
        for name, told, kind in (
            ("apply_guardrail secrets", JUDGED, Kind.INTERNAL),
            ("text_completion m", CALL, Kind.CLIENT),
        )
    ]
    got = stage.through(*under, blocked)
    assert {name: span.get("parentSpanId", "") for name, span in got.items()} == {
        blocked.name: "",
        **{span.name: blocked.span_id for span in under},
    }


def test_probes_and_scrapes_are_left_out(stage: Stage):
    probes = [kept(path, {**REQUEST, names.URL_PATH: path}) for path in ("/health", "/health/ready", "/metrics")]
    real = kept("real", {**REQUEST, names.URL_PATH: "/v1/healthy"})
    stage.collector.send(*probes, real)
    assert set(stage.backend.wait("/tempo", real.trace_id)) == {"real"}
    assert not {span.trace_id for span in probes} & {span["traceId"] for span in stage.backend.at("/tempo")}


def test_every_span_is_counted_also_those_that_are_not_kept(stage: Stage):
    told = {**CALL, names.REQUEST_MODEL: "counted-model"}
    stage.collector.send(*(kit.call("text_completion counted-model", told) for _ in range(7)))
    counted = re.compile(r'^traces_span_metrics_calls_total\{([^}]*"counted-model"[^}]*)\} 7$', re.M)
    said = stage.collector.metrics(8889, lambda text: bool(counted.search(text)))
    (labels,) = counted.findall(said)
    assert 'gen_ai_provider_name="openai"' in labels
    timed = re.compile(r'^traces_span_metrics_duration_seconds_bucket\{[^}]*"counted-model"[^}]*le="0.64"\} 7$', re.M)
    assert timed.search(said)


def test_no_series_is_made_of_an_end_user_a_session_or_a_request(stage: Stage):
    sent = kept("one series", {**REQUEST, **CALL, names.REQUEST_ID: "req-1"})
    stage.collector.send(sent)
    said = stage.collector.metrics(8889, lambda text: "one series" in text)
    assert not [word for word in ("user-1", "session-1", "req-1", "team-a") if word in said]


def test_a_dead_backend_holds_up_no_other_and_its_spans_wait(stage: Stage):
    sent = [kept("call", CALL) for _ in range(40)]
    for each in sent:
        stage.collector.send(each)
    for path in ("/tempo", "/phoenix", "/langfuse", "/mlflow"):
        stage.backend.wait(path, *(span.trace_id for span in sent))
    queue = re.compile(r'^otelcol_exporter_queue_size\{[^}]*exporter="otlp_http/datadog"[^}]*\} ([1-9]\d*)$', re.M)
    stage.collector.metrics(8888, lambda text: bool(queue.search(text)))


def test_the_backends_get_what_they_ask_for_in_headers(stage: Stage):
    stage.through(sent := kept("call", CALL))
    for path in ("/langfuse", "/mlflow", "/phoenix"):
        stage.backend.wait(path, sent.trace_id)
    headers = stage.backend.headers
    assert headers["/langfuse/api/public/otel/v1/traces"]["x-langfuse-ingestion-version"] == "4"
    assert headers["/langfuse/api/public/otel/v1/traces"]["authorization"].startswith("Basic ")
    assert headers["/mlflow/v1/traces"]["x-mlflow-experiment-id"] == "0"
    assert "/phoenix/v1/traces" in headers


def test_kept_spans_are_also_written_to_a_file_of_json_lines(stage: Stage):
    sent = kept("call", CALL)
    stage.through(sent)
    file = stage.collector.log.parent / "traces.jsonl"
    assert kit.soon(lambda: sent.trace_id in file.read_text())
    whole, _, _ = file.read_bytes().rpartition(b"\n")
    assert all(json.loads(line)["resourceSpans"] for line in whole.splitlines())


GIVEN = (
    CALL,
    {name: value for name, value in CALL.items() if name not in (names.USAGE_CACHE_READ, names.USAGE_REASONING)},
    {name: value for name, value in CALL.items() if name not in (names.USAGE_COST, names.RESPONSE_MODEL)},
    {**CALL, names.USAGE_CACHE_READ: 5000, names.USAGE_REASONING: 5000, names.RESPONSE_TIME_TO_FIRST_CHUNK: 1e-06},
    dict(tuple(CALL.items())[:3]),
)
"""Calls as they may be told: with everything, without parts, with parts that exceed the whole, without any usage."""


def test_the_overlays_write_what_the_gateway_itself_would(stage: Stage):
    spans = [
        *((kept(f"inference {number}", told), compat.INFERENCE) for number, told in enumerate(GIVEN)),
        (kept("guardrail", JUDGED, kind=Kind.INTERNAL), compat.GUARDRAIL),
        (kept("request", REQUEST, kind=Kind.SERVER), compat.SERVER),
    ]
    stage.collector.send(*(span for span, _ in spans))
    for profile in kit.OVERLAYS:
        path = {"openinference": "/phoenix"}.get(profile, f"/{profile}")
        got = stage.backend.wait(path, *(span.trace_id for span, _ in spans))
        for span, tables in spans:
            expected = dict(span.attributes)
            if profile in tables:
                tables[profile](expected, span.start)
            assert comparable(attributes(got[span.name])) == comparable(expected), (profile, span.name)


def comparable(told: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes with JSON and times read, so that only what they say is compared."""
    return {name: _read(value) for name, value in told.items()}


def _read(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(("{", "[")):
        return json.loads(value)
    if isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\dT", value):
        return round(datetime.fromisoformat(value).timestamp(), 2)
    return list(value) if isinstance(value, tuple) else value


def test_what_waits_for_a_dead_backend_is_sent_by_the_next_collector(program: str, tmp_path: Path):
    sent = [kept("call", CALL) for _ in range(20)]
    dead = kit.closed_port()
    with kit.collector(program, tmp_path, PHOENIX_COLLECTOR_ENDPOINT=dead) as first:
        first.send(*sent)
        first.metrics(
            8888, lambda text: bool(re.search(r"^otelcol_exporter_queue_size\{.*phoenix.*\} 20$", text, re.M))
        )
    with kit.backend() as backend, kit.collector(program, tmp_path, PHOENIX_COLLECTOR_ENDPOINT=backend.url):
        backend.wait("/", *(span.trace_id for span in sent))


def test_as_shipped_a_trace_is_sent_in_protobuf_soon_after_its_root_came(program: str, tmp_path: Path):
    sent = [kept("call", CALL) for _ in range(3)]
    with (
        kit.backend() as backend,
        kit.collector(program, tmp_path, hurried=False, PHOENIX_COLLECTOR_ENDPOINT=backend.url) as collector,
    ):
        collector.send(*sent)
        backend.wait_packed(*(span.trace_id for span in sent))


def test_over_grpc_a_span_comes_to_another_collector(program: str, tmp_path: Path):
    (tmp_path / "second").mkdir()
    with (
        kit.backend() as backend,
        kit.collector(program, tmp_path / "second", PHOENIX_COLLECTOR_ENDPOINT=backend.url) as second,
    ):
        told = {
            "JAEGER_ENDPOINT": f"{second.address}:4317",
            "COLLECTOR_JAEGER": "otlp_grpc/jaeger",
            "COLLECTOR_PHOENIX": "nop",
        }
        with kit.collector(program, tmp_path, **told) as first:
            first.send(sent := kept("call", CALL))
            got = backend.wait("/", sent.trace_id)["call"]
    assert attributes(got) == json.loads(json.dumps(dict(sent.attributes)))


def test_a_share_of_hundred_keeps_everything(program: str, tmp_path: Path):
    with kit.backend() as backend:
        variables = {"PHOENIX_COLLECTOR_ENDPOINT": backend.url, "COLLECTOR_SHARE_PERCENT": "100"}
        with kit.collector(program, tmp_path, **variables) as collector:
            sent = [kit.call("call", CALL) for _ in range(20)]
            collector.send(*sent)
            backend.wait("/", *(span.trace_id for span in sent))


def test_what_the_collector_says_of_itself_has_the_names_that_dashboards_and_alerts_use(stage: Stage):
    stage.through(kept("call", CALL))
    said = stage.collector.metrics(8888, lambda text: "otelcol_exporter_sent_spans" in text)
    told = set(re.findall(r"^([a-z_]+)[{ ]", said, re.M))
    texts = [
        file.read_text() for file in (*(kit.DEPLOY / "grafana").rglob("*.json"), kit.DEPLOY / "prometheus/alerts.yaml")
    ]
    used = set(re.findall(r"\botelcol_[a-z_]+", "".join(texts)))
    assert used
    assert {*used} - told <= ONLY_WHEN_LOST


ONLY_WHEN_LOST = {"otelcol_exporter_send_failed_spans_total", "otelcol_exporter_enqueue_failed_spans_total"}
"""What a collector tells only once it has happened."""


def test_the_configuration_names_no_deprecated_component(stage: Stage):
    log = stage.collector.log.read_text()
    assert "deprecated" not in log
    assert yaml.safe_load(kit.CONFIG.read_text())
