"""The shape of what is told, whatever happens to a request: one table, one test."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.wire import asgi, json
from tests.telemetry.kit import BLOCKED, CALLER, FALLS, KEY, MASKED, MENDS, Told, telling


@dataclass(frozen=True)
class Row:
    """What is asked of whom, and what is told of it. `calls` counts calls to providers; `status` and `error` are those
    of the whole answer, `streamed` that status where the answer streams."""

    name: str
    model: str
    outcome: str
    status: int
    error: str | None = None
    calls: int = 1
    streamed: int | None = None
    prompt: str = "Say hello there"
    leaves: bool = False
    failed: bool = False
    """Whether the server span is an error: 5xx is, 4xx is not."""
    asked: tuple[tuple[str, Any], ...] = ()
    paid: int | None = None
    """How many of the calls have to be paid; None for all of them."""
    judged: tuple[str, ...] = ("input", "output")
    """The stages that policies have judged."""
    whole: tuple[str, ...] | None = None
    """Those of an answer that does not stream, where less of it came."""


ASKED: tuple[str, ...] = ("input",)
NOTHING: tuple[str, ...] = ()

ROWS = (
    Row("ok", "ok", "allowed", 200),
    Row("two prompts", "ok", "allowed", 200, calls=2, asked=(("prompt", ["one", "two"]),)),
    Row("the client leaves", "stall", "cancelled", 499, "client_disconnected", leaves=True, whole=ASKED),
    Row("provider 429", "429", "error", 429, "rate_limit_exceeded", paid=0, judged=ASKED),
    Row("provider 500", "500", "error", 502, "upstream_error", failed=True, paid=0, judged=ASKED),
    Row("provider 400", "400", "error", 400, "upstream_rejected", paid=0),
    Row("time-out", "stall", "error", 504, "upstream_timeout", streamed=200, failed=True, whole=ASKED),
    Row("cut", "cut", "error", 502, "upstream_error", streamed=200, failed=True, whole=ASKED),
    Row("fallback", FALLS, "allowed", 200, calls=2, paid=1),
    Row("over budget", "ok", "error", 429, "budget_exceeded", calls=0, asked=(("user", "somebody"),), judged=NOTHING),
    Row("input blocked", "ok", "blocked", 400, "policy_blocked", calls=0, prompt=f"Have a {BLOCKED}", judged=ASKED),
    Row("output blocked", "leaky", "blocked", 200),
    Row("masked", "ok", "masked", 200, prompt=f"Mail {MASKED} now"),
    Row("invalid request", "ok", "error", 400, "invalid_value", calls=0, asked=(("temperature", 3),), judged=NOTHING),
    Row("no such model", "nobody", "error", 404, "model_not_found", calls=0, judged=ASKED),
    Row("not JSON", "ok", "error", 400, "invalid_json", calls=0, asked=(("body", b"{"),), judged=NOTHING),
    Row(
        "wrong key", "ok", "error", 401, "invalid_api_key", calls=0, asked=(("key", "sk-wrong-key-1"),), judged=NOTHING
    ),
)


async def asked(told: Told, row: Row, *, stream: bool) -> None:
    if row.leaves:
        await told.leave(row.model, row.prompt, stream=stream)
        return
    rest = {"prompt": row.prompt, "stream": stream, "headers": ((b"traceparent", CALLER.encode()),), **dict(row.asked)}
    status, _ = await told.ask(row.model, **rest)
    assert status == ((row.streamed or row.status) if stream else row.status)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_request_has_one_server_span_one_span_per_call_and_one_usage_record(
    row: Row, stream: bool, tmp_path: Path
) -> None:
    async def run() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        async with telling(tmp_path) as told:
            await asked(told, row, stream=stream)
            return await told.spans(), told.lines()

    spans, lines = asyncio.run(run())
    servers = [span for span in spans if span["kind"] == 2]
    calls = [span for span in spans if span["kind"] == 3]
    assert len(servers) == len(lines) == 1
    assert len(calls) == row.calls
    assert len({span["spanId"] for span in spans}) == len(spans), "ended twice"
    (server,), (line,) = servers, lines
    assert_one_tree(server, spans, joined=not row.leaves)
    assert_told(server, line, row)
    assert_paid_once(server, calls, line, row)
    assert_judged(spans, line, row.judged if stream or row.whole is None else row.whole)


def assert_one_tree(server: dict[str, Any], spans: list[dict[str, Any]], *, joined: bool) -> None:
    if joined:
        assert (server["traceId"], server["parentSpanId"]) == (CALLER[3:35], CALLER[36:52])
    for span in spans:
        assert span["traceId"] == server["traceId"]
        if span is not server:
            assert span["parentSpanId"] == server["spanId"], "an orphan"
        assert int(server["startTimeUnixNano"]) <= int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"])
        assert int(span["endTimeUnixNano"]) <= int(server["endTimeUnixNano"])


def assert_told(server: dict[str, Any], line: dict[str, Any], row: Row) -> None:
    attributes = server["attributes"]
    assert server["name"] == "POST /v1/completions"
    assert attributes["gateway.outcome"] == line["gateway.outcome"] == row.outcome
    assert attributes.get("error.type") == line.get("error.type") == row.error
    assert (server.get("status", {}).get("code") == 2) is row.failed
    assert attributes["http.response.status_code"] == line["http.response.status_code"]
    assert (line["trace_id"], line["span_id"]) == (server["traceId"], server["spanId"])


def assert_paid_once(server: dict[str, Any], calls: list[dict[str, Any]], line: dict[str, Any], row: Row) -> None:
    assert not [name for name in server["attributes"] if name.startswith(("gen_ai.usage", "gateway.cost"))]
    costs = [call["attributes"].get("gen_ai.usage.cost") for call in calls]
    paid = [cost for cost in costs if cost is not None]
    assert len(paid) == (row.calls if row.paid is None else row.paid)
    if not paid:
        assert "gen_ai.usage.cost" not in line
        return
    assert line["gen_ai.usage.cost"] == pytest.approx(sum(paid))
    for call in calls:
        if "gen_ai.usage.cost" not in call["attributes"]:
            assert call["attributes"]["error.type"]
            continue
        tokens = [call["attributes"][f"gen_ai.usage.{side}_tokens"] for side in ("input", "output")]
        assert all(count >= 0 for count in tokens)
        assert "gen_ai.usage.cost.amount" not in call["attributes"]


def assert_judged(spans: list[dict[str, Any]], line: dict[str, Any], stages: tuple[str, ...]) -> None:
    """Each policy tells of each stage where there was a text, and of no other."""
    expected = sorted((policy, stage) for policy in ("fruit", "pii") for stage in stages)
    told = [span["attributes"] for span in spans if span["kind"] == 1]
    found = [(each["gen_ai.guardrail.policy.id"], each["gen_ai.guardrail.source"]) for each in told]
    assert sorted(found) == expected
    assert sorted((each["policy"], each["stage"]) for each in line.get("gateway.guardrails", ())) == expected


def test_a_call_that_broke_off_says_so_and_the_others_say_how_they_ended(tmp_path: Path) -> None:
    async def run() -> list[dict[str, Any]]:
        async with telling(tmp_path) as told:
            for model in ("cut", "ok", "429"):
                await told.ask(model, stream=True)
            return [span["attributes"] for span in await told.spans() if span["kind"] == 3]

    cut, ok, refused = asyncio.run(run())
    assert (cut["gen_ai.response.finish_reasons"], cut["error.type"]) == (["error"], "upstream_error")
    assert ok["gen_ai.response.finish_reasons"] == ["stop"]
    assert ok["gen_ai.response.time_to_first_chunk"] > 0
    assert "gen_ai.response.finish_reasons" not in refused


@pytest.mark.parametrize(
    ("alias", "first", "retries", "why", "counted"),
    [(FALLS, "gpt-500", 0, "fallback", "fallbacks"), (MENDS, "gpt-cut", 1, "retry", "retries")],
)
def test_what_is_called_in_place_of_what_failed_says_so(
    alias: str, first: str, retries: int, why: str, counted: str, tmp_path: Path
) -> None:
    async def run() -> tuple[list[dict[str, Any]], dict[str, Any], bytes]:
        async with telling(tmp_path, retries=retries) as told:
            await told.ask(alias)
            (line,) = told.lines()
            calls = [span["attributes"] for span in await told.spans() if span["kind"] == 3]
            return calls, line, await told.everything()

    (failed, served), line, everything = asyncio.run(run())
    assert (failed["gen_ai.request.model"], failed["error.type"]) == (first, "upstream_error")
    assert (served["gen_ai.request.model"], served["gen_ai.response.finish_reasons"]) == ("gpt-ok", ["stop"])
    assert [call.get("gateway.call.reason") for call in (failed, served)] == [None, why]
    assert [call["gateway.attempt"] for call in (failed, served)] == [1, 2]
    assert (line["gateway.model"], line["gen_ai.request.model"], line["gateway.attempts"]) == (alias, "gpt-ok", 2)
    (found,) = [each for each in everything.splitlines() if f"upstream_{counted}_total{{".encode() in each]
    assert b'error_type="upstream_error"' in found
    assert found.endswith(b" 1")


def test_decisions_about_answers_that_never_came_are_counted_nowhere(tmp_path: Path) -> None:
    async def run() -> tuple[dict[str, int], bytes]:
        async with telling(tmp_path) as told:
            for model in ("ok", "500", "429"):
                await told.ask(model)
            asked = [(b"authorization", f"Bearer {KEY}".encode())]
            response = await asgi.request(told.gateway, "GET", "/admin/policies", asked)
            counted = {each["policy"]: each["decisions"]["allow"] for each in json.loads(await response.read())["data"]}
            return counted, await told.everything()

    counted, everything = asyncio.run(run())
    assert counted == {"pii": 4, "fruit": 4}
    decisions = [line for line in everything.splitlines() if line.startswith(b"gateway_guardrail_decisions_total{")]
    assert sorted(line.rpartition(b" ")[2] for line in decisions) == [b"1", b"1", b"3", b"3"]


def test_a_request_that_is_not_sampled_has_no_span_but_its_usage_record_and_its_numbers(tmp_path: Path) -> None:
    async def run() -> tuple[list[dict[str, Any]], list[dict[str, Any]], bytes]:
        async with telling(tmp_path, sample_ratio=0.0) as told:
            await told.ask("ok")
            return await told.spans(), told.lines(), await told.everything()

    spans, (line,), everything = asyncio.run(run())
    assert spans == []
    assert line["gen_ai.usage.cost"] > 0
    assert b"gateway_requests_total{" in everything


def test_probes_that_find_all_well_leave_no_trace(tmp_path: Path) -> None:
    async def run() -> tuple[int, int]:
        async with telling(tmp_path) as told:
            for path in ("/health/live", "/health/ready"):
                response = await asgi.request(told.gateway, "GET", path)
                await response.read()
            return len(await told.spans()), len(told.lines())

    assert asyncio.run(run()) == (0, 0)
