"""The demo as a provider: the gateway's two OpenAI languages over the built-in model, and its switches."""

import asyncio

import pytest

from gateway.errors import ConfigError
from gateway.ledger import tokens
from gateway.providers.base import Target
from gateway.providers.demo import faults, language
from gateway.providers.demo.app import app
from gateway.types import Usage
from gateway.wire import asgi
from tests.providers import kit


def through(bind, call, **options):
    """The deltas of one call made by the demo's language and answered by its app, as routing would have them."""
    translator = bind(Target("demo", "demo", options=options))
    request = translator.request(call)
    assert request.url.startswith(language.BASE_URL)

    async def send() -> list[bytes]:
        path = request.url.removeprefix(language.ORIGIN)
        headers = [(name.encode(), value.encode()) for name, value in request.headers.items()]
        answer = await asgi.request(app, request.method, path, headers, request.body)
        assert answer.status == 200
        return [chunk async for chunk in answer.chunks()]

    chunks = asyncio.run(send())
    return kit.decode(translator.stream(call), chunks) if call.stream else translator.answer(call, b"".join(chunks))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("bind", "text"), [(language.chat, "This is a test."), (language.text, " This is a test.")])
def test_both_languages_understand_the_demo(bind, text, stream):
    call = kit.call(max_tokens=20, n=2, logprobs=2, stop=("🦜",), seed=1, user="u", metadata={"a": "b"}, stream=stream)
    deltas = through(bind, call, demo_chunk_tokens=2)
    assert kit.text(deltas) == text
    assert kit.finish_reasons(deltas) == {0: "stop", 1: kit.finish_reasons(deltas)[1]}
    assert [token.token for token in kit.logprobs(deltas)] == [text[: -len(" is a test.")], " is", " a", " test", "."]
    assert {len(token.top) for token in kit.logprobs(deltas)} <= {2, 3}
    assert kit.usage(deltas).output_tokens == len(kit.logprobs(deltas)) + len(kit.logprobs(deltas, 1))


def test_the_text_language_takes_echo_suffix_and_ids():
    call = kit.call(prompt=tuple(tokens.encode("Where to?", "cl100k_base")), echo=True, logprobs=0, max_tokens=3)
    assert kit.text(through(language.text, call)).startswith("Where to?")
    infill = kit.call("Say before", suffix=" and after", max_tokens=9)
    assert kit.usage(through(language.text, infill)) == Usage(4, 2)


def test_a_switch_travels_as_a_private_header():
    target = Target("demo", "demo", extra_headers={"x-own": "1"}, options={"demo_fault": "stall", "demo_delay_ms": 5})
    for bind in (language.chat, language.text):
        headers = bind(target).request(kit.call(max_tokens=1)).headers
        assert (headers["x-demo-fault"], headers["x-demo-delay-ms"], headers["x-own"]) == ("stall", "5", "1")
        assert "authorization" not in headers


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("demo_fault", "explode", "'explode'"),
        ("demo_delay_ms", -1, "x-demo-delay-ms"),
        ("demo_chunk_tokens", 0, "from 1"),
        ("demo_fault_at", "soon", "x-demo-fault-at"),
    ],
)
def test_a_switch_with_a_wrong_value_is_a_configuration_error(option, value, says):
    assert option in language.OPTIONS
    with pytest.raises(ConfigError, match=says):
        language.chat(Target("demo", "demo", options={option: value}))


def test_every_option_has_its_header():
    assert [faults.header_name(name) for name in language.OPTIONS] == [
        "x-demo-delay-ms", "x-demo-chunk-delay-ms", "x-demo-chunk-tokens", "x-demo-fault", "x-demo-fault-at",
    ]  # fmt: skip
