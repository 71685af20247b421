"""Dashboards and alerts: they ask for metrics that the gateway writes, and show something when it does."""

import re
import shutil
import socket
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from gateway.telemetry import conventions as names
from gateway.telemetry import prometheus
from gateway.telemetry.instruments import Instrument, Kind, table
from gateway.telemetry.registry import Points, Snapshot
from gateway.wire import json
from tests.deploy import kit
from tests.deploy.promql import named

GRAFANA = kit.DEPLOY / "grafana"
RULES = kit.DEPLOY / "prometheus" / "alerts.yaml"
DASHBOARDS = {file.stem: json.loads(file.read_bytes()) for file in sorted((GRAFANA / "dashboards").glob("*.json"))}
COLLECTOR = yaml.safe_load(kit.CONFIG.read_text())


def metrics() -> dict[str, set[str]]:
    """Every series that a scrape of the gateway or of its collector may show, with its labels."""
    told: dict[str, set[str]] = {"up": {"job", "instance"}}
    for one in table():
        labels = {label.replace(".", "_") for label in one.labels} | {"job", "instance"}
        name = prometheus.name_of(one)
        if one.kind is Kind.HISTOGRAM:
            told |= {f"{name}_bucket": labels | {"le"}, f"{name}_sum": labels, f"{name}_count": labels}
        else:
            told[f"{name}_total" if one.kind is Kind.COUNTER else name] = labels
    counted = {each["name"].replace(".", "_") for each in COLLECTOR["connectors"]["span_metrics"]["dimensions"]}
    told["traces_span_metrics_calls_total"] = counted | {"span_name", "span_kind", "status_code", "service_name"}
    return told


METRICS = metrics()
OWN_LABELS = {"exporter", "receiver", "policy", "decision", "job", "instance"}
"""Labels of what a collector says of itself; that those metrics exist is in `test_collector.py`."""


class Panel(NamedTuple):
    """A panel that shows data, and where it is."""

    where: str
    said: dict[str, Any]

    @property
    def expressions(self) -> list[str]:
        return [target["expr"] for target in self.said["targets"]]


PANELS = [
    Panel(f"{name}: {panel['title']}", panel)
    for name, dashboard in DASHBOARDS.items()
    for panel in dashboard["panels"]
    if panel["type"] != "row"
]
ALERTS = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
EXPRESSIONS = [
    *((panel.where, expression) for panel in PANELS for expression in panel.expressions),
    *((f"alert: {rule['alert']}", rule["expr"]) for rule in ALERTS),
]


def test_there_is_a_dashboard_for_each_question():
    assert set(DASHBOARDS) == {"traffic", "latency", "spend", "guardrails", "errors", "telemetry"}
    assert len({dashboard["uid"] for dashboard in DASHBOARDS.values()}) == len(DASHBOARDS)


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS, ids=[where for where, _ in EXPRESSIONS])
def test_every_metric_and_label_that_is_asked_for_exists(where: str, expression: str):
    found = named(expression)
    assert found.metrics
    labels = set()
    for metric, selected in found.metrics.items():
        known = OWN_LABELS if metric.startswith("otelcol_") else METRICS[metric]
        assert selected <= known, metric
        labels |= known
    assert found.grouped <= labels


def test_the_reader_of_expressions_misses_nothing():
    found = named('1e6 * sum by (a, le) (rate(m_total{b="x{y=1}", c=~"$c"}[5m])) / on (d) up or vector(0) > bool n{}')
    assert found.metrics == {"m_total": {"b", "c"}, "up": set(), "n": set()}
    assert found.grouped == {"a", "le", "d"}


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.where)
def test_every_panel_says_what_it_shows_and_in_which_unit(panel: Panel):
    assert panel.said["description"].endswith(".")
    assert panel.said["fieldConfig"]["defaults"]["unit"]
    assert panel.said["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    for target in panel.said["targets"]:
        assert target["datasource"] == panel.said["datasource"]
        legend = re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])
        assert set(legend) <= named(target["expr"]).grouped | {"job", "instance"}
    assert len({target["refId"] for target in panel.said["targets"]}) == len(panel.said["targets"])


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.where)
def test_units_fit_what_is_measured(panel: Panel):
    unit = panel.said["fieldConfig"]["defaults"]["unit"]
    for expression in panel.expressions:
        ratio = re.search(r"\)\)?\s*/ ", expression)
        if "histogram_quantile" in expression and "_seconds_bucket" in expression:
            assert unit == "s"
        if "_USD" in expression and not ratio:
            assert unit == "currencyUSD"
        if unit == "percentunit":
            assert ratio or "_ratio)" in expression


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_have_numbers_of_their_own_and_do_not_cover_each_other(name: str):
    panels = DASHBOARDS[name]["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = set(product(range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])))
        assert at["x"] >= 0
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_uses_every_variable_it_offers_and_offers_every_one_it_uses(name: str):
    dashboard = DASHBOARDS[name]
    offered = {variable["name"] for variable in dashboard["templating"]["list"]}
    text = json.dumps(dashboard["panels"]).decode()
    used = set(re.findall(r"\$(?!__)\{?(\w+)\}?", text))
    assert used == offered
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            found = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["definition"])
            assert found is not None
            assert found[2] in METRICS[found[1]]


def test_no_dashboard_groups_by_a_person():
    text = "".join(expression for _, expression in EXPRESSIONS)
    assert not re.search(r"user|session|request_id|key_alias", text)


def test_provisioning_finds_the_dashboards_and_the_data_source():
    provider = yaml.safe_load((GRAFANA / "provisioning/dashboards/gateway.yaml").read_text())["providers"][0]
    source = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yaml").read_text())["datasources"][0]
    service = yaml.safe_load((kit.DEPLOY / "compose.yaml").read_text())["services"]["grafana"]
    mounted = dict(volume.split(":")[:2] for volume in service["volumes"])
    assert mounted["./grafana/dashboards"] == provider["options"]["path"]
    assert mounted["./grafana/provisioning"] == "/etc/grafana/provisioning"
    assert source["type"] == "prometheus"
    assert source["url"] == "${PROMETHEUS_URL}"
    assert service["environment"]["PROMETHEUS_URL"] == "http://prometheus:9090"


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_every_alert_says_what_is_wrong_and_what_to_do(rule: dict[str, Any]):
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["summary"].endswith(".")
    assert rule["annotations"]["description"].endswith(".")
    grouped = named(rule["expr"]).grouped | ({"instance"} if "by" not in rule["expr"] else set())
    assert set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"]))) <= grouped


def test_every_alert_has_a_case_where_it_fires_and_one_where_it_does_not():
    cases = yaml.safe_load((kit.ROOT / "tests/deploy/alerts_test.yaml").read_text())["tests"]
    quiet, loud = ({case["alertname"]: case.get("exp_alerts") for case in test["alert_rule_test"]} for test in cases)
    assert set(quiet) == set(loud) == {rule["alert"] for rule in ALERTS}
    assert not any(quiet.values())
    assert all(loud.values())


# with Prometheus itself


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (Debian's package prometheus has it)")
    return found


def run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=kit.SECONDS, check=False)  # noqa: S603
    assert done.returncode == 0, done.stdout + done.stderr


def plain(expression: str) -> str:
    """An expression as Grafana sends it, all variables at "All"."""
    told = expression.replace("$__rate_interval", "1m").replace("$__range", "1h")
    return re.sub(r"\$\w+", ".*", told)


@pytest.mark.e2e
def test_prometheus_takes_its_configuration_and_every_expression(tmp_path: Path):
    run(tool("promtool"), "check", "config", "--syntax-only", kit.DEPLOY / "prometheus/prometheus.yaml")
    rules = [{"record": f"panel:{number}", "expr": plain(each)} for number, (_, each) in enumerate(EXPRESSIONS)]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    run(tool("promtool"), "check", "rules", tmp_path / "rules.yaml")


@pytest.mark.e2e
def test_alerts_fire_on_what_they_are_for_and_on_nothing_else():
    run(tool("promtool"), "test", "rules", kit.ROOT / "tests/deploy/alerts_test.yaml")


VALUES = {
    names.STATUS_CLASS: ("2xx", "5xx"),
    names.ERROR_TYPE: ("", "budget_exceeded"),
    names.GUARDRAIL_ACTION: ("allow", "block"),
    names.GUARDRAIL_ENFORCED: ("true", "false"),
    names.GUARDRAIL_STATUS: ("ok", "error"),
    names.TOKEN_TYPE: ("input", "output"),
}


def exposition(scrapes: int) -> str:
    """What the gateway tells at its n-th scrape, when everything it can count happens between two of them."""
    points = tuple(Points(one, {labels: _numbers(one, scrapes) for labels in _series(one)}) for one in table())
    return "".join(prometheus.render(Snapshot(0, 0, points), {"service.name": "gateway"}, prometheus.TEXT))


def _series(one: Instrument) -> Iterator[tuple[str, ...]]:
    return product(*(VALUES.get(label, ("some",)) for label in one.labels))


def _numbers(one: Instrument, scrapes: int) -> tuple[float, ...]:
    return (float(scrapes),) * (one.width - 1) + (float(scrapes) * one.width,)


class Server(NamedTuple):
    """A Prometheus that has scraped."""

    url: str

    def ask(self, expression: str) -> list[dict[str, Any]]:
        query = urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(f"{self.url}/api/v1/query?{query}", timeout=kit.SECONDS) as answer:  # noqa: S310
            result: list[dict[str, Any]] = json.loads(answer.read())["data"]["result"]
        return result

    def has_rates(self) -> bool:
        try:
            return bool(self.ask("rate(gateway_requests_total[1m]) > 0"))
        except (urllib.error.URLError, ConnectionError):
            return False


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    program, folder = tool("prometheus"), tmp_path_factory.mktemp("prometheus")

    class Handler(BaseHTTPRequestHandler):
        scrapes = 0

        def do_GET(self) -> None:
            Handler.scrapes += 1
            body = exposition(Handler.scrapes).encode()
            self.send_response(200)
            self.send_header("content-type", prometheus.TEXT)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    target = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=target.serve_forever, daemon=True)
    thread.start()
    scraped = {"job_name": "gateway", "static_configs": [{"targets": [f"127.0.0.1:{target.server_port}"]}]}
    config = {"global": {"scrape_interval": "1s"}, "scrape_configs": [scraped]}
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(  # noqa: S603
            [
                program,
                f"--config.file={folder / 'prometheus.yaml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=out,
            stderr=out,
        )
    running = Server(f"http://127.0.0.1:{port}")
    try:
        assert kit.soon(lambda: process.poll() is not None or running.has_rates()), log.read_text()[-3000:]
        assert process.poll() is None, log.read_text()[-3000:]
        yield running
    finally:
        process.terminate()
        process.wait(kit.SECONDS)
        target.shutdown()
        target.server_close()
        thread.join(kit.SECONDS)


@pytest.mark.e2e
def test_every_panel_about_the_gateway_shows_something_when_everything_happens(server: Server):
    asked = 0
    for where, expression in EXPRESSIONS:
        if where.startswith("alert") or not set(named(expression).metrics) <= set(METRICS) - {
            "traces_span_metrics_calls_total"
        }:
            continue
        asked += 1
        found = server.ask(plain(expression))
        assert found, where
        assert all(float(each["value"][1]) >= 0 for each in found), where
        assert {label for each in found for label in each["metric"]} <= named(expression).grouped | {
            "job",
            "instance",
            "__name__",
        }
    assert asked > 50
