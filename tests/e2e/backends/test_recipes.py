"""Every recipe of the README is a configuration that loads, and sends where its text says. Nothing is called."""

import re
from pathlib import Path

import pytest
import yaml

from gateway.config.load import from_mapping
from gateway.config.otel import Plan, plan
from gateway.config.otel_receiver import Otlp

README = Path(__file__).parents[3] / "README.md"
KEYS = {
    "LANGFUSE_AUTHORIZATION": "Basic cGs6c2s=",
    "HONEYCOMB_API_KEY": "hcaik-12345678",
    "NEW_RELIC_LICENSE_KEY": "nr-12345678",
}
WANTED = {
    "Arize Phoenix": ("http://127.0.0.1:6006/v1/traces", "auto", {}),
    "MLflow": ("http://127.0.0.1:5000/v1/traces", "auto", {"x-mlflow-experiment-id": "0"}),
    "Langfuse": (
        "https://cloud.langfuse.com/api/public/otel/v1/traces",
        "auto",
        {"authorization": KEYS["LANGFUSE_AUTHORIZATION"], "x-langfuse-ingestion-version": "4"},
    ),
    "Tempo and Grafana": ("http://127.0.0.1:4318/v1/traces", "auto", {"x-scope-orgid": "gateway"}),
    "Jaeger": ("http://127.0.0.1:4317", "grpc", {}),
    "Datadog": ("http://127.0.0.1:4318/v1/traces", "auto", {}),
    "Honeycomb": ("https://api.honeycomb.io/v1/traces", "auto", {"x-honeycomb-team": KEYS["HONEYCOMB_API_KEY"]}),
    "New Relic": ("https://otlp.nr-data.net/v1/traces", "http/protobuf", {"api-key": KEYS["NEW_RELIC_LICENSE_KEY"]}),
}


def section() -> str:
    found = re.search(r"^## Recipes per backend\n(.*?)^## ", README.read_text(), re.DOTALL | re.MULTILINE)
    assert found
    return found[1]


def recipes() -> dict[str, str]:
    """The YAML of each backend, by the name its paragraph begins with."""
    found = re.findall(
        r"^\*\*([A-Z][A-Za-z ]+?)\.?\*\*(?:(?!^\*\*).)*?```yaml\n(.*?)```", section(), re.DOTALL | re.MULTILINE
    )
    return dict(found)


def planned(recipe: str) -> Plan:
    """What a gateway with this configuration does; every key of a backend is in its environment."""
    models = {"model_list": [{"model_name": "demo", "litellm_params": {"model": "demo/demo"}}]}
    found = from_mapping({**models, **yaml.safe_load(recipe)}, environ=KEYS)
    assert found.settings.warnings == ()
    return plan(found.settings.telemetry, KEYS)


def test_every_backend_has_a_recipe_of_a_few_lines():
    assert list(recipes()) == list(WANTED)
    assert max(recipe.count("\n") for recipe in recipes().values()) <= 6


@pytest.mark.parametrize("name", WANTED)
def test_a_recipe_sends_where_it_says(name: str):
    made = planned(recipes()[name])
    assert isinstance(made.otlp, Otlp)
    assert (made.otlp.url, made.otlp.protocol, dict(made.otlp.headers)) == WANTED[name]
    assert made.configured
    assert made.warnings == ()


def test_what_recipes_leave_commented_out_is_valid_too():
    recipe = re.sub(r"^  # (\w+: .*?)  #.*$", r"  \1", recipes()["Arize Phoenix"], flags=re.MULTILINE)
    models = {"model_list": [{"model_name": "demo", "litellm_params": {"model": "demo/demo"}}]}
    found = from_mapping({**models, **yaml.safe_load(recipe)}, environ={"PHOENIX_AUTHORIZATION": "Bearer key"})
    assert found.settings.telemetry.otlp_headers == {"authorization": "Bearer key"}


def test_every_picture_is_there_and_small():
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", section())
    assert len(pictures) == 2
    for picture in pictures:
        assert 1_000 < (README.parent / picture).stat().st_size < 300_000
