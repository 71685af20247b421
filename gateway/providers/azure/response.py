"""What Azure adds to OpenAI's answers: its content filter.

`prompt_filter_results` and `content_filter_results` are annotations for the caller of Azure and are passed over, as is
the chunk without choices that opens a stream with them. A prompt that the filter stops is a 400 with the code
`content_filter` (https://learn.microsoft.com/azure/ai-foundry/openai/concepts/content-filter).
"""

from collections.abc import Mapping

from gateway.errors import UpstreamError, UpstreamRejected
from gateway.providers.failures import error_from, message_in
from gateway.wire import json

CONTENT_FILTER = "content_filter"


def error(provider: str, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
    """The error of a non-2xx answer; one by the content filter keeps Azure's code, so that routing can tell it."""
    found = error_from(provider, status, headers, *message_in(body))
    if isinstance(found, UpstreamRejected) and _by_the_filter(body):
        found.code = CONTENT_FILTER
    return found


def _by_the_filter(body: bytes) -> bool:
    try:
        value = json.loads(body)
    except json.JSONDecodeError:
        return False
    found = value.get("error") if isinstance(value, dict) else None
    return isinstance(found, dict) and found.get("code") == CONTENT_FILTER
