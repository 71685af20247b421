"""What a provider's bytes say: deltas, and the failure that comes after them. Without I/O.

Translators copy values out of JSON that may hold anything, so what they make of it is looked at once more here.
"""

from collections.abc import Sequence

from gateway.errors import GatewayError
from gateway.providers.base import StreamDecoder
from gateway.providers.failures import invalid_response
from gateway.routing.deployments import Bound
from gateway.types import Call, Delta, Usage

_NOT_ITS_LANGUAGE = (KeyError, TypeError, AttributeError, ValueError, IndexError, RecursionError)
"""What a translator raises on bytes of a shape it did not expect."""


def whole(call: Call, bound: Bound, body: bytes) -> list[Delta]:
    """The deltas of a whole answer.

    Raises:
        UpstreamError: the body is not the provider's language, or has not the choices that were asked for.
    """
    try:
        found = bound.translator.answer(call, body)
        finished = sorted([delta.index for delta in found if delta.finish_reason])
    except _NOT_ITS_LANGUAGE as error:
        raise invalid_response(bound.provider, "a field of its answer has an unexpected shape") from error
    if finished != list(range(call.n)):
        raise invalid_response(bound.provider, f"it does not have the {call.n} choices that were asked for")
    return found


def decoded(decoder: StreamDecoder, chunk: bytes | None, bound: Bound) -> tuple[list[Delta], GatewayError | None]:
    """The deltas that a chunk completes, or those left at the end (None), and the failure that comes after them.

    A chunk of several lines is decoded line by line, so that the text before a failure is not lost with it.
    """
    found: list[Delta] = []
    try:
        if chunk is None:
            found = decoder.close()
        else:
            for piece in _pieces(chunk):
                found += decoder.feed(piece)
    except GatewayError as error:
        return found, error
    except _NOT_ITS_LANGUAGE as error:
        wrong = invalid_response(bound.provider, "a part of its stream has an unexpected shape")
        wrong.__cause__ = error
        return found, wrong
    return found, None


def _pieces(chunk: bytes) -> Sequence[bytes]:
    """The lines of `chunk`; all of it where it is what comes most often, one line or one server-sent event."""
    lines = chunk.count(b"\n")
    if lines < 2 or (lines == 2 and chunk.endswith((b"\n\n", b"\n\r\n"))):
        return (chunk,)
    return chunk.splitlines(keepends=True)


def check(delta: Delta, call: Call, bound: Bound) -> None:
    """Look whether a delta is one that may be handed on.

    Raises:
        UpstreamInvalidResponse: a value of another type, or a choice that nobody asked for.
    """
    if not _is_sound(delta):
        raise invalid_response(bound.provider, "a field of its answer has an unexpected shape")
    if delta.usage is None and delta.opening is None and not 0 <= delta.index < call.n:
        raise invalid_response(bound.provider, "it has a choice that nobody asked for")


_NAMED = (str, type(None))


def _is_sound(delta: Delta) -> bool:
    """Whether a delta holds what its types say."""
    opening = delta.opening
    if opening is not None:
        return (
            type(opening.id) in _NAMED and type(opening.model) in _NAMED and type(opening.system_fingerprint) in _NAMED
        )
    if not (type(delta.text) is str and type(delta.reasoning) is str and type(delta.index) is int):
        return False
    return not delta.logprobs or all(
        type(token.token) is str and (token.logprob is None or type(token.logprob) in (float, int))
        for token in delta.logprobs
    )


def counts(usage: Usage) -> bool:
    """Whether these are counts; others are as good as none."""
    found = (
        usage.input_tokens,
        usage.output_tokens,
        usage.cached_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
        usage.cache_write_1h_tokens,
        *(usage.billed or ()),
    )
    return set(map(type, found)) == {int} and min(found) >= 0


class Repeated:
    """Looks whether an answer begins with the prompt that its provider was asked to repeat, as some servers ignore
    `echo` without a word."""

    __slots__ = ("_left", "_provider")

    def __init__(self, call: Call, provider: str) -> None:
        """A prompt of token ids is not looked at."""
        prompt = call.prompt
        self._left = dict.fromkeys(range(call.n), prompt) if call.echo and isinstance(prompt, str) else {}
        self._provider = provider

    def check(self, delta: Delta) -> None:
        """Look at the next delta.

        Raises:
            UpstreamInvalidResponse: it is not the prompt, or its choice ends before the prompt does.
        """
        left = self._left.get(delta.index)
        if not left:
            return
        fits = left.startswith(delta.text) or delta.text.startswith(left)
        left = self._left[delta.index] = left[len(delta.text) :]
        if not fits or (left and delta.finish_reason):
            raise invalid_response(self._provider, "it was asked to repeat the prompt and did not")
