"""What one walk over deployments answers: a prompt, or some of its choices. Pure, without I/O.

A prompt is translated for the deployment that a step names, each time anew from what the client gave. Where that takes
several calls (a provider without `n`), the prompt is split into pieces of one call each, and each piece fails over by
itself: a call that failed is made good without repeating those that did not.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from gateway.errors import RequestError
from gateway.exchange import CallRecord, Reason
from gateway.providers.translation import Translation, translate
from gateway.routing.deployments import Bound
from gateway.routing.plan import Route, Step
from gateway.types import CompletionRequest
from gateway.wire.completions import with_defaults


class Fitted(NamedTuple):
    """A translation for the deployment of a step; `request` has the operator's defaults for it."""

    step: Step
    request: CompletionRequest
    translation: Translation


@dataclass(slots=True)
class Unit:
    """The walk of one prompt, which its pieces share: how many calls it took, and which deployments."""

    route: Route
    calls: int = 0
    deployments: tuple[str, ...] = ()

    def called(self, deployment: str) -> None:
        """Count a call to a deployment, by its id."""
        self.calls += 1
        if deployment not in self.deployments:
            self.deployments += (deployment,)


@dataclass(slots=True)
class Piece:
    """`request` is what the client gave, for this prompt and these choices alone, defaults not filled in.

    `number` is the prompt's place in the whole request, `offset` the place of the first choice among those of the
    prompt. `candidates` is set for those from which the best are kept: how many of them the prompt has. `fitted` is
    what to begin with; None where that is still to be found out. `why` and `instead_of` are those of the next call.
    `begun` and `text` are those of a stream that broke: what was asked at first, and all the text that came.
    """

    request: CompletionRequest
    number: int
    unit: Unit
    offset: int = 0
    candidates: int | None = None
    fitted: Fitted | None = None
    why: Reason = "first"
    instead_of: CallRecord | None = None
    begun: Fitted | None = None
    text: str = ""


def alone(request: CompletionRequest, number: int) -> CompletionRequest:
    """`request` for its prompt of this number only."""
    return request if len(request.prompts) == 1 else replace(request, prompts=(request.prompts[number],))


def fit(piece: Piece, step: Step) -> Fitted:
    """The piece translated for the deployment of `step`.

    Raises:
        RequestError: it cannot be asked for there; another deployment may honour what this one does not.
    """
    request, defaults = piece.request, step.bound.defaults
    if defaults:
        request = with_defaults(request, defaults)
    if piece.offset and request.seed is not None:
        # One seed for separate calls would give the same text again; each gets its own, reproducibly.
        request = replace(request, seed=(request.seed + piece.offset) % 2**63)
    return Fitted(step, request, translate(request, step.bound.shape))


def elsewhere(piece: Piece, fitted: Fitted, bound: Bound) -> Fitted | None:
    """The same translated for another deployment; None where that cannot be asked for it, or not in one call."""
    if bound is fitted.step.bound:
        return fitted
    try:
        found = fit(piece, replace(fitted.step, bound=bound, instead=()))
    except RequestError:
        return None
    return found if len(found.translation.calls) == 1 else None


def first_fit(piece: Piece, step: Step) -> Fitted:
    """The piece as it is asked of the deployment of `step`, or of the first one after it that can honour it.

    Raises:
        RequestError: none can; it says what the first of them cannot.
    """
    first: RequestError | None = None
    while True:
        try:
            return fit(piece, step)
        except RequestError as error:
            first = first or error
            following = piece.unit.route.after(step, error)
            if following is None:
                raise first from None
            step = following


def split(piece: Piece, fitted: Fitted) -> Sequence[Piece]:
    """One piece for each call of a translation, beginning with that call."""
    translation = fitted.translation
    candidates = piece.candidates or translation.best_of
    asked = piece.request
    if translation.best_of is not None:
        asked = replace(asked, best_of=None, logprobs=asked.logprobs or 0)
    pieces: list[Piece] = []
    for placed in translation.calls:
        own = replace(asked, n=placed.call.n, given=asked.given | {"n"})
        one = replace(translation, calls=(replace(placed, first=0),), n=placed.call.n, best_of=None)
        pieces.append(
            Piece(
                own,
                piece.number,
                piece.unit,
                piece.offset + placed.first,
                candidates,
                fitted._replace(translation=one),
                piece.why,
                None if pieces else piece.instead_of,
            )
        )
    return pieces
