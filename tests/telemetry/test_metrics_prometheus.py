"""The exposition, read back by the reference parser of Prometheus' own client, in both formats."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families

from gateway.telemetry import prometheus
from gateway.telemetry.instruments import Instrument, Kind, table
from gateway.telemetry.prometheus import OPENMETRICS, TEXT, content_type, render
from gateway.telemetry.registry import Registry
from gateway.types import Usage
from tests.telemetry.metrics_kit import called, judged, metrics, request, verdict

README = (Path(__file__).parents[2] / "README.md").read_text()
RESOURCE = {"service.name": "gateway", "service.version": "1.2.3"}
PARSERS = {TEXT: text_families, OPENMETRICS: openmetrics_families}


def written(kind=TEXT, latest=False):
    counted = metrics(latest=latest)
    counted.begin(request())
    done = judged(request(), verdict("pii", "mask", categories=["pii"]))
    called(done, served="a-model", usage=Usage(100, 20, cached_tokens=5), first_chunk=0.03)
    counted.observe(done)
    counted.watch("gateway.deployment.state", lambda: {("openai-1", "healthy"): 1.0})
    counted.watch("gateway.queue.depth", lambda: {("spans",): 2.5})
    return "".join(render(counted.own(), RESOURCE, kind))


@pytest.mark.parametrize("kind", [TEXT, OPENMETRICS])
@pytest.mark.parametrize("latest", [False, True])
def test_the_reference_parser_reads_every_line(kind, latest):
    text = written(kind, latest)
    families = {family.name: family for family in PARSERS[kind](text)}
    assert {family.type for family in families.values()} <= {"counter", "gauge", "histogram", "info"}
    assert sum(len(family.samples) for family in families.values()) == sum(
        not line.startswith("#") for line in text.splitlines()
    )
    (requests,) = families["gateway_requests"].samples
    assert (requests.name, requests.value) == ("gateway_requests_total", 1)
    assert requests.labels == {
        "http_route": "/v1/completions",
        "gateway_model": "fast",
        "gateway_status_class": "2xx",
    }
    (told,) = next(family.samples for name, family in families.items() if name.startswith("target"))
    assert (told.name, told.labels) == ("target_info", {"service_name": "gateway", "service_version": "1.2.3"})


@pytest.mark.parametrize("kind", [TEXT, OPENMETRICS])
def test_a_histogram_is_cumulative_and_its_last_bucket_is_its_count(kind):
    families = {family.name: family for family in PARSERS[kind](written(kind))}
    family = families["gen_ai_client_operation_duration_seconds"]
    buckets = [sample for sample in family.samples if sample.name.endswith("_bucket")]
    values = [sample.value for sample in buckets]
    assert values == sorted(values)
    assert [float(sample.labels["le"]) for sample in buckets] == sorted(float(s.labels["le"]) for s in buckets)
    (count,) = (sample.value for sample in family.samples if sample.name.endswith("_count"))
    (total,) = (sample.value for sample in family.samples if sample.name.endswith("_sum"))
    assert (buckets[-1].labels["le"], values[-1], count, total) == ("+Inf", 1, 1, pytest.approx(0.5))


def test_bounds_are_written_alike_in_both_formats():
    bounds = [
        {line.partition('le="')[2].partition('"')[0] for line in written(kind).splitlines() if 'le="' in line}
        for kind in (TEXT, OPENMETRICS)
    ]
    assert bounds[0] == bounds[1]


def test_what_it_looks_like():
    text = written()
    assert "# HELP gateway_requests_total HTTP requests answered, other than probes and scrapes.\n" in text
    assert "# TYPE gateway_requests_total counter\n" in text
    assert "\ngateway_requests_in_flight 1\n" in text
    assert '\ngateway_queue_depth{gateway_queue_name="spans"} 2.5\n' in text
    labels = (
        'gen_ai_operation_name="text_completion",gen_ai_provider_name="openai",'
        'gen_ai_request_model="gpt-3.5-turbo-instruct",gen_ai_response_model="a-model"'
    )
    assert f'\ngen_ai_client_token_usage_bucket{{{labels},gen_ai_token_type="input",le="256.0"}} 1\n' in text
    assert f"\ngen_ai_usage_cost_USD_sum{{{labels}}} 0.00019\n" in text


def test_openmetrics_has_units_families_without_suffix_and_an_end():
    text = written(OPENMETRICS)
    assert "# TYPE gateway_requests counter\n" in text
    assert "# UNIT gen_ai_client_operation_duration_seconds seconds\n" in text
    assert "# TYPE target info\n" in text
    assert text.endswith("# EOF\n")
    assert "# EOF" not in written(TEXT)


@pytest.mark.parametrize("kind", [TEXT, OPENMETRICS])
def test_each_family_is_described_once(kind):
    described = [line.split(" ")[2] for line in written(kind).splitlines() if line.startswith("# TYPE")]
    assert len(set(described)) == len(described)


@pytest.mark.parametrize(
    ("name", "kind", "unit", "told"),
    [
        ("gateway.requests", Kind.COUNTER, "{request}", "gateway_requests"),
        ("gateway.requests.in_flight", Kind.UP_DOWN, "{request}", "gateway_requests_in_flight"),
        ("gen_ai.server.request.duration", Kind.HISTOGRAM, "s", "gen_ai_server_request_duration_seconds"),
        ("gen_ai.usage.cost", Kind.HISTOGRAM, "USD", "gen_ai_usage_cost_USD"),
        ("a.b-c..d", Kind.GAUGE, "", "a_b_c_d"),
        ("work.seconds", Kind.GAUGE, "s", "work_seconds"),
        ("work.used", Kind.GAUGE, "1", "work_used_ratio"),
        ("work.used_ratio", Kind.GAUGE, "1", "work_used_ratio"),
        ("work.done", Kind.COUNTER, "1", "work_done"),
    ],
)
def test_names_follow_opentelemetrys_rules(name, kind, unit, told):
    assert prometheus.name_of(Instrument(name, kind, unit, "")) == told


@pytest.mark.parametrize("latest", [False, True])
def test_no_two_instruments_become_one_metric(latest):
    names = [prometheus.name_of(each) for each in table(latest)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("instrument", table(), ids=lambda each: each.name)
def test_the_readme_describes_every_metric(instrument):
    name = prometheus.name_of(instrument) + ("_total" if instrument.kind is Kind.COUNTER else "")
    kind = "gauge" if instrument.kind is Kind.UP_DOWN else instrument.kind.value
    assert f"| `{name}` | {kind} | {instrument.description} |\n" in README


@given(st.text(), st.text(alphabet='\\"\n{}=,ab ', max_size=30))
@pytest.mark.parametrize("kind", [TEXT, OPENMETRICS])
def test_any_label_comes_out_as_it_went_in(kind, one, other):
    registry = Registry([Instrument("x", Kind.COUNTER, "", 'a "help" of\ntwo \\lines', ("one", "other"))])
    registry.numbers("x").at((one, other)).add(3)
    text = "".join(render(registry.own(), RESOURCE, kind))
    found = next(family for family in PARSERS[kind](text) if family.name == "x")
    expected = {name: value for name, value in (("one", one), ("other", other)) if value}
    assert [(sample.labels, sample.value) for sample in found.samples] == [(expected, 3)]
    assert found.documentation == 'a "help" of\ntwo \\lines'


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, TEXT),
        ("*/*", TEXT),
        ("text/plain", TEXT),
        ("text/html,application/xhtml+xml,*/*;q=0.8", TEXT),
        ("application/openmetrics-text", OPENMETRICS),
        ("Application/OpenMetrics-Text; Version=1.0.0", OPENMETRICS),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2", OPENMETRICS),
        ("application/openmetrics-text;version=1.0.0;q=0.2,text/plain;q=0.9", TEXT),
        ("application/openmetrics-text;version=2.0.0", TEXT),
        ("application/openmetrics-text;q=0", TEXT),
        ("application/openmetrics-text;q=nonsense", TEXT),
        (";;,=,q=", TEXT),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
            "application/openmetrics-text;version=0.0.1;q=0.5,"
            "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            OPENMETRICS,
        ),
    ],
)
def test_the_format_is_the_one_asked_for(accept, kind):
    assert content_type(accept) == kind
