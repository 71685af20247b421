"""What is deployed: the example configuration is valid, the image starts what the command line offers, and the services
of the compose file find each other.

The collector's configuration, the dashboards and the alerts have tests of their own in `tests/deploy`.
"""

import re
from pathlib import Path

import pytest
import yaml

from gateway.config.load import load
from gateway.routing.deployments import Catalogue

DEPLOY = Path(__file__).parent.parent / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
KEYS = {"OPENAI_API_KEY": "sk-12345678", "ANTHROPIC_API_KEY": "sk-ant-12345", "GATEWAY_MASTER_KEY": "sk-master-1"}


def test_the_example_configuration_is_valid_and_without_a_warning():
    found = load(DEPLOY / "config.example.yaml", KEYS)
    assert Catalogue(found.settings, found.source).names() == ["gpt-3.5-turbo-instruct", "claude", "local", "demo"]
    assert found.settings.warnings == ()


def test_compose_waits_longer_than_the_gateway_drains():
    service = SERVICES["gateway"]
    drains = load(DEPLOY / "config.example.yaml", KEYS).settings.general.shutdown_timeout
    assert int(service["stop_grace_period"].removesuffix("s")) > drains


def test_the_image_installs_every_folder_the_wheel_is_made_of():
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    for part in ("pyproject.toml", "README.md", "LICENSE", "COPY gateway ./gateway", "COPY policies ./policies"):
        assert part in dockerfile


def test_compose_has_the_gateway_and_everything_that_shows_what_it_does():
    assert set(SERVICES) == {"gateway", "collector", "phoenix", "prometheus", "grafana"}
    assert not [
        service["image"] for service in SERVICES.values() if re.search(r"^[^/]*\.[^/]*/", service.get("image", ""))
    ]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_reached_from_this_machine_only_and_gains_no_rights(name: str):
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", ()))
    assert "no-new-privileges:true" in SERVICES[name]["security_opt"]
    assert "privileged" not in SERVICES[name]


@pytest.mark.parametrize("name", SERVICES)
def test_every_file_and_volume_that_is_mounted_exists(name: str):
    for mounted in SERVICES[name].get("volumes", ()):
        source = mounted.split(":")[0]
        assert (DEPLOY / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]
        assert not source.startswith(".") or mounted.endswith(":ro")


def test_every_address_in_the_compose_file_is_a_service_of_it():
    told: dict[str, str] = {}
    for service in SERVICES.values():
        told.update({key: str(value) for key, value in service.get("environment", {}).items()})
    scraped = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yaml").read_text())["scrape_configs"]
    targets = [target for job in scraped for each in job["static_configs"] for target in each["targets"]]
    used = {told["OTEL_EXPORTER_OTLP_ENDPOINT"], told["PROMETHEUS_URL"], *(f"http://{target}" for target in targets)}
    used |= set(re.findall(r":-(http://phoenix:\d+)", told["PHOENIX_COLLECTOR_ENDPOINT"]))
    assert len(used) == 6
    for address in used:
        host, port = address.removeprefix("http://").split(":")
        assert host in SERVICES
        assert port in ("4000", "4318", "6006", "8888", "8889", "9090")


def test_the_collector_listens_on_the_name_it_has_in_the_network():
    assert SERVICES["collector"]["environment"]["MY_POD_IP"] == "collector"
    config = (DEPLOY.parent / "otel-collector.yaml").read_text()
    passed = set(SERVICES["collector"]["environment"]) - {"GOMEMLIMIT"}
    assert passed <= set(re.findall(r"\$\{env:(\w+)", config))


def test_the_collector_of_the_compose_file_is_of_the_version_that_is_tested():
    manifest = yaml.safe_load((DEPLOY / "collector" / "builder-config.yaml").read_text())
    assert SERVICES["collector"]["image"].endswith(f":{manifest['dist']['version']}")


def test_prometheus_has_the_key_that_metrics_want_and_counts_nothing_twice():
    jobs = {
        job["job_name"]: job
        for job in yaml.safe_load((DEPLOY / "prometheus/prometheus.yaml").read_text())["scrape_configs"]
    }
    assert (
        jobs["gateway"]["authorization"]["credentials_file"] == f"/run/secrets/{SERVICES['prometheus']['secrets'][0]}"
    )
    assert COMPOSE["secrets"]["gateway_key"]["environment"] == "GATEWAY_MASTER_KEY"
    (kept,) = jobs["collector"]["metric_relabel_configs"]
    assert kept["action"] == "keep"
    assert not re.fullmatch(kept["regex"], "gateway_requests_total")
    assert re.fullmatch(kept["regex"], "traces_span_metrics_calls_total")
