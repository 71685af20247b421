"""The demo's tokens as OpenAI's two languages write them in `logprobs`."""

import codecs
from collections.abc import Sequence
from typing import Any

from gateway.ledger import tokens
from gateway.providers.demo.text import ENCODING, Generation, Scored, score


class ChatLogprobs:
    """Those of one choice of a chat: an entry per token, with its bytes."""

    def __init__(self, generation: Generation, top: int) -> None:
        self._scored = score(generation.ids, generation.raw, generation.key, top)

    def take(self, start: int, end: int) -> dict[str, Any]:
        """Those of the tokens from `start` to before `end`."""
        return {"content": [_chat_entry(token) for token in self._scored[start:end]], "refusal": None}


class TextLogprobs:
    """Those of one choice of a text completion: parallel lists. To be asked for from the first token to the last.

    `text_offset` counts characters from the start of the prompt, echoed or not, as OpenAI's does. `top_logprobs` is
    null when no alternatives are asked for, and has one more entry than asked for where the token is not among them.
    """

    def __init__(self, generation: Generation, top: int, prompt: str) -> None:
        self._generation = generation
        self._top = top
        self._scored = score(generation.ids, generation.raw, generation.key, top)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._offset = len(prompt)

    def prompt(self, ids: Sequence[int]) -> dict[str, Any]:
        """Those of the prompt's own tokens. The first has none, as nothing came before it."""
        after, self._offset = self._offset, 0
        part = score(ids, tokens.token_bytes(ids, ENCODING), self._generation.key + b"prompt", self._top)
        found = self._lists(part)
        for name in ("token_logprobs", "top_logprobs"):
            if found[name]:
                found[name][0] = None
        self._decoder.reset()
        self._offset = after
        return found

    def take(self, start: int, end: int) -> dict[str, Any]:
        """Those of the tokens from `start` to before `end`."""
        return self._lists(self._scored[start:end])

    def _lists(self, part: Sequence[Scored]) -> dict[str, Any]:
        offsets = []
        for token in part:
            offsets.append(self._offset)
            self._offset += len(self._decoder.decode(token.raw))
        tops = [{_text_name(raw): p for raw, p in (*token.top, (token.raw, token.logprob))} for token in part]
        return {
            "text_offset": offsets,
            "token_logprobs": [token.logprob for token in part],
            "tokens": [_text_name(token.raw) for token in part],
            "top_logprobs": tops if self._top else None,
        }


def joined(parts: Sequence[dict[str, Any] | None]) -> dict[str, Any] | None:
    """The logprobs of several pieces of one choice as those of one."""
    first, *rest = parts
    if first is None:
        return None
    found = dict(first)
    for part in rest:
        if part is not None:
            found = {name: value and value + part[name] for name, value in found.items()}
    return found


def _text_name(raw: bytes) -> str:
    r"""A token as the text API writes it: `bytes:\xf0\x9f` for a part of a character."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return "bytes:" + raw.decode("utf-8", "backslashreplace")


def _chat_entry(token: Scored) -> dict[str, Any]:
    top = [{**_chat_name(raw), "logprob": logprob} for raw, logprob in token.top]
    return {**_chat_name(token.raw), "logprob": token.logprob, "top_logprobs": top}


def _chat_name(raw: bytes) -> dict[str, Any]:
    r"""A token as the chat API writes it: `\xf0\x9f` for a part of a character, and its bytes beside it."""
    return {"token": raw.decode("utf-8", "backslashreplace"), "bytes": list(raw)}
