"""Tokens: the vocabularies of OpenAI's models, counted against published numbers, and nothing a text can break."""

import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.ledger import tokens

ENCODINGS = ["cl100k_base", "o200k_base"]
every_encoding = pytest.mark.parametrize("encoding", ENCODINGS)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gpt-3.5-turbo-instruct", "cl100k_base"),
        ("gpt-3.5-turbo", "cl100k_base"),
        ("gpt-3.5-turbo-instruct-0914", "cl100k_base"),
        ("gpt-35-turbo-16k", "cl100k_base"),
        ("gpt-4", "cl100k_base"),
        ("gpt-4-0613", "cl100k_base"),
        ("gpt-4-turbo-2024-04-09", "cl100k_base"),
        ("gpt-4-32k", "cl100k_base"),
        ("davinci-002", "cl100k_base"),
        ("babbage-002", "cl100k_base"),
        ("text-embedding-3-small", "cl100k_base"),
        ("gpt-4o", "o200k_base"),
        ("gpt-4o-mini-2024-07-18", "o200k_base"),
        ("GPT-4o", "o200k_base"),
        ("gpt-4.1-nano", "o200k_base"),
        ("gpt-4.5-preview", "o200k_base"),
        ("gpt-5", "o200k_base"),
        ("gpt-5.1-mini", "o200k_base"),
        ("o1", "o200k_base"),
        ("o3-mini", "o200k_base"),
        ("o4-mini-2025-04-16", "o200k_base"),
        ("chatgpt-4o-latest", "o200k_base"),
        ("gpt-oss-120b", "o200k_base"),
        ("ft:gpt-4o:my-org::abc", "o200k_base"),
        ("ft:gpt-4o-mini-2024-07-18:my-org:suffix:id", "o200k_base"),
        ("ft:gpt-3.5-turbo:my-org::abc", "cl100k_base"),
        ("ft:davinci-002:my-org::abc", "cl100k_base"),
        ("openai/gpt-4o", "o200k_base"),
        ("openrouter/openai/gpt-4o:free", "o200k_base"),
        ("accounts/fireworks/models/gpt-oss-20b", "o200k_base"),
        ("openai.gpt-oss-120b-1:0", "o200k_base"),
        ("azure/gpt-35-turbo", "cl100k_base"),
        ("text-davinci-003", None),
        ("davinci", None),
        ("claude-sonnet-4", None),
        ("gpt-4-x-alpaca-13b", None),
        ("gpt2", None),
        ("o1js", None),
        ("llama-3.1-8b-gpt-4o-distilled", None),
        ("", None),
    ],
)
def test_a_models_name_tells_its_vocabulary(model, expected):
    assert tokens.encoding_for(model) == expected


def test_a_setting_wins_over_the_name():
    assert tokens.encoding_for("gpt-4o", "cl100k_base") == "cl100k_base"
    assert tokens.encoding_for("my-own-model", "o200k_base") == "o200k_base"
    assert tokens.encoding_for("gpt-4o", "a-vocabulary-that-is-not-here") is None


# Counts and ids that OpenAI's cookbook "How to count tokens with tiktoken" and tiktoken's README print.
@pytest.mark.parametrize(
    ("text", "encoding", "ids"),
    [
        ("tiktoken is great!", "cl100k_base", [83, 1609, 5963, 374, 2294, 0]),
        ("hello world", "cl100k_base", [15339, 1917]),
        ("hello world", "o200k_base", [24912, 2375]),
        ("", "cl100k_base", []),
    ],
)
def test_ids_are_openais(text, encoding, ids):
    assert tokens.encode(text, encoding) == ids
    assert tokens.count(text, encoding) == len(ids)
    assert tokens.decode(ids, encoding) == text


@pytest.mark.parametrize(
    ("text", "cl100k", "o200k"),
    [("antidisestablishmentarianism", 6, 6), ("2 + 2 = 4", 7, 7), ("お誕生日おめでとう", 9, 8)],
)
def test_counts_are_openais(text, cl100k, o200k):
    assert [tokens.count(text, encoding) for encoding in ENCODINGS] == [cl100k, o200k]


@every_encoding
@given(text=st.text())
@settings(max_examples=100, deadline=None)
def test_every_text_comes_back_from_its_ids(encoding, text):
    ids = tokens.encode(text, encoding)
    assert tokens.decode(ids, encoding) == text
    assert b"".join(tokens.token_bytes(ids, encoding)) == text.encode()
    assert tokens.count(text, encoding) == len(ids)


@every_encoding
@given(ids=st.lists(st.integers(0, 100_255), max_size=20))
@settings(max_examples=100, deadline=None)
def test_any_ids_of_the_vocabulary_decode(encoding, ids):
    text = tokens.decode(ids, encoding)
    assert text == b"".join(tokens.token_bytes(ids, encoding)).decode("utf-8", "replace")


@every_encoding
def test_every_single_token_is_its_own_encoding_when_it_is_text(encoding):
    for token_id in range(0, 100_000, 997):
        raw = tokens.token_bytes([token_id], encoding)[0]
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            continue
        assert b"".join(tokens.token_bytes(tokens.encode(text, encoding), encoding)) == raw


@every_encoding
def test_the_text_of_a_special_token_is_plain_text(encoding):
    ids = tokens.encode("<|endoftext|>", encoding)
    assert len(ids) > 1
    assert max(ids) < 100_000
    assert tokens.decode(ids, encoding) == "<|endoftext|>"


@pytest.mark.parametrize(("encoding", "end"), [("cl100k_base", 100_257), ("o200k_base", 199_999)])
def test_the_id_of_a_special_token_decodes_to_its_name(encoding, end):
    assert tokens.decode([end], encoding) == "<|endoftext|>"


@every_encoding
@pytest.mark.parametrize("bad", [-1, 100_256 + 1_000_000, 2**40, 200_500])
def test_an_id_outside_the_vocabulary_is_named_in_the_error(encoding, bad):
    with pytest.raises(ValueError, match=f"{bad} is not in the vocabulary {encoding}"):
        tokens.decode([15339, bad], encoding)


def test_an_id_in_the_gap_before_the_special_tokens_is_an_error():
    with pytest.raises(ValueError, match="100256"):
        tokens.token_bytes([100_256], "cl100k_base")


@every_encoding
def test_a_part_of_a_character_decodes_to_the_replacement_character(encoding):
    ids = tokens.encode("🦜", encoding)
    assert len(ids) > 1
    assert tokens.decode(ids[:1], encoding) == "�"
    assert tokens.token_bytes(ids, encoding)[0] == "🦜".encode()[: len(tokens.token_bytes(ids, encoding)[0])]


def test_lone_surrogates_count_as_replacement_characters_and_pairs_are_joined():
    assert tokens.encode("a\ud800b", "cl100k_base") == tokens.encode("a�b", "cl100k_base")
    assert tokens.encode("\ud83d\ude00", "cl100k_base") == tokens.encode("😀", "cl100k_base")


def test_an_estimate_without_a_vocabulary_is_a_count_in_cl100k():
    assert tokens.estimate("tiktoken is great!") == 6
    assert tokens.estimate("お誕生日おめでとう", "o200k_base") == 8


@pytest.mark.parametrize("use", [tokens.count, tokens.encode, tokens.estimate])
def test_a_vocabulary_that_is_not_here_is_an_error_that_says_which_are(use):
    with pytest.raises(ValueError, match="cl100k_base, o200k_base"):
        use("a", "p50k_base")
    with pytest.raises(ValueError, match="p50k_base"):
        tokens.preload("p50k_base")


@every_encoding
@pytest.mark.parametrize("unit", ["a", " ", "😀", "\n", "0", ".", "ab", "漢", "e\u0301", "👩\u200d", "'"])
def test_the_time_to_count_grows_with_the_text_and_no_faster(encoding, unit):
    def cost(size: int) -> float:
        text = unit * (size // len(unit))
        best = float("inf")
        for _ in range(3):
            start = time.thread_time()
            tokens.count(text, encoding)
            best = min(best, time.thread_time() - start)
        return best

    cost(1000)
    small, large = cost(32_000), cost(512_000)
    assert large < 64 * small + 0.002, "16 times the text took over 64 times as long"


def test_threads_that_ask_first_at_once_all_get_the_same():
    code = (
        "import threading\nfrom gateway.ledger import tokens\nfound = []\n"
        "work = lambda: found.append(tokens.decode(tokens.encode('hello world', 'cl100k_base'), 'cl100k_base'))\n"
        "threads = [threading.Thread(target=work) for _ in range(8)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
        "assert found == ['hello world'] * 8, found\n"
        "import bpe_openai\n"
        "assert bpe_openai.get_encoding('cl100k_base').encode('hello world') == [15339, 1917]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)  # noqa: S603


def test_preloading_may_run_in_a_thread():
    thread = threading.Thread(target=tokens.preload, args=("cl100k_base",))
    thread.start()
    thread.join(30)
    assert not thread.is_alive()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_one_vocabulary_costs_less_than_the_whole_package_would():
    code = (
        "import sys\nfrom gateway.ledger import tokens\n"
        "def rss():\n"
        "    return int(open('/proc/self/statm').read().split()[1]) * 4096 / 1e6\n"
        "before = rss()\n"
        "tokens.preload('cl100k_base'); tokens.count('hello', 'cl100k_base')\n"
        "assert 'bpe_openai' not in sys.modules\n"
        "print(rss() - before)\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=60, capture_output=True)  # noqa: S603
    assert float(done.stdout) < 60
