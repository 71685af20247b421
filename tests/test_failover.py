"""Every fault of a provider, whole and streamed, before the first text and after it, with nobody else to ask, with
another attempt, with another deployment and with a fallback: who is called, and what client, log and spans are told."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gateway.app import Gateway
from gateway.config.load import from_mapping
from gateway.errors import UpstreamConnectionError
from gateway.routing.upstream import Timeouts, timed_out
from gateway.telemetry.span import new_span_id
from gateway.wire import asgi, json, sse
from tests.routing.fleet import Answer, Body, Fleet, entry, fails, refuses, says, sends
from tests.routing.test_call import at_once, chunk
from tests.telemetry.kit import Told, written

GONE = UpstreamConnectionError("The provider's server broke the connection before its answer was complete.")


@dataclass(frozen=True)
class Fault:
    """What a deployment does, and what a client is told where nobody makes it good. `same` says whether the same
    deployment is asked again, `other` whether another is, `paid` whether the failed call is paid for."""

    answer: Answer
    status: int
    code: str
    same: bool = True
    other: bool = True
    paid: bool = False


BEFORE: Mapping[str, Fault] = {
    "400": Fault(refuses(400), 400, "upstream_rejected", same=False, other=False),
    "401": Fault(refuses(401), 502, "upstream_error", same=False),
    "403": Fault(refuses(403), 502, "upstream_error", same=False),
    "404": Fault(refuses(404), 404, "upstream_rejected", same=False),
    "408": Fault(refuses(408), 504, "upstream_timeout"),
    "422": Fault(refuses(422), 422, "upstream_rejected", same=False, other=False),
    "429": Fault(refuses(429), 429, "rate_limit_exceeded"),
    "500": Fault(refuses(500), 502, "upstream_error"),
    "503": Fault(refuses(503), 502, "upstream_error"),
    "no connection": Fault(fails(UpstreamConnectionError("Refused.")), 502, "upstream_error"),
    "no connection in time": Fault(
        fails(timed_out("http://a/", "connect", Timeouts(1, 1, 1))), 504, "upstream_timeout"
    ),
    "silence": Fault(fails(timed_out("http://a/", "read", Timeouts(1, 1, 1))), 504, "upstream_timeout", paid=True),
    "nonsense": Fault(sends(b"data: {\n\n"), 502, "upstream_invalid_response", paid=True),
    "broken": Fault(sends(GONE), 502, "upstream_error", paid=True),
}

AFTER: Mapping[str, tuple[Answer, str]] = {
    "broken": (sends(chunk("half "), GONE), "upstream_error"),
    "cut": (sends(chunk("half ")), "upstream_error"),
    "silence": (sends(chunk("half "), timed_out("http://a/", "read", Timeouts(1, 1, 1))), "upstream_timeout"),
    "nonsense": (sends(chunk("half "), b"data: {\n\n"), "upstream_invalid_response"),
    "error event": (sends(chunk("half "), b'data: {"error": {"message": "no"}}\n\n'), "upstream_error"),
}
"""Faults of a stream after its first text, and the code that ends it."""

GOOD = says("fine ", "text")


def alone(fault: Answer) -> tuple[Fleet, Body]:
    return Fleet(a=fault), {"model_list": [entry("a")], "router_settings": {"num_retries": 0}}


def again(fault: Answer) -> tuple[Fleet, Body]:
    return Fleet(a=[fault, GOOD]), {"model_list": [entry("a")], "router_settings": {"num_retries": 1}}


def another(fault: Answer) -> tuple[Fleet, Body]:
    listed = [entry("a", order=1), entry("b", order=2)]
    return Fleet(a=fault, b=GOOD), {"model_list": listed, "router_settings": {"num_retries": 1}}


def fallback(fault: Answer) -> tuple[Fleet, Body]:
    router = {"num_retries": 0, "fallbacks": [{"m": ["other"]}]}
    return Fleet(a=fault, b=GOOD), {"model_list": [entry("a"), entry("b", "other")], "router_settings": router}


SETTINGS = {"alone": alone, "again": again, "another": another, "fallback": fallback}


@dataclass
class Seen:
    """All that one request came to."""

    called: list[str]
    status: int
    headers: Mapping[str, str]
    body: bytes
    line: dict[str, Any]
    calls: list[dict[str, Any]] = field(default_factory=list)

    @property
    def events(self) -> list[Any]:
        """What a stream said, `[DONE]` apart."""
        data = [event.data for event in sse.Decoder().feed(self.body)]
        assert data[-1] == b"[DONE]"
        return [json.loads(each) for each in data[:-1]]

    @property
    def text(self) -> str:
        if not self.body.startswith(b"data:"):
            return str(json.loads(self.body)["choices"][0]["text"])
        return "".join(event["choices"][0]["text"] for event in self.events if event.get("choices"))


def seen(fleet: Fleet, config: Body, folder: Path, *, stream: bool) -> Seen:
    path = folder / f"spans-{new_span_id()}.jsonl"
    found = from_mapping({**config, "policies": [], "telemetry": {"otlp_file": str(path)}})

    async def run() -> Seen:
        with written() as (log, out):
            gateway = Gateway(found.settings, found.source, log, fleet)
            gateway.serving.routes[0].endpoint.caller.sleep = at_once  # type: ignore[attr-defined]
            try:
                body = json.dumps({"model": "m", "prompt": "one two", "stream": stream})
                answer = await asgi.request(gateway, "POST", "/v1/completions", (), body)
                whole = await answer.read()
                told = Told(gateway, None, path, out)  # type: ignore[arg-type]
                (line,) = told.lines()
                calls = [span["attributes"] for span in await told.spans() if span["kind"] == 3]
                return Seen(fleet.called, answer.status, answer.headers, whole, line, calls)
            finally:
                await gateway.close()

    return asyncio.run(run())


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", BEFORE)
def test_a_fault_before_the_first_text(name: str, setting: str, stream: bool, tmp_path: Path) -> None:
    fault = BEFORE[name]
    found = seen(*SETTINGS[setting](fault.answer), tmp_path, stream=stream)
    mended = {"alone": False, "again": fault.same, "another": fault.other, "fallback": fault.other}[setting]
    served = "a" if setting in ("alone", "again") or not mended else "b"
    assert found.called == (["a", served] if mended else ["a"])
    assert found.headers["x-gateway-deployment"] == served
    assert found.headers["x-gateway-provider"] == "openai"
    assert found.headers["x-gateway-attempts"] == str(len(found.called))
    assert (found.line["gateway.deployment"], found.line["gateway.attempts"]) == (served, len(found.called))
    failed, *rest = found.calls
    assert (failed["gateway.deployment"], failed["gateway.attempt"], failed["error.type"]) == ("a", 1, fault.code)
    assert ("gen_ai.usage.input_tokens" in failed) == fault.paid
    if mended:
        (good,) = rest
        assert (found.status, found.text) == (200, "fine text")
        assert (good["gateway.attempt"], good["gateway.deployment"]) == (2, served)
        assert good["gateway.call.reason"] == ("fallback" if setting == "fallback" else "retry")
        assert good["gen_ai.response.finish_reasons"] == ["stop"]
        assert "error.type" not in good
        assert (found.line["gateway.outcome"], found.line.get("error.type")) == ("allowed", None)
        paid = failed.get("gen_ai.usage.input_tokens", 0) + good["gen_ai.usage.input_tokens"]
        assert found.line["gen_ai.usage.input_tokens"] == paid
    else:
        assert rest == []
        error = json.loads(found.body)["error"]
        assert (found.status, error["code"]) == (fault.status, fault.code)
        assert "attempts were made" not in error["message"]
        assert (found.line["gateway.outcome"], found.line["error.type"]) == ("error", fault.code)
        assert ("gen_ai.usage.input_tokens" in found.line) == fault.paid


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", AFTER)
def test_a_fault_after_the_first_text(name: str, setting: str, tmp_path: Path) -> None:
    answer, code = AFTER[name]
    found = seen(*SETTINGS[setting](answer), tmp_path, stream=True)
    assert found.called == ["a"]
    assert (found.status, found.text) == (200, "half ")
    assert found.events[-1]["error"]["code"] == code
    assert sum("error" in event for event in found.events) == 1
    assert found.headers["x-gateway-attempts"] == "1"
    (call,) = found.calls
    assert (call["error.type"], call["gen_ai.response.finish_reasons"]) == (code, ["error"])
    assert call["gen_ai.usage.output_tokens"] > 0
    assert (found.line["gateway.outcome"], found.line["error.type"]) == ("error", code)
    assert found.line["gen_ai.usage.output_tokens"] == call["gen_ai.usage.output_tokens"]


@pytest.mark.parametrize("name", AFTER)
def test_a_stream_that_is_resumed_has_no_seam(name: str, tmp_path: Path) -> None:
    fleet = Fleet(a=AFTER[name][0], b=says("done"))
    listed = [entry("a", order=1), entry("b", order=2, translation="continuation")]
    found = seen(fleet, {"model_list": listed, "router_settings": {"resume_streams": True}}, tmp_path, stream=True)
    assert found.called == ["a", "b"]
    assert (found.status, found.text) == (200, "half done")
    assert [event["choices"][0]["finish_reason"] for event in found.events] == [None, None, "stop"]
    assert len({event["id"] for event in found.events}) == 1
    assert found.headers["x-gateway-deployment"] == "a"
    assert (found.line["gateway.outcome"], found.line["gateway.resumed"]) == ("allowed", 1)
    broken, rest = found.calls
    assert (broken["error.type"], rest["gateway.call.reason"]) == (AFTER[name][1], "resume")
    assert found.line["gen_ai.usage.output_tokens"] == sum(each["gen_ai.usage.output_tokens"] for each in found.calls)


@pytest.mark.parametrize("stream", [False, True])
def test_where_all_fail_the_last_ones_error_is_told_with_how_much_was_tried(stream: bool, tmp_path: Path) -> None:
    fleet = Fleet(a=refuses(500), b=refuses(429, retry_after="9"))
    _, config = another(GOOD)
    found = seen(fleet, config, tmp_path, stream=stream)
    error = json.loads(found.body)["error"]
    assert (found.status, error["code"], found.headers["retry-after"]) == (429, "rate_limit_exceeded", "9")
    assert error["message"].endswith("2 attempts were made at 2 deployments.")
    assert found.headers["x-gateway-deployment"] == "b"
    assert found.headers["x-gateway-attempts"] == "2"
    assert [each["error.type"] for each in found.calls] == ["upstream_error", "rate_limit_exceeded"]
