"""Arize Phoenix and MLflow as real servers on loopback, each with SQLite in a folder of its own."""

import base64
import urllib.error
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.wire import json
from tests.e2e import kit as processes
from tests.e2e.backends import kit

PHOENIX = "GATEWAY_TEST_PHOENIX"
MLFLOW = "GATEWAY_TEST_MLFLOW"
"""The environment variables that name the two programs."""


@dataclass(frozen=True, slots=True)
class Phoenix:
    """A running Phoenix. Spans are in the project that `openinference.project.name` of their resource says."""

    process: processes.Process
    folder: Path
    url: str
    grpc: str

    def graphql(self, query: str, **variables: Any) -> Mapping[str, Any]:
        """The data of an answer; fails when there are errors."""
        answer = json.loads(kit.fetched(f"{self.url}/graphql", {"query": query, "variables": variables}))
        assert "errors" not in answer, answer["errors"]
        data: Mapping[str, Any] = answer["data"]
        return data

    def spans(self, project: str, trace_id: str) -> list[kit.Stored]:
        """The spans of a trace that are there so far."""
        try:
            found = json.loads(kit.fetched(f"{self.url}/v1/projects/{project}/spans?trace_id={trace_id}"))["data"]
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            return []  # a project comes with its first span
        return [
            kit.Stored(
                name=span["name"],
                span_id=span["context"]["span_id"],
                parent_id=span["parent_id"],
                kind=span["span_kind"],
                failed=span["status_code"] == "ERROR",
                began=span["start_time"],
                attributes=span["attributes"],
                events=span["events"],
            )
            for span in found
        ]


@dataclass(frozen=True, slots=True)
class Mlflow:
    """A running MLflow."""

    process: processes.Process
    folder: Path
    url: str

    def experiment(self, name: str) -> str:
        """The id of a new experiment."""
        made = json.loads(kit.fetched(f"{self.url}/api/2.0/mlflow/experiments/create", {"name": name}))
        return str(made["experiment_id"])

    def info(self, trace_id: str) -> Mapping[str, Any] | None:
        """What it says of a trace as a whole; None while it does not know it."""
        try:
            answer = kit.fetched(f"{self.url}/api/3.0/mlflow/traces/tr-{trace_id}")
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            return None
        found: Mapping[str, Any] = json.loads(answer)["trace"]["trace_info"]
        return found

    def spans(self, trace_id: str) -> list[kit.Stored]:
        """The spans of a trace that are there so far."""
        if self.info(trace_id) is None:
            return []
        url = f"{self.url}/ajax-api/3.0/mlflow/get-trace-artifact?request_id=tr-{trace_id}"
        return [_mlflow_span(span) for span in json.loads(kit.fetched(url))["spans"]]


def _mlflow_span(span: Mapping[str, Any]) -> kit.Stored:
    attributes = {name: json.loads(value) for name, value in span["attributes"].items()}
    parent = span["parent_span_id"]
    return kit.Stored(
        name=span["name"],
        span_id=base64.b64decode(span["span_id"]).hex(),
        parent_id=base64.b64decode(parent).hex() if parent else None,
        kind=attributes.get("mlflow.spanType", "UNKNOWN"),
        failed=span["status"]["code"] == "STATUS_CODE_ERROR",
        began=span["start_time_unix_nano"],
        attributes=attributes,
        events=span["events"],
    )


@contextmanager
def phoenix(folder: Path) -> Iterator[Phoenix]:
    """A Phoenix that is ready. It asks nobody outside for anything."""
    program = kit.program(PHOENIX, "phoenix")
    port, grpc = kit.free_ports(2)
    data = folder / "data"
    data.mkdir(parents=True)
    environment = processes.environment(
        PHOENIX_WORKING_DIR=str(data),
        PHOENIX_HOST="127.0.0.1",
        PHOENIX_PORT=str(port),
        PHOENIX_GRPC_PORT=str(grpc),
        PHOENIX_TELEMETRY_ENABLED="false",
        PHOENIX_ALLOW_EXTERNAL_RESOURCES="false",
    )
    with _running(folder, [program, "serve"], environment, f"http://127.0.0.1:{port}/healthz") as process:
        yield Phoenix(process, folder, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{grpc}")


@contextmanager
def mlflow(folder: Path) -> Iterator[Mlflow]:
    """An MLflow that is ready, with one worker and no jobs. It asks nobody outside for anything."""
    program = kit.program(MLFLOW, "mlflow")
    (port,) = kit.free_ports(1)
    folder.mkdir(parents=True, exist_ok=True)
    store = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--default-artifact-root", str(folder / "files")]
    argv = [program, "server", *store, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    environment = processes.environment(
        MLFLOW_DISABLE_TELEMETRY="true",
        MLFLOW_MODEL_CATALOG_URI="",  # it would fetch prices while it takes spans
        MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false",
        PATH=f"{Path(program).parent}:{processes.environment().get('PATH', '')}",
    )
    with _running(folder, argv, environment, f"http://127.0.0.1:{port}/health") as process:
        yield Mlflow(process, folder, f"http://127.0.0.1:{port}")


@contextmanager
def _running(folder: Path, argv: list[str], environment: dict[str, str], health: str) -> Iterator[processes.Process]:
    del environment["PYTHONPATH"]  # it lives in an environment of its own
    with processes.started(folder, argv, environment) as process:

        def ready() -> bool:
            assert process.popen.poll() is None, process.err[-3000:]
            try:
                kit.fetched(health)
            except OSError:
                return False
            return True

        processes.until(f"{argv[0]} is ready", ready, kit.STARTING_SECONDS)
        yield process


def whole(asked: kit.Asked, read: Callable[[str], Sequence[kit.Stored]]) -> list[kit.Stored]:
    """The spans of a trace, once its server span is there: it is sent last."""

    def found() -> list[kit.Stored]:
        spans = list(read(asked.trace_id))
        return spans if any(span.span_id == asked.record["span_id"] for span in spans) else []

    spans: list[kit.Stored] = processes.until(f"the trace of {asked.case}", found)
    return spans
