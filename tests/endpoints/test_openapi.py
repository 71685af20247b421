"""The description that ships with the package says what is served, and nothing else."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from schemathesis.specs.openapi import definitions
from starlette.routing import Route

from gateway.app import Gateway
from gateway.config.load import from_mapping
from gateway.endpoints.openapi import description
from gateway.errors import ClientDisconnected, ConfigError, error_classes
from gateway.exchange import Exchange, Rate
from gateway.guards.verdict import Verdict
from gateway.middleware import headers
from gateway.telemetry import logs
from gateway.version import __version__
from gateway.wire import completions
from gateway.wire.paths import COMPLETION_PATHS
from tests.inprocess import InProcess

PACKAGE = Path(completions.__file__).parents[1]
NEVER_SENT = (ClientDisconnected, ConfigError)


@pytest.fixture(scope="module")
def said() -> dict[str, Any]:
    return description()


def part(said: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = said["components"][kind][name]
    return found


def test_it_is_valid_openapi(said: dict[str, Any]) -> None:
    assert said["openapi"] == "3.1.0"
    definitions.OPENAPI_31_VALIDATOR.validate(said)


def test_it_is_served_without_a_key_under_this_version() -> None:
    gateway = InProcess({"model_list": [], "policies": [], "general_settings": {"master_key": "sk-master-key"}})
    reply = gateway.ask(method="GET", path="/openapi.json", scope={"gateway.local": False})
    gateway.close()
    assert reply.status == 200
    assert reply.json["info"]["version"] == __version__
    assert reply.json["paths"] == description()["paths"]


def test_every_path_and_method_that_is_served_is_in_it_and_no_other(said: dict[str, Any]) -> None:
    found = from_mapping({"model_list": [], "policies": []})
    routes = Gateway(found.settings, found.source, logs.make("library")).serving.routes
    served = {
        (route.path.replace(":path}", "}"), method)
        for route in routes
        if isinstance(route, Route)
        for method in route.methods or ()
        if method != "HEAD"
    }
    described = {(path, method.upper()) for path, methods in said["paths"].items() for method in methods}
    assert described == served


def test_every_parameter_that_is_read_is_in_it_and_no_other(said: dict[str, Any]) -> None:
    assert list(part(said, "schemas", "CompletionParameters")["properties"]) == list(completions.READERS)


@pytest.mark.parametrize("name", completions.READERS)
def test_a_parameters_bounds_are_the_readers(said: dict[str, Any], name: str) -> None:
    schema = part(said, "schemas", "CompletionParameters")["properties"][name]
    assert schema["description"].endswith(".")
    for bound, beyond in (("minimum", -1), ("maximum", 1)):
        if bound in schema:
            completions.READERS[name](name, schema[bound])
            with pytest.raises(completions.InvalidValue):
                completions.READERS[name](name, schema[bound] + beyond)
    if "default" in schema:
        assert getattr(completions.read({"model": "m", "prompt": "p"}), name) == schema["default"]


def test_every_error_code_and_type_that_can_be_sent_is_in_it_and_no_other(said: dict[str, Any]) -> None:
    error = part(said, "schemas", "Error")["properties"]["error"]["properties"]
    classes = [cls for cls in error_classes() if cls not in NEVER_SENT]
    assert set(error["code"]["enum"]) == {*(cls.code for cls in classes), *codes_given(), None}
    assert set(error["type"]["enum"]) == {cls.type for cls in classes}


def codes_given() -> Iterator[str]:
    """Codes that are given to an error where it is raised, `code="…"`, in place of its class's own."""
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.keyword) and node.arg == "code" and isinstance(node.value, ast.Constant):
                yield str(node.value.value)


def test_every_status_an_error_has_is_among_a_completions_responses(said: dict[str, Any]) -> None:
    statuses = {cls.status for cls in error_classes() if cls not in NEVER_SENT}
    for path in COMPLETION_PATHS:
        responses = said["paths"][path.replace(":path}", "}")]["post"]["responses"]
        assert {str(status) for status in statuses} <= responses.keys()


def test_every_header_of_an_answer_is_in_it_and_no_other(said: dict[str, Any]) -> None:
    exchange = Exchange("req_1", "POST", "/v1/completions")
    exchange.deployment, exchange.provider, exchange.served_model, exchange.dropped = "d", "p", "m", ("top_k",)
    exchange.reused = "miss"
    exchange.judges.append(lambda: [Verdict("pii", 1, "input", "mask", True)])
    exchange.rates = (Rate("requests", 10, 9, 6.0), Rate("tokens", 100, 50, 60.0))
    sent = {name.decode() for name, _ in headers.own(exchange)}
    described = part(said, "responses", "Completion")["headers"]
    assert described.keys() == sent | {"cache-control", "x-accel-buffering"}


def test_every_request_header_that_is_read_is_in_it_and_no_other(said: dict[str, Any]) -> None:
    schemes = said["components"]["securitySchemes"].values()
    described = {scheme.get("name", "authorization") for scheme in schemes}
    described |= {each["name"] for each in said["components"]["parameters"].values() if each["in"] == "header"}
    assert described == set(headers_read())


def headers_read() -> Iterator[str]:
    """The names in `headers.first(scope, b"…", …)`, wherever it is called."""
    for file in (*(PACKAGE / "middleware").rglob("*.py"), PACKAGE / "endpoints" / "completions.py"):
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "headers.first":
                yield from (ast.literal_eval(name).decode() for name in node.args[1:])


def test_what_it_shows_as_an_example_is_what_it_describes(said: dict[str, Any]) -> None:
    examples = [example for schema in said["components"]["schemas"].values() for example in schema.get("examples", ())]
    requests = [example for example in examples if "prompt" in example]
    assert len(requests) == 2
    for request in requests:
        completions.read(request, None if "model" in request else "demo")


def test_every_part_is_used_or_named(said: dict[str, Any]) -> None:
    text = repr(said)
    for kind in ("parameters", "headers", "responses", "schemas"):
        for name in said["components"][kind]:
            assert f"'#/components/{kind}/{name}'" in text or f"`{name}`" in text, name
