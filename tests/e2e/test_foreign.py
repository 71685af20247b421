"""Guardrails in front of a real model server that is not ours, reached through a reverse proxy that streams."""

import json
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.e2e import kit

pytestmark = pytest.mark.e2e

SAME: dict[str, Any] = {"temperature": 0, "seed": 7, "max_tokens": 40, "extra_body": {"cache_prompt": False}}
STORY = "Once upon a time"
MESSAGES: Any = [{"role": "user", "content": "Tell me a story about a king."}]
PATHS = pytest.mark.parametrize("path", ["completions", "chat"])


def client_of(url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=url, api_key="any", max_retries=0, http_client=httpx.Client(trust_env=False))


def whole(client: openai.OpenAI, path: str, **params: Any) -> tuple[str, str | None]:
    """The text of one answer and why it ended."""
    if path == "completions":
        made = client.completions.create(model="m", **{"prompt": STORY, **SAME, **params}).choices[0]
        return made.text, made.finish_reason
    said = client.chat.completions.create(model="m", **{"messages": MESSAGES, **SAME, **params}).choices[0]
    return said.message.content or "", said.finish_reason


def streamed(client: openai.OpenAI, path: str, **params: Any) -> tuple[str, str | None, int]:
    """The same, streamed, and in how many pieces with text it came."""
    text, reason, pieces = "", None, 0
    if path == "completions":
        chunks: Any = client.completions.create(model="m", stream=True, **{"prompt": STORY, **SAME, **params})
    else:
        chunks = client.chat.completions.create(model="m", stream=True, **{"messages": MESSAGES, **SAME, **params})
    for chunk in chunks:
        for choice in chunk.choices:
            piece = choice.text if path == "completions" else choice.delta.content
            text += piece or ""
            pieces += bool(piece)
            reason = choice.finish_reason or reason
    return text, reason, pieces


def document(action: str, word: str) -> str:
    rule = {"name": "word", "words": [word], "action": action}
    return f"policy: {action}s\nversion: 1\nstages: [output]\nguards:\n  - phrases: {json.dumps({'rules': [rule]})}\n"


@pytest.fixture(scope="module")
def direct(model_url: str) -> Iterator[openai.OpenAI]:
    with client_of(model_url) as client:
        yield client


@pytest.fixture(scope="module")
def word(direct: openai.OpenAI) -> str:
    """A word that the model says in both of its answers."""
    texts = [whole(direct, path)[0] for path in ("completions", "chat")]
    common = set(texts[0].lower().split()[4:]) & set(texts[1].lower().split()[4:])
    return max((word for word in common if word.isalpha()), key=len)


@pytest.fixture(scope="module")
def proxy(model_url: str, word: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Starts the app with some policies; gives its address."""
    running: list[Any] = []

    def start(*policies: str) -> str:
        folder: Path = tmp_path_factory.mktemp("proxy")
        for action in ("mask", "block"):
            (folder / f"{action}.yaml").write_text(document(action, word))
        argv = [sys.executable, "-m", "uvicorn", "tests.e2e.reverse_proxy:app", "--port", "0"]
        process = kit.started(folder, argv, kit.environment(MODEL_URL=model_url, POLICIES=",".join(policies)))
        server = process.__enter__()
        running.append(process)
        url = kit.until("the proxy's address", lambda: kit.address(server, server.err))
        return str(url)

    yield start
    for process in running:
        process.__exit__(None, None, None)


@PATHS
def test_a_model_behind_the_guards_says_what_it_says_without_them(direct: openai.OpenAI, proxy: Any, path: str):
    with client_of(f"{proxy('pii', 'secrets')}/v1") as guarded:
        text, reason = whole(direct, path)
        assert whole(guarded, path) == (text, reason)
        said, ended, pieces = streamed(guarded, path)
        assert (said, ended) == (text, reason)
        assert pieces > 10


@PATHS
def test_a_word_is_masked_in_the_whole_answer_and_in_the_stream(
    direct: openai.OpenAI, proxy: Any, word: str, path: str
):
    with client_of(f"{proxy('./mask.yaml')}/v1") as guarded:
        text, _ = whole(guarded, path)
        assert word not in text.lower().split()
        assert "<WORD_1>" in text
        assert text.partition("<WORD_1>")[0] == whole(direct, path)[0][: text.index("<WORD_1>")]
        said, _, pieces = streamed(guarded, path)
        assert said == text
        assert pieces > 10


@PATHS
def test_a_blocked_stream_ends_and_the_model_is_free_at_once(direct: openai.OpenAI, proxy: Any, word: str, path: str):
    with client_of(f"{proxy('./block.yaml')}/v1") as guarded:
        assert whole(guarded, path) == ("This answer was withheld by policy.", "content_filter")
        said, reason, _ = streamed(guarded, path, max_tokens=900)
        assert reason == "content_filter"
        assert whole(direct, path)[0].startswith(said)
        assert word not in said.lower().split()
    assert whole(direct, path, max_tokens=4)[0]


def test_the_model_never_sees_an_address_and_the_caller_reads_it_again(proxy: Any):
    url = proxy("pii")
    address = "bob@corp.example.com"
    with client_of(f"{url}/v1") as guarded:
        text, _ = whole(guarded, "completions", prompt=f"Mail {address}. Mail {address}. Mail {address}. Mail")
        with pytest.raises(openai.BadRequestError) as refused:
            whole(guarded, "chat", messages=[{"role": "user", "content": "Card 4111 1111 1111 1111"}])
        assert refused.value.code == "policy_blocked"
    with urllib.request.urlopen(f"{url}/seen") as answer:  # noqa: S310
        seen = json.loads(answer.read())
    assert len(seen) == 1
    assert address not in seen[0]
    assert "<EMAIL_ADDRESS_1>" in seen[0]
    assert address in text
