"""What a foreign app gets to see behind the guardrails, and what its callers are refused."""

import asyncio
import gzip
import zlib
from typing import Any

import pytest

from gateway.guards.policy import OnBlock, Policy
from gateway.guards.vault import Form
from gateway.wire import asgi, json, sse
from tests.guards import kit
from tests.middleware.foreign.kit import CHAT, JSON, SSE, TEXT, App, ask, canary, chunk, front, said

MAIL = Policy("mail", guards=(kit.Mail(),), forms={"mail": Form(restore=True)})
SHADOW = Policy("watch", guards=(kit.Mail("block"),), mode="shadow")
USER = {"model": "m", "messages": [{"role": "user", "content": "I am bob@corp.example, hello"}]}


def messages(*content: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": one} for one in content]}


@pytest.mark.parametrize(
    "raw",
    [
        b'{"model":"m", "messages" : [ {"role":"user","content":"h\\u00e9llo"} ], "n":1.0}',
        b'{"model": "m", "messages": [], "big": 1e300, "exact": 0.10000000000000000555}',
        b"[1, 2]",
        b'"a text"',
        b"null",
    ],
)
def test_a_body_in_which_nothing_changes_is_sent_byte_for_byte(raw):
    app = App()
    assert ask(front(app, [MAIL]), raw).status == 200
    assert app.bodies == [raw]


def test_a_rewritten_body_has_its_own_length_and_everything_else_as_it_was():
    app = App()
    raw = json.dumps(USER)
    headers = [JSON, (b"content-length", b"%d" % len(raw)), (b"accept-encoding", b"gzip, br"), (b"x-mine", b"kept")]
    ask(front(app, [MAIL]), raw, headers=headers)
    assert app.body == messages("I am <EMAIL_ADDRESS_1>, hello")
    assert app.asked[0][b"content-length"] == b"%d" % len(app.bodies[0])
    assert app.asked[0][b"x-mine"] == b"kept"
    assert b"accept-encoding" not in app.asked[0]


@pytest.mark.parametrize(("encoding", "pack"), [(b"gzip", gzip.compress), (b"deflate", zlib.compress)])
def test_a_compressed_body_is_read_and_what_changed_is_sent_plain(encoding, pack):
    app = App()
    packed = pack(json.dumps(USER))
    ask(front(app, [MAIL]), packed, headers=[JSON, (b"content-encoding", encoding)])
    assert app.body == messages("I am <EMAIL_ADDRESS_1>, hello")
    assert b"content-encoding" not in app.asked[0]
    clean = pack(json.dumps(messages("hello")))
    ask(front(app, [MAIL]), clean, headers=[JSON, (b"content-encoding", encoding)])
    assert app.bodies[1] == clean
    assert app.asked[1][b"content-encoding"] == encoding


def test_a_compressed_body_cannot_outgrow_the_bound():
    packed = gzip.compress(b" " * 100_000)
    reply = ask(front(App(), [MAIL], max_bytes=5_000), packed, headers=[JSON, (b"content-encoding", b"gzip")])
    assert (reply.status, reply.json["error"]["code"]) == (413, "request_too_large")


def test_a_body_over_the_bound_is_refused_and_other_paths_have_none():
    app = App()
    body = messages("x" * 6_000)
    assert ask(front(app, [MAIL], max_bytes=5_000), body).status == 413
    assert ask(front(app, [MAIL], max_bytes=5_000), body, "/upload").status == 200
    assert len(app.bodies) == 1


UNREADABLE_BODIES = {
    "no json": (b"prompt=bob@corp.example", ()),
    "utf-16": (json.dumps(USER).decode().encode("utf-16"), ()),
    "a byte order mark": (b"\xef\xbb\xbf" + json.dumps(USER), ()),
    "half a surrogate pair": (b'{"prompt": "\\ud800"}', ()),
    "not a number": (b'{"prompt": "x", "seed": NaN}', ()),
    "no utf-8": (b'{"prompt": "\xff"}', ()),
    "an unknown compression": (b"xx", ((b"content-encoding", b"br"),)),
    "two compressions": (gzip.compress(gzip.compress(b"{}")), ((b"content-encoding", b"gzip, gzip"),)),
    "two headers of compression": (b"{}", ((b"content-encoding", b"identity"), (b"content-encoding", b"gzip"))),
    "cut short": (gzip.compress(b"{}")[:-4], ((b"content-encoding", b"gzip"),)),
}


@pytest.mark.parametrize("case", UNREADABLE_BODIES)
def test_a_body_that_policies_cannot_read_is_refused_while_one_is_enforced(case):
    raw, headers = UNREADABLE_BODIES[case]
    app = App()
    reply = ask(front(app, [MAIL]), raw, TEXT, headers=(JSON, *headers))
    assert reply.status == 400
    assert reply.json["error"]["type"] == "invalid_request_error"
    assert app.bodies == []
    watched = ask(front(app, [SHADOW]), raw, TEXT, headers=(JSON, *headers))
    assert watched.status == 200
    assert app.bodies == [raw]
    assert watched.headers["x-gateway-guardrails"] == "watch=allow;shadow;skipped"


def test_a_key_that_stands_twice_hides_nothing():
    app = App()
    ask(front(app, [MAIL]), b'{"prompt": "bob@corp.example", "a": {"b": 1}, "prompt": "fine"}', TEXT)
    assert app.bodies == [b'{"prompt":"fine","a":{"b":1}}']
    ask(front(app, [MAIL]), b'{"a": "\\"b\\": 1, {\\"b\\": 2}", "b": ": \\\\"}', TEXT)
    assert app.bodies[1] == b'{"a": "\\"b\\": 1, {\\"b\\": 2}", "b": ": \\\\"}'


def test_a_body_nested_too_deep_to_be_read_is_refused():
    raw = b'{"prompt": ' + b"[" * 300 + b"]" * 300 + b"}"
    reply = ask(front(App(), [MAIL]), raw, TEXT)
    assert (reply.status, reply.json["error"]["code"]) == (400, "invalid_value")


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
UNREADABLE = {
    "messages[0].content[0]": messages([IMAGE]),
    "messages[0].content[1]": messages(
        [{"type": "text", "text": "x"}, {"type": "input_audio", "input_audio": {"data": "A"}}]
    ),
    "messages[1].content[0]": messages("x", [{"type": "file", "file": {"file_id": "file-1"}}]),
    "messages[0].content[0] ": messages([{"type": "hologram", "hologram": "?"}]),
}


@pytest.mark.parametrize("path", UNREADABLE)
def test_a_part_that_is_no_text_is_refused_by_its_name_or_allowed_and_said_to_be_skipped(path):
    body = UNREADABLE[path]
    app = App()
    error = ask(front(app, [MAIL]), body).json["error"]
    assert (error["code"], error["param"]) == ("unsupported_parameter", "messages")
    assert path.strip() in error["message"]
    assert app.bodies == []
    assert ask(front(app, [SHADOW]), body).headers["x-gateway-guardrails"] == "watch=allow;shadow;skipped"
    reply = ask(front(app, [MAIL], unreadable="allow"), body)
    assert reply.status == 200
    assert reply.headers["x-gateway-guardrails"] == "mail=allow;skipped"
    assert app.bodies[-1] == json.dumps(body)


@pytest.mark.parametrize("prompt", [[1, 2], [[1, 2], [3]], ["a", 5], ["a", [5]]])
def test_token_ids_are_refused_for_nobody_knows_the_apps_tokenizer(prompt):
    app = App()
    error = ask(front(app, [MAIL]), {"model": "m", "prompt": prompt}, TEXT).json["error"]
    assert (error["code"], error["param"]) == ("unsupported_parameter", "prompt")
    assert ask(front(app, [MAIL], unreadable="allow"), {"model": "m", "prompt": prompt}, TEXT).status == 200


def test_what_is_beside_an_unreadable_part_is_judged_all_the_same():
    app = App()
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/?to=bob@corp.example&x"}}
    body = messages([picture, IMAGE, {"type": "text", "text": "from bob@corp.example"}])
    ask(front(app, [MAIL], unreadable="allow"), body)
    parts = app.body["messages"][0]["content"]
    assert parts[0]["image_url"]["url"] == "https://example.com/?to=<EMAIL_ADDRESS_1>&x"
    assert parts[1:] == [IMAGE, {"type": "text", "text": "from <EMAIL_ADDRESS_1>"}]


def test_tool_arguments_stay_json_whatever_is_masked_in_them():
    given = (
        '{\n "to": "a \\"bob@corp.example\\" \\u00e9", "card": 4111111111111112, "n": 5, "bob@corp.example": [true]}'
    )
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": given}}
    app = App()
    policy = Policy("p", guards=(kit.Mail(), kit.Digits()))
    ask(front(app, [policy]), {"model": "m", "messages": [{"role": "assistant", "tool_calls": [call]}]})
    sent = app.body["messages"][0]["tool_calls"][0]["function"]["arguments"]
    assert json.loads(sent) == {
        "to": 'a "<EMAIL_ADDRESS_1>" é',
        "card": "<CREDIT_CARD_1>",
        "n": 5,
        "<EMAIL_ADDRESS_1>": [True],
    }
    assert sent.startswith('{\n "to": ')


def test_a_blocked_request_is_refused_by_its_field_and_reaches_nobody():
    app = App()
    reply = ask(front(app, [canary("block")]), messages("hi", "the xylophone"))
    error = reply.json["error"]
    assert (reply.status, error["type"], error["code"], error["param"]) == (
        400,
        "guardrail_violation",
        "policy_blocked",
        "messages",
    )
    assert error["guardrail"]["request_id"] == reply.headers["x-request-id"]
    assert reply.headers["x-gateway-guardrails"] == "canary=block"
    assert b"xylophone" not in reply.body
    assert app.bodies == []


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", [TEXT, CHAT])
def test_a_blocked_request_is_answered_with_the_policys_words_where_it_says_so(path, stream):
    policy = Policy("p", guards=(kit.Mail("block"),), on_block=OnBlock("replace", "replace", "Not here."))
    body = {**USER, "prompt": ["bob@corp.example", "x"], "stream": stream, "n": 2}
    app = App()
    reply = ask(front(app, [policy]), body, path)
    assert app.bodies == []
    assert reply.status == 200
    events = reply.events if stream else [reply.json]
    choices = [choice for event in events for choice in event["choices"]]
    assert [choice["index"] for choice in choices] == list(range(4 if path == TEXT else 2))
    assert {choice["finish_reason"] for choice in choices} == {"content_filter"}
    said = [c["text"] if path == TEXT else c["delta" if stream else "message"]["content"] for c in choices]
    assert set(said) == {"Not here."}


def test_a_policy_that_fails_lets_nothing_pass():
    class Broken(kit.Mail):
        def find(self, text: str, path: str):
            raise RuntimeError("never shown")

    app = App([said({"message": {"content": "x"}})])
    reply = ask(front(app, [Policy("p", guards=(Broken(),))]), USER)
    assert (reply.status, reply.json["error"]["code"]) == (503, "guardrail_unavailable")
    assert app.bodies == []
    only_out = Policy("p", guards=(Broken(),), stages=frozenset({"output"}))
    answer = ask(front(app, [only_out]), USER).json["choices"][0]
    assert (answer["message"]["content"], answer["finish_reason"]) == (
        "This answer was withheld by policy.",
        "content_filter",
    )


PATHS = [
    (TEXT, True),
    ("/completions", True),
    ("/engines/m/completions", True),
    ("/openai/deployments/m/completions", True),
    (CHAT, True),
    ("/chat/completions", True),
    ("/openai/deployments/gpt/chat/completions", True),
    ("/api/v1/chat/completions", True),
    ("/my/own/prefix/v1/completions", True),
    ("//v1//chat/completions/", True),
    ("/V1/Chat/Completions", True),
    ("/v1/embeddings", False),
    ("/v1/chat", False),
    ("/completions/other", False),
    ("/", False),
]


@pytest.mark.parametrize(("path", "guarded"), PATHS)
def test_completions_are_guarded_wherever_an_app_serves_them_and_nothing_else_is(path, guarded):
    app = App()
    reply = ask(front(app, [canary()]), {"model": "m", "prompt": "xylophone"}, path)
    assert (b"<CANARY_1>" in app.bodies[0]) == guarded
    assert ("x-gateway-guardrails" in reply.headers) == guarded
    if not guarded:
        assert reply.headers == {"content-type": "application/json"}


def test_an_app_below_a_mount_is_guarded_by_its_own_paths():
    app = App()
    scope = {"root_path": "/llm"}

    async def run() -> None:
        answer = await asgi.request(
            front(app, [canary()]), "POST", "/llm/v1/completions", [JSON], b'"xylophone"', extras=scope
        )
        await answer.read()

    asyncio.run(run())
    assert app.bodies == [b'"<CANARY_1>"']


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
def test_scopes_that_are_not_http_pass(kind):
    seen: list[str] = []

    async def app(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        seen.append(scope["type"])

    async def nothing(*_: Any) -> Any:
        return {}

    asyncio.run(front(app, [MAIL])({"type": kind}, nothing, nothing))
    assert seen == [kind]


def test_guard_all_reads_every_body_that_is_text_and_leaves_the_others():
    app = App([b'{"to": "bob@corp.example"}'])
    every = front(app, [Policy("p", guards=(kit.Mail(),))], guard_all=True)
    reply = ask(every, {"deep": [{"er": "bob@corp.example"}]}, "/any")
    assert app.body == {"deep": [{"er": "<EMAIL_ADDRESS_1>"}]}
    assert reply.json == {"to": "<EMAIL_ADDRESS_1>"}
    ask(every, b"mail bob@corp.example", "/any", headers=[(b"content-type", b"text/plain; charset=utf-8")])
    assert app.bodies[1] == b"mail <EMAIL_ADDRESS_1>"
    ask(every, b"\xff bob@corp.example", "/any", headers=[(b"content-type", b"image/png")])
    assert app.bodies[2] == b"\xff bob@corp.example"
    assert ask(every, b"no json", "/any").status == 400


def test_guard_all_reads_streams_of_any_kind_of_event():
    def event(kind: str, **more: Any) -> bytes:
        return sse.encode(json.dumps({"type": kind, **more}), kind)

    pieces = [
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": "mail bob@cor"}),
        event("ping"),
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": "p.example"}),
        event("content_block_stop", index=0),
        event("response.output_text.delta", output_index=1, delta="or al.ice@"),
        event("response.output_text.delta", output_index=1, delta="x.org now"),
        event("response.output_text.done", output_index=1, text="or al.ice@x.org now"),
    ]
    reply = ask(front(App(pieces, headers=(SSE,)), [Policy("p", guards=(kit.Mail(),))], guard_all=True), {}, "/v1/any")
    events = [(one.event, json.loads(one.data)) for one in sse.Decoder().feed(reply.body)]
    deltas = [value["delta"] for _, value in events if "delta" in value]
    assert "".join(d["text"] for d in deltas if isinstance(d, dict)) == "mail <EMAIL_ADDRESS_1>"
    assert "".join(d for d in deltas if isinstance(d, str)) == "or <EMAIL_ADDRESS_1> now"
    assert events[-1][1]["text"] == "or <EMAIL_ADDRESS_1> now"
    assert all(kind == value["type"] for kind, value in events)
    stops = [number for number, (kind, _) in enumerate(events) if kind == "content_block_stop"]
    assert events[stops[0] - 1][1]["delta"]["type"] == "text_delta"


def test_conditions_see_who_asks_and_for_what():
    policy = canary(more='match: {models: ["gpt-*"], end_users: ["al*"], tags: [b]}')
    app = App()
    headers = [JSON, (b"x-gateway-tags", b"a, b")]
    for body, path in (
        ({"model": "gpt-4", "user": "alice"}, CHAT),
        ({"metadata": {"user_id": "alan"}}, "/openai/deployments/gpt-4/chat/completions"),
        ({"model": "gpt-4", "user": "bob"}, CHAT),
        ({"model": "llama", "user": "alice"}, CHAT),
    ):
        ask(front(app, [policy]), {"messages": "xylophone", **body}, path, headers=headers)
    assert [b"xylophone" in body for body in app.bodies] == [False, False, True, True]


def test_two_steps_share_one_record_of_the_request():
    app = App([said({"message": {"content": "plain"}})])
    reply = ask(front(front(app, [canary()]), [MAIL]), messages("xylophone bob@corp.example"))
    assert app.body == messages("<CANARY_1> <EMAIL_ADDRESS_1>")
    assert reply.headers["x-gateway-guardrails"] == "mail=mask, canary=mask"


def test_an_app_cannot_send_a_file_past_the_guards():
    offered: list[Any] = []

    async def app(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        offered.append(scope["extensions"])
        await App()(scope, receive, send)

    extras = {"extensions": {"http.response.pathsend": {}, "tls": {}}}

    async def run() -> None:
        answer = await asgi.request(front(app, [MAIL]), "POST", CHAT, [JSON], b"{}", extras=extras)
        await answer.read()

    asyncio.run(run())
    assert offered == [{"tls": {}}]


def test_the_scope_is_given_back_as_it_was():
    app = App()
    scope: dict[str, Any] = {}

    async def outer(given: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        scope["before"] = list(given["headers"])
        await front(app, [MAIL])(given, receive, send)
        scope["after"] = list(given["headers"])

    ask(outer, USER, headers=[JSON, (b"accept-encoding", b"gzip")])
    assert scope["before"] == scope["after"]
    assert b"accept-encoding" not in app.asked[0]


def test_what_an_app_raises_is_its_own_affair():
    async def app(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        ask(front(app, [MAIL]), USER)


def test_a_client_that_leaves_while_it_sends_is_answered_by_nobody():
    async def receive() -> Any:
        return {"type": "http.disconnect"}

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    app = App()
    scope = {"type": "http", "method": "POST", "path": CHAT, "headers": [JSON]}
    asyncio.run(front(app, [MAIL])(scope, receive, send))
    assert sent == []
    assert app.bodies == []


def test_a_stream_ends_as_it_would_but_for_what_was_held():
    pieces = [
        chunk(0, {"role": "assistant", "content": ""}),
        chunk(0, {"content": "ask bob@corp.example"}),
        chunk(0, {}, "stop"),
        sse.encode(b'{"id":"c1","choices":[],"usage":{"total_tokens":7}}'),
        sse.DONE,
    ]
    events = ask(front(App(pieces, headers=(SSE,)), [MAIL]), {**USER, "stream": True}).events
    assert [e["choices"][0]["delta"].get("content") for e in events[:-1]] == ["", "ask ", "bob@corp.example", None]
    assert [e["choices"][0]["finish_reason"] for e in events[:-1]] == [None, None, None, "stop"]
    assert events[-1]["usage"] == {"total_tokens": 7}
