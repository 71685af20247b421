"""What a real Prometheus answers about a real gateway that it scrapes with the gateway's key."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from gateway.wire import json
from tests.e2e import kit as processes
from tests.e2e.backends import kit

pytestmark = pytest.mark.e2e

PROGRAM = "GATEWAY_TEST_PROMETHEUS"
KEY = "sk-master-key-1"
CONFIG = """
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: gateway
    authorization: {{credentials: {key}}}
    static_configs: [{{targets: ["{target}"]}}]
  - job_name: stranger
    authorization: {{credentials: sk-another-key-1}}
    static_configs: [{{targets: ["{target}"]}}]
"""


class Prometheus:
    """A running Prometheus."""

    def __init__(self, url: str) -> None:
        self.url = url

    def query(self, query: str) -> list[dict[str, Any]]:
        """What it answers; nothing while it is starting."""
        try:
            answer = kit.fetched(f"{self.url}/api/v1/query?query={quote(query)}")
        except OSError:
            return []
        found: list[dict[str, Any]] = json.loads(answer)["data"]["result"]
        return found

    def values(self, query: str, label: str) -> dict[str, float]:
        """Numbers by the value of one label."""
        return {each["metric"].get(label, ""): float(each["value"][1]) for each in self.query(query)}


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[Prometheus]:
    """A Prometheus that scrapes `target` with its key, and once more with another one."""
    program = kit.program(PROGRAM, "prometheus")
    folder.mkdir(parents=True, exist_ok=True)
    (port,) = kit.free_ports(1)
    (folder / "prometheus.yml").write_text(CONFIG.format(key=KEY, target=target))
    own = f"--web.listen-address=127.0.0.1:{port}"
    argv = [program, "--config.file=prometheus.yml", "--storage.tsdb.path=data", own]
    with processes.started(folder, argv, processes.environment()):
        yield Prometheus(f"http://127.0.0.1:{port}")


@dataclass(frozen=True, slots=True)
class Scraped:
    """Every case, answered by a gateway that a Prometheus scrapes."""

    asked: Sequence[kit.Asked]
    prometheus: Prometheus


@pytest.fixture(scope="module")
def scraped(models: str, tmp_path_factory) -> Iterator[Scraped]:
    config = models + f"general_settings: {{master_key: {KEY}}}\n"
    folder = tmp_path_factory.mktemp("prometheus")
    with (
        processes.gateway(tmp_path_factory.mktemp("gateway"), config) as gateway,
        prometheus(folder, gateway.url.removeprefix("http://")) as running,
    ):
        asked = [kit.ask(gateway, case, {"authorization": f"Bearer {KEY}"}) for case in kit.CASES]
        processes.until("every request", lambda: running.values(REQUESTS, "job") == {"gateway": len(asked)})
        yield Scraped(asked, running)


REQUESTS = "sum by (job) (gateway_requests_total)"


def test_it_tells_spend_by_model_as_the_gateway_counted_it(scraped: Scraped):
    spent: Counter[str] = Counter()
    for asked in scraped.asked:
        if asked.cost is not None:
            spent[asked.record["gen_ai.request.model"]] += asked.cost
    by_model = "sum by (gen_ai_request_model) (gen_ai_usage_cost_USD_sum)"
    assert set(spent) == {"lantern-small", "lantern-large", "thinker"}
    assert scraped.prometheus.values(by_model, "gen_ai_request_model") == pytest.approx(spent)
    assert list(scraped.prometheus.values(f"topk(1, {by_model})", "gen_ai_request_model")) == ["thinker"]


def test_it_tells_how_requests_ended_and_what_policies_decided(scraped: Scraped):
    ends = "sum by (gateway_status_class) (gateway_requests_total)"
    assert scraped.prometheus.values(ends, "gateway_status_class") == {"2xx": 6, "4xx": 1, "5xx": 2}
    decided = "sum by (gateway_guardrail_action) (gateway_guardrail_decisions_total{gen_ai_guardrail_source='input'})"
    assert scraped.prometheus.values(decided, "gateway_guardrail_action") == {"allow": 6, "mask": 2, "block": 1}


def test_no_label_of_anything_names_a_person_a_session_or_a_request(scraped: Scraped):
    told = json.dumps(scraped.prometheus.query('{__name__=~".+"}'))
    assert b"lantern-small" in told
    of_requests = [each for asked in scraped.asked for each in (asked.trace_id, asked.record["gateway.request.id"])]
    for hidden in (kit.USER, "session-7", "team-a", *of_requests, *kit.NEEDLES):
        assert hidden.encode() not in told


def test_with_another_key_it_is_told_nothing(scraped: Scraped):
    processes.until(
        "a scrape that was refused", lambda: scraped.prometheus.values("up", "job") == {"gateway": 1, "stranger": 0}
    )
    assert scraped.prometheus.query('{job="stranger", __name__=~"g.*"}') == []
