"""`GET /metrics`, through the steps that ask for a key, and as a real Prometheus reads it."""

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families

from gateway.config.secret import Secret
from gateway.endpoints.metrics import Scrape
from gateway.middleware.errors import ErrorMiddleware
from gateway.middleware.identity import IdentityMiddleware
from gateway.middleware.scope import ScopeMiddleware
from gateway.telemetry import logs
from gateway.types import Usage
from gateway.wire import asgi
from tests.e2e import kit
from tests.inprocess import InProcess
from tests.routing.servers import looped
from tests.telemetry.metrics_kit import called, metrics, request

LOG = logs.make("library")
RESOURCE = {"service.name": "gateway", "service.version": "1.2.3"}
PROMETHEUS = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"


def counting():
    counted = metrics()
    done = request()
    called(done, served="a-model", usage=Usage(100, 20))
    counted.observe(done)
    return counted


def app(counted, master_key=None):
    """The endpoint behind the steps that decide who may read it."""
    inner = IdentityMiddleware(Scrape(counted, RESOURCE), Secret(master_key) if master_key else None)
    return ScopeMiddleware(ErrorMiddleware(inner, LOG), LOG)


async def scraped(served, headers=(), client=("127.0.0.1", 50000)):
    answer = await asgi.request(served, "GET", "/metrics", headers, b"", extras={"client": client})
    return answer, (await answer.read()).decode()


@looped
async def test_a_scrape_is_answered_in_the_text_format():
    answer, body = await scraped(app(counting()))
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert int(answer.headers["content-length"]) == len(body.encode())
    families = {family.name: family for family in text_families(body)}
    assert families["gateway_requests"].samples[0].value == 1


@looped
async def test_prometheus_own_accept_header_is_answered_in_openmetrics():
    answer, body = await scraped(app(counting()), [(b"accept", PROMETHEUS.encode())])
    assert answer.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert "gateway_requests" in {family.name for family in openmetrics_families(body)}


@looped
async def test_with_a_master_key_a_scrape_needs_it():
    served = app(counting(), "sk-master-key")
    answer, body = await scraped(served)
    assert (answer.status, json.loads(body)["error"]["code"]) == (401, "invalid_api_key")
    assert (await scraped(served, [(b"authorization", b"Bearer wrong-key-1")]))[0].status == 401
    assert (await scraped(served, [(b"authorization", b"Bearer sk-master-key")]))[0].status == 200


@looped
async def test_without_one_only_this_machine_may_scrape():
    answer, _ = await scraped(app(counting()), client=("192.0.2.7", 50000))
    assert answer.status == 401


@looped
async def test_scrapes_are_not_among_what_is_counted():
    counted = metrics()
    served = app(counted)
    for _ in range(3):
        _, body = await scraped(served)
    assert "gateway_requests_total" not in body
    assert "gateway_requests_in_flight 0" in body


def test_the_gateway_tells_what_it_has_served():
    served = InProcess({"model_list": [{"model_name": "demo", "litellm_params": {"model": "demo/demo"}}]})
    try:
        assert served.ask({"model": "demo", "prompt": "Say this is a test", "max_tokens": 7}).status == 200
        assert served.ask({"model": "somebody's own", "prompt": "x"}).status == 404
        body = served.ask(path="/metrics", method="GET").body.decode()
    finally:
        served.close()
    found = {family.name: family.samples for family in text_families(body)}
    counted = {(one.labels["gateway_model"], one.labels["gateway_status_class"]) for one in found["gateway_requests"]}
    assert counted == {("demo", "2xx"), ("_other", "4xx")}
    tokens = [one for one in found["gen_ai_client_token_usage"] if one.name.endswith("_sum")]
    assert {one.labels["gen_ai_token_type"] for one in tokens} == {"input", "output"}
    assert {one.labels["gen_ai_request_model"] for one in tokens} == {"demo"}
    assert found["gateway_requests_in_flight"][0].value == 0
    assert sum(one.value for one in found["gateway_guardrail_decisions"]) > 0


def test_the_gateway_tells_what_it_has_used_again_and_what_it_could_not_record(tmp_path: Path):
    (tmp_path / "journal").write_text("in the way")
    model = {"model_name": "demo", "litellm_params": {"model": "demo/demo", "cache": {"ttl": 3600}}}
    served = InProcess({"model_list": [model], "ledger": {"folder": str(tmp_path / "journal")}})
    try:
        for _ in range(3):
            assert served.ask({"model": "demo", "prompt": "Say this is a test", "max_tokens": 7}).status == 200
        body = served.ask(path="/metrics", method="GET").body.decode()
    finally:
        served.close()
    found = {family.name: family.samples for family in text_families(body)}
    looked = {one.labels["gateway_cache_result"]: one.value for one in found["gateway_cache_lookups"]}
    assert looked == {"miss": 1, "hit": 2}
    lost = {one.labels["gateway_ledger_reason"]: one.value for one in found["gateway_ledger_lost_records"]}
    assert (lost["not_begun"], sum(lost.values())) == (3, 3)


CONFIG = """
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: gateway
    authorization: {{credentials: sk-master-key}}
    static_configs: [{{targets: ["{target}"]}}]
"""

SERVED = """
import sys
import uvicorn
from tests.endpoints.test_metrics import app, counting
uvicorn.run(app(counting(), "sk-master-key"), port=int(sys.argv[1]), log_level="info", lifespan="off")
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def binary(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"there is no {name} here; Debian's package prometheus has it")
    return found


@pytest.mark.e2e
def test_a_real_prometheus_scrapes_it_and_answers_a_query(tmp_path: Path):
    prometheus = binary("prometheus")
    port, own = free_port(), free_port()
    (tmp_path / "prometheus.yml").write_text(CONFIG.format(target=f"127.0.0.1:{port}"))
    argv = [
        prometheus,
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=data",
        f"--web.listen-address=127.0.0.1:{own}",
    ]

    def got(path: str):
        """The data of one of its own answers; None while it does not answer."""
        try:
            return httpx.get(f"http://127.0.0.1:{own}/api/v1/{path}", trust_env=False).json()["data"]
        except (httpx.HTTPError, ValueError):
            return None  # it is still starting

    def answered(query: str):
        return (got(f"query?query={query}") or {}).get("result")

    with (
        kit.started(tmp_path / "app", [sys.executable, "-c", SERVED, str(port)], kit.environment()),
        kit.started(tmp_path, argv, kit.environment()) as server,
    ):
        kit.until("a scrape that found all well", lambda: answered("up==1"))
        (requests,) = kit.until("the requests", lambda: answered("gateway_requests_total"))
        assert requests["value"][1] == "1"
        assert requests["metric"]["http_route"] == "/v1/completions"
        (quantile,) = answered("histogram_quantile(0.5,gen_ai_client_operation_duration_seconds_bucket)")
        assert 0.32 < float(quantile["value"][1]) <= 0.64
        (spent,) = answered("sum(gen_ai_usage_cost_USD_sum)")
        assert float(spent["value"][1]) == pytest.approx(0.00019)
        (target,) = answered("target_info")
        assert target["metric"]["service_name"] == "gateway"
        (meta,) = got("metadata?metric=gateway_requests")["gateway_requests"]  # the family's name in OpenMetrics
        assert meta["type"] == "counter"
        assert "level=error" not in server.err


@pytest.mark.e2e
@looped
async def test_promtool_finds_no_fault():
    promtool = binary("promtool")
    _, body = await scraped(app(counting()))
    done = subprocess.run(  # noqa: S603, ASYNC221 - nothing else runs on this loop
        [promtool, "check", "metrics"], input=body, text=True, capture_output=True, check=False, timeout=kit.SECONDS
    )
    faults = [line for line in done.stderr.splitlines() if "non-base unit" not in line]
    assert (done.returncode, faults) == (0, []), done.stderr
