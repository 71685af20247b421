"""The client's text completion answer (contract §3): deltas to one `text_completion` object, or to the chunks of one.

Every key is always present, `null` where there is nothing to say, as the `openai` client's models expect.
"""

import codecs
import re
from collections.abc import Mapping
from typing import Any

from gateway.types import Delta, FinishReason, Opening, TokenLogprob, Usage
from gateway.wire import json, sse

_FINGERPRINT = re.compile(r"[A-Za-z0-9._:+/@-]{1,128}")
"""What a build is called. Nobody guards it, so that it cannot be let through as any text."""


class LegacyLogprobs:
    """Turns tokens of one choice into the legacy `logprobs` object, keeping the text offset from piece to piece.

    `text_offset` counts characters from the start of the choice's text. A token that is part of a character is
    written `bytes:\\xf0\\x9f`, as OpenAI does, and its offset is where the character will stand.
    """

    __slots__ = ("_decoder", "_offset")

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._offset = 0

    def convert(self, tokens: tuple[TokenLogprob, ...]) -> dict[str, list[Any]]:
        """The `tokens`, `token_logprobs`, `top_logprobs` and `text_offset` of these tokens."""
        names: list[str] = []
        logprobs: list[float | None] = []
        tops: list[dict[str, float] | None] = []
        offsets: list[int] = []
        for token in tokens:
            raw = token.raw if token.raw is not None else token.token.encode("utf-8", "replace")
            if self._decoder.getstate()[0] and not _is_partial(raw):  # the character before was never finished
                self._offset += len(self._decoder.decode(b"", True))
                self._decoder.reset()
            name = _name(token)
            names.append(name)
            logprobs.append(token.logprob)
            offsets.append(self._offset)
            # "The API will always return the logprob of the sampled token, so there may be up to logprobs+1 elements."
            tops.append(None if token.logprob is None else {**dict(token.top), name: token.logprob})
            self._offset += len(self._decoder.decode(raw))
        return {"tokens": names, "token_logprobs": logprobs, "top_logprobs": tops, "text_offset": offsets}


def _name(token: TokenLogprob) -> str:
    if token.raw is None or not _is_partial(token.raw):
        return token.token
    return "bytes:" + "".join(f"\\x{byte:02x}" for byte in token.raw)


def _is_partial(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return True
    return False


def usage_object(usage: Usage) -> dict[str, Any]:
    """OpenAI's `usage`; the details only where there is something in them."""
    counts: dict[str, Any] = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
    cached = {"cached_tokens": usage.cached_tokens, "cache_write_tokens": usage.cache_write_tokens}
    if details := {name: count for name, count in cached.items() if count}:
        counts["prompt_tokens_details"] = details
    if usage.reasoning_tokens:
        counts["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return counts


class Answer:
    """A text completion that is being put together, whole or chunk by chunk.

    Args:
        answer_id: `cmpl-…`, one for all its chunks.
        model: the name the client asked for.
        created: seconds since the epoch.
        choices: how many choices there will be.
    """

    def __init__(self, answer_id: str, model: str, created: int, choices: int) -> None:
        self._head: dict[str, Any] = {"id": answer_id, "object": "text_completion", "created": created, "model": model}
        self._texts: list[list[str]] = [[] for _ in range(choices)]
        self._tokens: dict[int, list[TokenLogprob]] = {}
        self._finish: list[FinishReason | None] = [None] * choices
        self._offsets: dict[int, LegacyLogprobs] = {}

    def mark(self, opening: Opening) -> None:
        """Name the provider's build, where it gave one that looks like a name; from now on every body does."""
        if opening.system_fingerprint and _FINGERPRINT.fullmatch(opening.system_fingerprint):
            self._head["system_fingerprint"] = opening.system_fingerprint

    def add(self, delta: Delta) -> None:
        """Take one delta into the whole answer."""
        if delta.text:
            self._texts[delta.index].append(delta.text)
        if delta.logprobs is not None:
            self._tokens.setdefault(delta.index, []).extend(delta.logprobs)
        if delta.finish_reason:
            self._finish[delta.index] = delta.finish_reason

    def whole(self, usage: Usage) -> bytes:
        """The JSON body of the whole answer."""
        body = dict(self._head)
        body["choices"] = [self._choice(index) for index in range(len(self._texts))]
        body["usage"] = usage_object(usage)
        return json.dumps(body)

    def _choice(self, index: int) -> Mapping[str, Any]:
        tokens = self._tokens.get(index)
        return {
            "text": "".join(self._texts[index]),
            "index": index,
            "logprobs": LegacyLogprobs().convert(tuple(tokens)) if tokens is not None else None,
            "finish_reason": self._finish[index],
        }

    def chunk(self, delta: Delta, *, with_usage: bool) -> bytes:
        """One server-sent event for one delta; `with_usage` writes the `usage: null` that announces a last chunk."""
        body = dict(self._head)
        logprobs = None
        if delta.logprobs is not None:
            offsets = self._offsets.setdefault(delta.index, LegacyLogprobs())
            logprobs = offsets.convert(delta.logprobs)
        body["choices"] = [
            {"text": delta.text, "index": delta.index, "logprobs": logprobs, "finish_reason": delta.finish_reason}
        ]
        if with_usage:
            body["usage"] = None
        return sse.encode(json.dumps(body))

    def usage_chunk(self, usage: Usage) -> bytes:
        """The last chunk of a stream that was asked to include usage: no choices."""
        body = dict(self._head)
        body["choices"] = []
        body["usage"] = usage_object(usage)
        return sse.encode(json.dumps(body))
