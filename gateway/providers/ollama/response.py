"""Ollama's answers; whole ones and the lines of a stream have the same shape, and so have both endpoints but for
where the text is (https://docs.ollama.com/api/generate, https://docs.ollama.com/api/chat)."""

from collections.abc import Mapping
from typing import Any

from gateway.errors import UpstreamError, UpstreamRejected
from gateway.providers.base import finish
from gateway.providers.failures import error_from, invalid_response, parse_object
from gateway.types import Delta, FinishReason, Opening, TokenLogprob, Usage

FINISH_REASONS: Mapping[str, FinishReason] = {"stop": "stop", "length": "length"}
_NOTHING_GENERATED = ("load", "unload")


def parse(body: bytes, provider: str) -> list[Delta]:
    """One delta with the text, then one with usage and opening.

    Raises:
        UpstreamError: the answer is an error, or not Ollama's language.
    """
    answer = parse_object(body, provider)
    delta = piece(answer, provider)
    if delta.finish_reason is None:
        raise invalid_response(provider, "it is not done")
    return [delta, Delta(usage=usage(answer), opening=opening(answer))]


def piece(answer: Mapping[str, Any], provider: str) -> Delta:
    """The text, thought and logprobs of an answer or a line; its finish reason when it is the last.

    Raises:
        UpstreamError: the provider reports an error, or the answer has another shape.
    """
    if answer.get("error"):
        raise _reported(answer, provider)
    if answer.get("done_reason") in _NOTHING_GENERATED:
        raise UpstreamRejected(
            f"The provider {provider} generates nothing for an empty prompt; send some text.",
            status=400,
            param="prompt",
        )
    try:
        message = answer.get("message")
        text, thought = (
            (answer["response"], answer.get("thinking"))
            if message is None
            else (message.get("content"), message.get("thinking"))
        )
        return Delta(
            text=_string(text),
            logprobs=_logprobs(answer.get("logprobs")),
            finish_reason=finish(FINISH_REASONS, answer.get("done_reason")) if answer.get("done") else None,
            reasoning=_string(thought),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise invalid_response(provider, "it has neither a response nor a message") from error


def _string(value: Any) -> str:
    if value is not None and not isinstance(value, str):
        raise TypeError("text that is not a string")
    return value or ""


def _reported(answer: Mapping[str, Any], provider: str) -> UpstreamError:
    """The error a line tells of, after the 200 has been sent; some carry the HTTP status it would have had."""
    status, said = answer.get("status"), answer["error"]
    if not isinstance(status, int) or not 400 <= status <= 599:
        status = 500
    return error_from(provider, status, {}, said if isinstance(said, str) else None)


def usage(answer: Mapping[str, Any]) -> Usage | None:
    """Prompt and answer tokens. Ollama leaves out zeros, and older ones the count of a cached prompt: then None."""
    prompt, generated = answer.get("prompt_eval_count"), answer.get("eval_count", 0)
    return Usage(prompt, generated) if isinstance(prompt, int) and isinstance(generated, int) else None


def opening(answer: Mapping[str, Any]) -> Opening:
    """The model that answers; Ollama gives no id."""
    return Opening(model=answer.get("model"))


def _logprobs(entries: list[dict[str, Any]] | None) -> tuple[TokenLogprob, ...] | None:
    if not entries:
        return None
    return tuple(
        TokenLogprob(
            token=entry["token"],
            logprob=entry["logprob"],
            raw=bytes([*entry["bytes"]]) if entry.get("bytes") is not None else None,
            top=tuple((top["token"], top["logprob"]) for top in entry.get("top_logprobs") or ()),
        )
        for entry in entries
    )
