"""Draws the README's pictures from what is real: `python -m tests.e2e.backends.pictures`, some four minutes.

`deploy/pictures/phoenix.png` is a screenshot of a trace in Arize Phoenix, by a Chromium without a screen.
`deploy/pictures/spend.svg` is the dashboard `deploy/grafana/dashboards/spend.json`, its panels, queries, units and
legends, drawn by this program from a Prometheus that scraped a gateway under load: Grafana is not needed for it.
"""

import random
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from gateway.wire import json
from tests.e2e import kit as processes
from tests.e2e.backends import drawing, kit, provider, servers
from tests.e2e.backends.test_phoenix import HTTP, PRICE, TELEMETRY
from tests.e2e.backends.test_prometheus import KEY, Prometheus, prometheus

PICTURES = kit.ROOT / "deploy" / "pictures"
DASHBOARD = kit.ROOT / "deploy" / "grafana" / "dashboards" / "spend.json"
SECONDS = 200
"""How long the gateway is asked things for the dashboard."""

PRICES = (("lantern-small", 2.0, 10.0), ("lantern-large", 30.0, 120.0))
SCREEN = "1440,900"


def main() -> None:
    """Both pictures, or those that are named."""
    wanted = sys.argv[1:] or ["phoenix", "spend"]
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, provider.serving() as url:
        models = kit.MODELS.format(provider=url)
        for name in wanted:
            {"phoenix": phoenix, "spend": spend}[name](Path(folder), models)


def phoenix(folder: Path, models: str) -> None:
    """A prompt that was masked, streamed, as Phoenix shows the call to its provider."""
    with servers.phoenix(folder / "phoenix") as running:
        for name, read, written in PRICES:
            running.graphql(PRICE, name=name, pattern=f"^{name}$", input=read, output=written)
        config = models + TELEMETRY.format(url=running.url, way="gateway", more=HTTP)
        with processes.gateway(folder / "gateway", config) as gateway:
            time.sleep(6)  # Phoenix reads prices every five seconds
            asked = {case.name: kit.ask(gateway, case) for case in kit.CASES}["masked, streamed"]
            spans = servers.whole(asked, lambda trace_id: running.spans("gateway", trace_id))
            (call,) = [span for span in spans if span.kind == "LLM"]
            found = running.graphql(
                "query ($id: String!) { getSpanByOtelId(spanId: $id) { id project { id } } }", id=call.span_id
            )["getSpanByOtelId"]
            page = f"{running.url}/projects/{found['project']['id']}/traces/{asked.trace_id}"
            _screenshot(f"{page}?selectedSpanNodeId={found['id']}", PICTURES / "phoenix.png", folder)


def _screenshot(url: str, file: Path, folder: Path) -> None:
    program = shutil.which("chromium") or sys.exit("there is no chromium in the path")
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-proxy-server"]
    profile = f"--user-data-dir={folder / 'chromium'}"
    argv = [
        program,
        *options,
        f"--window-size={SCREEN}",
        profile,
        "--virtual-time-budget=20000",
        f"--screenshot={file}",
        url,
    ]
    subprocess.run(argv, check=True, capture_output=True, timeout=120)  # noqa: S603


def spend(folder: Path, models: str) -> None:
    """The dashboard after some minutes of load."""
    config = models + f"general_settings: {{master_key: {KEY}}}\n"
    with (
        processes.gateway(folder / "busy", config) as gateway,
        prometheus(folder / "prometheus", gateway.url.removeprefix("http://")) as running,
    ):
        processes.until("a scrape", lambda: running.values("up", "job").get("gateway") == 1)
        began = time.time()
        _load(gateway.url)
        PICTURES.joinpath("spend.svg").write_text(
            drawing.dashboard(json.loads(DASHBOARD.read_bytes()), lambda query: _range(running, query, began + 30))
        )


def _range(running: Prometheus, query: str, began: float) -> list[dict[str, Any]]:
    """The series of a query from then on; Grafana's variables stand for everything."""
    filled = query
    for name, value in (("$__rate_interval", "30s"), ("$__range", "3m"), ("$served", ".*"), ("$model", ".*")):
        filled = filled.replace(name, value)
    asked = urlencode({"query": filled, "start": began, "end": time.time(), "step": 3})
    found: list[dict[str, Any]] = json.loads(kit.fetched(f"{running.url}/api/v1/query_range?{asked}"))["data"]["result"]
    return found


def _load(url: str) -> None:
    """Requests of every case, at a pace that comes and goes."""
    chance = random.Random(7)  # noqa: S311 - no secret
    until = time.monotonic() + SECONDS
    headers = {"authorization": f"Bearer {KEY}"}
    with ThreadPoolExecutor(8) as pool:
        while (left := until - time.monotonic()) > 0:
            case = chance.choices(kit.CASES, (8, 5, 3, 2, 3, 1, 2, 1, 1))[0]
            body = {"max_tokens": chance.randint(8, 90), **case.body}
            pool.submit(kit.sent, f"{url}/v1/completions", body, headers)
            time.sleep(chance.uniform(0.02, 0.08 + 0.12 * abs((left % 80) - 40) / 40))


if __name__ == "__main__":
    main()
