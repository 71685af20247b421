"""Holds answers against the official client's own models, field by field."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from openai.types import Completion
from pydantic import BaseModel

HEAD = {"id", "object", "created", "model", "choices"}
CHOICE = {"text", "index", "logprobs", "finish_reason"}
LOGPROBS = {"text_offset", "token_logprobs", "tokens", "top_logprobs"}
USAGE = {"prompt_tokens", "completion_tokens", "total_tokens"}
SOMETIMES = {"system_fingerprint"}
DETAILS = {"prompt_tokens_details", "completion_tokens_details"}


def checked(raw: Mapping[str, Any], parsed: Completion) -> Completion:
    """A whole answer, after checking that it has every field and none that the client's models do not know."""
    assert set(raw) - SOMETIMES == HEAD | {"usage"}
    assert raw["id"].startswith("cmpl-")
    assert set(raw["usage"]) - DETAILS == USAGE
    assert raw["usage"]["total_tokens"] == raw["usage"]["prompt_tokens"] + raw["usage"]["completion_tokens"]
    _choices(raw)
    assert parsed.model_dump() == Completion.model_validate(raw).model_dump()
    _nothing_extra(parsed)
    return parsed


def checked_chunks(chunks: Sequence[Completion]) -> list[Completion]:
    """A stream's chunks, after the same checks and: one id for all, one finish reason per choice, no empty opening."""
    assert chunks
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[0].choices[0].text or chunks[0].choices[0].finish_reason
    finished: list[int] = []
    for chunk in chunks:
        raw = chunk.to_dict(mode="json")
        assert set(raw) - SOMETIMES - {"usage"} == HEAD
        _choices(raw)
        _nothing_extra(chunk)
        assert len(chunk.choices) == (0 if chunk.usage else 1)
        for choice in chunk.choices:
            assert choice.index not in finished, "text after the end of its choice"
            if choice.finish_reason is not None:
                finished.append(choice.index)
        told = [{**choice, "finish_reason": choice["finish_reason"] or "stop"} for choice in raw["choices"]]
        Completion.model_validate({**raw, "choices": told}, strict=True)
    assert sorted(finished) == sorted({choice.index for chunk in chunks for choice in chunk.choices})
    return list(chunks)


def _choices(raw: Mapping[str, Any]) -> None:
    assert raw["object"] == "text_completion"
    for choice in raw["choices"]:
        assert set(choice) == CHOICE
        assert choice["logprobs"] is None or set(choice["logprobs"]) == LOGPROBS


def _nothing_extra(value: Any) -> None:
    if isinstance(value, BaseModel):
        assert not value.model_extra, f"{type(value).__name__} does not know {value.model_extra}"
        for name in type(value).model_fields:
            _nothing_extra(getattr(value, name))
    elif isinstance(value, list):
        for item in value:
            _nothing_extra(item)


@dataclass(slots=True)
class Said:
    """What a stream's chunks say of one choice, put together."""

    text: str = ""
    finish_reasons: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    token_logprobs: list[float] = field(default_factory=list)
    text_offset: list[int] = field(default_factory=list)


def joined(chunks: Sequence[Completion]) -> dict[int, Said]:
    """Each choice of a stream, by its index."""
    found: dict[int, Said] = {}
    for chunk in chunks:
        for choice in chunk.choices:
            said = found.setdefault(choice.index, Said())
            said.text += choice.text
            if choice.finish_reason:
                said.finish_reasons.append(choice.finish_reason)
            if choice.logprobs:
                said.tokens += choice.logprobs.tokens or []
                said.token_logprobs += choice.logprobs.token_logprobs or []
                said.text_offset += choice.logprobs.text_offset or []
    return found
