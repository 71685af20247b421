"""A whole `GenerateContentResponse`, and the parts of it that chunks share.

Shapes: https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse. Google leaves out what is zero or
empty: an `index` of 0, the `parts` of an empty text, the `content` of a blocked one.
"""

import math
from collections.abc import Mapping
from typing import Any

from gateway.providers.base import finish
from gateway.providers.failures import invalid_response, parse_object
from gateway.types import Delta, FinishReason, Opening, TokenLogprob, Usage
from gateway.wire import json

UNFINISHED = "FINISH_REASON_UNSPECIFIED"
"""The enum's zero: as good as no reason at all."""

FINISH_REASONS: Mapping[str, FinishReason] = {
    UNFINISHED: "stop",
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "ESCALATION": "content_filter",
    "PUP_LIMITED_DISABLED": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "IMAGE_OTHER": "stop",
    "NO_IMAGE": "stop",
    "MALFORMED_FUNCTION_CALL": "stop",
    "UNEXPECTED_TOOL_CALL": "stop",
    "TOO_MANY_TOOL_CALLS": "stop",
    "MISSING_THOUGHT_SIGNATURE": "stop",
    "MALFORMED_RESPONSE": "stop",
    "OTHER": "stop",
}


def parse(body: bytes, provider: str, choices: int) -> list[Delta]:
    """One delta per candidate, in order of index, then one with usage and opening.

    A prompt that was blocked has no candidates: each of the `choices` is an empty text ended by the content filter.

    Raises:
        UpstreamInvalidResponse: no candidates and no reason for that, or candidates of another shape.
    """
    answer = parse_object(body, provider)
    deltas = [
        piece(index, candidate, finish(FINISH_REASONS, candidate.get("finishReason")))
        for index, candidate in numbered(answer, choices, provider)
    ]
    if not deltas and blocked(answer):
        deltas = [Delta(index, finish_reason="content_filter") for index in range(choices)]
    if not deltas:
        raise invalid_response(provider, "it has no candidates")
    deltas.sort(key=lambda delta: delta.index)
    deltas.append(Delta(usage=usage(answer.get("usageMetadata")), opening=opening(answer)))
    return deltas


def numbered(answer: Mapping[str, Any], choices: int, provider: str) -> list[tuple[int, dict[str, Any]]]:
    """The candidates of an answer or a chunk with their indexes.

    An absent index is 0 where another candidate has one, else (Vertex AI) the candidate's position.

    Raises:
        UpstreamInvalidResponse: more candidates than were asked for, or something else in their place.
    """
    candidates = answer.get("candidates") or []
    if not isinstance(candidates, list) or not all(isinstance(candidate, dict) for candidate in candidates):
        raise invalid_response(provider, "its candidates are not a list of objects")
    explicit = any("index" in candidate for candidate in candidates)
    found = [(candidate.get("index", 0 if explicit else at), candidate) for at, candidate in enumerate(candidates)]
    if any(index not in range(choices) for index, _ in found):
        raise invalid_response(provider, "it has a candidate nobody asked for")
    return found


def piece(index: int, candidate: Mapping[str, Any], reason: FinishReason | None = None) -> Delta:
    """What a candidate shows and what the model thought, kept apart. Function calls and data are not text."""
    parts = (candidate.get("content") or {}).get("parts") or ()
    texts = [(bool(part.get("thought")), part.get("text") or "") for part in parts]
    return Delta(
        index=index,
        text="".join(text for thought, text in texts if not thought),
        logprobs=logprobs(candidate.get("logprobsResult")),
        finish_reason=reason,
        reasoning="".join(text for thought, text in texts if thought),
    )


def logprobs(result: Mapping[str, Any] | None) -> tuple[TokenLogprob, ...] | None:
    """A `LogprobsResult` as tokens; `topCandidates`, where asked for, has one list for each chosen token."""
    if not result:
        return None
    chosen = result.get("chosenCandidates") or []
    tops = [[_pair(top) for top in step.get("candidates") or ()] for step in result.get("topCandidates") or ()]
    tops += [[]] * (len(chosen) - len(tops))
    return tuple(TokenLogprob(*_pair(candidate), top=tuple(top)) for candidate, top in zip(chosen, tops, strict=False))


def _pair(candidate: Mapping[str, Any]) -> tuple[str, float]:
    return candidate.get("token") or "", candidate.get("logProbability") or 0.0


def blocked(answer: Mapping[str, Any]) -> bool:
    """Whether the prompt was refused (`promptFeedback.blockReason`), in which case there are no candidates."""
    return bool((answer.get("promptFeedback") or {}).get("blockReason"))


def opening(answer: Mapping[str, Any]) -> Opening:
    """The answer's own id and the version of the model that gave it."""
    return Opening(answer.get("responseId"), answer.get("modelVersion"))


def usage(counts: Mapping[str, Any] | None) -> Usage | None:
    """`UsageMetadata`. Thoughts are counted beside the candidates' tokens, and so is what tools added to the prompt.

    Some models count thoughts inside the candidates already: then prompt and candidates alone make the total.
    """
    if not counts:
        return None
    prompt = (counts.get("promptTokenCount") or 0) + (counts.get("toolUsePromptTokenCount") or 0)
    answered = counts.get("candidatesTokenCount") or 0
    thoughts = counts.get("thoughtsTokenCount") or 0
    inside = prompt + answered == counts.get("totalTokenCount")
    return Usage(
        input_tokens=prompt,
        output_tokens=answered if inside else answered + thoughts,
        cached_tokens=counts.get("cachedContentTokenCount") or 0,
        reasoning_tokens=thoughts,
    )


def fault(status: int, body: bytes) -> tuple[int, dict[str, str]]:
    """The HTTP status an error body really means, and the header its details amount to.

    Google says 400 for a key that is not valid (`API_KEY_INVALID`) and for an account or region that may not use the
    model (`FAILED_PRECONDITION`): faults of the operator, not of the client. The wait it asks for is in the body.
    Source: https://ai.google.dev/gemini-api/docs/troubleshooting and the `google.rpc` error details.
    """
    try:
        value = json.loads(body)
    except json.JSONDecodeError:
        return status, {}
    value = value[0] if isinstance(value, list) and value else value
    error = value.get("error") if isinstance(value, dict) else None
    if not isinstance(error, dict):
        return status, {}
    listed = error.get("details")
    details = [detail for detail in listed if isinstance(detail, dict)] if isinstance(listed, list) else []
    if status == 400 and error.get("status") == "FAILED_PRECONDITION":
        return 403, {}
    if status == 400 and any(detail.get("reason") == "API_KEY_INVALID" for detail in details):
        return 401, {}
    waits = [seconds for detail in details if (seconds := _seconds(detail.get("retryDelay"))) is not None]
    return status, {"retry-after": str(max(waits))} if waits else {}


def _seconds(delay: Any) -> int | None:
    """A protobuf duration (`"34.07s"`) in whole seconds, upwards."""
    try:
        return math.ceil(float(str(delay).removesuffix("s")))
    except (ValueError, OverflowError):
        return None
