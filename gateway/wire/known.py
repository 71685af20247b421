"""What is known of the fields of OpenAI's bodies: the few that are no text, and the names that an API defines.

The tables are short on purpose. A field that is missing from them is judged, which costs microseconds; one that is
wrongly in them would be a hole. Source: OpenAI's API reference for completions and chat completions, and the extra
fields of vLLM, llama.cpp, OpenRouter and Mistral.
"""

from collections.abc import Mapping
from typing import Any

PLAIN = frozenset(
    {
        "model",
        "id",
        "seed",
        "created",
        "system_fingerprint",
        "messages.tool_call_id",
        "messages.tool_calls.id",
        "messages.content.file.file_id",
        "messages.audio.id",
        "choices.message.tool_calls.id",
        "choices.message.audio.id",
    }
)
"""Places of names and ids, whatever they say."""

_SCHEMA_TYPES = {"string", "number", "integer", "boolean", "array", "object", "null"}
_PART_TYPES = {
    "text", "refusal", "input_text", "output_text", "summary_text", "reasoning_text", "thinking", "reasoning",
    "image_url", "input_image", "input_audio", "file", "input_file", "video_url", "audio_url", "content", "message",
}  # fmt: skip

WORDS: Mapping[str, frozenset[str]] = {
    "role": frozenset({"system", "developer", "user", "assistant", "tool", "function"}),
    "type": frozenset(
        {*_SCHEMA_TYPES, *_PART_TYPES, "function", "custom", "json_schema", "json_object", "allowed_tools", "grammar"}
    ),
    "object": frozenset({"text_completion", "chat.completion", "chat.completion.chunk", "list", "error"}),
    "finish_reason": frozenset({"stop", "length", "content_filter", "tool_calls", "function_call"}),
    "tool_choice": frozenset({"auto", "none", "required"}),
    "function_call": frozenset({"auto", "none"}),
    "detail": frozenset({"auto", "low", "high", "original"}),
    "format": frozenset({"wav", "mp3", "flac", "opus", "pcm16", "aac"}),
    "modalities": frozenset({"text", "audio"}),
    "reasoning_effort": frozenset({"none", "minimal", "low", "medium", "high", "xhigh"}),
    "verbosity": frozenset({"low", "medium", "high"}),
    "service_tier": frozenset({"auto", "default", "flex", "scale", "priority"}),
}
"""By the name of a field, what it may say without being a text. Anything else it says is one."""

PAYLOADS = frozenset(
    {
        "messages.content.image_url",
        "messages.content.image_url.url",
        "messages.content.video_url.url",
        "messages.content.audio_url.url",
        "messages.content.input_audio.data",
        "messages.content.file.file_data",
        "choices.message.images.image_url.url",
        "choices.message.content.image_url.url",
        "choices.message.audio.data",
        "prompt_embeds",
    }
)
"""Places of pictures, sound and files in base64, or their addresses. An address is a text too."""

TOKENS = frozenset({"prompt", "input", "input_ids", "token_ids", "prompt_token_ids"})
"""Places of a request where token ids may stand instead of a text."""

TOKEN_FIELDS = frozenset({"token_ids", "prompt_token_ids", "prompt_logprobs", "tokens"})
"""Fields of an answer or a choice that hold its text, or its prompt's, once more as tokens (vLLM, llama.cpp)."""

_UNREADABLE = frozenset(
    {"image_url", "input_image", "image", "input_audio", "audio", "audio_url", "file", "input_file", "video_url"}
)
_READABLE = frozenset(_PART_TYPES - _UNREADABLE)

_REQUEST = (
    "model messages prompt suffix stream stream_options include_usage include_obfuscation max_tokens n best_of echo "
    "max_completion_tokens logprobs top_logprobs logit_bias temperature top_p top_k min_p presence_penalty seed stop "
    "frequency_penalty user metadata tags safety_identifier store tools tool_choice parallel_tool_calls functions "
    "function_call response_format json_schema schema strict reasoning_effort service_tier modalities audio voice "
    "format prediction web_search_options verbosity prompt_cache_key allowed_tools mode custom grammar syntax input "
    "instructions extra_body guided_json guided_regex guided_grammar guided_choice repetition_penalty"
)
_MESSAGE = (
    "role content type text refusal name tool_calls tool_call_id id function arguments image_url url detail "
    "input_audio data file file_data file_id filename video_url audio_url reasoning reasoning_content thinking "
    "annotations url_citation title start_index end_index transcript expires_at index delta message images"
)
_ANSWER = (
    "object created choices usage system_fingerprint finish_reason native_finish_reason stop_reason error code param "
    "prompt_tokens completion_tokens total_tokens prompt_tokens_details completion_tokens_details cached_tokens "
    "reasoning_tokens audio_tokens accepted_prediction_tokens rejected_prediction_tokens tokens token_logprobs "
    "text_offset token logprob bytes token_ids prompt_token_ids prompt_logprobs provider timings guardrail"
)
_SCHEMA = (
    "properties required items description enum default const title anyOf oneOf allOf not additionalProperties "
    "parameters definitions minimum maximum minLength maxLength minItems maxItems pattern examples"
)
KNOWN = frozenset(f"{_REQUEST} {_MESSAGE} {_ANSWER} {_SCHEMA} $defs $ref".split())
"""Names that an API defines: they are told in paths, and are no texts themselves."""


def unreadable_part(part: Mapping[str, Any], *, chat: bool) -> bool:
    """Whether a content part is something that no policy can read.

    `chat`: it is sent to a model, so a part of a type that nobody knows is unreadable as well.
    """
    kind = part.get("type")
    if type(kind) is not str:
        return False
    return kind not in _READABLE if chat else kind in _UNREADABLE
