"""What the callers of a foreign app get behind the guardrails: whole answers, errors, headers, streams that break."""

import asyncio
import gzip
import zlib
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from gateway.guards.policy import OnBlock, Policy
from gateway.guards.vault import Form
from gateway.wire import asgi, json, sse
from tests.guards import kit
from tests.middleware.foreign.kit import CHAT, JSON, SSE, TEXT, App, aask, ask, canary, chunk, front, said

MAIL = Policy("mail", guards=(kit.Mail(),), forms={"mail": Form(restore=True)})
SHADOW = Policy("watch", guards=(kit.Mail("block"),), mode="shadow")
ASKED = {"model": "m", "messages": [{"role": "user", "content": "I am bob@corp.example"}]}
STREAM = {**ASKED, "stream": True}


def streaming(*pieces: bytes, **rest: Any) -> App:
    return App(pieces, headers=(SSE, (b"content-length", b"999")), **rest)


def test_an_answer_in_which_nothing_changes_passes_byte_for_byte_with_its_status_and_headers():
    raw = b'{ "choices":[{"message": {"content":"h\\u00e9llo"}, "index":0}], "x": 1.50}'
    headers = (JSON, (b"content-length", b"%d" % len(raw)), (b"etag", b"e"), (b"x-mine", b"1"), (b"x-mine", b"2"))
    reply = ask(front(App([raw[:9], raw[9:]], status=203, headers=headers), [MAIL]), ASKED)
    assert (reply.status, reply.body) == (203, raw)
    assert (reply.headers["etag"], reply.headers["content-length"]) == ("e", str(len(raw)))
    assert reply.headers["x-gateway-guardrails"] == "mail=mask"


def test_a_rewritten_answer_has_its_own_length_and_no_stale_headers():
    headers = (JSON, (b"Content-Length", b"5"), (b"ETag", b"e"), (b"x-mine", b"1"))
    reply = ask(front(App([said({"message": {"content": "ask al@x.org"}})], headers=headers), [MAIL]), ASKED)
    assert reply.json["choices"][0]["message"]["content"] == "ask <EMAIL_ADDRESS_2>"
    assert reply.headers["content-length"] == str(len(reply.body))
    assert "etag" not in reply.headers
    assert reply.headers["x-mine"] == "1"


def test_a_value_of_the_callers_comes_back_everywhere_escaped_where_it_must_be():
    policy = Policy("p", guards=(kit.Key(),), forms={"secrets": Form(restore=True)})
    value = 'BEGIN KEY "a\\b\n END KEY'
    message = {
        "content": "<PRIVATE_KEY_1>!",
        "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"k": "<PRIVATE_KEY_1>"}'}}
        ],
    }
    app = front(App([said({"message": message})]), [policy])
    got = ask(app, {"messages": [{"role": "user", "content": value}]}).json["choices"][0]["message"]
    assert got["content"] == f"{value}!"
    assert json.loads(got["tool_calls"][0]["function"]["arguments"]) == {"k": value}


@pytest.mark.parametrize("status", [400, 422, 500])
def test_an_error_of_the_app_that_repeats_the_prompt_is_judged_and_keeps_its_status(status):
    body = json.dumps({"detail": [{"msg": "bad", "input": "ask al@x.org or <EMAIL_ADDRESS_1>"}]})
    reply = ask(front(App([body], status=status), [MAIL]), ASKED)
    assert reply.status == status
    assert reply.json["detail"][0]["input"] == "ask <EMAIL_ADDRESS_2> or bob@corp.example"
    blocked = ask(
        front(App([b"xylophone"], status=status, headers=((b"content-type", b"text/plain"),)), [canary("block")]), ASKED
    )
    assert blocked.status == status
    assert blocked.json["error"]["code"] == "policy_blocked"


@pytest.mark.parametrize("path", [TEXT, CHAT])
def test_a_blocked_answer_is_the_policys_words_or_an_error(path):
    choice = {"message": {"content": "the xylophone"}, "text": "the xylophone"}
    answer = App([said(choice, {**choice, "text": "x"}, usage={"total_tokens": 3})])
    reply = ask(front(answer, [canary("block")]), ASKED, path)
    assert reply.status == 200
    assert reply.json["id"] == "c1"
    for index, one in enumerate(reply.json["choices"]):
        assert (one["index"], one["finish_reason"], one["logprobs"]) == (index, "content_filter", None)
        assert (one["text"] if path == TEXT else one["message"]["content"]) == "This answer was withheld by policy."
    policy = Policy("p", guards=(kit.Mail("block"),), stages=frozenset({"output"}), on_block=OnBlock(output="error"))
    error = ask(front(App([said({"message": {"content": "al@x.org"}})]), [policy]), ASKED, path)
    assert (error.status, error.json["error"]["code"]) == (400, "policy_blocked")
    assert error.headers["x-gateway-guardrails"] == "p=block"


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_an_answer_that_is_compressed_all_the_same_is_read(encoding, pack):
    headers = (JSON, (b"content-encoding", encoding.encode()))
    packed = pack(said({"message": {"content": "ask al@x.org"}}))
    reply = ask(front(App([packed[:10], packed[10:]], headers=headers), [MAIL]), ASKED)
    assert reply.json["choices"][0]["message"]["content"] == "ask <EMAIL_ADDRESS_2>"
    assert "content-encoding" not in reply.headers
    clean = pack(said({"message": {"content": "fine"}}))
    assert ask(front(App([clean], headers=headers), [MAIL]), ASKED).body == clean
    stream = pack(chunk(0, {"content": "ask al@x.org"}, "stop") + sse.DONE)
    reply = ask(front(App([stream[:20], stream[20:]], headers=(SSE, headers[1])), [MAIL]), STREAM)
    assert reply.events[0]["choices"][0]["delta"]["content"] == "ask <EMAIL_ADDRESS_2>"


UNREADABLE = {
    "an unknown compression": ([b"x"], (JSON, (b"content-encoding", b"br"))),
    "a broken one": ([b"x"], (JSON, (b"content-encoding", b"gzip"))),
    "bytes": ([b"\xff\x00"], ((b"content-type", b"application/octet-stream"),)),
    "text in another encoding": (["ü".encode("latin-1")], ((b"content-type", b"text/plain"),)),
    "sound": ([said({"message": {"audio": {"id": "a", "data": "AAAA", "transcript": "x"}}})], (JSON,)),
    "a picture": ([said({"message": {"content": [{"type": "image_url", "image_url": {"url": "http://x"}}]}})], (JSON,)),
    "too deep": ([b"[" * 300 + b"]" * 300], (JSON,)),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_an_answer_that_policies_cannot_read_is_withheld_while_one_is_enforced(case):
    pieces, headers = UNREADABLE[case]
    reply = ask(front(App(pieces, headers=headers), [MAIL]), {"model": "m"})
    assert (reply.status, reply.json["error"]["code"]) == (503, "guardrail_unavailable")
    for policy, options in ((SHADOW, {}), (MAIL, {"unreadable": "allow"})):
        if "compression" in case and policy is MAIL:
            continue
        reply = ask(front(App(pieces, headers=headers), [policy], **options), {"model": "m"})
        assert (reply.status, reply.body) == (200, b"".join(pieces))
        if case not in ("an unknown compression",):
            continue
        assert "skipped" in reply.headers["x-gateway-guardrails"]


def test_answers_without_a_body_pass():
    for status, pieces in ((204, [b""]), (304, [b""])):
        assert ask(front(App(pieces, status=status, headers=()), [MAIL]), ASKED).status == status
    assert ask(front(App([b""], headers=(JSON, (b"content-length", b"9"))), [MAIL]), b"", method="HEAD").status == 200
    listed = ask(front(App([b'{"data": ["al@x.org"]}']), [MAIL]), b"", method="GET")
    assert listed.json == {"data": ["<EMAIL_ADDRESS_1>"]}


def test_lines_of_json_are_read_one_by_one():
    lines = b'{"response": "al\\u0040x.org"}\n{"done": true}\n'
    reply = ask(front(App([lines], headers=((b"content-type", b"application/x-ndjson"),)), [MAIL]), {"model": "m"})
    assert reply.body == b'{"response":"<EMAIL_ADDRESS_1>"}\n{"done": true}\n'


def test_a_repeated_key_of_an_answer_hides_nothing():
    reply = ask(front(App([b'{"a": "al@x.org", "a": "fine"}']), [MAIL]), {"model": "m"})
    assert reply.body == b'{"a":"fine"}'
    stream = streaming(b'data: {"a": "al@x.org", "a": "fine", "choices": []}\n\n', sse.DONE)
    assert ask(front(stream, [MAIL]), STREAM).events == [{"a": "fine", "choices": []}]


def test_an_error_in_the_middle_of_a_stream_is_judged_and_passes():
    error = sse.encode(json.dumps({"error": {"message": "cannot mail al@x.org", "code": 500}}))
    reply = ask(front(streaming(chunk(0, {"content": "hi "}), error, sse.DONE), [MAIL]), STREAM)
    assert reply.events[1] == {"error": {"message": "cannot mail <EMAIL_ADDRESS_2>", "code": 500}}
    assert "content-length" not in reply.headers


def test_what_is_held_when_a_stream_just_ends_is_sent():
    reply = ask(front(streaming(chunk(0, {"content": "ask al@x.org"})), [MAIL]), STREAM)
    text = [json.loads(event.data)["choices"][0]["delta"]["content"] for event in sse.Decoder().feed(reply.body)]
    assert "".join(text) == "ask <EMAIL_ADDRESS_2>"
    unfinished = chunk(0, {"content": "ask al@x.org"})[:-1]
    reply = ask(front(streaming(unfinished), [MAIL]), STREAM)
    assert b"al@x.org" not in reply.body
    assert b"<EMAIL_ADDRESS_2>" in reply.body


@pytest.mark.parametrize("data", [b"mail al@x.org", b"[1, ", b'"al@x.org"', b"line al@x.org\ndata: two"])
def test_events_that_are_no_json_are_texts(data):
    reply = ask(front(streaming(b"event: note\ndata: " + data + b"\n\n"), [MAIL]), STREAM)
    assert b"al@x.org" not in reply.body
    assert reply.body.startswith(b"event: note\ndata: ")
    assert (b"<EMAIL_ADDRESS_2>" in reply.body) == (b"al@" in data)


def test_a_name_of_a_tool_is_whole_when_its_arguments_begin():
    calls = [
        {"index": 0, "id": "call_1", "type": "function", "function": {"name": "look@up", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"a'}},
        {"index": 0, "function": {"arguments": '": 1}'}},
    ]
    pieces = [chunk(0, {"tool_calls": [call]}) for call in calls]
    reply = ask(front(streaming(*pieces, chunk(0, {}, "tool_calls"), sse.DONE), [MAIL]), STREAM)
    assert reply.pieces[0] == pieces[0]
    assert reply.events[0]["choices"][0]["delta"]["tool_calls"][0]["function"]["name"] == "look@up"


def entry(token: str) -> dict[str, Any]:
    return {
        "token": token,
        "logprob": -0.5,
        "bytes": list(token.encode()),
        "top_logprobs": [{"token": "x", "logprob": -1.0}],
    }


def test_tokens_of_a_stream_leave_no_earlier_than_its_text():
    words = ["Hello ", "bob@", "cor", " end"]
    pieces = [chunk(0, {"content": word}, logprobs={"content": [entry(word)]}) for word in words]
    app = streaming(*pieces, chunk(0, {}, "stop", logprobs=None), sse.DONE)
    events = ask(front(app, [MAIL]), STREAM).events
    given: list[str] = []
    text = ""
    for event in events:
        choice = event["choices"][0]
        text += choice["delta"].get("content", "")
        given += [one["token"] for one in (choice.get("logprobs") or {}).get("content", ())]
        assert len("".join(given)) <= len(text)
    assert (given, text) == (words, "Hello bob@cor end")
    assert events[0] == json.loads(pieces[0][6:])


@pytest.mark.parametrize("path", [TEXT, CHAT])
def test_tokens_of_a_text_that_changed_leave_no_more(path):
    words = ["Hello ", "al@x", ".org ", "end "]
    if path == TEXT:
        legacy = [{"tokens": [w], "token_logprobs": [-1.0], "top_logprobs": None, "text_offset": [0]} for w in words]
        values = [
            {"index": 0, "text": w, "logprobs": one, "finish_reason": None}
            for w, one in zip(words, legacy, strict=True)
        ]
    else:
        values = [{"index": 0, "delta": {"content": w}, "logprobs": {"content": [entry(w)]}} for w in words]
    app = streaming(*(sse.encode(json.dumps({"choices": [value]})) for value in values), sse.DONE)
    reply = ask(front(app, [MAIL]), STREAM, path)
    assert (
        reply.events[0]["choices"][0] == {**values[0], "finish_reason": values[0].get("finish_reason")} or path == CHAT
    )
    assert [event["choices"][0].get("logprobs") for event in reply.events[1:]] == [None] * (len(reply.events) - 1)
    assert b"x.org" not in reply.body


def test_logprobs_of_a_kind_nobody_knows_do_not_leave():
    choice = {"message": {"content": "x"}, "logprobs": {"content": [{"token": "x", "logprob": 0, "said": "al@x.org"}]}}
    assert ask(front(App([said(choice)]), [MAIL]), ASKED).json["choices"][0]["logprobs"] is None
    assert b"al@x.org" in ask(front(App([said(choice)]), [SHADOW]), ASKED).body


def test_a_policy_in_shadow_changes_nothing_and_reports():
    raw = said({"message": {"content": "al@x.org"}})
    reply = ask(front(App([raw]), [SHADOW]), ASKED)
    assert reply.body == raw
    assert reply.headers["x-gateway-guardrails"] == "watch=block;shadow"
    pieces = [chunk(0, {"content": "al@x.org"}), sse.DONE]
    assert ask(front(streaming(*pieces), [SHADOW]), STREAM).pieces == pieces


@pytest.mark.parametrize("stream", [False, True])
def test_guards_that_need_the_whole_answer_are_waited_for(stream):
    guard = kit.Asked(action="mask")
    policy = Policy("p", guards=(guard,), stages=frozenset({"output"}))
    if stream:
        app = streaming(
            chunk(0, {"content": "wild po"}), chunk(0, {"content": "nies here"}), chunk(0, {}, "stop"), sse.DONE
        )
    else:
        app = App([said({"message": {"content": "wild ponies here"}})])
    reply = ask(front(app, [policy]), STREAM if stream else ASKED)
    assert b"<PONIES_1>" in reply.body
    assert b"wild " in reply.body
    assert ("hold" in reply.headers["x-gateway-guardrails"]) == stream
    assert [[text.value for text in texts] for texts in guard.calls] == [["wild ponies here"]]


def test_guards_that_only_observe_are_asked_at_the_end():
    guard = kit.Asked()
    policy = Policy("p", guards=(guard,), stages=frozenset({"output"}), stream="observe")
    pieces = [chunk(0, {"content": "wild po"}), chunk(0, {"content": "nies"}), chunk(0, {}, "stop"), sse.DONE]
    reply = ask(front(streaming(*pieces), [policy]), STREAM)
    assert reply.pieces == pieces
    assert [[text.value for text in texts] for texts in guard.calls] == [["wild ponies"]]


def test_a_clause_that_has_been_held_long_enough_leaves_with_the_next_bytes():
    policy = Policy(
        "p", guards=(kit.Asked("ponies", "mask", "clause"),), stages=frozenset({"output"}), hold_seconds=0.0
    )
    pieces = [
        chunk(0, {"content": "no end of "}),
        b": ping\n\n",
        chunk(0, {"content": "ponies. "}),
        chunk(0, {}, "stop"),
    ]
    reply = ask(front(streaming(*pieces, sse.DONE), [policy]), STREAM)
    assert json.loads(reply.pieces[1].split(b"\n")[0][6:])["choices"][0]["delta"] == {"content": "no end of "}
    assert reply.pieces[1].endswith(b": ping\n\n")
    assert "".join(e["choices"][0]["delta"].get("content", "") for e in reply.events) == "no end of <PONIES_1>. "


def starlette(respond: Any) -> Starlette:
    return Starlette(routes=[Route(CHAT, respond, methods=["POST"])])


def test_a_framework_that_streams_is_stopped_at_the_block():
    produced: list[int] = []
    closed: list[bool] = []

    async def events():
        try:
            for number in range(1000):
                produced.append(number)
                yield chunk(0, {"content": f"word {number} " if number != 3 else "xylophone "})
                await asyncio.sleep(0)
        finally:
            closed.append(True)

    async def respond(request: Request) -> StreamingResponse:
        await request.json()
        return StreamingResponse(events(), media_type="text/event-stream")

    reply = ask(front(starlette(respond), [canary("block")]), STREAM)
    assert "".join(e["choices"][0]["delta"].get("content", "") for e in reply.events) == "word 0 word 1 word 2 "
    assert reply.events[-1]["choices"][0]["finish_reason"] == "content_filter"
    assert len(produced) == 4


def test_a_whole_answer_does_not_wait_for_the_apps_afterwork():
    async def run() -> None:
        answered = asyncio.Event()

        async def respond(request: Request) -> JSONResponse:
            return JSONResponse({"choices": []}, background=BackgroundTask(answered.wait))

        reply = await asyncio.wait_for(aask(front(starlette(respond), [MAIL]), ASKED), 5)
        answered.set()
        assert reply.json == {"choices": []}

    asyncio.run(run())


def test_a_client_that_leaves_takes_the_app_with_it():
    left = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [SSE]})
        try:
            while True:
                await send({"type": "http.response.body", "body": chunk(0, {"content": "word "}), "more_body": True})
        except OSError:
            assert (await receive())["type"] == "http.disconnect"
            left.set()
            raise

    async def run() -> None:
        answer = await asgi.request(front(app, [MAIL]), "POST", CHAT, [JSON], json.dumps(STREAM))
        async for _ in answer.chunks():
            break
        await asyncio.wait_for(left.wait(), 5)

    asyncio.run(run())


def test_an_event_over_the_limit_ends_the_stream():
    app = streaming(chunk(0, {"content": "x"}), b"data: " + b"x" * sse.MAX_EVENT_BYTES, b"never")
    reply = ask(front(app, [MAIL]), STREAM)
    assert app.stopped
    assert reply.events[-1]["error"]["code"] == "guardrail_unavailable"


def test_many_answers_at_once_do_not_mix():
    async def run() -> None:
        async def one(number: int) -> None:
            app = streaming(
                *(chunk(0, {"content": piece}) for piece in f"<EMAIL_ADDRESS_1> {number}"),
                chunk(0, {}, "stop"),
                sse.DONE,
            )
            asked = {"stream": True, "messages": [{"role": "user", "content": f"u{number}@corp.example"}]}
            reply = await aask(front(app, [MAIL]), asked)
            text = "".join(e["choices"][0]["delta"].get("content", "") for e in reply.events)
            assert text == f"u{number}@corp.example {number}"

        await asyncio.gather(*map(one, range(20)))

    asyncio.run(run())
