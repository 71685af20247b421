"""What otel-collector.yaml and the files of deploy/collector promise, as far as reading them shows it.

That a real collector takes them, and what it does with spans, is in `test_collector.py`.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from gateway.config.model import RouterSettings
from gateway.telemetry import conventions
from tests.deploy.kit import CONFIG, DEPLOY, OVERLAYS

ROOT: dict[str, Any] = yaml.safe_load(CONFIG.read_text())
NAMES = {value for name, value in vars(conventions).items() if name.isupper() and isinstance(value, str)}
NETWORKED = [name for name in ROOT["exporters"] if name.startswith("otlp_")]
BACKENDS = {
    name: pipeline for name, pipeline in ROOT["service"]["pipelines"].items() if "forward/kept" in pipeline["receivers"]
}
DEFAULT = re.compile(r"\$\{env:\w+:-([^}]*)\}")


def overlay(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / "collector" / f"{name}.yaml").read_text())
    return loaded


def texts(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for each in value.values():
            yield from texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts(each)
    else:
        yield str(value)


def unescaped(pattern: str) -> "re.Pattern[str]":
    return re.compile(pattern.replace("$$", "$"))


def test_nothing_listens_on_every_address():
    listening = [text for text in texts(ROOT) if re.search(r":\d+$", text)]
    assert listening
    assert not [text for text in texts(ROOT) if "0.0.0.0" in text or re.match(r":\d+$", text)]
    for part in (ROOT["receivers"], ROOT["extensions"]):
        for address in (text for text in texts(part) if re.search(r":\d+$", text)):
            assert address.startswith(("${env:MY_POD_IP:-127.0.0.1}", "127.0.0.1:"))


def test_the_processors_stand_in_the_order_that_protects_memory_and_then_content():
    steps = ROOT["service"]["pipelines"]["traces"]["processors"]
    assert steps == [
        "memory_limiter",
        "resource_detection",
        "transform/before",
        "redaction",
        "transform/after",
        "filter",
    ]


def test_spans_are_counted_before_any_is_left_out():
    pipelines = ROOT["service"]["pipelines"]
    assert "span_metrics" in pipelines["traces"]["exporters"]
    assert "tail_sampling" not in pipelines["traces"]["processors"]
    assert pipelines["traces/sampling"]["processors"] == ["tail_sampling"]


@pytest.mark.parametrize("name", NETWORKED)
def test_every_exporter_waits_on_disk_batches_and_tries_again(name: str):
    exporter = ROOT["exporters"][name]
    assert exporter["sending_queue"]["storage"] == "file_storage"
    assert exporter["sending_queue"]["batch"]["max_size"] <= exporter["sending_queue"]["queue_size"]
    assert exporter["retry_on_failure"]["max_elapsed_time"] == "0s"
    assert exporter["timeout"]


def test_nobody_uses_the_batch_processor_which_would_forget_what_it_holds():
    assert not [name for name in ROOT["processors"] if name.split("/")[0] == "batch"]


def test_every_backend_has_a_pipeline_of_its_own_with_one_exporter():
    switched = [DEFAULT.search(pipeline["exporters"][0]) for pipeline in BACKENDS.values()]
    assert all(len(pipeline["exporters"]) == 1 for pipeline in BACKENDS.values())
    assert [found and found[1] for found in switched] == ["otlp_http/phoenix"] + ["nop"] * (len(BACKENDS) - 1)
    assert {name.split("/")[1] for name in [*NETWORKED, "file/file", "debug/debug"]} == {
        name.split("/")[1] for name in BACKENDS
    }


def test_every_switch_and_every_variable_stands_in_the_head_of_the_file():
    text = CONFIG.read_text()
    head = "".join(line for line in text.splitlines(keepends=True) if line.startswith("#"))
    used = set(re.findall(r"\$\{env:(\w+)", text))
    assert {name for name in used if name not in head} == {"COLLECTOR_DEBUG_VERBOSITY"}
    for exporter in NETWORKED:
        assert f"={exporter} " in head


def test_a_trace_may_arrive_for_longer_than_an_answer_may_take():
    wait = DEFAULT.search(ROOT["processors"]["tail_sampling"]["decision_wait"])
    assert wait is not None
    assert float(wait[1].removesuffix("s")) > RouterSettings().timeout


def test_a_cost_is_not_compared_by_a_policy_that_reads_whole_numbers():
    policies = {policy["name"]: policy for policy in ROOT["processors"]["tail_sampling"]["policies"]}
    assert policies["expensive"]["type"] == "ottl_condition"
    assert list(policies) == ["errors", "outcomes", "guardrails", "slow", "expensive", "share"]


def test_no_name_that_the_gateway_writes_is_masked_for_its_name():
    patterns = [unescaped(pattern) for pattern in ROOT["processors"]["redaction"]["blocked_key_patterns"]]
    assert len(NAMES) > 100
    assert not [name for name in NAMES if any(pattern.search(name) for pattern in patterns)]


def test_every_pattern_for_names_is_anchored_at_both_ends():
    for pattern in ROOT["processors"]["redaction"]["blocked_key_patterns"]:
        assert pattern.startswith("(?i)^")
        assert pattern.endswith("$$")


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_overlays_write_and_read_only_names_of_the_conventions(name: str):
    said = "\n".join(texts(overlay(name)["processors"]))
    used = set(re.findall(r'span\.attributes\["([^"]+)"\]', said))
    assert used
    assert used <= NAMES


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_changes_its_own_backend_only(name: str):
    (pipeline,) = overlay(name)["service"]["pipelines"]
    assert pipeline in BACKENDS
    assert overlay(name)["service"]["pipelines"][pipeline] == {"processors": [f"transform/{name}"]}


def test_names_of_the_conventions_in_the_configuration_exist():
    said = "\n".join(texts(ROOT["processors"])) + "\n".join(texts(ROOT["connectors"]))
    used = set(re.findall(r"\b(?:gen_ai|gateway)(?:\.\w+)+", said)) - {"gen_ai.usage.cost.amount"}
    assert used
    assert used <= NAMES


def test_the_manifest_holds_one_version_of_every_component_and_of_the_builder():
    manifest = yaml.safe_load((DEPLOY / "collector" / "builder-config.yaml").read_text())
    version = manifest["dist"]["version"]
    parts = [
        part["gomod"].split() for kind, rows in manifest.items() if kind not in ("dist", "providers") for part in rows
    ]
    assert {found for _, found in parts} == {f"v{version}"}
    assert tuple(map(int, version.split("."))) >= (0, 156)
    assert "@v$version" in (DEPLOY / "collector" / "build").read_text()
