"""The rest of a stream that broke, asked for with the text so far: whether that is exact, and what is asked.

Only where the seam cannot be seen: one choice of a prompt of text, without the prompt or logprobs in its answer. The
stop sequences are then watched by the gateway over the whole text, for one of them may lie across the seam.
"""

from dataclasses import replace

from gateway.errors import UnsupportedParameter
from gateway.ledger import tokens
from gateway.routing.attempt import Attempt
from gateway.routing.pieces import Fitted, Piece, fit
from gateway.routing.plan import Step


def may(piece: Piece, attempt: Attempt) -> bool:
    """Whether the stream of `attempt` is to be continued where it breaks."""
    call, request = attempt.call, attempt.fitted.request
    return (
        attempt.bound.resume
        and call.stream
        and call.n == 1
        and call.logprobs is None
        and not request.echo
        and piece.candidates is None
        and isinstance(request.prompts[0], str)
    )


def rest(piece: Piece, step: Step) -> Fitted:
    """What is asked of the deployment of `step`: to go on from all the text that has come so far.

    Raises:
        RequestError: it cannot continue a text, or nothing is left to ask for.
    """
    assert piece.begun is not None  # noqa: S101 - the stream has begun
    begun, bound = piece.begun, step.bound
    can = bound.shape.support.text or (bound.shape.continuation is not None and begun.request.suffix is None)
    if not can:
        raise UnsupportedParameter(f"{bound.provider} cannot continue a text; set translation: continuation.")
    left = begun.request.max_tokens - tokens.estimate(piece.text, begun.step.bound.encoding)
    if left < 1:
        raise UnsupportedParameter("All tokens that were asked for have come.", param="max_tokens")
    prompt = piece.request.prompts[0]
    assert isinstance(prompt, str)  # noqa: S101 - see `may`
    given = piece.request.given | {"max_tokens"}
    asked = replace(piece.request, prompts=(prompt + piece.text,), max_tokens=left, given=given)
    return fit(replace(piece, request=asked), step)
