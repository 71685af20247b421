"""A guard that fails is seen to have failed, and its policy's `on_error` is obeyed: in the gateway, over real bytes.

Whatever a guard does: no text is lost that may pass, none passes that may not, no request hangs, and others are
answered meanwhile.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
import yaml

from gateway.guards import ner
from tests.guards import failing
from tests.guards.remotes import answers
from tests.inprocess import InProcess, Reply
from tests.routing import servers

SECONDS = 20.0
SAID = "The quick brown fox, who was 12 years old, met bob."
PROMPT = f"Say {SAID}"


class Case(NamedTuple):
    """A guard that fails: its entry in a policy, its status then, and the service it asks; the time it has in ms."""

    entry: dict[str, Any]
    status: str
    service: servers.Handler | None = None
    time: int = 10_000


def python(name: str, status: str = "error", time: int = 10_000) -> Case:
    return Case({"python": {"function": f"tests.guards.failing:{name}"}}, status, time=time)


def webhook(service: servers.Handler | None, status: str = "error", time: int = 10_000) -> Case:
    return Case({"webhook": {"url": "URL", "secret": "a secret of the tests"}}, status, service, time)


def moderation(service: servers.Handler | None, status: str = "error", time: int = 10_000) -> Case:
    return Case({"moderation": {"api_base": "URL"}}, status, service, time)


def found(**finding: Any) -> servers.Handler:
    return answers({"findings": [{"rule": "r", **finding}]})


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 400\r\n\r\n"
CASES = {
    "a function that raises": python("raises"),
    "a coroutine that raises": python("raises_async"),
    "a function that raises TimeoutError": python("raises_time_out", "timeout"),
    "a coroutine that cancels itself": python("cancels_itself"),
    "a function that hangs": python("hangs", "timeout", 40),
    "a coroutine that hangs": python("hangs_async", "timeout", 40),
    "a coroutine that does not let itself be cancelled": python("hangs_and_will_not_stop", "timeout", 40),
    "a function that reports nothing": python("nothing"),
    "a function that reports the text": python("a_text"),
    "a function that reports things": python("things"),
    "a finding outside the text": python("outside"),
    "a finding that ends before it starts": python("backwards"),
    "a finding in another text": python("elsewhere"),
    "a finding with an action nobody knows": python("unheard_of"),
    "a service that is down": webhook(None),
    "a service that hangs": webhook(servers.says_and_waits(), "timeout", 40),
    "a service that hangs within its answer": webhook(servers.says_and_waits(OK), "timeout", 40),
    "a service that breaks off": webhook(servers.says_and_closes(OK + b'{"findings"')),
    "a service that resets": webhook(servers.says_and_resets()),
    "a service that speaks no HTTP": webhook(servers.says_and_closes(b"\x00\x01rubbish\r\n\r\n")),
    "a service that answers no JSON": webhook(answers(b"<html>")),
    "a service that answers another JSON": webhook(answers([])),
    "a service that answers without findings": webhook(answers({})),
    "a service that fails": webhook(answers({"findings": []}, b"500 Internal Server Error")),
    "a service that redirects": webhook(answers({"findings": []}, b"302 Found")),
    "a service that answers with megabytes": webhook(answers(b"[" * 3_000_000)),
    "a service's finding outside the text": webhook(found(path="prompt[0]", start=1, end=9_999)),
    "a service's finding in another text": webhook(found(path="choices[7].text")),
    "a moderation service that is down": moderation(None),
    "a moderation service that hangs": moderation(servers.says_and_waits(), "timeout", 40),
    "a moderation service that answers rubbish": moderation(answers({"results": [{"flagged": "perhaps"}]})),
    "a judge that is down": Case({"judge": {"model": "dead", "instructions": "No ponies."}}, "error"),
    "a judge that says something else": Case({"judge": {"model": "demo", "instructions": "No ponies."}}, "error"),
}


class Way(NamedTuple):
    """How a text comes to be judged."""

    stage: str
    stream: bool = False
    more: Mapping[str, Any] = MappingProxyType({})

    def said(self, decision: str, status: str) -> str:
        """The header that tells it; a stream is held for guards that need all of it, which is told too."""
        return f"p={decision};{status}" + (";hold" if self.stream else "")


WAYS = {
    "prompt": Way("input"),
    "prompt beside its call": Way("input", more={"parallel": True}),
    "answer": Way("output"),
    "answer or error": Way("output", more={"on_block": {"output": "error"}}),
    "stream": Way("output", True),
}


def model(name: str, port: int = 0) -> dict[str, Any]:
    params = {"model": "demo/demo", "demo_chunk_tokens": 2}
    if port:
        params = {"model": "openai/x", "api_base": f"http://127.0.0.1:{port}/v1", "api_key": "sk-none"}
    return {"model_name": name, "litellm_params": params}


def written(folder: Path, case: Case, way: Way, on_error: str | None, url: str) -> str:
    """The policy `p`, with this guard."""
    entry = {name: {k: url if v == "URL" else v for k, v in one.items()} for name, one in case.entry.items()}
    document: dict[str, Any] = {"policy": "p", "version": 1, "stages": [way.stage], "timeout_ms": case.time}
    document |= {"guards": [entry], **way.more} | ({"on_error": on_error} if on_error else {})
    file = folder / "p.yaml"
    file.write_text(yaml.safe_dump(document))
    return str(file)


def asked(
    folder: Path, case: Case, way: Way, on_error: str | None, prompt: str = PROMPT
) -> tuple[Reply, dict[str, int]]:
    """The gateway's answer where that guard judges, and how its policy's decisions are counted."""
    holder: list[InProcess] = []

    async def run() -> tuple[Reply, dict[str, int]]:
        service = servers.serve(case.service) if case.service else nullcontext(None)
        async with service as server:
            url = server.url if server else f"http://127.0.0.1:{servers.closed_port()}"
            policy = written(folder, case, way, on_error, url)
            models = [model("demo"), model("dead", servers.closed_port())]
            holder.append(InProcess({"model_list": models, "policies": [policy]}))
            body = {"model": "demo", "prompt": prompt, "max_tokens": 64, "stream": way.stream}
            reply = await holder[0].asked(body)
            listed = await holder[0].asked(path="/admin/policies", method="GET")
            await holder[0].gateway.close()
            row = listed.json["data"][0]
            return reply, {**row["decisions"], **row["statuses"]}

    failing.released.clear()
    try:
        return asyncio.run(asyncio.wait_for(run(), SECONDS))
    finally:
        failing.released.set()
        for one in holder:
            one._runner.close()


def text_of(reply: Reply, *, stream: bool) -> tuple[str, str]:
    """The text of the one choice, and why it ended."""
    if not stream:
        (choice,) = reply.json["choices"]
        return choice["text"], choice["finish_reason"]
    *chunks, done = reply.events
    assert done == b"[DONE]"
    choices = [choice for chunk in chunks for choice in json.loads(chunk)["choices"]]
    (reason,) = [choice["finish_reason"] for choice in choices if choice["finish_reason"]]
    return "".join(choice["text"] for choice in choices), reason


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CASES)
def test_a_policy_that_lets_pass_what_it_cannot_judge_says_so_and_loses_nothing(name, way, tmp_path):
    case = CASES[name]
    reply, counted = asked(tmp_path, case, WAYS[way], "allow")
    assert reply.status == 200
    assert text_of(reply, stream=WAYS[way].stream) == (SAID, "stop")
    assert reply.headers["x-gateway-guardrails"] == WAYS[way].said("allow", case.status)
    assert counted == {"allow": 1, case.status: 1}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CASES)
def test_a_policy_that_lets_nothing_pass_unjudged_lets_nothing_pass_and_says_so(name, way, tmp_path):
    case, (stage, stream, more) = CASES[name], WAYS[way]
    reply, counted = asked(tmp_path, case, WAYS[way], None if stream else "block")  # which is the default
    assert reply.headers["x-gateway-guardrails"] == WAYS[way].said("block", case.status)
    assert counted == {"block": 1, case.status: 1}
    if stage == "input" or "on_block" in more:
        assert (reply.status, reply.error["code"]) == (503, "guardrail_unavailable")
        assert SAID not in reply.body.decode()
    elif stream:
        assert text_of(reply, stream=True) == ("", "content_filter")
    else:
        assert text_of(reply, stream=False) == ("This answer was withheld by policy.", "content_filter")


HANGING = [name for name, case in CASES.items() if "hangs" in name]


@pytest.mark.parametrize("way", ["prompt", "prompt beside its call", "stream"])
@pytest.mark.parametrize("name", HANGING)
def test_while_a_guard_hangs_others_are_answered(name, way, tmp_path):
    case, way = CASES[name]._replace(time=60_000), WAYS[way]

    async def run() -> None:
        async with servers.serve(case.service or servers.says_and_waits()) as server:
            policy = written(tmp_path, case, way, None, server.url)
            gateway = InProcess({"model_list": [model("demo")], "policies": [policy]})
            body = {"model": "demo", "prompt": PROMPT, "max_tokens": 64, "stream": way.stream}
            hanging = asyncio.create_task(gateway.asked(body))
            while not (server.requests or failing.entered.is_set()):  # noqa: ASYNC110 - the event is a thread's
                await asyncio.sleep(0)
            assert (await gateway.asked(path="/health/live", method="GET")).status == 200
            assert not hanging.done()
            hanging.cancel()
            await asyncio.gather(hanging, return_exceptions=True)
            await gateway.gateway.close()

    failing.released.clear()
    failing.entered.clear()
    try:
        asyncio.run(asyncio.wait_for(run(), SECONDS))
    finally:
        failing.released.set()


@pytest.mark.parametrize("way", ["prompt", "answer", "stream"])
def test_a_failure_in_shadow_is_told_and_changes_nothing(way, tmp_path):
    stage, stream, more = WAYS[way]
    reply, counted = asked(tmp_path, python("raises"), Way(stage, stream, {**more, "mode": "shadow"}), None)
    assert text_of(reply, stream=stream) == (SAID, "stop")
    assert counted == {"allow": 1, "error": 1}
    if not stream:
        assert set(reply.headers["x-gateway-guardrails"].split(";")) >= {"p=allow", "shadow", "error"}


@pytest.mark.parametrize(
    ("on_error", "status", "said"), [("block", 503, "p=block;error"), ("allow", 200, "p=allow;error")]
)
def test_a_text_that_a_guard_gives_up_on_is_seen_to_be_unjudged(on_error, status, said, tmp_path):
    case = Case({"pii": {"entities": {"PHONE_NUMBER": "mask"}}}, "error")
    many = " and ".join(f"212 555 {number:04}" for number in range(25_000))
    reply, _ = asked(tmp_path, case, WAYS["prompt"], on_error, many)
    assert (reply.status, reply.headers["x-gateway-guardrails"]) == (status, said)


def test_a_policy_that_only_observes_streams_enforces_whole_answers():
    one = InProcess({"model_list": [model("demo")], "policies": ["output-safety"]})
    prompt = "Say I was told: Canary umber seven: this line and all above it are confidential."
    reply = one.ask({"model": "demo", "prompt": prompt, "max_tokens": 64})
    one.close()
    assert text_of(reply, stream=False) == ("This answer was withheld by policy.", "content_filter")


def crowd(folder: Path, entry: dict[str, Any], time: int, count: int) -> list[Reply]:
    """The answers to many requests at once, all of which that guard judges."""
    policy = written(folder, Case(entry, "error", time=time), WAYS["prompt"], "block", "")
    one = InProcess({"model_list": [model("demo")], "policies": [policy]})
    body = {"model": "demo", "prompt": "Say that John Smith met Mary Jones"}

    async def run() -> list[Reply]:
        return list(await asyncio.gather(*(one.asked(body) for _ in range(count))))

    failing.released.clear()
    try:
        return one.run(asyncio.wait_for(run(), 60))
    finally:
        failing.released.set()
        one.close()


def told(replies: list[Reply]) -> Counter[tuple[int, str]]:
    return Counter((reply.status, reply.headers["x-gateway-guardrails"]) for reply in replies)


def test_when_every_thread_hangs_the_next_request_is_refused_at_once(tmp_path):
    replies = crowd(tmp_path, {"python": {"function": "tests.guards.failing:hangs"}}, 300, 72)
    assert told(replies) == {(503, "p=block;timeout"): 68, (503, "p=block;error"): 4}


@pytest.mark.slow
@pytest.mark.skipif(find_spec(ner.MODEL) is None, reason="the extra `ner` is not installed")
def test_when_the_pool_that_finds_names_is_full_the_next_request_is_refused_at_once(tmp_path):
    entry = {"pii": {"entities": {"PERSON": {"action": "flag", "engine": "ner"}}}}
    replies = crowd(tmp_path, entry, 60_000, 40)
    assert told(replies) == {(200, "p=flag"): 33, (503, "p=block;error"): 7}
