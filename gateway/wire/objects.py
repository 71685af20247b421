"""A text completion as Python objects: the attributes and `model_dump()` of the `openai` client's `Completion`.

In process there is no reason to need that client, so its shape is written out here;
a test holds it against the client's own models.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from gateway.types import FinishReason
from gateway.wire import json


@dataclass(frozen=True, slots=True)
class Logprobs:
    """Token by token: offsets in characters of the text, natural logarithms, tokens, and the likeliest alternatives."""

    text_offset: list[int] | None = None
    token_logprobs: list[float] | None = None
    tokens: list[str] | None = None
    top_logprobs: list[dict[str, float]] | None = None


@dataclass(frozen=True, slots=True)
class CompletionChoice:
    """One choice; `finish_reason` is None only in the chunks of a stream before the choice's last one."""

    finish_reason: FinishReason | None
    index: int
    logprobs: Logprobs | None
    text: str


@dataclass(frozen=True, slots=True)
class CompletionTokensDetails:
    """What the output tokens were."""

    accepted_prediction_tokens: int | None = None
    audio_tokens: int | None = None
    reasoning_tokens: int | None = None
    rejected_prediction_tokens: int | None = None
    text_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class PromptTokensDetails:
    """What the input tokens were."""

    audio_tokens: int | None = None
    cache_write_tokens: int | None = None
    cached_tokens: int | None = None
    image_tokens: int | None = None
    text_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class CompletionUsage:
    """Token counts, summed over all calls to providers."""

    completion_tokens: int
    prompt_tokens: int
    total_tokens: int
    completion_tokens_details: CompletionTokensDetails | None = None
    prompt_tokens_details: PromptTokensDetails | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """A text completion, whole or one chunk of a stream. `created` is seconds since the epoch."""

    id: str
    choices: list[CompletionChoice]
    created: int
    model: str
    object: Literal["text_completion"] = "text_completion"
    system_fingerprint: str | None = None
    usage: CompletionUsage | None = None

    def model_dump(self) -> dict[str, Any]:
        """The completion as plain dicts and lists."""
        return asdict(self)

    def model_dump_json(self) -> str:
        """The completion as JSON text."""
        return json.dumps(self.model_dump()).decode()


def completion(value: Mapping[str, Any]) -> Completion:
    """The object for a decoded `text_completion` body or chunk, as `gateway.wire.answers` writes them."""
    return Completion(
        id=value["id"],
        choices=[_choice(choice) for choice in value["choices"]],
        created=value["created"],
        model=value["model"],
        system_fingerprint=value.get("system_fingerprint"),
        usage=_usage(value.get("usage")),
    )


def _choice(value: Mapping[str, Any]) -> CompletionChoice:
    logprobs = value["logprobs"]
    return CompletionChoice(
        finish_reason=value["finish_reason"],
        index=value["index"],
        logprobs=Logprobs(**logprobs) if logprobs is not None else None,
        text=value["text"],
    )


def _usage(value: Mapping[str, Any] | None) -> CompletionUsage | None:
    if value is None:
        return None
    output, prompt = value.get("completion_tokens_details"), value.get("prompt_tokens_details")
    return CompletionUsage(
        completion_tokens=value["completion_tokens"],
        prompt_tokens=value["prompt_tokens"],
        total_tokens=value["total_tokens"],
        completion_tokens_details=CompletionTokensDetails(**output) if output else None,
        prompt_tokens_details=PromptTokensDetails(**prompt) if prompt else None,
    )
