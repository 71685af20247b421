"""The promise for streams in front of a foreign app: however its bytes are cut, the client gets what it gets whole.

Texts with things to find, JSON escapes and signs of several bytes; several choices, reasoning and tool arguments mixed.
"""

import json as plain
from random import Random
from typing import Any

import pytest

from gateway.guards.policy import Policy
from gateway.guards.vault import Form, Vault
from gateway.wire import sse
from tests.guards import kit
from tests.middleware.foreign.kit import CHAT, SSE, TEXT, App, Reply, ask, front

FIELDS = ("content", "reasoning_content", "refusal", "unheard_of")
Spoken = dict[tuple[int, str], str]
"""What an answer says: by choice and field, `arguments/0` for the first tool."""


def guards(random: Random, *, block: bool) -> Policy:
    """A policy of the kit's guards; mail that the caller sent comes back."""
    chosen = tuple(one for one in kit.all_guards(random) if block or one.action != "block") or (kit.Mail(),)
    return Policy("p", guards=chosen, forms={"mail": Form(restore=True)})


def spoken(random: Random) -> Spoken:
    """What some choices say in some of their fields."""
    found: Spoken = {}
    for index in range(random.randint(1, 3)):
        for field in random.sample(FIELDS, random.randint(1, 3)):
            found[index, field] = kit.text(random)
        for tool in range(random.randint(0, 2)):
            found[index, f"arguments/{tool}"] = arguments(random)
    return found


def arguments(random: Random) -> str:
    """Tool arguments: JSON of several kinds, or what was meant to be."""
    value = {kit.text(random, 2) or "k": value_of(random) for _ in range(random.randint(0, 3))}
    written = plain.dumps(value, ensure_ascii=random.random() < 0.5, indent=random.choice([None, 2]))
    if random.random() < 0.1:
        return written[: random.randint(0, len(written))]
    return kit.text(random, 4) if random.random() < 0.1 else written


def value_of(random: Random) -> Any:
    kinds = [
        kit.text(random, 6),
        [kit.text(random, 3), 5, None],
        {"deep": kit.text(random, 3)},
        411111111111,
        0.5,
        True,
    ]
    return random.choice(kinds)


def whole(said: Spoken) -> bytes:
    """The answer as one body."""
    choices: list[dict[str, Any]] = []
    for index in sorted({index for index, _ in said}):
        message: dict[str, Any] = {"role": "assistant"}
        for (_, field), text in ((key, text) for key, text in said.items() if key[0] == index):
            name, _, tool = field.partition("/")
            if tool:
                call = {"id": f"call_{tool}", "type": "function", "function": {"name": "f", "arguments": text}}
                message.setdefault("tool_calls", []).append(call)
            else:
                message[name] = text
        choices.append({"index": index, "message": message, "finish_reason": "stop"})
    return plain.dumps(
        {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": choices}
    ).encode()


def events(random: Random, said: Spoken) -> bytes:
    """The answer as a stream: fields in any order, each in pieces of any size."""
    queues = {key: [piece for piece in kit.cut(random, text) if piece] for key, text in said.items()}
    for (_, field), queue in queues.items():
        if "/" in field:
            queue.insert(0, "")  # the piece that names the tool
    out: list[bytes] = []
    begun: set[tuple[int, str]] = set()
    ascii_ = random.random() < 0.5
    end = random.choice(["\n", "\r\n", "\r"])

    def add(index: int, delta: dict[str, Any], finish: str | None = None) -> None:
        head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        value = {**head, "choices": [{"index": index, "delta": delta, "finish_reason": finish}]}
        out.append(f"data: {plain.dumps(value, ensure_ascii=ascii_)}{end}{end}".encode())
        if random.random() < 0.1:
            out.append(f": ping{end}{end}".encode())

    while any(queues.values()):
        key = random.choice([key for key, queue in queues.items() if queue])
        index, field = key
        piece = queues[key].pop(0)
        name, _, tool = field.partition("/")
        if not tool:
            add(index, {name: piece})
            continue
        call: dict[str, Any] = {"index": int(tool), "function": {"arguments": piece}}
        if key not in begun:
            begun.add(key)
            call = {
                "index": int(tool),
                "id": f"call_{tool}",
                "type": "function",
                "function": {"name": "f", "arguments": piece},
            }
        add(index, {"tool_calls": [call]})
    for index in sorted({index for index, _ in said}):
        add(index, {}, "stop")
    out.append(f"data: [DONE]{end}{end}".encode())
    return b"".join(out)


def cut(random: Random, raw: bytes) -> list[bytes]:
    """Bytes in pieces of any size."""
    size = random.choice([1, 7, 40, 400, len(raw)])
    return [raw[at : at + size] for at in range(0, len(raw), size)] if size < len(raw) else [raw]


def read(value: Any, into: Spoken, *, stream: bool) -> dict[int, str]:
    """Adds to `into` what an answer or an event says; gives the finish reasons it holds."""
    reasons: dict[int, str] = {}
    for choice in value["choices"]:
        index = choice["index"]
        if choice["finish_reason"]:
            reasons[index] = choice["finish_reason"]
        message = choice.get("delta" if stream else "message") or {}
        for name in FIELDS:
            if message.get(name) is not None:
                into[index, name] = into.get((index, name), "") + message[name]
        for position, call in enumerate(message.get("tool_calls") or ()):
            key = (index, f"arguments/{call['index'] if stream else position}")
            into[key] = into.get(key, "") + call["function"].get("arguments", "")
    return reasons


def canonical(field: str, text: str) -> str:
    """How two ways of writing the same JSON compare: strings in it may be escaped in more than one way."""
    if "/" not in field:
        return text
    try:
        return plain.dumps(plain.loads(text))
    except ValueError:
        return (
            text.encode("ascii", "backslashreplace")
            .decode()
            .replace("\\U0001f600", "\\ud83d\\ude00")
            .replace("\\xe9", "\\u00e9")
        )


def request(stream: bool) -> dict[str, Any]:
    return {"model": "m", "n": 3, "stream": stream, "messages": [{"role": "user", "content": "I am bob@corp.example"}]}


def check(seed: object) -> None:
    random = kit.seeded(seed)
    policy, said = guards(random, block=False), spoken(random)
    expected: Spoken = {}
    answer = ask(front(App([whole(said)]), [policy]), request(False))
    read(answer.json, expected, stream=False)
    reply = ask(front(App(cut(random, events(random, said)), headers=(SSE,)), [policy]), request(True))
    assert_same(reply, expected, seed)


def assert_same(reply: Reply, expected: Spoken, seed: object) -> None:
    got: Spoken = {}
    reasons: dict[int, str] = {}
    over: set[int] = set()
    for value in reply.events:
        for choice in value["choices"]:
            assert choice["index"] not in over, seed
        reasons |= (new := read(value, got, stream=True))
        over |= new.keys()
        for key, text in got.items():
            assert "/" in key[1] or expected.get(key, "").startswith(text), (seed, key)
    assert reasons == {index: "stop" for index, _ in expected}, seed
    for key in expected.keys() | got.keys():
        assert canonical(key[1], got.get(key, "")) == canonical(key[1], expected.get(key, "")), (seed, key)


@pytest.mark.parametrize("seed", range(150))
def test_a_stream_says_what_the_whole_answer_says(seed):
    check(seed)


@pytest.mark.slow
def test_a_stream_says_what_the_whole_answer_says_in_many_tries():
    for seed in range(10_000):
        check(f"slow {seed}")


@pytest.mark.parametrize("seed", range(60))
def test_a_whole_answer_says_what_guarding_each_of_its_texts_gives(seed):
    random = kit.seeded(f"whole {seed}")
    policy = Policy("p", guards=guards(random, block=False).guards)
    said = {key: text for key, text in spoken(random).items() if "/" not in key[1]}
    got: Spoken = {}
    read(ask(front(App([whole(said)]), [policy]), {"model": "m"}).json, got, stream=False)
    for key, text in said.items():
        assert got[key] == kit.guarded_at_once([policy], text, Vault().branch())[0]


@pytest.mark.parametrize("seed", range(60))
def test_a_blocked_stream_ends_where_the_blocked_text_does(seed):
    random = kit.seeded(f"block {seed}")
    policy = Policy(
        "p", guards=tuple({type(one): one for one in (*guards(random, block=True).guards, kit.Key("block"))}.values())
    )
    said = {(index, "content"): kit.text(random) for index in range(random.randint(1, 3))}
    said[0, "content"] += " BEGIN KEY END KEY and more"
    app = App([*cut(random, events(random, said)), b"never read"], headers=(SSE,))
    reply = ask(front(app, [policy]), {"model": "m", "n": len(said), "stream": True})
    got: Spoken = {}
    reasons: dict[int, str] = {}
    for value in reply.events:
        reasons |= read(value, got, stream=True)
    blocked = [index for index, reason in reasons.items() if reason == "content_filter"]
    assert set(reasons) == {index for index, _ in said}
    assert blocked
    assert app.stopped
    assert app.last == "http.disconnect"
    whole_texts = {key: kit.guarded_at_once([policy], text, Vault().branch()) for key, text in said.items()}
    for key, (text, _) in whole_texts.items():
        assert text.startswith(got.get(key, "")), seed
    assert any(stopped and got.get(key, "") == text for key, (text, stopped) in whole_texts.items()), seed


@pytest.mark.parametrize("seed", range(40))
def test_a_text_completion_keeps_the_promise(seed):
    random = kit.seeded(f"text {seed}")
    policy, texts = guards(random, block=False), [kit.text(random) for _ in range(2)]
    choices = [{"index": number, "text": text, "finish_reason": "stop"} for number, text in enumerate(texts)]
    body = {"model": "m", "prompt": ["I am bob@corp.example", "b"]}
    expected = ask(front(App([plain.dumps({"choices": choices}).encode()]), [policy]), body, TEXT).json["choices"]
    out = b""
    for number, text in enumerate(texts):
        for piece in kit.cut(random, text):
            choice = {"index": number, "text": piece, "logprobs": None, "finish_reason": None}
            out += sse.encode(plain.dumps({"choices": [choice]}).encode())
        out += sse.encode(plain.dumps({"choices": [{"index": number, "text": "", "finish_reason": "stop"}]}).encode())
    reply = ask(front(App(cut(random, out + sse.DONE), headers=(SSE,)), [policy]), {**body, "stream": True}, TEXT)
    for number, choice in enumerate(expected):
        parts = [c for event in reply.events for c in event["choices"] if c["index"] == number]
        assert "".join(c["text"] for c in parts) == choice["text"]
        assert [c["finish_reason"] for c in parts if c["finish_reason"]] == ["stop"]


def test_what_nothing_is_found_in_passes_byte_for_byte_in_the_call_that_brought_it():
    pieces = [
        b'data: {"choices": [ {"index":0, "delta": {"content": "Hello "}} ], "id": "x"}\r\n\r\n',
        b": keep-alive\n\n",
        b"id: 7\nevent: message\nretry: 10\n"
        b'data: {"choices": [{"index":0,\ndata: "delta": {"content": "w\\u00f6rld, "}}]}\n\n',
        b'data: {"choices": [], "usage": {"total_tokens": 5}}\n\n',
        b"data: [DONE]\n\n",
    ]
    reply = ask(front(App(pieces, headers=(SSE,)), [Policy("p", guards=(kit.Mail(), kit.Key()))]), request(True), CHAT)
    assert reply.pieces == pieces
