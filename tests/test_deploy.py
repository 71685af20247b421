"""What is deployed: the example configuration is valid, and the image starts what the command line offers."""

from pathlib import Path

import yaml

from gateway.config.load import load
from gateway.routing.deployments import Catalogue

DEPLOY = Path(__file__).parent.parent / "deploy"
KEYS = {"OPENAI_API_KEY": "sk-12345678", "ANTHROPIC_API_KEY": "sk-ant-12345", "GATEWAY_MASTER_KEY": "sk-master-1"}


def test_the_example_configuration_is_valid_and_without_a_warning():
    found = load(DEPLOY / "config.example.yaml", KEYS)
    assert Catalogue(found.settings, found.source).names() == ["gpt-3.5-turbo-instruct", "claude", "local", "demo"]
    assert found.settings.warnings == ()


def test_compose_waits_longer_than_the_gateway_drains():
    service = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["gateway"]
    drains = load(DEPLOY / "config.example.yaml", KEYS).settings.general.shutdown_timeout
    assert int(service["stop_grace_period"].removesuffix("s")) > drains


def test_the_image_installs_every_folder_the_wheel_is_made_of():
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    for part in ("pyproject.toml", "README.md", "LICENSE", "COPY gateway ./gateway", "COPY policies ./policies"):
        assert part in dockerfile
