"""One set of requests for every backend, and what a trace must look like when it is read back from one."""

import os
import shutil
import socket
import urllib.error
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from gateway.wire import json, sse
from tests.e2e import kit

ROOT = Path(__file__).parents[3]

STARTING_SECONDS = 180.0
"""How long a backend may take to make its database and start; it takes ten to twenty on a small idle machine."""

MAIL = "planted-needle@corp.example.com"
KEY = "AKI\x41Z7QJ3MX5LT2WN4RB"
USER = "person-to-be-hidden"
NEEDLES = ("planted-needle", "leaked-needle", KEY, "AKI\x41Z7QJ3")
"""Of personal data and of a credential, what no backend may ever hold."""

MODELS = """
model_list:
  - model_name: cheap
    litellm_params: {{model: demo/lantern-small, input_cost_per_token: 0.000002, output_cost_per_token: 0.00001}}
  - model_name: dear
    litellm_params: {{model: demo/lantern-large, input_cost_per_token: 0.00003, output_cost_per_token: 0.00012}}
  - model_name: thinker
    litellm_params:
      model: openai/thinker
      api_base: {provider}
      api_key: any
      input_cost_per_token: 0.00001
      cache_read_input_token_cost: 0.000001
      output_cost_per_token: 0.0001
      output_cost_per_reasoning_token: 0.0002
  - {{model_name: broken, litellm_params: {{model: demo/lantern-small, demo_fault: status_500, demo_fault_at: 0}}}}
policies: [default]
"""
"""Three models with prices, one of them of `provider`, and one that fails."""


RETRIED = 3
"""Calls for a request whose deployment always fails: the first, and `num_retries` after it."""


@dataclass(frozen=True, slots=True)
class Case:
    """A request, and what its trace has below the server's span: a guardrail for each stage that was judged, in order,
    and so many calls."""

    name: str
    body: Mapping[str, Any]
    status: int = 200
    outcome: str = "allowed"
    stages: tuple[str, ...] = ("input", "output")
    calls: int = 1
    failed: bool = False

    def __str__(self) -> str:
        return self.name


CASES = (
    Case("whole", {"model": "cheap", "prompt": "Say this is a test"}),
    Case("streamed", {"model": "dear", "prompt": "Say this is a test", "stream": True}),
    Case("masked", {"model": "cheap", "prompt": f"Say {MAIL} is it", "max_tokens": 30}, outcome="masked"),
    Case(
        "masked, streamed",
        {"model": "dear", "prompt": f"Say {MAIL} is it", "max_tokens": 30, "stream": True},
        outcome="masked",
    ),
    Case("two prompts", {"model": "cheap", "prompt": ["Say one", "Say two"]}, calls=2),
    Case("blocked", {"model": "cheap", "prompt": f"My key is {KEY}"}, 400, "blocked", ("input",), calls=0),
    Case("cached", {"model": "thinker", "prompt": "Whom do I ask?"}, outcome="masked"),
    Case("provider leaks", {"model": "thinker", "prompt": "Now fail"}, 502, "error", ("input",), RETRIED, failed=True),
    Case("failed", {"model": "broken", "prompt": "Say it"}, 502, "error", ("input",), RETRIED, failed=True),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was answered: its text, and the gateway's own record of it, which says the trace."""

    case: Case
    text: str
    record: Mapping[str, Any]

    @property
    def trace_id(self) -> str:
        return str(self.record["trace_id"])

    @property
    def cost(self) -> float | None:
        """US dollars, by the gateway's count."""
        return self.record.get("gen_ai.usage.cost")


@dataclass(frozen=True, slots=True)
class Stored:
    """A span as a backend has it. `kind` is the backend's own word for what it is, in capitals."""

    name: str
    span_id: str
    parent_id: str | None
    kind: str
    failed: bool
    began: str | int
    attributes: Mapping[str, Any]
    events: Sequence[Mapping[str, Any]] = field(default=())


def program(variable: str, name: str) -> str:
    """The path of a program, which a variable names, or which is in the path; skips, and says why, where it is not."""
    found = os.environ.get(variable) or shutil.which(name)
    if not found:
        pytest.skip(f"there is no program {name} in the path, and {variable} does not name one")
    return found


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on, each another."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def fetched(url: str, body: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None) -> bytes:
    """The body of an answer with a status below 400; anything else is an error of urllib."""
    data = None if body is None else json.dumps(body)
    request = Request(url, data, {"content-type": "application/json", **(headers or {})})  # noqa: S310 - loopback
    with _DIRECT.open(request, timeout=kit.SECONDS) as answer:
        found: bytes = answer.read()
    return found


_DIRECT = build_opener(ProxyHandler({}))


def ask(gateway: kit.Process, case: Case, headers: Mapping[str, str] | None = None) -> Asked:
    """Send a request and wait for the gateway's record of it."""
    name = f"req-{case.name.replace(', ', '-').replace(' ', '-')}-{os.urandom(4).hex()}"
    body = {"max_tokens": 12, "user": USER, **case.body}
    told = {
        "x-request-id": name,
        "x-gateway-session": "session-7",
        "x-gateway-tags": "team-a,canary",
        **(headers or {}),
    }
    status, answer = sent(f"{gateway.url}/v1/completions", body, told)
    assert status == case.status, answer
    (line,) = kit.until(f"the record of {name}", lambda: _records(gateway, name))
    return Asked(case, _text(answer), json.loads(line))


def _records(gateway: kit.Process, name: str) -> list[str]:
    """The usage records of a request, those lines that are written to their end."""
    whole = gateway.out.splitlines()
    return [line for line in whole if f'"gateway.request.id":"{name}"' in line and '"event":"request"' in line]


def sent(url: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> tuple[int, bytes]:
    """Status and body of one request, however it ended."""
    try:
        return 200, fetched(url, body, headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def _text(answer: bytes) -> str:
    """The text of all choices of an answer, streamed or not; empty for an error."""
    if answer.startswith(b"data:"):
        parts = [json.loads(event.data) for event in sse.Decoder().feed(answer) if event.data != b"[DONE]"]
    else:
        parts = [json.loads(answer)]
    return "".join(choice["text"] for part in parts for choice in part.get("choices", ()))


def check_tree(spans: Sequence[Stored], asked: Asked, root_kind: str, parent: str | None = None) -> None:
    """One server span, and directly below it a guardrail for each stage and a call for each call, and nothing else."""
    case = asked.case
    (server,) = [span for span in spans if span.name == "POST /v1/completions"]
    assert (server.parent_id, server.kind, server.failed) == (parent, root_kind, case.failed)
    assert server.span_id == asked.record["span_id"]
    below = sorted((span for span in spans if span is not server), key=lambda span: span.began)
    assert {span.parent_id for span in below} == {server.span_id}
    assert len({span.span_id for span in spans}) == len(spans)
    guardrails = [span for span in below if span.kind == "GUARDRAIL"]
    calls = [span for span in below if span.kind == "LLM"]
    assert len(guardrails) + len(calls) == len(below)
    assert {span.name for span in guardrails} == {"apply_guardrail default"}
    assert {span.attributes["gen_ai.guardrail.source"] for span in guardrails} >= set(case.stages)
    assert len(calls) == case.calls
    assert {span.failed for span in calls} <= {case.failed}


def check_words(spans: Sequence[Stored], asked: Asked, user: str = USER) -> None:
    """What spans say of who asked, what was used and what it cost, is what the gateway's record says."""
    server = next(span for span in spans if span.name == "POST /v1/completions")
    assert server.attributes["gateway.outcome"] == asked.case.outcome
    assert server.attributes["http.response.status_code"] == asked.case.status
    assert server.attributes["gateway.model"] == asked.case.body["model"]
    assert list(server.attributes["gateway.tags"]) == ["team-a", "canary"]
    assert "gen_ai.usage.input_tokens" not in server.attributes
    calls = [span for span in spans if span.kind == "LLM"]
    for span in (server, *calls):
        assert (span.attributes["user.id"], span.attributes["session.id"]) == (user, "session-7")
    for side in ("input", "output"):
        name = f"gen_ai.usage.{side}_tokens"
        assert sum(span.attributes.get(name, 0) for span in calls) == asked.record.get(name, 0)
        assert {type(span.attributes[name]) for span in calls if name in span.attributes} <= {int}
    if asked.cost is not None:
        assert asked.cost > 0
        assert sum(span.attributes["gen_ai.usage.cost"] for span in calls) == pytest.approx(asked.cost)


def check_guardrails(spans: Sequence[Stored], asked: Asked) -> None:
    """What was decided of the prompt, or of the answer where that is at fault, and why: an event for each kind of thing
    that was found."""
    said = {"masked": ("modify", "pii"), "blocked": ("deny", "secrets")}
    stage = "output" if asked.case.name == "cached" else "input"
    first = next(span for span in spans if span.attributes.get("gen_ai.guardrail.source") == stage)
    result, category = said.get(asked.case.outcome, ("allow", None))
    assert first.attributes["gen_ai.guardrail.result.type"] == result
    assert first.attributes.get("gen_ai.guardrail.risk.category") == category
    assert [event["name"] for event in first.events] == (["gen_ai.guardrail.result"] if category else [])
    for event in first.events:
        assert event["attributes"]["gen_ai.guardrail.risk.category"] == category
        assert event["attributes"]["gateway.guardrail.findings"] == 1


def holding(folder: Path, *needles: str) -> list[tuple[str, str]]:
    """Every file of a folder with one of these texts in its bytes, in UTF-8 or in UTF-16, with the text."""
    forms = [(text, form) for text in needles for form in (text.encode(), text.encode("utf-16-le"))]
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return [(file.name, text) for file in files for text, form in forms if form in file.read_bytes()]
